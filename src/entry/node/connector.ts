/**
 * `connector()`: what undici calls for each socket it needs.
 *
 * undici gives its `connect` hook no signal and no time limit: its own
 * connector keeps the limit itself, does TLS on a socket that a proxy has
 * opened, and remembers TLS sessions. This one does the same by a race of all
 * addresses, with TLS as part of it, and takes the options of undici's
 * `buildConnector()` beside ours.
 *
 * Left out: an end to the attempts when the client is destroyed, of which
 * undici tells nobody.
 *
 * @module
 */

import type { LookupAddress, LookupOptions } from "node:dns";
import net from "node:net";
import { nextTick } from "node:process";
import type * as tls from "node:tls";

import type { Resolver } from "../../core/answer.ts";
import { check, checkAtLeast, type Names } from "../../core/check.ts";
import { after, type Clock } from "../../core/clock.ts";
import type { HappyEyeballsEvent } from "../../events.ts";
import {
  checkDialOptions,
  checkOptionNames,
  checkOptions,
  type ConnectOptions,
  HAPPY_EYEBALLS_NAMES,
  type HappyEyeballsOptions,
} from "../../options.ts";
import {
  type NodeSocket,
  openSocket,
  type SocketPlan,
  upgradeSocket,
} from "../../runtime/node_socket.ts";
import { nodeTlsOptions } from "../../runtime/node_tls_options.ts";
import { TlsSessions } from "../../runtime/node_tls_sessions.ts";
import { raceSockets } from "./connect_node.ts";
import { platformError } from "./platform_error.ts";
import { refuseUnguarded } from "./racing_socket.ts";
import { inOurWords } from "./socket_race.ts";
import { asUndiciError, connectTimeoutError } from "./undici_error.ts";

/**
 * Options of {@linkcode connector}: those of undici's `buildConnector()`, those
 * of `happyEyeballs()`, and what `tls.connect()` takes, such as `ca`.
 *
 * `autoSelectFamily` means nothing here, because all addresses are raced; its
 * timeout is the `connectionAttemptDelay` where that is not given.
 */
export interface ConnectorOptions
  extends
    Omit<HappyEyeballsOptions, "hostname" | "port" | "family">,
    Omit<
      tls.ConnectionOptions,
      | "ALPNProtocols"
      | "certificateCompression"
      | "host"
      | "path"
      | "port"
      | "servername"
      | "socket"
      | "timeout"
    > {
  /**
   * Milliseconds until TCP and TLS must be done; 0 or `null` for no limit.
   *
   * @default 10000
   */
  timeout?: number | null | undefined;
  /** Offer HTTP/2 too. undici 8's own default is true. @default false */
  allowH2?: boolean | null | undefined;
  /** With `allowH2`, offer HTTP/2 before HTTP/1.1. @default false */
  preferH2?: boolean | null | undefined;
  /** Speak HTTP/2 without TLS. @default false */
  useH2c?: boolean | null | undefined;
  /** For how many servers TLS sessions are kept; 0 for none. @default 100 */
  maxCachedSessions?: number | null | undefined;
  /** A Unix socket or named pipe to connect to, whatever the host. */
  socketPath?: string | null | undefined;
  /** The port where the target has none. @default 443 with TLS, else 80 */
  port?: number | string | null | undefined;
  /** 0 is both. */
  family?: number | "IPv4" | "IPv6" | undefined;
  /** Without effect. */
  autoSelectFamily?: boolean | undefined;
  /** Milliseconds between attempts, of which 10 is the least. */
  autoSelectFamilyAttemptTimeout?: number | undefined;
  /** The name to send and to verify. @default that of the request */
  servername?: string | null | undefined;
  /** The local IP literal to connect from. */
  localAddress?: string | null | undefined;
  /** Probe an idle connection. @default true */
  keepAlive?: boolean | null | undefined;
  /** Milliseconds of idleness until the first probe. @default 60000 */
  keepAliveInitialDelay?: number | undefined;
  /** Keep the writable side open after the peer's FIN. @default false */
  allowHalfOpen?: boolean | undefined;
  /** Passed on to `lookup`. */
  hints?: number | undefined;
  /** How certificates may be compressed, where Node can. */
  certificateCompression?: readonly string[] | undefined;
  /** Ask for a stapled OCSP answer. @default false */
  requestOCSP?: boolean | undefined;
  /** How many bytes to buffer. @default 65536, with TLS 16384 */
  highWaterMark?: number | undefined;
  /** The IP Type of Service, where this Node can set it. */
  typeOfService?: number | null | undefined;
}

