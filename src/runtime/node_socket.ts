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
import { parseIpAddress } from "../core/ip_address.ts";
import type { TlsOptions } from "../options.ts";
import {
  attemptError,
  errorCode,
  isBrokenPipe,
  isCertificateCode,
  UNKNOWN,
} from "./attempt_error.ts";
import { builtin, isNetDenied } from "./node_builtin.ts";
import { nodeTlsOptions } from "./node_tls_options.ts";
import {
  type ResumableSocket,
  sharedSessions,
  type TlsSessions,
} from "./node_tls_sessions.ts";
import type { DialOptions } from "./runtime.ts";

/**
 * How much to read at once, in bytes, as Node does. Of Bun's chunks, which are
 * larger, a part at a time: to copy them whole costs more, as so much memory
 * comes fresh from the system.
 */
const CHUNK_SIZE = 65_536;

/**
 * How TLS begins: on a socket that is open, or with the socket; then it may be
 * read by Node's `onread` too.
 */
export type TlsStart = "upgrade" | "direct" | "direct-onread";

/** What is used of `net.Socket` and `tls.TLSSocket`. */
export interface NodeSocket {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly readableLength: number;
  /** The protocol agreed on, on a TLS socket; `false` where there is none. */
  readonly alpnProtocol?: string | false | null | undefined;
  on(event: string, listener: (argument: never) => void): unknown;
  off(event: string, listener: (argument: never) => void): unknown;
  setNoDelay(isOn: boolean): unknown;
  setKeepAlive(isOn: boolean): unknown;
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
  connect(options: Record<string, unknown>): NodeSocket & ResumableSocket;
}

/** How to open a socket, and what to make of it. */
export interface SocketPlan<T> {
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  /** What `net.connect()` is given beside that. */
  readonly more?: Record<string, unknown>;
  /** Let `tls.connect()` make the TCP socket too, with this beside `more`. */
  readonly direct?: Record<string, unknown> | undefined;
  /** Makes what `tls.connect()` is given; `null` for plain TCP. */
  readonly tls: (() => Record<string, unknown>) | null;
  /** Sees each socket when it is made: the one of TCP, then the one of TLS. */
  watch?(socket: NodeSocket, isTls: boolean): void;
  /** Where TLS sessions are kept. @default those that all share */
  readonly sessions?: TlsSessions | undefined;
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

/** TLS on a socket that is connected to this port; else the same. */
export function upgradeSocket<T>(
  tcp: NodeSocket,
  port: number,
  plan: SocketPlan<T>,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    new Opening(plan, signal, ignore, resolve, reject).upgrade(tcp, port);
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
  #port = 0;
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
    const { tls, direct } = this.#plan;
    this.#port = endpoint.port;
    try {
      if (tls && direct) this.#connectDirectly(endpoint, tls(), direct);
      else this.#listen(connectTcp(endpoint, this.#plan), "connect");
      this.#signal.addEventListener("abort", this.#onAbort);
    } catch (error) {
      this.#onError(error);
    }
  }

