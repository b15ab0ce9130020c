/**
 * `createConnection()`: the hook by which HTTP agents and others get their
 * sockets, in Node's words.
 *
 * Its callers do not agree on what they want. An `http.Agent` takes a socket
 * that is returned at once, and only that one can a request abort or time out
 * while it connects. undici waits for its callback and wants the real socket.
 * Neither says plainly whether TLS is meant. So the options are Node's, flat,
 * our own among them, and who calls decides what comes back.
 *
 * @module
 */

import * as http from "node:http";
import type * as net from "node:net";
import type * as tls from "node:tls";

import {
  checkDialOptions,
  checkOptions,
  type HappyEyeballsOptions,
} from "../../options.ts";
import { nodeTlsOptions } from "../../runtime/node_tls_options.ts";
import { raceSockets } from "./connect_node.ts";
import { LazySocket } from "./lazy_socket.ts";

/**
 * Options of {@linkcode createConnection}: those of `happyEyeballs()`, and
 * with TLS what `tls.connect()` takes, such as `ca` or `rejectUnauthorized`.
 */
export interface CreateConnectionOptions
  extends
    Omit<HappyEyeballsOptions, "hostname" | "port" | "family">,
    Omit<
      tls.ConnectionOptions,
      "host" | "port" | "path" | "socket" | "servername" | "lookup"
    > {
  /** The host, unless `hostname` is given. @default "localhost" */
  host?: string | null | undefined;
  /** The host. */
  hostname?: string | null | undefined;
  /** The port, as text too. @default 443 with TLS, else 80 */
  port?: number | string | null | undefined;
  /** `"https:"` is TLS. @default that of the agent */
  protocol?: string | null | undefined;
  /** 0 is both. */
  family?: number | undefined;
  /** The name to send and to verify. @default the host */
  servername?: string | null | undefined;
  /** The local IP literal to connect from. */
  localAddress?: string | null | undefined;
  /** Milliseconds of idleness until the socket emits `timeout`. */
  timeout?: number | undefined;
  /** Send small writes at once. @default true */
  noDelay?: boolean | undefined;
  /** Probe an idle connection. @default false */
  keepAlive?: boolean | undefined;
  /** Milliseconds of idleness until the first probe. */
  keepAliveInitialDelay?: number | undefined;
  /** Keep the writable side open after the peer's FIN. @default false */
  allowHalfOpen?: boolean | undefined;
}

/** Hears of the socket, or why there is none. */
export type CreateConnectionCallback = (
  // `never`, so that callbacks fit whatever they take beside an error.
  ...outcome: [error: null, socket: net.Socket] | [error: Error, socket: never]
) => void;

/** What Node's HTTP client adds to the options by itself. */
interface RequestOptions extends CreateConnectionOptions {
  readonly _defaultAgent?: { readonly protocol?: string } | undefined;
  readonly lookup?: unknown;
  readonly localPort?: unknown;
  readonly path?: unknown;
  readonly socketPath?: unknown;
}

/**
 * Connects as `net.createConnection()` or `tls.connect()` would, by Happy
 * Eyeballs. Fit for `http.Agent`, `https.Agent` and undici:
 *
 * ```ts ignore
 * import { createConnection } from "@stagger/happy-eyeballs/node";
 * import https from "node:https";
 * import { Agent } from "undici";
 *
 * const agent = Object.assign(new https.Agent(), { createConnection });
 * const dispatcher = new Agent({ connect: createConnection });
 * ```
 *
 * An HTTP agent or request gets a {@linkcode LazySocket} that is connecting, and
 * so does whoever gives no callback. Anybody else gets nothing returned; the
 * callback is given the real `net.Socket` or `tls.TLSSocket`, or the error.
 *
 * TLS is meant where `protocol`, or that of the agent, is `"https:"`. `ca`,
 * `cert` and the like are passed on as they are. What cannot be honoured when
 * there are several attempts (`lookup`, `localPort`, a path) is an error; give
 * `resolver` instead of `lookup`.
 */
export function createConnection(
  this: unknown,
  options: CreateConnectionOptions,
): LazySocket;
/** With a callback. */
export function createConnection(
  this: unknown,
  options: CreateConnectionOptions,
  callback?: CreateConnectionCallback,
): LazySocket | undefined;
export function createConnection(
  this: unknown,
  options: CreateConnectionOptions,
  callback?: CreateConnectionCallback,
): LazySocket | undefined {
  const isSecure = protocolOf(this, options) === "https:";
  const isHttp = this instanceof http.Agent || this === options;
  if (!callback || isHttp) {
    return prepare(new Connecting(options, isSecure), options).connect();
  }
  connect(options, isSecure).then(
    (socket) => callback(null, prepare(socket, options)),
    (error) => callback(error, undefined as never),
  );
  return undefined;
}

/** A socket for options in Node's words. */
class Connecting extends LazySocket {
  readonly #options: CreateConnectionOptions;
  readonly #isSecure: boolean;

  constructor(options: CreateConnectionOptions, isSecure: boolean) {
    const { signal, allowHalfOpen, hostname, host } = options;
    super({ signal, allowHalfOpen, hostname: hostname ?? host ?? undefined });
    this.#options = options;
    this.#isSecure = isSecure;
  }

  protected override openSocket(
    { allowHalfOpen, signal }: CreateConnectionOptions,
  ): Promise<net.Socket> {
    const options = { ...this.#options, allowHalfOpen, signal };
    return connect(options, this.#isSecure);
  }
}

async function connect(
  options: CreateConnectionOptions,
  isSecure: boolean,
): Promise<net.Socket> {
  refuse(options);
  const { host, hostname, port, family, localAddress, ...rest } = options;
  const ours = {
    ...rest,
    hostname: hostname ?? host ?? "localhost",
    port: Number(port || (isSecure ? 443 : 80)),
    family: (family || undefined) as 4 | 6 | undefined,
    localAddresses: localAddress ? [localAddress] : options.localAddresses,
  };
  const settings = checkOptions(ours);
  const dial = checkDialOptions(ours, settings.host);
  return await raceSockets(settings, {
    ...dial,
    tls: isSecure ? () => tlsOptions(options, dial.hostname) : null,
  });
}

/** Whether TLS is meant is said in one of three places. */
function protocolOf(
  caller: unknown,
  { protocol, _defaultAgent }: RequestOptions,
): string | undefined {
  return protocol ?? (caller as { protocol?: string } | undefined)?.protocol ??
    _defaultAgent?.protocol;
}

/** Refuses what several attempts cannot share, or have no use for. */
function refuse(options: RequestOptions): void {
  for (const name of ["lookup", "localPort", "path", "socketPath"] as const) {
    if (options[name] == null) continue;
    throw new TypeError(`Cannot connect: ${name} cannot be honoured`);
  }
}

/** What of the options is for `tls.connect()`, and the name to verify. */
function tlsOptions(
  options: CreateConnectionOptions,
  hostname: string,
): Record<string, unknown> {
  const { host, servername } = nodeTlsOptions(hostname, {});
  return {
    ...options,
    host,
    servername: options.servername ?? servername,
    // These are for the time before TLS, or for the whole socket.
    port: undefined,
    signal: undefined,
    timeout: undefined,
  };
}

/** Sets what holds for the socket as long as it lives. */
function prepare<T extends net.Socket | LazySocket>(
  socket: T,
  { timeout, keepAlive, keepAliveInitialDelay }: CreateConnectionOptions,
): T {
  if (timeout) socket.setTimeout(timeout);
  if (keepAlive) socket.setKeepAlive(true, keepAliveInitialDelay);
  return socket;
}