/** What undici says of a connection it needs. */
export interface ConnectorTarget {
  /** The host to connect to. */
  hostname: string;
  /** The `Host` of the request. */
  host?: string | undefined;
  /** `"https:"` is TLS. */
  protocol: string;
  /** The port. @default that of the options, or else 443 with TLS and 80 */
  port?: number | string | null | undefined;
  /** The name to send and to verify. @default that of `host` */
  servername?: string | null | undefined;
  /** The local IP literal to connect from. */
  localAddress?: string | null | undefined;
  /** A socket to the host, such as a proxy's tunnel, for TLS on top of it. */
  httpSocket?: net.Socket | undefined;
  /** Overrides the option. */
  allowH2?: boolean | null | undefined;
  /** Overrides the option. */
  socketPath?: string | null | undefined;
}

/** Takes the socket when it can be used, or why there is none. */
export type ConnectorCallback = (
  // `never`, so that callbacks fit whatever they take beside an error.
  ...outcome: [error: null, socket: net.Socket] | [error: Error, socket: never]
) => void;

/** What undici takes as its `connect` option. */
export type Connector = (
  target: ConnectorTarget,
  callback: ConnectorCallback,
) => void;

const NAMES: Names<ConnectorOptions> = {
  ...HAPPY_EYEBALLS_NAMES,
  allowH2: 1,
  preferH2: 1,
  useH2c: 1,
  maxCachedSessions: 1,
  socketPath: 1,
  autoSelectFamily: 1,
  autoSelectFamilyAttemptTimeout: 1,
  localAddress: 1,
  keepAlive: 1,
  keepAliveInitialDelay: 1,
  allowHalfOpen: 1,
  highWaterMark: 1,
  typeOfService: 1,
  timeout: 1,
  lookup: 1,
  hints: 1,
  // What decides about TLS.
  allowPartialTrustChain: 1,
  ALPNCallback: 1,
  ca: 1,
  cert: 1,
  certificateCompression: 1,
  checkServerIdentity: 1,
  ciphers: 1,
  clientCertEngine: 1,
  crl: 1,
  dhparam: 1,
  ecdhCurve: 1,
  enableTrace: 1,
  honorCipherOrder: 1,
  key: 1,
  maxVersion: 1,
  minDHSize: 1,
  minVersion: 1,
  passphrase: 1,
  pfx: 1,
  privateKeyEngine: 1,
  privateKeyIdentifier: 1,
  pskCallback: 1,
  rejectUnauthorized: 1,
  requestCert: 1,
  requestOCSP: 1,
  secureContext: 1,
  secureOptions: 1,
  secureProtocol: 1,
  servername: 1,
  session: 1,
  sessionIdContext: 1,
  sessionTimeout: 1,
  sigalgs: 1,
  SNICallback: 1,
  ticketKeys: 1,
};

/** undici's default, in milliseconds. */
const CONNECT_TIMEOUT = 10_000;

/** undici's default, in milliseconds. */
const KEEP_ALIVE_DELAY = 60_000;

/** undici's default for plain text, in bytes. */
const HIGH_WATER_MARK = 65_536;

/**
 * Makes the `connect` option of undici's `Agent`, `Pool` or `Client`, by Happy
 * Eyeballs:
 *
 * ```ts ignore
 * import { connector } from "@stagger/happy-eyeballs/node";
 * import { Agent, Pool, ProxyAgent } from "undici";
 *
 * const agent = new Agent({ connect: connector({ timeout: 5000 }) });
 * const proxyAgent = new ProxyAgent({
 *   uri: "http://proxy.example.com:3128",
 *   clientFactory: (origin, options) =>
 *     new Pool(origin, { ...options, connect: connector() }),
 * });
 * ```
 *
 * A connect that takes too long fails as undici's own does, with an error that
 * is an `errors.ConnectTimeoutError` to undici, has the `code`
 * `UND_ERR_CONNECT_TIMEOUT` and a `ConnectError` as its `cause`. undici does not
 * tell a connector that its client was destroyed: attempts under way go on
 * until they succeed, fail, or reach the limit, or until `signal` aborts.
 *
 * TLS sessions are kept by each connector for itself, and serve only
 * connections that would have verified the same.
 *
 * @throws {TypeError | RangeError} when an option is wrong, naming it.
 */
