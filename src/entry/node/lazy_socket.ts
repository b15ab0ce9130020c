/**
 * `LazySocket`: a socket that connects on first use, by Happy Eyeballs.
 *
 * Many clients want a socket at once, put options on it and connect it later,
 * or never call `connect()` at all and begin to write. This is the platform's
 * own socket for them: with `tls` a `tls.TLSSocket`, else a `net.Socket`. What
 * it adds is where it connects to by default, and that the first read or write
 * connects it.
 *
 * @module
 */

import net from "node:net";
import { nextTick } from "node:process";
import type tls from "node:tls";

import type { Names } from "../../core/check.ts";
import { parseHostname } from "../../hostname.ts";
import {
  checkDialOptions,
  checkOptionNames,
  checkOptions,
  checkTlsNames,
  CONNECT_NAMES,
  type ConnectOptions,
  type TlsOptions,
} from "../../options.ts";
import { nodeTlsOptions } from "../../runtime/node_tls_options.ts";
import type { DialOptions } from "../../runtime/runtime.ts";
import { checkSockets, withShadow } from "./adopt.ts";
import {
  aimAt,
  checkBlockList,
  parseConnectArguments,
  RacingSocket,
  RacingTlsSocket,
  racingTlsSocket,
  remember,
  type SocketClass,
} from "./racing_socket.ts";
import {
  pickRaceOptions,
  type SocketRace,
  type Target,
  type TlsPlan,
} from "./socket_race.ts";

/**
 * Options of {@linkcode LazySocket}: those of `connect()`, and of those of a
 * `net.Socket` what has to be known when it is made.
 */
export interface LazySocketOptions
  extends Omit<ConnectOptions, "hostname" | "port"> {
  /** Where to connect to, unless `connect()` says. */
  hostname?: string | undefined;
  /** The TCP port, unless `connect()` says. */
  port?: number | undefined;
  /** What it blocks is not dialled (`ERR_IP_BLOCKED`). */
  blockList?: net.BlockList | undefined;
  /** How many bytes to buffer on each side. @default that of the platform */
  highWaterMark?: number | undefined;
  /** With `keepAlive`, milliseconds of idleness until the first probe. */
  keepAliveInitialDelay?: number | undefined;
  /** Takes what is received, in place of `data`. */
  onread?: net.OnReadOpts | undefined;
}

const NAMES: Names<LazySocketOptions> = {
  ...CONNECT_NAMES,
  blockList: 1,
  highWaterMark: 1,
  keepAliveInitialDelay: 1,
  onread: 1,
};

/** What `connect()` of a `net.Socket` takes; all of it may be left out. */
export type LazySocketTarget =
  & Partial<Omit<net.TcpSocketConnectOpts, "host" | "port">>
  & {
    /** The host. @default that of the constructor, else `localhost` */
    host?: string | undefined;
    /** The port. @default that of the constructor */
    port?: number | undefined;
  };

/** What a socket remembers until it is used, and why it may not be. */
interface Laziness {
  readonly options: LazySocketOptions;
  /** Begins the race of a TLS socket, which exists from the start. */
  readonly race?: SocketRace;
  /** What each of its attempts verifies. */
  readonly plan?: TlsPlan;
  isIdle: boolean;
  /** Every TLS socket is read from once in the turn after its making. */
  isNew: boolean;
}

const lazies = new WeakMap<net.Socket, Laziness>();

