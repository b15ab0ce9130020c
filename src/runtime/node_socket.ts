/**
 * Sockets by `node:net` and `node:tls`, for every runtime that has them.
 *
 * Node and Bun connect with nothing else; Deno does so from a local address,
 * which its own `connect` ignores. `openSocket()` can be cancelled at any
 * moment, by `destroy()`: `end()` and `resetAndDestroy()` let a SYN go on, and
 * the `signal` option would kill the socket even after it is open. What it
 * opens is read and written by promises, because `Duplex.toWeb()` throws where
 * nobody can catch when it is cancelled, has no backpressure and misses the FIN
 * of a half-open connection on some version of Node.
 *
 * The types here are what is used of Node's and no more, so that no platform
 * type leaks out of `src/`.
 *
 * @module
 */

import type { Connection, NetAddr, Transport } from "../connection.ts";
import { OpenConnection } from "../open_connection.ts";
import type { Endpoint } from "../core/endpoint.ts";
import type { TlsOptions } from "../options.ts";
import { attemptError, errorCode, isCertificateCode } from "./attempt_error.ts";
import { builtin } from "./node_builtin.ts";
import { nodeTlsOptions } from "./node_tls_options.ts";
import type { DialOptions } from "./runtime.ts";

/** What is used of `net.Socket` and `tls.TLSSocket`. */
export interface NodeSocket {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly readableLength: number;
  /** The protocol agreed on, on a TLS socket; `false` where there is none. */
  readonly alpnProtocol?: string | false | null | undefined;
  on(event: string, listener: (argument: never) => void): unknown;
  off(event: string, listener: (argument: never) => void): unknown;
  pause(): unknown;
  resume(): unknown;
  write(
    bytes: Uint8Array,
    callback: (error?: Error | null) => void,
  ): unknown;
  end(callback: (error?: Error | null) => void): unknown;
  destroy(): unknown;
}

/** What is used of `node:net`. */
interface NetModule {
  connect(options: Record<string, unknown>): NodeSocket;
}

/** What is used of `node:tls`. */
interface TlsModule {
  connect(options: Record<string, unknown>): NodeSocket;
}

/** How to open a socket, and what to make of it. */
export interface SocketPlan<T> {
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  /** What `net.connect()` is given beside that. */
  readonly more?: Record<string, unknown>;
  /** Makes what `tls.connect()` is given; `null` for plain TCP. */
  readonly tls: (() => Record<string, unknown>) | null;
  /** Sees each socket when it is made: the one of TCP, then the one of TLS. */
  watch?(socket: NodeSocket, isTls: boolean): void;
  /** Makes the result of an open socket; from here on it owns the socket. */
  handOver(socket: NodeSocket): T;
  /** Makes the rejection of the platform's error. */
  explain(error: unknown, isTls: boolean): unknown;
}

/**
 * Opens one socket to an IP literal; with TLS, done when the handshake is.
 *
 * When `signal` aborts, the socket is destroyed and the promise rejects with
 * `signal.reason`, both at once. `onTcp` is called when TCP is up and the
 * handshake begins. No listener stays on the signal, nor on what is handed
 * over.
 */
export function openSocket<T>(
  endpoint: Endpoint,
  plan: SocketPlan<T>,
  signal: AbortSignal,
  onTcp: () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    new Opening(plan, signal, onTcp, resolve, reject).connect(endpoint);
  });
}

/**
 * A socket from its creation to its hand-over. Callbacks, not async functions:
 * every connect pays for each promise here.
 */
class Opening<T> {
  readonly #plan: SocketPlan<T>;
  readonly #signal: AbortSignal;
  readonly #onTcp: () => void;
  readonly #resolve: (value: T) => void;
  readonly #reject: (reason: unknown) => void;
  /** TCP, then TLS on top, which owns both. */
  #socket: NodeSocket | undefined;
  #isTls = false;
  #isDecided = false;