export function connector(options: ConnectorOptions = {}): Connector {
  const checked = checkConnectorOptions(options);
  const sessions = new TlsSessions(options.maxCachedSessions ?? undefined);
  return (target, callback) => {
    // What the callback throws must be no rejection of ours.
    open(target, checked, sessions).then(
      (socket) => nextTick(callback, null, socket),
      (error) => nextTick(callback, error, undefined as never),
    );
  };
}

/** Checked options; those that are the same each time are filled in. */
interface CheckedOptions extends ConnectorOptions {
  readonly timeout: number;
  readonly clock: Clock;
}

/** Refuses what is wrong, whatever the target, before there is one. */
function checkConnectorOptions(options: ConnectorOptions): CheckedOptions {
  checkOptionNames("connect", options, NAMES);
  const { timeout = CONNECT_TIMEOUT, localAddresses, localAddress } = options;
  checkAtLeast("connect: timeout", timeout ?? 0);
  checkMostSessions(options.maxCachedSessions ?? 0);
  const checked = {
    ...options,
    timeout: timeout ?? 0,
    // An iterable may be read once only.
    localAddresses: localAddress
      ? [localAddress]
      : localAddresses && [...localAddresses],
  };
  const anywhere = { protocol: "http:", hostname: "localhost", port: 1 };
  const { clock } = checkOptions(raceOptions(anywhere, checked));
  return { ...checked, clock };
}

/** A TypeError that undici knows as its own `InvalidArgumentError`. */
function checkMostSessions(most: number): void {
  try {
    check(
      "connect: maxCachedSessions",
      "an integer of at least 0",
      most,
      Number.isInteger(most) && most >= 0,
    );
  } catch (error) {
    throw asUndiciError(error as Error, "UND_ERR_INVALID_ARG");
  }
}

/** The options of the race to a target. */
function raceOptions(
  { protocol, hostname, port, localAddress }: ConnectorTarget,
  options: ConnectorOptions,
): ConnectOptions {
  const { lookup, family, hints } = options;
  const defaultPort = protocol === "https:" ? 443 : 80;
  return {
    ...inOurWords({
      ...options,
      host: hostname,
      port: port || options.port || defaultPort,
      localAddress,
    }, options),
    resolver: options.resolver ??
      (lookup && lookupResolver(lookup, { family, hints })),
    tls: false,
    // undici asks for the one and delays the other.
    noDelay: true,
    keepAlive: false,
  };
}

/** A function like `dns.lookup()` as a resolver: one question for all. */
function lookupResolver(
  lookup: net.LookupFunction,
  options: LookupOptions,
): Resolver {
  return async function* (hostname, { types }) {
    const found = await new Promise<string[]>((resolve, reject) => {
      const all = { ...options, all: true };
      lookup(hostname, all, (error, answer: string | LookupAddress[]) => {
        if (error) reject(error);
        else if (typeof answer === "string") resolve([answer]);
        else resolve(answer.map(({ address }) => address));
      });
    });
    for (const type of types) {
      const family = type === "A" ? 4 : 6;
      const addresses = found.filter((address) => net.isIP(address) === family);
      yield { type, addresses };
    }
  };
}

