/**
 * `createConnection()`: the hook by which HTTP agents and others get their
 * sockets, in Node's words.
 *
 * An `http.Agent` takes a socket that is returned at once, because only that one
 * can a request abort or time out while it connects. Others wait for a callback.
 * Both get the same socket, so nothing depends on who calls, and a hook may be
 * wrapped in functions of any kind. The options are Node's, flat, with our own
 * among them.
 *
 * @module
 */

import type net from "node:net";
import tls from "node:tls";

import type { HappyEyeballsOptions } from "../../options.ts";
import { nodeTlsOptions } from "../../runtime/node_tls_options.ts";
import { TlsSessions } from "../../runtime/node_tls_sessions.ts";
import { checkSockets } from "./adopt.ts";
import {
  checkBlockList,
  RacingSocket,
  RacingTlsSocket,
  racingTlsSocket,
  refuseUnguarded,
  remember,
} from "./racing_socket.ts";
import { pickRaceOptions, type Target } from "./socket_race.ts";

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
  /** Send small writes at once. @default false; an agent's is true */
  noDelay?: boolean | undefined;
  /** Probe an idle connection. @default false */
  keepAlive?: boolean | undefined;
  /** Milliseconds of idleness until the first probe. */
  keepAliveInitialDelay?: number | undefined;
  /** What it blocks is not dialled (`ERR_IP_BLOCKED`). */
  blockList?: net.BlockList | undefined;
  /** Keep the writable side open after the peer's FIN. @default false */
  allowHalfOpen?: boolean | undefined;
}

/** Hears of the socket, or why there is none. */
export type CreateConnectionCallback = (
  // `never`, so that callbacks fit whatever they take beside an error.
  ...outcome: [error: null, socket: net.Socket] | [error: Error, socket: never]
) => void;

/** What Node's HTTP client and undici add to the options by themselves. */
interface RequestOptions extends CreateConnectionOptions {
  readonly agent?: unknown;
  readonly _defaultAgent?: { readonly protocol?: string } | undefined;
  readonly lookup?: net.LookupFunction | undefined;
  readonly localPort?: number | undefined;
  readonly path?: string | null | undefined;
  readonly socketPath?: string | null | undefined;
  readonly socket?: net.Socket | null | undefined;
  readonly httpSocket?: net.Socket | null | undefined;
}

/**
 * Connects as `net.connect()` would, or with TLS as `tls.connect()`, by Happy
 * Eyeballs, and returns the platform's own socket while it connects. Fit for
 * `http.Agent` and `https.Agent`:
 *
 * ```ts ignore
 * import { createConnection } from "@stagger/happy-eyeballs/node";
 * import https from "node:https";
 *
 * const agent = Object.assign(new https.Agent(), { createConnection });
 * ```
 *
 * TLS is meant where `protocol`, or that of the agent, is `"https:"`. Options
 * are Node's, checked by Node, with those of `happyEyeballs()` beside them. A
 * `lookup` is asked in the place of the system; a path, and TLS on a `socket`
 * that is there already, have no addresses to race and are the platform's alone.
 *
 * A `callback` gets the socket when it is connected, TLS included, or the error.
 * What the socket emits is the platform's own error; the `ConnectError` with
 * every address is its `cause`.
 *
 * @throws {TypeError | RangeError} what the platform refuses at once.
 */
export function createConnection(
  this: unknown,
  options: CreateConnectionOptions,
  callback?: CreateConnectionCallback,
): net.Socket {
  checkSockets();
  checkBlockList(options);
  const isSecure = protocolOf(this, options) === "https:";
  const socket = isSecure
    ? connectTls(options, agentSessions(this, options))
    : connectPlain(options);
  if (callback) {
    callWhenOpen(socket, isSecure ? "secureConnect" : "connect", callback);
  }
  return socket;
}

/** As `net.connect()`. */
function connectPlain(options: RequestOptions): net.Socket {
  const path = options.path ?? options.socketPath;
  const target = { ...withHost(options, 80), path };
  const socket = new RacingSocket(target as net.SocketConstructorOpts);
  remember(socket, pickRaceOptions(options));
  if (options.timeout) socket.setTimeout(options.timeout);
  // One that is aborted already is destroyed already.
  if (options.signal?.aborted) return socket;
  return socket.connect(target as unknown as Target);
}

