/**
 * The Sockets API of WinterTC, for programs made for it: a drop-in for
 * `cloudflare:sockets` on Deno, Bun and Node, by Happy Eyeballs.
 *
 * ```ts ignore
 * import { connect } from "@stagger/happy-eyeballs/sockets";
 *
 * const socket = connect("db.example.com:5432", { secureTransport: "starttls" });
 * ```
 *
 * A socket is there before its connection is. Its streams are those of any
 * connection of this package, over a transport that waits for the real one; so
 * nothing is copied or buffered on the way, and backpressure is the kernel's.
 *
 * Mind that, by the proposal, a connection that cannot be established ends the
 * readable and errors the writable: whether it was, only `opened` and `closed`
 * tell. Where workerd and the proposal differ, programs that exist decide:
 * `close()` without a reason flushes first, and `startTls()` takes
 * `expectedServerHostname`.
 *
 * @module
 */

import { connect as open } from "../connect.ts";
import type {
  Connection,
  ConnectionInfo,
  NetAddr,
  Transport,
} from "../connection.ts";
import { OpenConnection } from "../open_connection.ts";
import {
  checkDialOptions,
  checkOptionNames,
  checkOptions,
  checkTlsOptions,
  type TlsOptions,
} from "../options.ts";
import { detectRuntime } from "../runtime/detect.ts";

/** Where to connect to. */
export interface SocketAddress {
  /** A host name or an IP literal. */
  hostname: string;
  /** The TCP port, 1 to 65535. */
  port: number;
}

/** `"example.com:443"`, `"[2001:db8::1]:443"`, or the two apart. */
export type AnySocketAddress = string | SocketAddress;

/** Options of {@linkcode connect}. */
export interface SocketOptions {
  /**
   * TLS from the start (`"on"`), when {@linkcode Socket.startTls} is called
   * (`"starttls"`), or never.
   *
   * @default "off"
   */
  secureTransport?: SecureTransportKind | undefined;
  /** Keep the writable side open after the peer's FIN was read. @default false */
  allowHalfOpen?: boolean | undefined;
  /** The name TLS sends and verifies. @default the hostname */
  sni?: string | null | undefined;
  /** The protocols TLS offers, most wanted first. @default none */
  alpn?: readonly string[] | undefined;
  /** As in workerd; without effect, for one chunk waits at a time. */
  highWaterMark?: number | bigint | undefined;
}

/** Whether there is TLS on a socket. */
export type SecureTransportKind = "off" | "on" | "starttls";

/** What {@linkcode Socket.opened} tells; `null` is what is not known. */
export type SocketInfo = ConnectionInfo;

/** What {@linkcode Socket.startTls} takes, as in workerd. */
export interface StartTlsOptions {
  /** The name to send and to verify. @default `sni`, else the hostname */
  expectedServerHostname?: string | undefined;
}

const SOCKET_NAMES = {
  secureTransport: 1,
  allowHalfOpen: 1,
  sni: 1,
  alpn: 1,
  highWaterMark: 1,
} satisfies Record<keyof SocketOptions, 1>;

/** What sockets fail with. */
export class SocketError extends TypeError {
  /** The portable code of the first attempt, such as `"ECONNREFUSED"`. */
  readonly code: string | undefined;

  /** `message` is put after `"SocketError: "`; a `cause` gives its code. */
  constructor(message: string, options?: ErrorOptions) {
    super(`SocketError: ${message}`, options);
    const code = (options?.cause as { code?: unknown } | undefined)?.code;
    this.code = typeof code === "string" ? code : undefined;
  }
}

/**
 * Opens a socket, which is returned at once, while it is pending. What is
 * written before it opens is sent then.
 *
 * @throws {SocketError} when an argument is wrong, or the platform has no
 * sockets or is too old.
 */
export function connect(
  address: AnySocketAddress,
  options: SocketOptions = {},
): Socket {
  orSocketError(() => checkOptionNames("connect", options, SOCKET_NAMES));
  const { secureTransport = "off", allowHalfOpen = false } = options;
  const tls = tlsOptions(options);
  const target = {
    ...parseAddress(address),
    allowHalfOpen: Boolean(allowHalfOpen),
    tls: secureTransport === "on" && tls,
  };
  const { hostname } = orSocketError(() =>
    checkDialOptions(target, checkOptions(target).host)
  );
  orSocketError(detectRuntime);
  return new Socket(
    (signal) => open({ ...target, signal }),
    { ...target, hostname, secureTransport, tls },
  );
}

/** Makes the connection behind a socket; gives up when `signal` aborts. */
type Opening = (signal: AbortSignal) => Promise<Connection>;

/** What a socket remembers. */
interface SocketSettings {
  readonly hostname: string;
  readonly port: number;
  readonly allowHalfOpen: boolean;
  readonly secureTransport: SecureTransportKind;
  /** For TLS, whenever it starts. */
  readonly tls: TlsOptions;
}