  constructor(
    plan: SocketPlan<T>,
    signal: AbortSignal,
    onTcp: () => void,
    resolve: (value: T) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#plan = plan;
    this.#signal = signal;
    this.#onTcp = onTcp;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Begins with TCP. */
  connect(endpoint: Endpoint): void {
    try {
      this.#listen(connectTcp(endpoint, this.#plan), "connect");
      this.#signal.addEventListener("abort", this.#onAbort);
    } catch (error) {
      this.#onError(error);
    }
  }

  /** Begins with TLS, on a socket that is connected. */
  upgrade(tcp: NodeSocket): void {
    this.#socket = tcp;
    this.#onOpened();
  }

  /**
   * What may come: it opens; an error; or only the end, as when a server
   * leaves amid the handshake. After an error the listeners stay, for the
   * error that may follow.
   */
  #listen(socket: NodeSocket, opened: string): void {
    this.#socket = socket;
    this.#plan.watch?.(socket, this.#isTls);
    socket.on(opened, this.#onOpened);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  #unlisten(socket: NodeSocket, opened: string): void {
    socket.off(opened, this.#onOpened);
    socket.off("error", this.#onError);
    socket.off("close", this.#onClose);
  }

  #onOpened = (): void => {
    const socket = this.#socket;
    if (!socket || this.#isDecided) return;
    const { tls } = this.#plan;
    try {
      if (tls && !this.#isTls) this.#startTls(socket, tls);
      else this.#handOver(socket);
    } catch (error) {
      this.#onError(error);
    }
  };

  #startTls(tcp: NodeSocket, options: () => Record<string, unknown>): void {
    this.#isTls = true;
    this.#onTcp();
    if (this.#isDecided) return;
    const { connect } = builtin<TlsModule>("node:tls");
    const socket = connect({ ...options(), socket: tcp });
    this.#unlisten(tcp, "connect");
    tcp.on("error", ignore);
    this.#listen(socket, "secureConnect");
  }

  #handOver(socket: NodeSocket): void {
    const result = this.#plan.handOver(socket);
    this.#isDecided = true;
    this.#unlisten(socket, this.#isTls ? "secureConnect" : "connect");
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#resolve(result);
  }

  #onError = (error: unknown): void => {
    if (this.#end()) this.#reject(this.#plan.explain(error, this.#isTls));
  };

  #onClose = (): void =>
    this.#onError(new Error("The connection was closed before it was open"));

  #onAbort = (): void => {
    if (this.#end()) this.#reject(this.#signal.reason);
  };

  /** Decides, once, that this does not open. */
  #end(): boolean {
    if (this.#isDecided) return false;
    this.#isDecided = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#socket?.destroy();
    return true;
  }
}

function connectTcp(endpoint: Endpoint, plan: SocketPlan<unknown>): NodeSocket {
  return builtin<NetModule>("node:net").connect({
    ...plan.more,
    host: endpoint.address,
    port: endpoint.port,
    localAddress: endpoint.localAddress,
    noDelay: plan.noDelay,
    keepAlive: plan.keepAlive,
    // Whether to end is decided by `Connection`.
    allowHalfOpen: true,
    // One address is one attempt; the race is elsewhere.
    autoSelectFamily: false,
  });
}

/** Listens for errors that were told in another way. */
function ignore(): void {}

/**
 * The portable form of what went wrong. In TLS everything that is no verdict
 * on the certificate is the handshake's failure.
 */
export function explainSocketError(error: unknown, isTls: boolean): Error {
  const code = errorCode(error) ?? "ECONNRESET";
  if (isCertificateCode(code)) return attemptError("ERR_TLS_CERT", error);
  // An alert may come later: in TLS 1.3 a server that refuses the client's
  // certificate says so when the client is done already.
  return isTls || code.startsWith("ERR_SSL_")
    ? attemptError("ERR_TLS_HANDSHAKE", error)
    : attemptError(code, error);
}

/** `Runtime.connect` where `node:net` and `node:tls` are the platform's own. */
export function connectSocket(
  endpoint: Endpoint,
  options: DialOptions,
  signal: AbortSignal,
  onTcp: () => void,
): Promise<Connection> {
  const { hostname, tls, noDelay, keepAlive } = options;
  return openSocket(
    endpoint,
    {
      noDelay,
      keepAlive,
      tls: tls && (() => nodeTlsOptions(hostname, tls)),
      handOver: (socket) =>
        new OpenConnection(
          new SocketTransport(socket, netAddr(endpoint)),
          options,
        ),
      explain: explainSocketError,
    },
    signal,
    onTcp,
  );
}

function netAddr(endpoint: Endpoint): NetAddr {
  const { address, port } = endpoint;
  return { transport: "tcp", hostname: address, port };
}

function localAddrOf(socket: NodeSocket): NetAddr | null {
  const { localAddress, localPort } = socket;
  if (localAddress === undefined || localPort === undefined) return null;
  return { transport: "tcp", hostname: localAddress, port: localPort };
}

/** A `read()` that waits for bytes. */
interface PendingRead {
  readonly into: Uint8Array<ArrayBuffer> | undefined;
  resolve(bytes: Uint8Array<ArrayBuffer> | null): void;
  reject(reason: unknown): void;
}

/**
 * A connected socket by promises. It is paused while nobody reads: beside what
 * the platform buffers, one chunk at most is read ahead.
 */
class SocketTransport implements Transport {
  readonly remoteAddr: NetAddr;
  readonly alpnProtocol: string | null;
  readonly #socket: NodeSocket;
  #localAddr: NetAddr | null | undefined;
  #read: PendingRead | undefined;
  #rejectWrite: ((reason: unknown) => void) | undefined;
  /** What was received and did not fit into the last read. */
  #rest: Uint8Array<ArrayBuffer> | undefined;
  #isReading = false;
  #isEnded = false;
  #isClosed = false;
  #failure: Error | undefined;

  constructor(socket: NodeSocket, remoteAddr: NetAddr) {
    this.#socket = socket;
    this.remoteAddr = remoteAddr;
    this.alpnProtocol = socket.alpnProtocol || null;
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  /** Asked for late: it is a system call, and few want to know. */
  get localAddr(): NetAddr | null {
    return this.#localAddr ??= localAddrOf(this.#socket);
  }

  read(
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.#rest) return Promise.resolve(this.#fill(this.#rest, into));
    if (this.#isEnded) return Promise.resolve(null);
    if (this.#isClosed) return Promise.reject(this.#reason());
    return new Promise((resolve, reject) => {
      this.#read = { into, resolve, reject };
      if (!this.#isReading) this.#startReading();
      this.#socket.resume();
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#settle((done) => this.#socket.write(bytes, done));
  }

  closeWrite(): Promise<void> {
    return this.#settle((done) => this.#socket.end(done));
  }

  destroy(): void {
    this.#onClose();
    this.#socket.destroy();
  }

  startTls(hostname: string, options: TlsOptions): Promise<Transport> {
    const tcp = this.#socket;
    if (this.#isClosed) return Promise.reject(this.#reason());
    if (this.#rest || tcp.readableLength > 0) {
      const message = "Cannot start TLS: plain text is buffered";
      return Promise.reject(new TypeError(message));
    }
    tcp.off("data", this.#onData);
    tcp.off("end", this.#onEnd);
    return new Promise((resolve, reject) => {
      const plan: SocketPlan<Transport> = {
        tls: () => nodeTlsOptions(hostname, options),
        handOver: (socket) => new SocketTransport(socket, this.remoteAddr),
        explain: explainSocketError,
      };
      const { signal } = new AbortController();
      new Opening(plan, signal, ignore, resolve, reject).upgrade(tcp);
    });
  }

  #startReading(): void {
    this.#isReading = true;
    this.#socket.pause();
    this.#socket.on("data", this.#onData);
    this.#socket.on("end", this.#onEnd);
  }

  /** The callback alone is not enough: after `destroy()` it may stay away. */
  #settle(
    start: (done: (error?: Error | null) => void) => void,
  ): Promise<void> {
    if (this.#isClosed) return Promise.reject(this.#reason());
    return new Promise((resolve, reject) => {
      this.#rejectWrite = reject;
      start((error) => {
        this.#rejectWrite = undefined;
        if (error) reject(explainSocketError(error, false));
        else resolve();
      });
    });
  }

  /** Hands out `bytes`, or as much as fits, and keeps the rest. */
  #fill(
    bytes: Uint8Array<ArrayBuffer>,
    into: Uint8Array<ArrayBuffer> | undefined,
  ): Uint8Array<ArrayBuffer> {
    this.#rest = undefined;
    if (!into) return bytes;
    const size = Math.min(bytes.byteLength, into.byteLength);
    if (size < bytes.byteLength) this.#rest = bytes.subarray(size);
    into.set(bytes.subarray(0, size));
    return into.subarray(0, size);
  }

  #onData = (bytes: Uint8Array<ArrayBuffer>): void => {
    const read = this.#read;
    this.#read = undefined;
    if (read) read.resolve(this.#fill(bytes, read.into));
    else this.#rest = bytes;
    if (this.#rest) this.#socket.pause();
  };

  #onEnd = (): void => {
    this.#isEnded = true;
    this.#read?.resolve(null);
    this.#read = undefined;
  };

  #onError = (error: unknown): void => {
    this.#failure ??= explainSocketError(error, false);
    this.#onClose();
  };

  #onClose = (): void => {
    this.#isClosed = true;
    this.#read?.reject(this.#reason());
    this.#rejectWrite?.(this.#reason());
    this.#read = undefined;
    this.#rejectWrite = undefined;
  };

  /** Made when it is needed, for a stack trace costs as much as a system call. */
  #reason(): Error {
    return this.#failure ??= new Error("The connection was closed");
  }
}
