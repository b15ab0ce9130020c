/**
 * What callers may ask for, what they get when they do not, and the check that
 * runs before anything starts.
 *
 * Wrong input is refused here, in one place and alike on every runtime: some
 * platforms would dial port 0 or read `1.5` as `1`.
 *
 * @module
 */

import {
  check,
  checkAtLeast,
  checkNames,
  checkOptional,
  isFunction,
  isObject,
  type Names,
} from "./core/check.ts";
import type { Resolver } from "./core/answer.ts";
import type { Source } from "./core/address_selection.ts";
import type { Clock } from "./core/clock.ts";
import type { Endpoint, Family } from "./core/endpoint.ts";
import { type IpAddress, parseIpAddress } from "./core/ip_address.ts";
import type { HappyEyeballsEvent } from "./events.ts";
import { type Host, parseHostname, tlsName } from "./hostname.ts";
import type { DialOptions } from "./runtime/runtime.ts";
import { systemClock } from "./runtime/system_clock.ts";

/** Connection Attempt Delay in milliseconds (RFC 8305 section 8). */
export const CONNECTION_ATTEMPT_DELAY = 250;
/** No attempt starts sooner than this after the one before, in milliseconds (RFC 8305 section 5). */
export const LEAST_CONNECTION_ATTEMPT_DELAY = 10;
/** Resolution Delay in milliseconds (RFC 8305 section 8). */
export const RESOLUTION_DELAY = 50;
/** How many addresses of the first family lead (RFC 8305 section 8). */
export const PREFERRED_ADDRESS_FAMILY_COUNT = 1;

/** Options of `happyEyeballs()`, and the part of `connect()` they share. */
export interface HappyEyeballsOptions {
  /**
   * A host name or an IP literal (`::1` and `[::1]`, zone id allowed). Names
   * outside ASCII are converted; a URL, a port, or an odd spelling of an IPv4
   * address (`127.1`, `0x7f000001`) is refused.
   */
  hostname: string;
  /** The TCP port, 1 to 65535. */
  port: number;
  /**
   * Aborts the establishment, which then rejects with `signal.reason` itself.
   * Aborting later leaves the result alone.
   */
  signal?: AbortSignal | undefined;
  /** Use this address family only. @default both, IPv6 preferred */
  family?: Family | undefined;
  /** Where addresses come from. @default `systemResolver()` */
  resolver?: Resolver | undefined;
  /**
   * Milliseconds from the start of one attempt to the start of the next while
   * the first is neither done nor failed; at least 10. `Infinity` means one
   * at a time.
   *
   * @default 250 (RFC 8305 section 8)
   */
  connectionAttemptDelay?: number | undefined;
  /**
   * Milliseconds that the first usable address waits for the answer of the
   * preferred family. `Infinity` waits until every question is answered.
   *
   * @default 50 (RFC 8305 section 8)
   */
  resolutionDelay?: number | undefined;
  /**
   * How many addresses of the leading family come before the first one of the
   * other; RFC 8305 section 8 calls it First Address Family Count.
   *
   * @default 1
   */
  preferredAddressFamilyCount?: number | undefined;
  /**
   * Local IP literals to connect from. Every endpoint is tried from the first
   * one of its family, then every endpoint from the second, and so on.
   *
   * @default the system chooses
   */
  localAddresses?: Iterable<string> | undefined;
  /**
   * Sees each endpoint exactly as it will be dialled; anything but `true`, and
   * it never is. What will not be attempted anyway, in a list of over 64
   * addresses, it does not see. What it throws rejects the whole call. A guard
   * against requests to internal addresses belongs here.
   */
  allow?: ((endpoint: Endpoint) => boolean) | undefined;
  /**
   * The local address the system would use towards a destination, for RFC
   * 6724: `null` for no route, `undefined` (or a throw) for unknown.
   *
   * @default asks the system, where the runtime has a way
   */
  sourceAddress?:
    | ((
      destination: string,
    ) => Source | null | undefined | Promise<Source | null | undefined>)
    | undefined;
  /** Hears synchronously what happens; what it throws is ignored. */
  onEvent?: ((event: HappyEyeballsEvent) => void) | undefined;
  /**
   * What time is measured by, for tests.
   *
   * @default the system's clock, with the timers and the `performance.now` that
   * were there when the package was imported: fakes installed later do not
   * reach it, those installed before do
   */
  clock?: Clock | undefined;
}