/** A TCP connection, or one to be. */
export class Socket {
  /** What the peer sends: a byte stream. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** What is sent to the peer. */
  readonly writable: WritableStream<Uint8Array>;
  /**
   * Resolves when the connection is established, TLS included if it is on;
   * rejects with a {@linkcode SocketError} when it cannot be, and with the
   * reason of {@linkcode Socket.close}. Needs no handler.
   */
  readonly opened: Promise<SocketInfo>;
  /**
   * Resolves after {@linkcode Socket.close}, or when the peer's FIN or RST was
   * read and this side has ended too; rejects with a {@linkcode SocketError}
   * when the connection cannot be established. Needs no handler.
   */
  readonly closed: Promise<void>;
  /** As given to `connect()`; `"on"` after `startTls()`. */
  readonly secureTransport: SecureTransportKind;

  readonly #settings: SocketSettings;
  readonly #transport: PendingTransport;
  readonly #connection: OpenConnection;
  #rejectOpened!: (reason: unknown) => void;
  #resolveClosed!: () => void;
  #isPending = true;
  #isClosing = false;
  #isUpgraded = false;

  /** @internal `connect()` and `startTls()` make sockets. */
  constructor(opening: Opening, settings: SocketSettings) {
    const { hostname, port, allowHalfOpen, secureTransport, tls } = settings;
    const isTls = secureTransport === "on";
    this.#settings = settings;
    this.secureTransport = secureTransport;
    this.#transport = new PendingTransport(opening);
    this.#connection = new OpenConnection(
      this.#transport,
      { hostname, port, allowHalfOpen, tls: isTls ? tls : null },
    );
    this.readable = this.#connection.readable;
    this.writable = this.#connection.writable;
    this.opened = new Promise((resolve, reject) => {
      this.#rejectOpened = reject;
      this.#transport.opened.then(
        () => {
          this.#isPending = false;
          resolve(this.#connection.opened);
        },
        (error) => {
          this.#isPending = false;
          reject(error);
          this.#drop(error);
        },
      );
    });
    this.closed = new Promise((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#transport.opened.catch(reject);
    });
    this.opened.catch(ignore);
    this.closed.catch(ignore);
    this.#resolveWhenOver();
  }

  /** Whether {@linkcode Socket.startTls} has made another socket of it. */
  get upgraded(): boolean {
    return this.#isUpgraded;
  }

  /**
   * Closes the socket: pending reads end, what was written is sent first. With
   * a reason nothing is waited for, and writes fail with it. A socket that is
   * still pending is dropped, and `opened` rejects with the reason.
   *
   * Returns {@linkcode Socket.closed}.
   */
  close(reason?: unknown): Promise<void> {
    this.#isClosing = true;
    let why = reason;
    if (this.#isPending) {
      why ??= new SocketError("closed before it was open");
      this.#rejectOpened(why);
      this.#resolveClosed();
    }
    if (why === undefined) this.#connection.close();
    else this.#drop(why);
    this.#resolveWhenOver();
    return this.closed;
  }

  /**
   * Starts TLS on this socket, for protocols that begin in plain text, after
   * what was written. Takes this socket's place: this one is `upgraded`, and
   * its `closed` resolves a turn after the other one has opened.
   *
   * What else is among the options is passed over, as in workerd: drivers hand
   * on what they have of TLS.
   *
   * The other one does not open when the handshake fails, nor when plain text
   * has arrived that nobody has read: it may be an injected response. The
   * connection is closed then.
   *
   * @throws {SocketError} when `secureTransport` is not `"starttls"`, it is
   * closed or upgraded already, or one of its streams is locked.
   */
  startTls(options: StartTlsOptions = {}): Socket {
    const obstacle = this.#obstacleToTls();
    if (obstacle) throw new SocketError(`cannot start TLS: ${obstacle}`);
    const { serverName } = this.#settings.tls;
    const { expectedServerHostname = serverName } = options;
    const tls = orSocketError(() =>
      checkTlsOptions({
        ...this.#settings.tls,
        serverName: expectedServerHostname,
      })
    );
    this.#isUpgraded = true;
    this.#isClosing = true;
    return new Socket(
      (signal) => this.#upgrade(tls, signal),
      { ...this.#settings, secureTransport: "on", tls },
    );
  }

  /** Cancels the readable, and aborts the writable with the reason. */
  #drop(reason: unknown): void {
    // Ends the readable first, which the reason would error.
    this.#connection.close();
    this.#connection.close(reason);
  }

  #obstacleToTls(): string | undefined {
    if (this.secureTransport === "on") return "it is a TLS socket";
    if (this.secureTransport === "off") {
      return 'secureTransport is not "starttls"';
    }
    if (this.#isUpgraded) return "it was started before";
    if (this.#isClosing) return "the socket is closed";
    const isLocked = this.readable.locked || this.writable.locked;
    return isLocked ? "a stream is locked" : undefined;
  }

  /** TLS on the connection, which is closed when that fails. */
  async #upgrade(tls: TlsOptions, signal: AbortSignal): Promise<Connection> {
    const cancel = () => void this.#connection.close(signal.reason);
    signal.addEventListener("abort", cancel);
    try {
      await this.#flushed();
      return await this.#connection.startTls(tls);
    } catch (error) {
      this.#connection.close(error);
      throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  /** A writer is ready when nothing waits, and nothing is under way. */
  async #flushed(): Promise<void> {
    const writer = this.writable.getWriter();
    try {
      await writer.ready;
    } finally {
      writer.releaseLock();
    }
  }

  /**
   * Resolves `closed` when the connection is over, but not if it ended because
   * the caller has ended both streams: the proposal says so.
   */
  async #resolveWhenOver(): Promise<void> {
    await this.#connection.closed.catch(ignore);
    if (this.#isClosing || this.#transport.isPeerGone) this.#resolveClosed();
  }
}

