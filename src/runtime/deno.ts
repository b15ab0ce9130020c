/**
 * Deno, by its own sockets.
 *
 * `Deno.connect` dials IP literals and can be cancelled, if one knows how (see
 * `openTcp()`); `Deno.startTls` adds TLS under a name that is not the address.
 * Bytes go through `read()` and `write()`, because Deno's own streams close the
 * whole connection when one side ends.
 *
 * Deno asks its user for permissions in the middle of a call. A race would ask
 * once per address, so every grant is queried first, and what is not granted
 * fails; only an attempt by name may ask, and does so once.
 *
 * Deno's TLS takes no client certificate and its TCP no local address: `check`
 * refuses the first, and the second goes through `node:net`, without TLS.
 *
 * @module
 */

import type { Connection, NetAddr, Transport } from "../connection.ts";
import { OpenConnection } from "../open_connection.ts";
import { selectSource, type Source } from "../core/address_selection.ts";
import type { Endpoint, Family } from "../core/endpoint.ts";
import { type IpAddress, parseIpAddress } from "../core/ip_address.ts";
import type { TlsOptions } from "../options.ts";
import {
  type AttemptError,
  attemptError,
  errorCode,
  isBrokenPipe,
  UNKNOWN,
} from "./attempt_error.ts";
import { lookup as systemLookup } from "./node_addresses.ts";
import { withBuiltins } from "./node_builtin.ts";
import { connectSocket } from "./node_socket.ts";
import type { Dialler, DialOptions, Runtime } from "./runtime.ts";

/** What is used of `Deno.Conn`. */
export interface Conn {
  readonly remoteAddr: NetAddr;
  readonly localAddr: NetAddr;
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
}

/** What is used of `Deno.TcpConn`. */
interface TcpConn extends Conn {
  setNoDelay(on: boolean): void;
  setKeepAlive(on: boolean): void;
}

/** What is used of `Deno.TlsConn`. */
interface TlsConn extends Conn {
  handshake(): Promise<{ readonly alpnProtocol: string | null }>;
}

/** What is used of `Deno.NetworkInterfaceInfo`. */
interface NetworkInterface {
  readonly name: string;
  readonly address: string;
  /** The address and its prefix length: `"192.0.2.2/24"`. */
  readonly cidr: string;
  /** The number of the interface on link-local IPv6 addresses, else 0 or null. */
  readonly scopeid: number | null;
}

type PermissionDescriptor =
  | { name: "net"; host?: string }
  | { name: "sys"; kind: "networkInterfaces" };

/** What is used of the global `Deno`. */
interface DenoNamespace {
  connect(
    options: { hostname: string; port: number; signal: AbortSignal },
  ): Promise<TcpConn>;
  startTls(
    conn: Conn,
    options: {
      hostname: string;
      alpnProtocols?: readonly string[] | undefined;
      caCerts?: readonly string[] | undefined;
    },
  ): Promise<TlsConn>;
  networkInterfaces(): readonly NetworkInterface[];
  readonly permissions: {
    querySync(descriptor: PermissionDescriptor): {
      readonly state: "granted" | "prompt" | "denied";
      /** Whether a part of what is granted is denied. */
      readonly partial: boolean;
    };
  };
}

declare const Deno: DenoNamespace;

/** How much to read where the caller brings no buffer; Deno's own streams do. */
const CHUNK_SIZE = 65_536;

/** Deno's errors that have no code, by class. */
const CODES: Readonly<Record<string, string>> = {
  BadResource: "EBADF",
  BrokenPipe: "ECONNRESET",
  ConnectionAborted: "ECONNABORTED",
  ConnectionRefused: "ECONNREFUSED",
  ConnectionReset: "ECONNRESET",
  // After the handshake: a broken record, or an alert of the peer's.
  InvalidData: "ERR_TLS_HANDSHAKE",
  NotCapable: "EACCES",
  NotConnected: "ENOTCONN",
  PermissionDenied: "EACCES",
  TimedOut: "ETIMEDOUT",
  // TLS ended without close_notify. It may be a truncation, so it must not
  // look like the end; Node and Bun do not tell and show an end.
  UnexpectedEof: "ECONNRESET",
};

/** The adapter for Deno. */
export const runtime: Runtime = {
  name: "deno",
  check,
  connect,
  lookup,
  sourceAddress,
  missingPermission,
  connectByName: dial,
};