/** What TLS should verify and offer. */
export interface TlsOptions {
  /** The name to send (SNI) and to verify. @default the hostname given */
  readonly serverName?: string | undefined;
  /** ALPN protocols to offer, most wanted first, such as `["h2", "http/1.1"]`. */
  readonly alpnProtocols?: readonly string[] | undefined;
  /** Certificates to trust in addition to the platform's roots (PEM). */
  readonly caCerts?: readonly string[] | undefined;
  /** The client certificate chain (PEM), with {@linkcode TlsOptions.key}. Not on Deno. */
  readonly cert?: string | undefined;
  /** The private key of {@linkcode TlsOptions.cert} (PEM). Not on Deno. */
  readonly key?: string | undefined;
  /**
   * `false` does a full handshake each time and keeps no TLS session for the
   * next one. Else, on Node and Bun, a connection resumes the session of an
   * earlier one with the same name, port and TLS options.
   *
   * @default sessions are resumed on Node and Bun
   */
  readonly session?: false | undefined;
}

/** Options of `connect()`. */
export interface ConnectOptions extends HappyEyeballsOptions {
  /** TLS as part of each attempt. @default false */
  tls?: boolean | TlsOptions | undefined;
  /**
   * Keep the writable side open after the peer's FIN was read.
   *
   * @default false
   */
  allowHalfOpen?: boolean | undefined;
  /** Send small writes at once (TCP_NODELAY). @default true */
  noDelay?: boolean | undefined;
  /** Probe an idle connection (SO_KEEPALIVE). @default false */
  keepAlive?: boolean | undefined;
}

/** The names of the options that `happyEyeballs()` and `connect()` share. */
export const HAPPY_EYEBALLS_NAMES: Names<HappyEyeballsOptions> = {
  hostname: 1,
  port: 1,
  signal: 1,
  family: 1,
  resolver: 1,
  connectionAttemptDelay: 1,
  resolutionDelay: 1,
  preferredAddressFamilyCount: 1,
  localAddresses: 1,
  allow: 1,
  sourceAddress: 1,
  onEvent: 1,
  clock: 1,
};

/** The names of the options of `connect()`. */
// Bundlers keep a spread, because it may run a getter.
export const CONNECT_NAMES: Names<ConnectOptions> = /* @__PURE__ */ Object
  .assign(
    { tls: 1, allowHalfOpen: 1, noDelay: 1, keepAlive: 1 },
    HAPPY_EYEBALLS_NAMES,
  );

const TLS_NAMES: Names<{ [K in keyof TlsOptions as `tls.${K}`]: unknown }> = {
  "tls.serverName": 1,
  "tls.alpnProtocols": 1,
  "tls.caCerts": 1,
  "tls.cert": 1,
  "tls.key": 1,
  "tls.session": 1,
};

/** Checked options with every default filled in. */
export interface Settings {
  readonly hostname: string;
  readonly host: Host;
  readonly port: number;
  readonly signal: AbortSignal | undefined;
  readonly family: Family | undefined;
  readonly resolver: Resolver | undefined;
  readonly connectionAttemptDelay: number;
  readonly resolutionDelay: number;
  readonly preferredAddressFamilyCount: number;
  readonly localAddresses: readonly IpAddress[];
  readonly allow: HappyEyeballsOptions["allow"];
  readonly sourceAddress: HappyEyeballsOptions["sourceAddress"];
  readonly onEvent: HappyEyeballsOptions["onEvent"];
  readonly clock: Clock;
}