/** The class that connects on first use. */
function lazy<B extends SocketClass>(Base: B): B {
  return class extends Base {
    host: string | undefined;

    override connect(...args: unknown[]): this {
      const laziness = lazies.get(this)!;
      const { options, callback } = parseConnectArguments(args);
      checkBlockList(options);
      if (options.path != null) {
        return super.connect(options as net.IpcSocketConnectOpts, callback);
      }
      const { hostname, port, family, signal } = laziness.options;
      const { blockList, onread } = laziness.options;
      this.host = options.host ?? this.host ?? hostname ?? "localhost";
      const target = {
        ...{ port, family, blockList, onread },
        ...withoutGaps(options),
        host: this.host,
      } as Target;
      if (laziness.race) {
        connectTls(this as unknown as tls.TLSSocket, laziness, target);
        if (callback) this.once("connect", callback);
      } else {
        super.connect(target, callback);
      }
      laziness.isIdle = false;
      if (signal) watch(this, signal);
      return this;
    }

    override _read(size: number): void {
      const laziness = lazies.get(this);
      if (laziness?.isNew) return void this.push("");
      use(this);
      super._read(size);
    }

    override _write(...args: Parameters<net.Socket["_write"]>): void {
      use(this);
      whileWaiting(this, () => super._write(...args));
    }

    override _writev(
      ...args: Parameters<NonNullable<net.Socket["_writev"]>>
    ): void {
      use(this);
      whileWaiting(this, () => super._writev!(...args));
    }

    override _final(done: (error?: Error | null) => void): void {
      if (!lazies.get(this)?.isIdle) return super._final(done);
      // It was never used: there is nobody to say goodbye to.
      done();
      this.push(null);
      this.read(0);
    }
  };
}

const LazyPlainSocket: typeof net.Socket = lazy(RacingSocket);
const LazyTlsSocket: typeof tls.TLSSocket = lazy(RacingTlsSocket);

/**
 * A socket that connects on first use (a read, a write, attaching a `data`
 * listener) or by `connect()`, as Happy Eyeballs prescribes.
 *
 * ```ts ignore
 * import { LazySocket } from "@stagger/happy-eyeballs/node";
 * import pg from "pg";
 *
 * const client = new pg.Client({
 *   host: "db.example.com",
 *   stream: () => new LazySocket(),
 * });
 * ```
 *
 * It is the platform's own `net.Socket`, with `tls` its `tls.TLSSocket`, whose
 * handshake is part of the race: `connect` is followed by `secureConnect`.
 * `connect()` takes what that of a `net.Socket` takes; what is not given comes
 * from the constructor's options. When nothing works it emits the platform's
 * own error, whose `cause` is a `ConnectError` that names every address.
 * `destroy()` cancels every attempt.
 */
export class LazySocket extends net.Socket {
  static {
    // What it is for its users is the platform's class and nothing between.
    Object.setPrototypeOf(this, LazyPlainSocket);
    Object.setPrototypeOf(this.prototype, LazyPlainSocket.prototype);
  }

  /** The hostname; postgres.js verifies certificates by it. */
  host: string | undefined;

  /**
   * Takes the options of `connect()`; hostname and port may come later.
   *
   * @throws {TypeError | RangeError} when one of them is wrong.
   */
  constructor(options: LazySocketOptions = {}) {
    checkSockets();
    const dial = checkLazyOptions(options);
    if (dial.tls) return lazyTlsSocket(options, dial) as never;
    super(socketOptions(options, dial));
    prepare(this, { options, isIdle: true, isNew: false }, dial);
    remember(this, pickRaceOptions(options));
  }

  /**
   * Connects now, as `connect()` of a `net.Socket` does. What is not given is
   * taken from the constructor's options; the host is `localhost` if nobody
   * names one.
   *
   * @throws {TypeError | RangeError} what the platform refuses at once.
   */
  override connect(
    port: number,
    host?: string,
    onConnect?: () => void,
  ): this;
  /** The same, without a host. */
  override connect(port: number, onConnect?: () => void): this;
  /** The same, with names, or a path. */
  override connect(
    target?: LazySocketTarget | net.IpcSocketConnectOpts,
    onConnect?: () => void,
  ): this;
  /** A path. */
  override connect(path: string, onConnect?: () => void): this;
  override connect(...args: unknown[]): this {
    return super.connect(...args as [number]);
  }