/** The same, but what comes out is Deno's own connection. */
export const connDialler: Dialler<Conn> = {
  check(options, localAddresses) {
    check(options, localAddresses);
    if (localAddresses.length === 0) return;
    throw new TypeError(
      "Cannot connect: localAddresses is not supported by connectDeno()",
    );
  },
  missingPermission,
  async connect(endpoint, options, ...rest) {
    const refused = refusedHost(endpoint, options.hostname);
    if (refused !== undefined) throw notCapable(refused);
    const { address, port } = endpoint;
    return (await openConn(address, port, options, ...rest)).conn;
  },
  connectByName: async (...dialling) => (await openConn(...dialling)).conn,
};

function check({ tls }: DialOptions, localAddresses: readonly string[]): void {
  if (!tls) return;
  refuseClientCertificate(tls, "connect");
  if (localAddresses.length > 0) {
    throw new TypeError(
      "Cannot connect: localAddresses with tls is not supported on Deno",
    );
  }
}

/** Deno.startTls would ignore them, and the server would see no client. */
function refuseClientCertificate(
  { cert, key }: TlsOptions,
  action: string,
): void {
  if (cert === undefined && key === undefined) return;
  const name = cert === undefined ? "tls.key" : "tls.cert";
  throw new TypeError(`Cannot ${action}: ${name} is not supported on Deno`);
}

function connect(
  endpoint: Endpoint,
  options: DialOptions,
  signal: AbortSignal,
  onTcp: () => void,
): Promise<Connection> {
  const refused = refusedHost(endpoint, options.hostname);
  if (refused !== undefined) return Promise.reject(notCapable(refused));
  if (endpoint.localAddress !== undefined) {
    return connectFrom(endpoint, options, signal, onTcp);
  }
  return dial(endpoint.address, endpoint.port, options, signal, onTcp);
}

/** By `node:net`; `Deno.connect` would silently leave the local address out. */
async function connectFrom(
  ...dialing: Parameters<Runtime["connect"]>
): Promise<Connection> {
  try {
    const connection = await withBuiltins(() => connectSocket(...dialing));
    connection.startTls = refuseTls;
    return connection;
  } catch (error) {
    if (!isBindError(error)) throw error;
    throw attemptError("EADDRNOTAVAIL", error.cause);
  }
}

/** It would be `node:tls`, which on Deno 2.9 loses the end of long streams. */
function refuseTls(): Promise<never> {
  const message = "not supported on Deno with a local address";
  return Promise.reject(new TypeError(`Cannot start TLS: ${message}`));
}

/** Whatever is wrong with a local address, Deno says "bind EINVAL". */
function isBindError(error: unknown): error is AttemptError {
  return errorCode(error) === "EINVAL" && error instanceof Error &&
    error.message.startsWith("bind ");
}

/** One connection to an IP literal, or to a name that Deno resolves. */
async function dial(
  hostname: string,
  port: number,
  options: DialOptions,
  signal: AbortSignal,
  onTcp: () => void,
): Promise<Connection> {
  const { conn, alpnProtocol } = await openConn(
    hostname,
    port,
    options,
    signal,
    onTcp,
  );
  const zone = hostname.slice(withoutZone(hostname).length);
  return new OpenConnection(
    new DenoTransport(conn, zone, alpnProtocol),
    options,
  );
}

/** The same as Deno has it; with TLS, after the handshake. */
async function openConn(
  hostname: string,
  port: number,
  options: DialOptions,
  signal: AbortSignal,
  onTcp: () => void,
): Promise<{ readonly conn: Conn; readonly alpnProtocol: string | null }> {
  const tcp = await openTcp(hostname, port, signal);
  try {
    // Now or never: TLS has no such methods, and Nagle's algorithm may hold
    // its handshake up for the time of a delayed ACK.
    if (options.noDelay) tcp.setNoDelay(true);
    if (options.keepAlive) tcp.setKeepAlive(true);
    if (options.tls) onTcp();
  } catch (error) {
    close(tcp);
    throw explain(error);
  }
  if (!options.tls) return { conn: tcp, alpnProtocol: null };
  const [conn, alpnProtocol] = await openTls(
    tcp,
    options.hostname,
    options.tls,
    signal,
  );
  return { conn, alpnProtocol };
}

/**
 * `Deno.connect`, cancelled without a leak.
 *
 * Deno looks at the signal once more when the connection is open, and throws:
 * if the abort came in between, the open connection belongs to nobody (up to
 * 150 of 1000 stayed open). So it gets a signal of its own whose last look does
 * nothing. A cancelled dial still throws; what opens in spite of it comes back
 * and is closed here.
 */