/**
 * Refuses options that do not exist, before anything else is looked at: a guard
 * that is misspelt must not be off in silence. Not for options that a client
 * hands through, who has some of its own among them.
 *
 * @throws {TypeError} naming the first one, and the nearest that does exist.
 */
export function checkOptionNames(
  action: string,
  options: unknown,
  known: object,
  prefix = "",
): void {
  // What is no object is refused in other words.
  if (!isObject(options)) return;
  const names = Object.keys(options);
  checkNames(action, prefix ? names.map((it) => prefix + it) : names, known);
}

/**
 * {@linkcode checkOptionNames} for the options of `connect()`, also where they
 * are given to another door.
 *
 * @throws {TypeError} when there is no such option.
 */
export function checkConnectNames(options: { tls?: unknown }): void {
  checkOptionNames("connect", options, CONNECT_NAMES);
  checkTlsNames(options?.tls);
}

/**
 * {@linkcode checkOptionNames} for TLS.
 *
 * @throws {TypeError} when there is no such option.
 */
export function checkTlsNames(options: unknown): void {
  checkOptionNames("connect", options, TLS_NAMES, "tls.");
}

/**
 * Checks the options of `happyEyeballs()`.
 *
 * @throws {TypeError | RangeError} when one of them is wrong, naming it.
 */
export function checkOptions(options: HappyEyeballsOptions): Settings {
  check("connect: options", "an object", options, isObject(options));
  const {
    hostname,
    port,
    signal,
    family,
    resolver,
    connectionAttemptDelay = CONNECTION_ATTEMPT_DELAY,
    resolutionDelay = RESOLUTION_DELAY,
    preferredAddressFamilyCount = PREFERRED_ADDRESS_FAMILY_COUNT,
    localAddresses,
    allow,
    sourceAddress,
    onEvent,
    clock = systemClock,
  } = options;
  const host = parseHostname(hostname);
  checkInteger("port", "an integer from 1 to 65535", port, 65_535);
  checkOptional(
    "connect: signal",
    "an AbortSignal",
    signal,
    signal?.throwIfAborted,
  );
  checkFamily(family, host);
  checkOptionalFunction("resolver", resolver);
  checkAtLeast(
    "connect: connectionAttemptDelay",
    connectionAttemptDelay,
    LEAST_CONNECTION_ATTEMPT_DELAY,
  );
  checkAtLeast("connect: resolutionDelay", resolutionDelay);
  checkInteger(
    "preferredAddressFamilyCount",
    "an integer of at least 1",
    preferredAddressFamilyCount,
  );
  checkOptionalFunction("allow", allow);
  checkOptionalFunction("sourceAddress", sourceAddress);
  checkOptionalFunction("onEvent", onEvent);
  checkOptional("connect: clock", "a Clock", clock, clock?.sleep);
  return {
    hostname,
    host,
    port,
    signal,
    family,
    resolver,
    connectionAttemptDelay,
    resolutionDelay,
    preferredAddressFamilyCount,
    localAddresses: parseLocalAddresses(localAddresses),
    allow,
    sourceAddress,
    onEvent,
    clock,
  };
}

/**
 * Checks what `connect()` takes beside the options of `happyEyeballs()`.
 *
 * @throws {TypeError} when one of them is wrong, naming it.
 */
export function checkDialOptions(
  { tls = false, allowHalfOpen = false, noDelay = true, keepAlive = false }:
    ConnectOptions,
  host: Host,
): DialOptions {
  checkBoolean("allowHalfOpen", allowHalfOpen);
  checkBoolean("noDelay", noDelay);
  checkBoolean("keepAlive", keepAlive);
  return {
    hostname: host.kind === "literal" ? host.address.text : tlsName(host.name),
    tls: tls === true ? {} : tls === false ? null : checkTlsOptions(tls),
    allowHalfOpen,
    noDelay,
    keepAlive,
  };
}