  /** Those with `tls` too. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return Function.prototype[Symbol.hasInstance].call(this, value) ||
      (this === LazySocket &&
        Function.prototype[Symbol.hasInstance].call(LazyTlsSocket, value));
  }
}

/** Stands for a host that is not known yet. */
const LOCALHOST = parseHostname("localhost");

/** What is `undefined` there is not given. */
function withoutGaps(options: object): object {
  const given = Object.entries(options).filter(([, it]) => it !== undefined);
  return Object.fromEntries(given);
}

function checkLazyOptions(options: LazySocketOptions): DialOptions {
  checkOptionNames("connect", options, NAMES);
  checkTlsNames(options.tls);
  checkBlockList(options);
  checkOptions({
    ...options,
    // Whether a host can be looked up is for the socket to say.
    hostname: "localhost",
    port: Number(options.port ?? 1),
    // An iterable may be read once only.
    localAddresses: undefined,
  });
  return checkDialOptions(options as ConnectOptions, LOCALHOST);
}

/** What the platform's socket is made with. */
function socketOptions(
  { highWaterMark, onread }: LazySocketOptions,
  { allowHalfOpen }: DialOptions,
): net.SocketConstructorOpts {
  return {
    allowHalfOpen,
    ...highWaterMark !== undefined && { highWaterMark },
    ...onread && { onread },
  };
}

function lazyTlsSocket(
  options: LazySocketOptions,
  dial: DialOptions,
): tls.TLSSocket {
  const plan: TlsPlan = ({ host }) => tlsOptions(host, dial.tls!);
  const { socket, race } = racingTlsSocket(LazyTlsSocket, {
    options: pickRaceOptions(options),
    plan,
    tlsOptions: {
      ...tlsOptions("localhost", dial.tls!),
      // The name comes with the host.
      servername: undefined,
      ...socketOptions(options, dial),
    } as tls.ConnectionOptions,
  });
  const laziness = { options, race, plan, isIdle: true, isNew: true };
  prepare(socket, laziness, dial);
  nextTick(() => laziness.isNew = false);
  return socket;
}

function prepare(
  socket: net.Socket,
  laziness: Laziness,
  { noDelay, keepAlive }: DialOptions,
): void {
  lazies.set(socket, laziness);
  Object.assign(socket, { host: laziness.options.hostname });
  socket.setNoDelay(noDelay);
  if (keepAlive) {
    socket.setKeepAlive(true, laziness.options.keepAliveInitialDelay);
  }
}

function tlsOptions(host: string, options: TlsOptions): tls.ConnectionOptions {
  const parsed = parseHostname(host);
  const { hostname } = checkDialOptions({ hostname: host, port: 1 }, parsed);
  const names: tls.ConnectionOptions = nodeTlsOptions(hostname, options);
  // Deno's own has none for an address.
  return { ...names, servername: names.servername || undefined };
}

/** Begins the race that a TLS socket waits for. */
function connectTls(
  socket: tls.TLSSocket,
  { race, plan, isIdle }: Laziness,
  target: Target,
): void {
  if (!isIdle) {
    throw new TypeError("Cannot connect: a TLS socket connects once");
  }
  aimAt(socket, race!, target, plan!(target));
}

/** Connects if it is known where to; else `connect()` will be called. */
function use(socket: net.Socket): void {
  const laziness = lazies.get(socket);
  if (laziness?.isIdle && laziness.options.port !== undefined) {
    withShadow(socket, "_undestroy", () => (socket as LazySocket).connect());
  }
}

/** What is written before `connect()` waits as it does during it. */
function whileWaiting(socket: net.Socket, write: () => void): void {
  const { connecting } = socket;
  const isIdle = lazies.get(socket)?.isIdle ?? false;
  Object.assign(socket, { connecting: connecting || isIdle });
  write();
  Object.assign(socket, { connecting });
}

/** The signal is for the establishment only. */
function watch(socket: net.Socket, signal: AbortSignal): void {
  const opened = lazies.get(socket)?.race ? "secureConnect" : "connect";
  const onAbort = () => void socket.destroy(signal.reason);
  const stop = () => {
    signal.removeEventListener("abort", onAbort);
    socket.off(opened, stop).off("close", stop);
  };
  if (signal.aborted) return onAbort();
  signal.addEventListener("abort", onAbort);
  socket.once(opened, stop).once("close", stop);
}