  /** Begins with TLS, on a socket that is connected to this port. */
  upgrade(tcp: NodeSocket, port: number): void {
    this.#socket = tcp;
    this.#port = port;
    this.#signal.addEventListener("abort", this.#onAbort);
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

  /** TLS from the start, whose socket tells when TCP is up. */
  #connectDirectly(
    endpoint: Endpoint,
    tls: Record<string, unknown>,
    direct: Record<string, unknown>,
  ): void {
    const { noDelay = false, keepAlive = false } = this.#plan;
    const tcp = { ...tcpOptions(endpoint, this.#plan), ...direct };
    const socket = this.#shake(tls, tcp);
    const onConnect = () => {
      socket.off("connect", onConnect);
      // `tls.connect()` passes over both options.
      socket.setNoDelay(noDelay);
      socket.setKeepAlive(keepAlive);
      this.#isTls = true;
      this.#onTcp();
    };
    socket.on("connect", onConnect);
    this.#listen(socket, "secureConnect");
  }

  #startTls(tcp: NodeSocket, options: () => Record<string, unknown>): void {
    this.#isTls = true;
    this.#onTcp();
    if (this.#isDecided) return;
    const socket = this.#shake(options(), { socket: tcp });
    this.#unlisten(tcp, "connect");
    tcp.on("error", ignore);
    this.#listen(socket, "secureConnect");
  }

  /** Begins a handshake, with a session where one is kept for it. */
  #shake(
    tls: Record<string, unknown>,
    tcp: Record<string, unknown>,
  ): NodeSocket {
    const { connect } = builtin<TlsModule>("node:tls");
    const { sessions = sharedSessions() } = this.#plan;
    const resumption = sessions.begin(tls, this.#port);
    const session = resumption?.session;
    const socket = connect({ ...tls, ...session && { session }, ...tcp });
    resumption?.watch(socket);
    return socket;
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

  #onClose = (): void => {
    const error = new Error("The connection was closed before it was open");
    this.#onError(Object.assign(error, { code: "ECONNRESET" }));
  };

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
  return builtin<NetModule>("node:net").connect(tcpOptions(endpoint, plan));
}

function tcpOptions(
  endpoint: Endpoint,
  plan: SocketPlan<unknown>,
): Record<string, unknown> {
  // Node 26.12 throws this a tick later, where nobody can catch it.
  if (endpoint.localAddress !== undefined && isNetDenied()) {
    const error = new Error("bind ERR_ACCESS_DENIED, use --allow-net");
    throw Object.assign(error, { code: "ERR_ACCESS_DENIED" });
  }
  return {
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
  };
}

/** Listens for errors that were told in another way. */
function ignore(): void {}

/**
 * The portable form of what went wrong. In TLS everything that is no verdict
 * on the certificate is the handshake's failure.
 */
export function explainSocketError(error: unknown, isTls: boolean): Error {
  const code = errorCode(error) ?? UNKNOWN;
  if (isCertificateCode(code)) return attemptError("ERR_TLS_CERT", error);
  // An alert may come later: in TLS 1.3 a server that refuses the client's
  // certificate says so when the client is done already.
  return isTls || code.startsWith("ERR_SSL_")
    ? attemptError("ERR_TLS_HANDSHAKE", error)
    : attemptError(code, error);
}

/**
 * `Runtime.connect` where `node:net` and `node:tls` are the platform's own.
 * How TLS begins best is a matter of the platform.
 */
export function connectSocket(
  endpoint: Endpoint,
  options: DialOptions,
  signal: AbortSignal,
  onTcp: () => void,
  tlsStart: TlsStart = "upgrade",
): Promise<Connection> {
  const { hostname, tls, noDelay, keepAlive } = options;
  const isDirect = tlsStart !== "upgrade" && tls && hasName(hostname, tls);
  const hasInbox = isDirect && tlsStart === "direct-onread";
  const inbox = hasInbox ? new Inbox() : undefined;
  return openSocket(
    endpoint,
    {
      noDelay,
      keepAlive,
      direct: isDirect ? { onread: inbox } : undefined,
      tls: tls && (() => nodeTlsOptions(hostname, tls)),
      handOver: (socket) =>
        new OpenConnection(
          new SocketTransport(socket, netAddr(endpoint), inbox),
          options,
        ),
      explain: explainSocketError,
    },
    signal,
    onTcp,
  );
}

/** Whether TLS verifies a name; else it would be the address dialled. */
function hasName(hostname: string, { serverName }: TlsOptions): boolean {
  return serverName !== undefined || !parseIpAddress(hostname);
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

/** Where every `Inbox` receives: made when it is first needed. */
let receiving: Uint8Array<ArrayBuffer> | undefined;

/**
 * What Node takes as `onread`: a buffer to decrypt into, and who is told. All
 * sockets share one, which so stays in the processor's cache: with it TLS costs
 * a fifth less per byte than with Node's chunks, as these are copied too.
 */
class Inbox {
  readonly buffer = receiving ??= new Uint8Array(CHUNK_SIZE);
  /**
   * Has to be done with the bytes when it returns. It is there in time: Node
   * says that the handshake is done before it decrypts anything else.
   */
  receive!: (bytes: Uint8Array<ArrayBuffer>) => void;

  callback = (size: number): boolean => {
    this.receive(this.buffer.subarray(0, size));
    return true;
  };
}

/** A `read()` that waits for bytes. */
interface PendingRead {
  readonly into: Uint8Array<ArrayBuffer> | undefined;
  resolve(bytes: Uint8Array<ArrayBuffer> | null): void;
  reject(reason: unknown): void;
}

/**
 * A connected socket by promises. It is paused while nobody reads: beside what
 * the platform buffers, little is read ahead.
 *
 * Memory has one owner. A chunk of the platform's may be a view of a buffer
 * that it goes on using (Node 24.22 and 26 read all TLS sockets into one),
 * while what is handed out here will be transferred. So it is always a copy.
 */
class SocketTransport implements Transport {
  readonly remoteAddr: NetAddr;
  readonly alpnProtocol: string | null;
  readonly #socket: NodeSocket;
  #handshake: AbortController | undefined;
  #localAddr: NetAddr | null | undefined;
  #read: PendingRead | undefined;
  #rejectWrite: ((reason: unknown) => void) | undefined;
  /** What was received ahead of the reads. */
  readonly #ahead: Uint8Array<ArrayBuffer>[] = [];
  /** Whether what is received is a copy already. */
  readonly #isCopied: boolean;
  #isReading = false;
  #isEnded = false;
  #isClosed = false;
  #failure: Error | undefined;

  constructor(socket: NodeSocket, remoteAddr: NetAddr, inbox?: Inbox) {
    this.#socket = socket;
    this.#isCopied = this.#isReading = inbox !== undefined;
    if (inbox) inbox.receive = this.#onReceived;
    this.remoteAddr = remoteAddr;
    this.alpnProtocol = socket.alpnProtocol || null;
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    // It may come before the first read, and only once.
    socket.on("end", this.#onEnd);
  }

  /** Asked for late: it is a system call, and few want to know. */
  get localAddr(): NetAddr | null {
    return this.#localAddr ??= localAddrOf(this.#socket);
  }

  read(
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const next = this.#ahead.shift();
    if (next) return Promise.resolve(this.#take(next, into));
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
    this.#handshake?.abort(null);
    this.#onClose();
    this.#socket.destroy();
  }

  startTls(hostname: string, options: TlsOptions): Promise<Transport> {
    const tcp = this.#socket;
    if (this.#isClosed) return Promise.reject(this.#reason());
    if (this.#ahead.length + tcp.readableLength > 0) {
      const message = "Cannot start TLS: plain text is buffered";
      return Promise.reject(new TypeError(message));
    }
    tcp.off("data", this.#onData);
    tcp.off("end", this.#onEnd);
    const plan: SocketPlan<Transport> = {
      tls: () => nodeTlsOptions(hostname, options),
      handOver: (socket) => new SocketTransport(socket, this.remoteAddr),
      explain: explainSocketError,
    };
    const { signal } = this.#handshake = new AbortController();
    return upgradeSocket(tcp, this.remoteAddr.port, plan, signal);
  }

  /** Hands out a copy, of as much as fits, and keeps the rest. */
  #take(
    bytes: Uint8Array<ArrayBuffer>,
    into: Uint8Array<ArrayBuffer> | undefined,
  ): Uint8Array<ArrayBuffer> {
    if (!into && this.#isCopied) return bytes;
    const size = Math.min(bytes.byteLength, into?.byteLength ?? CHUNK_SIZE);
    const isAll = size === bytes.byteLength;
    const part = isAll ? bytes : bytes.subarray(0, size);
    if (!isAll) this.#ahead.unshift(bytes.subarray(size));
    if (!into) return new Uint8Array(part);
    into.set(part);
    return into.subarray(0, size);
  }

  #startReading(): void {
    this.#isReading = true;
    this.#socket.pause();
    this.#socket.on("data", this.#onData);
  }

  /** The callback alone is not enough: after `destroy()` it may stay away. */
  #settle(
    start: (done: (error?: Error | null) => void) => void,
  ): Promise<void> {
    if (this.#isClosed) return Promise.reject(this.#reason());
    return new Promise((resolve, reject) => {
      this.#rejectWrite = reject;
      start((error) => {
        if (isCanceledWrite(error)) return;
        this.#rejectWrite = undefined;
        if (error) reject(explainLost(error));
        else resolve();
      });
    });
  }

  #onData = (bytes: Uint8Array<ArrayBuffer>): void => {
    const read = this.#read;
    this.#read = undefined;
    if (read) read.resolve(this.#take(bytes, read.into));
    else this.#ahead.push(bytes);
    if (this.#ahead.length > 0) this.#socket.pause();
  };

  /** A reader's own buffer is filled at once; all else is copied. */
  #onReceived = (bytes: Uint8Array<ArrayBuffer>): void => {
    const size = Math.min(bytes.byteLength, this.#read?.into?.byteLength ?? 0);
    if (size > 0) this.#onData(bytes.subarray(0, size));
    if (size < bytes.byteLength) {
      this.#onData(new Uint8Array(bytes.subarray(size)));
    }
  };

  #onEnd = (): void => {
    this.#isEnded = true;
    this.#read?.resolve(null);
    this.#read = undefined;
  };

  #onError = (error: unknown): void => {
    this.#failure ??= explainLost(error);
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

/** Why an open connection was lost. */
function explainLost(error: unknown): Error {
  return isBrokenPipe(error)
    ? attemptError("ECONNRESET", error)
    : explainSocketError(error, false);
}

/**
 * Whether a write failed only because its socket is gone. Why it is, the
 * socket's own `error` tells; on Deno after the write has failed, so that a
 * reset would look like ECANCELED.
 */
export function isCanceledWrite(error: unknown): boolean {
  return errorCode(error) === "ECANCELED";
}