async function openTcp(
  hostname: string,
  port: number,
  signal: AbortSignal,
): Promise<TcpConn> {
  signal.throwIfAborted();
  const dialing = new AbortController();
  Object.defineProperty(dialing.signal, "throwIfAborted", { value() {} });
  const cancel = () => dialing.abort();
  signal.addEventListener("abort", cancel);
  let tcp: TcpConn;
  try {
    tcp = await Deno.connect({ hostname, port, signal: dialing.signal });
  } catch (error) {
    throw signal.aborted ? signal.reason : explain(error);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
  if (!signal.aborted) return tcp;
  close(tcp);
  throw signal.reason;
}

/**
 * TLS on an open connection, done when the handshake is. Whatever else
 * happens, the connection is closed.
 *
 * A handshake that is cancelled while the peer is silent rejects at once, but
 * Deno 2.9 keeps its descriptor until the peer closes, and so it does with a
 * connection closed while the peer takes no data. It shows in `/proc/self/fd`
 * and as ESTABLISHED on the peer, not in Deno's sanitizers. No order of
 * `close()`, `closeWrite()`, `read()` and `handshake()` was found to avoid it.
 */
async function openTls(
  tcp: Conn,
  hostname: string,
  { serverName = hostname, alpnProtocols, caCerts }: TlsOptions,
  signal: AbortSignal,
): Promise<[tls: TlsConn, alpnProtocol: string | null]> {
  let conn = tcp;
  const cancel = () => close(conn);
  signal.addEventListener("abort", cancel);
  try {
    const tls = await Deno.startTls(tcp, {
      // An IP literal is verified as one, but must come without its zone.
      hostname: withoutZone(serverName),
      alpnProtocols,
      caCerts,
    });
    conn = tls;
    signal.throwIfAborted();
    const { alpnProtocol } = await tls.handshake();
    signal.throwIfAborted();
    return [tls, alpnProtocol];
  } catch (error) {
    close(conn);
    throw signal.aborted ? signal.reason : explainTls(error);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/** A `Deno.Conn`. */
class DenoTransport implements Transport {
  readonly alpnProtocol: string | null;
  readonly #conn: Conn;
  /** The zone id that was dialled, `%` included, which Deno does not tell. */
  readonly #zone: string;
  #handshake: AbortController | undefined;
  /** A buffer that was read into, but not given away. */
  #spare: Uint8Array<ArrayBuffer> | undefined;

  constructor(conn: Conn, zone: string, alpnProtocol: string | null) {
    this.#conn = conn;
    this.#zone = zone;
    this.alpnProtocol = alpnProtocol;
  }

  get remoteAddr(): NetAddr {
    const { hostname, port } = this.#conn.remoteAddr;
    return { transport: "tcp", hostname: hostname + this.#zone, port };
  }

  get localAddr(): NetAddr {
    const { hostname, port } = this.#conn.localAddr;
    return { transport: "tcp", hostname, port };
  }

  async read(
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const buffer = into ?? this.#spare ?? new Uint8Array(CHUNK_SIZE);
    let count: number | null;
    try {
      count = await this.#conn.read(buffer);
    } catch (error) {
      throw explain(error);
    }
    if (count === null) return null;
    if (into) return into.subarray(0, count);
    // A few bytes must not hold on to a large buffer.
    const isSmall = count < CHUNK_SIZE / 2;
    this.#spare = isSmall ? buffer : undefined;
    return isSmall ? buffer.slice(0, count) : buffer.subarray(0, count);
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        done += await this.#conn.write(bytes.subarray(done));
      }
    } catch (error) {
      throw explain(error);
    }
  }

  async closeWrite(): Promise<void> {
    try {
      await this.#conn.closeWrite();
    } catch (error) {
      throw explain(error);
    }
  }

  destroy(): void {
    this.#handshake?.abort();
    close(this.#conn);
  }

  async startTls(hostname: string, options: TlsOptions): Promise<Transport> {
    refuseClientCertificate(options, "start TLS");
    this.#handshake = new AbortController();
    const { signal } = this.#handshake;
    const [tls, alpn] = await openTls(this.#conn, hostname, options, signal);
    return new DenoTransport(tls, this.#zone, alpn);
  }
}

/** Closes a connection that may be closed, or taken over by TLS, already. */
function close(conn: Conn): void {
  try {
    conn.close();
  } catch {
    // BadResource: Deno never gives the number of a resource to another one.
  }
}

function lookup(
  hostname: string,
  family: Family,
): Promise<readonly string[]> {
  const host = netHost(hostname);
  // Deno would ask its user for this permission.
  if (!isAllGranted() && query(host).state !== "granted") {
    return Promise.reject(notCapable(host));
  }
  return withBuiltins(() => systemLookup(hostname, family));
}

/**
 * Deno tells no route, but with `--allow-sys` the addresses of the interfaces;
 * RFC 6724 section 5 says which of them the system would take.
 */
function sourceAddress(destination: string): Source | null | undefined {
  const address = parseIpAddress(destination);
  const isGranted = Deno.permissions.querySync({
    name: "sys",
    kind: "networkInterfaces",
  }).state === "granted";
  if (!address || !isGranted) return undefined;
  const source = selectSource(
    address,
    Deno.networkInterfaces().flatMap((each) => knownSource(each, address)),
  );
  return source &&
    { address: source.address.text, prefixLength: source.prefixLength };
}

/** An address of this host, with its zone written as `destination` does. */
function knownSource(
  { name, address, cidr, scopeid }: NetworkInterface,
  destination: IpAddress,
): { address: IpAddress; prefixLength: number }[] {
  const zone = destination.zone === name ? name : scopeid;
  const parsed = parseIpAddress(scopeid ? `${address}%${zone}` : address);
  const prefixLength = Number(cidr.split("/")[1]);
  return parsed ? [{ address: parsed, prefixLength }] : [];
}

/**
 * What is denied of a full grant (`--deny-net`) is not missing: it makes its
 * attempt fail, and never asks.
 */
function missingPermission(
  port: number,
  addresses?: readonly string[],
): string | undefined {
  if (query().state === "granted") return undefined;
  if (!addresses) return "net access to every host";
  const missing = addresses
    .map((address) => netHost(address, port))
    .filter((host) => query(host).state !== "granted")
    .map((host) => JSON.stringify(host));
  return missing.length > 0
    ? `net access to ${missing.join(" and ")}`
    : undefined;
}

/**
 * What must not be dialled: the address, unless it is granted, or a name that
 * is denied, which Deno cannot know when it is given the address.
 */
function refusedHost(
  { address, port }: Endpoint,
  hostname: string,
): string | undefined {
  if (isAllGranted()) return undefined;
  const host = netHost(address, port);
  if (query(host).state !== "granted") return host;
  const named = netHost(hostname, port);
  const isDenied = named !== host && query(named).state === "denied";
  return isDenied ? named : undefined;
}

/**
 * Whether every host may be reached. Asked first, because Deno 2.9 keeps 400
 * bytes for each host that it was asked about, for good.
 */
function isAllGranted(): boolean {
  const { state, partial } = query();
  return state === "granted" && !partial;
}

/** The state of the net permission, for every host unless one is named. */
function query(
  host?: string,
): { readonly state: string; readonly partial: boolean } {
  try {
    return Deno.permissions.querySync(
      host === undefined ? { name: "net" } : { name: "net", host },
    );
  } catch {
    // URIError: no host has such a name, so nobody can have granted it.
    return { state: "denied", partial: false };
  }
}

/**
 * A host as permissions name it: `example.com`, `192.0.2.1:80`,
 * `[2001:db8::1]:80`. Brackets are a must and zone ids are unknown; the case
 * and other spellings of an IPv6 address do not matter.
 */
function netHost(hostname: string, port?: number): string {
  const host = withoutZone(hostname);
  const bracketed = host.includes(":") ? `[${host}]` : host;
  return port === undefined ? bracketed : `${bracketed}:${port}`;
}

function withoutZone(hostname: string): string {
  return hostname.split("%", 1)[0]!;
}

/** The error for a missing grant, in Deno's words. */
function notCapable(host: string): Error {
  return attemptError(
    "EACCES",
    new Error(`Requires net access to ${JSON.stringify(host)}`),
  );
}

/** The portable form of an error of Deno's sockets. */
export function explain(error: unknown): Error {
  const code = isBrokenPipe(error) ? "ECONNRESET" : errorCode(error);
  return attemptError(code ?? codeByText(error), error);
}

/** The same of its TLS, where what is no verdict is the handshake's failure. */
export function explainTls(error: unknown): Error {
  const isCertificate = error instanceof Error &&
    error.message.startsWith("invalid peer certificate");
  const code = isCertificate ? "ERR_TLS_CERT" : "ERR_TLS_HANDSHAKE";
  return attemptError(code, error);
}

/** Errors of the system have a code in Deno; those of the resolver do not. */
function codeByText(error: unknown): string {
  if (!(error instanceof Error)) return UNKNOWN;
  if (error.message.startsWith("failed to lookup address information")) {
    return /temporary/i.test(error.message) ? "EAI_AGAIN" : "ENOTFOUND";
  }
  return CODES[error.name] ?? UNKNOWN;
}
