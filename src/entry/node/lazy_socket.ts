/**
 * `LazySocket`: a socket that exists before it is connected.
 *
 * Many clients want a socket at once, put options on it and connect it later,
 * or never call `connect()` at all and begin to write. With several addresses
 * there is no socket until one of them has won. So this is a `Duplex` in its
 * place: it remembers what was asked of it, connects on first use, and passes
 * bytes on to the winner and back.
 *
 * It behaves as a `net.Socket` does: the same events in the same order, `close`
 * with `hadError`, destroying it cancels what is under way. Left out: paths
 * (they have no addresses) and connecting a second time.
 *
 * @module
 */

import type * as net from "node:net";
import { nextTick } from "node:process";
import { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import type * as tls from "node:tls";

import { checkConnectNames, type ConnectOptions } from "../../options.ts";
import { connectNode } from "./connect_node.ts";

/** Options of {@linkcode LazySocket}: those of `connect()`. */
export interface LazySocketOptions
  extends Omit<ConnectOptions, "hostname" | "port"> {
  /** Where to connect to, unless `connect()` says. */
  hostname?: string | undefined;
  /** The TCP port, unless `connect()` says. */
  port?: number | undefined;
}

/** How a stream is told that a write or the end is done. */
type Done = (error?: Error | null) => void;

/**
 * A `Duplex` that connects on first use (a read, a write, attaching a `data`
 * listener) or by {@linkcode LazySocket.connect}, as Happy Eyeballs prescribes.
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
 * A failure is its `error` event, a `ConnectError`. `destroy()` cancels every
 * attempt. With `tls`, `secureConnect` follows `connect` when the handshake is
 * done.
 */
export class LazySocket extends Duplex {
  /** The hostname; postgres.js verifies certificates by it. */
  host: string | undefined;
  /** Milliseconds of idleness until `timeout` is emitted, if any. */
  timeout: number | undefined;

  readonly #options: LazySocketOptions;
  readonly #attempts = new AbortController();
  #isStarted = false;
  #socket: net.Socket | undefined;
  #isSocketClosed = false;
  #isSocketEnded = false;
  /** The write or the end that waits for the connection. */
  #pending: ((socket: net.Socket) => void) | undefined;
  /** Of the write or the end under way; there is one at a time. */
  #done: Done | undefined;
  #connectTimer: ReturnType<typeof setTimeout> | undefined;
  /** What was asked of the socket before there was one, by method. */
  readonly #replays = new Map<string, (socket: net.Socket) => void>();

  /**
   * Takes the options of `connect()`; hostname and port may come later.
   *
   * @throws {TypeError} when there is no such option.
   */
  constructor(options: LazySocketOptions = {}) {
    checkConnectNames(options);
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      // Emitted here, with `hadError` as sockets have it.
      emitClose: false,
    });
    this.#options = options;
    this.host = options.hostname;
  }

  /** The socket that won; `undefined` before it did. */
  get socket(): net.Socket | tls.TLSSocket | undefined {
    return this.#socket;
  }

  /** Whether attempts are under way. */
  get connecting(): boolean {
    return this.#isStarted && !this.#socket && !this.destroyed;
  }

  /** Whether it is not connected yet. */
  get pending(): boolean {
    return !this.#socket;
  }

  /** As of a `net.Socket`. */
  get readyState(): net.SocketReadyState {
    if (this.connecting) return "opening";
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /** The address that won. */
  get remoteAddress(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  /** `"IPv4"` or `"IPv6"`. */
  get remoteFamily(): string | undefined {
    return this.#socket?.remoteFamily;
  }

  /** The port connected to. */
  get remotePort(): number | undefined {
    return this.#socket?.remotePort;
  }

  /** The local address. */
  get localAddress(): string | undefined {
    return this.#socket?.localAddress;
  }

  /** The local port. */
  get localPort(): number | undefined {
    return this.#socket?.localPort;
  }

  /** Bytes received. */
  get bytesRead(): number {
    return this.#socket?.bytesRead ?? 0;
  }

  /** Bytes sent. */
  get bytesWritten(): number {
    return this.#socket?.bytesWritten ?? 0;
  }

  /** Whether the socket that won is a TLS socket. */
  get encrypted(): boolean {
    return this.#tlsSocket !== undefined;
  }

  /** Whether the peer's certificate was verified; `false` without TLS. */
  get authorized(): boolean {
    return this.#tlsSocket?.authorized ?? false;
  }

  /** The protocol ALPN agreed on; `false` where there is none. */
  get alpnProtocol(): string | false | null {
    return this.#tlsSocket?.alpnProtocol ?? false;
  }

  /** The peer's certificate; `undefined` without TLS. */
  getPeerCertificate(detailed?: boolean): tls.PeerCertificate | undefined {
    return this.#tlsSocket?.getPeerCertificate(detailed);
  }

  /** The local address, as of a `net.Socket`. */
  address(): net.AddressInfo | Record<string, never> {
    return this.#socket?.address() as net.AddressInfo | undefined ?? {};
  }

  /**
   * Connects now. What is not given is taken from the constructor's options;
   * the host is `localhost` if nobody names one.
   *
   * @throws {TypeError} for a path, and when it was connected before.
   */
  connect(port: number, host?: string, onConnect?: () => void): this;
  /** The same, without a host. */
  connect(port: number, onConnect: () => void): this;
  /** The same, with names. */
  connect(
    target?: { port?: number | undefined; host?: string | undefined },
    onConnect?: () => void,
  ): this;
  connect(
    target:
      | number
      | { port?: number | undefined; host?: string | undefined } = {},
    ...rest: (string | (() => void) | undefined)[]
  ): this {
    if (this.#isStarted) {
      throw new TypeError("Cannot connect: a LazySocket connects once");
    }
    const { host, port, path } = typeof target === "object"
      ? target as typeof target & { path?: unknown }
      : { host: rest[0], port: Number(target), path: undefined };
    if (path != null || Number.isNaN(port)) {
      throw new TypeError("Cannot connect: a path has no addresses");
    }
    const onConnect = rest.find((argument) => typeof argument === "function");
    if (onConnect) this.once("connect", onConnect);
    if (typeof host === "string") this.host = host;
    this.host ??= "localhost";
    this.#start(this.host, port ?? this.#options.port);
    return this;
  }

  /** Replayed on the winner. */
  setNoDelay(noDelay = true): this {
    return this.#replay("setNoDelay", (to) => to.setNoDelay(noDelay));
  }

  /** Replayed on the winner; the delay is in milliseconds. */
  setKeepAlive(enable = false, initialDelay = 0): this {
    return this.#replay(
      "setKeepAlive",
      (to) => to.setKeepAlive(enable, initialDelay),
    );
  }

  /** Replayed on the winner. */
  ref(): this {
    return this.#replay("ref", (to) => to.ref());
  }

  /** Replayed on the winner; attempts under way keep the process alive. */
  unref(): this {
    return this.#replay("ref", (to) => to.unref());
  }

  /**
   * Emits `timeout` after so many milliseconds without activity, while it
   * connects too; 0 for never.
   */
  setTimeout(timeout: number, onTimeout?: () => void): this {
    this.timeout = timeout;
    if (onTimeout) {
      if (timeout === 0) this.off("timeout", onTimeout);
      else this.once("timeout", onTimeout);
    }
    if (this.#isStarted) this.#startTimeout();
    return this;
  }

  /** Ends it, and destroys it when everything was written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** Closes the connection by a reset. */
  resetAndDestroy(): this {
    this.#socket?.resetAndDestroy();
    return this.destroy();
  }

  /** Opens the socket; what it rejects with is the `error`. */
  protected openSocket(options: ConnectOptions): Promise<net.Socket> {
    return connectNode(options);
  }

  /** Reads on; connects if nothing did before. */
  override _read(): void {
    if (this.#socket) this.#socket.resume();
    else this.#use();
  }

  /** Writes to the winner, when there is one. */
  override _write(
    chunk: Uint8Array,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    this.#send((socket, done) => socket.write(chunk, done), done);
  }

  /** Writes what has gathered in one go. */
  override _writev(
    chunks: { chunk: Uint8Array }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#send((socket, done) => {
      const last = chunks.length - 1;
      socket.cork();
      chunks.forEach(({ chunk }, index) =>
        socket.write(chunk, index === last ? done : undefined)
      );
      socket.uncork();
    }, done);
  }

  /** Ends the winner's side, when there is a winner. */
  override _final(done: (error?: Error | null) => void): void {
    if (this.#isStarted) {
      return this.#send((socket, done) => socket.end(done), done);
    }
    // It was never used: there is nobody to say goodbye to.
    done();
    this.#endReading();
  }

  /** Cancels the attempts, or destroys the winner. */
  override _destroy(
    error: Error | null,
    done: (error?: Error | null) => void,
  ): void {
    const close = () => {
      this.#done?.(error ?? closedError());
      done(error);
      nextTick(() => this.emit("close", error !== null));
    };
    this.#attempts.abort();
    clearTimeout(this.#connectTimer);
    if (!this.#socket || this.#isSocketClosed) return close();
    this.#socket.once("close", close);
    this.#socket.destroy();
  }

  get #tlsSocket(): tls.TLSSocket | undefined {
    const socket = this.#socket as tls.TLSSocket | undefined;
    return socket?.encrypted ? socket : undefined;
  }

  #replay(name: string, call: (socket: net.Socket) => void): this {
    if (this.#socket) call(this.#socket);
    else this.#replays.set(name, call);
    return this;
  }

  /** Connects if it is known where to; else `connect()` will be called. */
  #use(): void {
    if (!this.#isStarted && this.#options.port !== undefined) this.connect();
  }

  /**
   * Sends, now or when there is a winner. `done` is called in any case: what
   * was under way on a socket that is destroyed may never be heard of.
   */
  #send(send: (socket: net.Socket, done: Done) => void, done: Done): void {
    const once: Done = (error) => {
      if (this.#done !== once) return;
      this.#done = undefined;
      done(error);
    };
    this.#done = once;
    if (this.#socket) return send(this.#socket, once);
    this.#pending = (socket) => send(socket, once);
    this.#use();
  }

  async #start(hostname: string, port: number | undefined): Promise<void> {
    this.#isStarted = true;
    this.#startTimeout();
    const { signal } = this.#options;
    const onAbort = () => void this.destroy(signal?.reason);
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    let socket: net.Socket;
    try {
      socket = await this.openSocket({
        ...this.#options,
        hostname,
        port: port!,
        // Which side ends when is decided here.
        allowHalfOpen: true,
        signal: this.#attempts.signal,
      });
    } catch (error) {
      this.destroy(error as Error);
      return;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    if (this.destroyed) socket.destroy();
    else this.#adopt(socket);
  }

  /** Until the socket is open its idle time is counted here. */
  #startTimeout(): void {
    clearTimeout(this.#connectTimer);
    if (this.#socket) this.#socket.setTimeout(this.timeout ?? 0);
    else if (this.timeout) {
      this.#connectTimer = setTimeout(
        () => this.emit("timeout"),
        this.timeout,
      );
      this.#connectTimer.unref();
    }
  }

  #adopt(socket: net.Socket): void {
    this.#socket = socket;
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => {
      this.#isSocketClosed = true;
      if (!this.#isSocketEnded) this.destroy();
    });
    socket.on("end", () => {
      this.#isSocketEnded = true;
      this.#endReading();
    });
    socket.on("timeout", () => this.emit("timeout"));
    for (const call of this.#replays.values()) call(socket);
    this.#startTimeout();
    this.#pending?.(socket);
    this.#pending = undefined;
    this.emit("connect");
    if (this.encrypted) this.emit("secureConnect");
    this.emit("ready");
    socket.on("data", (chunk) => {
      if (!this.push(chunk)) socket.pause();
    });
  }

  /** An end is noticed though nobody reads, as on any socket. */
  #endReading(): void {
    this.push(null);
    this.read(0);
  }
}

/** As Node words it. */
function closedError(): Error {
  const message = "Socket closed before the connection was established";
  return Object.assign(new Error(message), {
    code: "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
  });
}