const kept = new WeakMap<object, TlsSessions>();

/** The sessions of the agent that asks, if one does; it may be said in two places. */
function agentSessions(
  caller: unknown,
  { agent }: RequestOptions,
): TlsSessions | undefined {
  for (const asks of [caller, agent] as { maxCachedSessions?: unknown }[]) {
    // The type of `https.Agent` does not have it.
    const most = asks?.maxCachedSessions;
    if (typeof most !== "number") continue;
    const sessions = kept.get(asks) ?? new TlsSessions(most);
    kept.set(asks, sessions);
    return sessions;
  }
  return undefined;
}

/** As `tls.connect()`. */
function connectTls(
  options: RequestOptions,
  sessions: TlsSessions | undefined,
): tls.TLSSocket {
  const path = options.path ?? options.socketPath;
  const socket = options.httpSocket ?? options.socket;
  const target = { ...withHost(options, 443), path };
  const raceOptions = pickRaceOptions(options);
  const plan = ({ host }: Target) => attemptOptions(options, host);
  const { servername } = plan(target);
  if (socket || path != null) {
    refuseUnguarded(raceOptions);
    return connectAlone({ ...target, servername, socket }, sessions);
  }
  const { socket: racing } = racingTlsSocket(RacingTlsSocket, {
    target,
    options: raceOptions,
    plan,
    sessions,
    tlsOptions: { ...options, servername } as tls.ConnectionOptions,
  });
  // Bun's own begins when the handshake is done.
  if (options.timeout) racing.setTimeout(options.timeout);
  if (options.noDelay) racing.setNoDelay(true);
  if (options.keepAlive) {
    racing.setKeepAlive(true, options.keepAliveInitialDelay);
  }
  return racing;
}

/** Without a race, but with a session where the agent has one. */
function connectAlone(
  options: Record<string, unknown>,
  sessions: TlsSessions | undefined,
): tls.TLSSocket {
  const resumption = sessions?.begin(options, Number(options["port"]));
  const session = resumption?.session;
  const socket = tls.connect(
    { ...options, ...session && { session } } as never,
  );
  resumption?.watch(socket);
  return socket;
}

/** Whether TLS is meant is said in one of three places. */
function protocolOf(
  caller: unknown,
  { protocol, _defaultAgent }: RequestOptions,
): string | undefined {
  return protocol ?? (caller as { protocol?: string } | undefined)?.protocol ??
    _defaultAgent?.protocol;
}

/** The options with the host where Node's `connect()` looks for it. */
function withHost(options: RequestOptions, defaultPort: number): Target {
  const { host, hostname, port } = options;
  return {
    ...options,
    host: hostname ?? host ?? "localhost",
    port: port || defaultPort,
  } as Target;
}

/** What of the options is for each handshake, and the name to verify. */
function attemptOptions(
  options: RequestOptions,
  hostname: string,
): tls.ConnectionOptions {
  const { host, servername } = nodeTlsOptions(hostname, {});
  const isNamed = (options.hostname ?? options.host) != null;
  return {
    ...options,
    host: isNamed ? host : undefined,
    // Deno's own has none for an address.
    servername: options.servername ?? (servername || undefined),
    // These are for the socket that waits.
    path: undefined,
    signal: undefined,
    timeout: undefined,
    lookup: undefined,
    onread: undefined,
  } as tls.ConnectionOptions;
}

/**
 * Calls back once. An HTTP client has its socket by then and does not mind; who
 * waits for the call alone listens to no event, so the error is heard here.
 */
function callWhenOpen(
  socket: net.Socket,
  opened: "connect" | "secureConnect",
  callback: CreateConnectionCallback,
): void {
  const settle = (error?: Error) => {
    socket.off(opened, onOpen).off("error", settle).off("close", onClose);
    if (error) callback(error, undefined as never);
    else callback(null, socket);
  };
  const onOpen = () => settle();
  const onClose = () =>
    settle(new Error("The socket was closed before it was connected"));
  socket.once(opened, onOpen).once("error", settle).once("close", onClose);
}