/**
 * Checks TLS options and copies them, lists included.
 *
 * @throws {TypeError} when one of them is wrong, naming it.
 */
export function checkTlsOptions(options: TlsOptions): TlsOptions {
  check("connect: tls", "an object", options, isObject(options));
  const { serverName, alpnProtocols, caCerts, cert, key, session } = options;
  checkText("tls.cert", cert);
  checkText("tls.key", key);
  const isRight = session === undefined || session === false;
  check("connect: tls.session", "false", session, isRight);
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("Cannot connect: tls.cert and tls.key go together");
  }
  return {
    serverName: serverName === undefined ? undefined : checkName(serverName),
    alpnProtocols: checkTexts(
      "tls.alpnProtocols",
      alpnProtocols,
      "strings of 1 to 255 characters",
      (text) => text.length >= 1 && text.length <= 255,
    ),
    caCerts: checkTexts(
      "tls.caCerts",
      caCerts,
      "PEM certificates",
      (text) => text.includes("-----BEGIN CERTIFICATE-----"),
    ),
    cert,
    key,
    session,
  };
}

function checkBoolean(name: string, value: boolean): void {
  check(`connect: ${name}`, "a boolean", value, typeof value === "boolean");
}

/** An integer from 1 to `most`. */
function checkInteger(
  name: string,
  wanted: string,
  value: number,
  most = Infinity,
): void {
  const isRight = Number.isInteger(value) && value >= 1 && value <= most;
  const Kind = typeof value === "number" ? RangeError : TypeError;
  check(`connect: ${name}`, wanted, value, isRight, Kind);
}

function checkOptionalFunction(name: string, value: unknown): void {
  checkOptional(`connect: ${name}`, "a function", value, value);
}

function checkFamily(family: Family | undefined, host: Host): void {
  if (family === undefined) return;
  check("connect: family", "4 or 6", family, family === 4 || family === 6);
  if (host.kind === "literal" && host.address.family !== family) {
    throw new TypeError(
      `Cannot connect: hostname must be of family ${family}, got ${host.address.text}`,
    );
  }
}

function parseLocalAddresses(
  addresses: Iterable<string> | undefined,
): readonly IpAddress[] {
  if (addresses === undefined) return [];
  const wanted = "an iterable of IP literals";
  const isRight = typeof addresses !== "string" &&
    isFunction(addresses?.[Symbol.iterator]);
  check("connect: localAddresses", wanted, addresses, isRight);
  return Array.from(addresses, (text) => {
    const address = typeof text === "string" ? parseIpAddress(text) : null;
    check("connect: localAddresses", wanted, text, address !== null);
    return address;
  });
}

function checkName(serverName: string): string {
  const name = nameOrNull(serverName);
  check(
    "connect: tls.serverName",
    "a host name",
    serverName,
    name !== null,
  );
  return name;
}

function nameOrNull(hostname: string): string | null {
  try {
    const host = parseHostname(hostname);
    return host.kind === "literal" ? null : tlsName(host.name);
  } catch {
    return null;
  }
}

function checkText(name: string, text: string | undefined): void {
  const isText = typeof text === "string" && text !== "";
  const isRight = text === undefined || isText;
  check(`connect: ${name}`, "a string that is not empty", text, isRight);
}

function checkTexts(
  name: string,
  texts: readonly string[] | undefined,
  wanted: string,
  isRight: (text: string) => boolean,
): readonly string[] | undefined {
  if (texts === undefined) return undefined;
  const kind = `an array of ${wanted}`;
  check(`connect: ${name}`, kind, texts, Array.isArray(texts));
  for (const text of texts) {
    const isText = typeof text === "string";
    check(`connect: ${name}`, kind, text, isText && isRight(text));
  }
  return [...texts];
}