/** A transport that waits for the real one. */
class PendingTransport implements Transport {
  /** Rejects with a {@linkcode SocketError}. Needs no handler. */
  readonly opened: Promise<Transport>;
  /** Whether the peer's FIN or RST has been seen. */
  isPeerGone = false;
  /** Aborted when this is destroyed. */
  readonly #dialling = new AbortController();
  #transport: Transport | undefined;

  constructor(opening: Opening) {
    this.opened = this.#open(opening);
    this.opened.catch(ignore);
  }

  get remoteAddr(): NetAddr | null {
    return this.#transport?.remoteAddr ?? null;
  }

  get localAddr(): NetAddr | null {
    return this.#transport?.localAddr ?? null;
  }

  get alpnProtocol(): string | null {
    return this.#transport?.alpnProtocol ?? null;
  }

  async read(
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const transport = this.#transport ?? await this.opened;
    const bytes = await this.#watch(transport.read(into));
    this.isPeerGone ||= bytes === null;
    return bytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const transport = this.#transport ?? await this.opened;
    await this.#watch(transport.write(bytes));
  }

  async closeWrite(): Promise<void> {
    const transport = this.#transport ?? await this.opened;
    await this.#watch(transport.closeWrite());
  }

  async startTls(hostname: string, options: TlsOptions): Promise<Transport> {
    const transport = this.#transport ?? await this.opened;
    return await transport.startTls(hostname, options);
  }

  destroy(): void {
    this.#dialling.abort(new Error("closed before it was open"));
    this.#transport?.destroy();
  }

  async #open(opening: Opening): Promise<Transport> {
    const { signal } = this.#dialling;
    try {
      const connection = await opening(signal) as OpenConnection;
      this.#transport = connection.release();
      if (signal.aborted) this.#transport.destroy();
      signal.throwIfAborted();
      return this.#transport;
    } catch (error) {
      throw toSocketError(error);
    }
  }

  async #watch<T>(result: Promise<T>): Promise<T> {
    try {
      return await result;
    } catch (error) {
      this.isPeerGone ||= !this.#dialling.signal.aborted;
      throw error;
    }
  }
}

function parseAddress(address: AnySocketAddress): SocketAddress {
  if (typeof address === "string") {
    const parts = /^(\[[^\]]*\]|[^:[\]]*):(\d+)$/.exec(address);
    if (parts) return { hostname: parts[1]!, port: Number(parts[2]) };
    throw new SocketError(
      `the address must be "hostname:port", got ${JSON.stringify(address)}`,
    );
  }
  return orSocketError(() => {
    const { hostname, port } = address;
    // The proposal converts text to a number.
    return { hostname, port: typeof port === "string" ? Number(port) : port };
  });
}

/** The options of TLS, whenever it starts. */
function tlsOptions(
  { secureTransport = "off", sni, alpn = [] }: SocketOptions,
): TlsOptions {
  if (!["off", "on", "starttls"].includes(secureTransport)) {
    throw new SocketError(
      `secureTransport must be "off", "on" or "starttls", got ${secureTransport}`,
    );
  }
  if (secureTransport === "off" && (sni != null || alpn.length > 0)) {
    throw new SocketError(
      'sni and alpn take a secureTransport other than "off"',
    );
  }
  return orSocketError(() =>
    checkTlsOptions({
      serverName: sni ?? undefined,
      alpnProtocols: alpn.length > 0 ? alpn : undefined,
    })
  );
}

function orSocketError<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw toSocketError(error);
  }
}

function toSocketError(error: unknown): SocketError {
  if (error instanceof SocketError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SocketError(message, { cause: error });
}

/** For what is told in another way. */
function ignore(): void {}