/** Opens the socket within the time there is for it. */
async function open(
  target: ConnectorTarget,
  options: CheckedOptions,
  sessions: TlsSessions,
): Promise<net.Socket> {
  const { signal, clock, timeout } = options;
  const attempts = new AbortController();
  const events: HappyEyeballsEvent[] = [];
  const onAbort = () => attempts.abort(signal?.reason);
  const cancel = after(clock, timeout || Infinity, () => {
    const { hostname } = target;
    const { port } = raceOptions(target, options);
    const now = clock.now();
    const late = { hostname, port, timeout, events, now };
    attempts.abort(connectTimeoutError(late));
  });
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  try {
    const socket = await openWithin(attempts.signal, target, {
      ...options,
      onEvent(event) {
        events.push(event);
        options.onEvent?.(event);
      },
    }, sessions);
    return prepare(socket, options);
  } catch (error) {
    throw platformError(error, target.hostname);
  } finally {
    cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}

/** From a proxy's socket, from a path, or by a race. */
function openWithin(
  signal: AbortSignal,
  target: ConnectorTarget,
  options: CheckedOptions,
  sessions: TlsSessions,
): Promise<net.Socket> {
  const { protocol, httpSocket } = target;
  const isSecure = protocol === "https:";
  const race = { ...raceOptions(target, options), signal };
  const settings = checkOptions(race);
  const { hostname, ...dial } = checkDialOptions(race, settings.host);
  const { highWaterMark = HIGH_WATER_MARK } = options;
  const plan = {
    ...dial,
    sessions,
    more: { highWaterMark },
    tls: isSecure ? () => tlsOptions(target, options, hostname) : null,
  };
  const path = target.socketPath ?? options.socketPath;
  if (!httpSocket && path == null) return raceSockets(settings, plan);

  refuseUnguarded(options);
  const alone: SocketPlan<net.Socket> = {
    ...plan,
    handOver: (socket) => socket as unknown as net.Socket,
    explain: (error) => error,
  };
  const { port } = settings;
  if (!httpSocket) {
    // With a path the platform goes by that alone.
    const endpoint = { address: "", family: 4, port } as const;
    const more = { ...alone.more, path };
    return openSocket(endpoint, { ...alone, more }, signal, () => {});
  }
  if (!isSecure) {
    throw new TypeError("Cannot connect: httpSocket is for TLS only");
  }
  return upgradeSocket(
    httpSocket as unknown as NodeSocket,
    port,
    alone,
    signal,
  );
}

/** What `tls.connect()` is given; `hostname` is that of the target. */
function tlsOptions(
  { host, ...target }: ConnectorTarget,
  { allowH2, preferH2, ...options }: ConnectorOptions,
  hostname: string,
): Record<string, unknown> {
  const names = nodeTlsOptions(hostname, {});
  const isH2 = target.allowH2 ?? allowH2 ?? false;
  const protocols = preferH2 ? ["h2", "http/1.1"] : ["http/1.1", "h2"];
  return {
    // What undici has, because no record of TLS is larger.
    highWaterMark: 16_384,
    ...options,
    host: names["host"],
    servername: target.servername || options.servername ||
      nameOf(host) || names["servername"],
    // Another server, to which no session of this one goes.
    socketPath: target.socketPath ?? options.socketPath,
    ALPNProtocols: isH2 ? protocols : ["http/1.1"],
    // These are for the time before TLS, or for the whole socket.
    port: undefined,
    path: undefined,
    signal: undefined,
    timeout: undefined,
    lookup: undefined,
  };
}

/** The name in a `Host` header, if it is a name. */
function nameOf(host: string | undefined): string | undefined {
  const name = host?.replace(/:\d*$/, "");
  return name?.startsWith("[") || net.isIP(name ?? "") ? undefined : name;
}

/** Sets what holds for the socket as long as it lives. */
function prepare(socket: net.Socket, options: ConnectorOptions): net.Socket {
  const { keepAlive, keepAliveInitialDelay = KEEP_ALIVE_DELAY } = options;
  const { typeOfService, useH2c } = options;
  socket.setNoDelay(true);
  if (keepAlive ?? true) socket.setKeepAlive(true, keepAliveInitialDelay);
  if (typeOfService != null) {
    // Newer than the types.
    (socket as { setTypeOfService?(value: number): void })
      .setTypeOfService?.(typeOfService);
  }
  if (useH2c && !("alpnProtocol" in socket)) {
    Object.assign(socket, { alpnProtocol: "h2" });
  }
  return socket;
}
