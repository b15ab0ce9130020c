/**
 * workerd, the runtime of Cloudflare Workers, by its `cloudflare:sockets`.
 *
 * The platform resolves and races by itself when it is given a name, so by
 * default that is the one attempt. Addresses, which take the caller's resolver,
 * are raced in plain text only: TLS verifies what was dialled and nothing else.
 * A dial cannot be cancelled, and an invocation has few connections, so few
 * attempts run at once, and one that is no longer wanted is closed when it
 * opens. Every failure comes as one kind of error without a reason.
 *
 * What the platform has no means for is refused: local addresses, every option
 * of TLS, keep-alive. Zone ids and a resolver of the system's do not exist.
 *
 * @module
 */

import type { Connection, NetAddr, Transport } from "../connection.ts";
import { parseIpAddress } from "../core/ip_address.ts";
import { OpenConnection } from "../open_connection.ts";
import type { TlsOptions } from "../options.ts";
import { attemptError } from "./attempt_error.ts";
import type { DialOptions, Runtime } from "./runtime.ts";

/** What is used of the platform's `Socket`. */
interface PlatformSocket {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<Uint8Array>;
  readonly opened: Promise<unknown>;
  readonly closed: Promise<unknown>;
  close(): Promise<unknown>;
  startTls(): PlatformSocket;
}

/** What is used of `cloudflare:sockets`. */
interface SocketsModule {
  connect(
    address: { hostname: string; port: number },
    options: { secureTransport: "on" | "starttls"; allowHalfOpen: true },
  ): PlatformSocket;
}

/** Simultaneous connections of one invocation, in Cloudflare's production. */
const MOST_IN_FLIGHT = 6;

/** How much to read at once, in bytes. */
const CHUNK_SIZE = 65_536;

/** The adapter for workerd. */
export const runtime: Runtime = {
  name: "workerd",
  mostInFlight: MOST_IN_FLIGHT,
  check,
  needsName,
  connect(endpoint, options, signal) {
    const { address, port } = endpoint;
    if (options.tls && options.hostname !== address) {
      const message = `Cannot connect: ${VERIFIES_WHAT_IS_DIALLED}`;
      return Promise.reject(new TypeError(message));
    }
    const remoteAddr = { transport: "tcp", hostname: address, port } as const;
    return dial(address, port, remoteAddr, options, signal);
  },
  connectByName(hostname, port, options, signal) {
    // Only DNS knows a trailing dot, which `options.hostname` is without.
    const name = options.tls ? options.hostname : hostname;
    return dial(name, port, null, options, signal);
  },
  lookup: () =>
    Promise.reject(new TypeError("Cannot resolve: workerd has no resolver")),
  sourceAddress: () => undefined,
};

const VERIFIES_WHAT_IS_DIALLED =
  "TLS on workerd verifies what was dialled and no other name";

function check(
  { tls, noDelay, keepAlive }: DialOptions,
  localAddresses: readonly string[],
): void {
  const option = localAddresses.length > 0
    ? "localAddresses"
    : keepAlive
    ? "keepAlive"
    // It is always on.
    : !noDelay
    ? "noDelay: false"
    : tls && tlsOption(tls);
  if (!option) return;
  throw new TypeError(`Cannot connect: ${option} is not supported on workerd`);
}

/** The first TLS option given; there is none that the platform takes. */
function tlsOption(options: TlsOptions): string | undefined {
  const given = Object.entries(options)
    .find(([, value]) => value !== undefined);
  return given && `tls.${given[0]}`;
}

function needsName(
  { tls, hostname }: DialOptions,
  hasAddresses: boolean,
): string | undefined {
  if (tls && !parseIpAddress(hostname)) {
    return "is not supported with tls on workerd, which verifies only names " +
      "that it resolved itself";
  }
  return hasAddresses ? undefined : "needs a resolver on workerd";
}

/** One connection to an IP literal, or to a name that the platform resolves. */
async function dial(
  hostname: string,
  port: number,
  remoteAddr: NetAddr | null,
  options: DialOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const { connect } = await importModule("cloudflare:sockets") as SocketsModule;
  signal.throwIfAborted();
  let socket: PlatformSocket;
  try {
    socket = connect(
      { hostname: hostname.includes(":") ? `[${hostname}]` : hostname, port },
      // Which side ends when is decided by `OpenConnection`.
      { secureTransport: options.tls ? "on" : "starttls", allowHalfOpen: true },
    );
    await opening(socket, signal);
  } catch (error) {
    throw signal.aborted ? signal.reason : explain(error);
  }
  const isTls = options.tls !== null;
  const transport = new SocketTransport(socket, isTls, hostname, remoteAddr);
  return new OpenConnection(transport, { ...options, port });
}

/**
 * By a function, because bundlers for other platforms fail at an import that
 * they can read, also at a constant (Bun 1.4 with `--minify`).
 * `process.getBuiltinModule` would do where there is a `process`: not before
 * compatibility date 2026-08-04 without `nodejs_compat`.
 */
function importModule(name: string): Promise<unknown> {
  return import(name);
}

/**
 * Resolves when the socket is open. An abort rejects at once and leaves the
 * socket to itself: it is closed when it opens, which cannot be waited for.
 */
function opening(socket: PlatformSocket, signal: AbortSignal): Promise<void> {
  socket.closed.catch(ignore);
  return new Promise((resolve, reject) => {
    const cancel = () => {
      socket.close().catch(ignore);
      reject(signal.reason);
    };
    signal.addEventListener("abort", cancel);
    socket.opened.then(() => resolve(), reject).finally(() =>
      signal.removeEventListener("abort", cancel)
    );
  });
}

/** A socket of the platform's. */
class SocketTransport implements Transport {
  readonly remoteAddr: NetAddr | null;
  readonly localAddr = null;
  readonly alpnProtocol = null;
  readonly #socket: PlatformSocket;
  readonly #isTls: boolean;
  /** What was dialled, and so what TLS would verify. */
  readonly #dialled: string;
  /** The platform's default reader is about ten times slower. */
  readonly #reader: ReadableStreamBYOBReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #handshake = new AbortController();
  #reading: Promise<unknown> | undefined;
  #isEnded = false;
  /** A buffer that was read into, but not given away. */
  #spare: Uint8Array<ArrayBuffer> | undefined;

  constructor(
    socket: PlatformSocket,
    isTls: boolean,
    dialled: string,
    remoteAddr: NetAddr | null,
  ) {
    this.#socket = socket;
    this.#isTls = isTls;
    this.#dialled = dialled;
    this.remoteAddr = remoteAddr;
    this.#reader = socket.readable.getReader({ mode: "byob" });
    this.#writer = socket.writable.getWriter();
    this.#reader.closed.catch(ignore);
    this.#writer.closed.catch(ignore);
    this.#writer.ready.catch(ignore);
  }

  /** The platform keeps the buffer it reads into, so `into` gets a copy. */
  async read(
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const buffer = this.#spare ?? new Uint8Array(CHUNK_SIZE);
    const size = Math.min(into?.byteLength ?? CHUNK_SIZE, CHUNK_SIZE);
    this.#spare = undefined;
    const reading = this.#reader.read(buffer.subarray(0, size)).catch(fail);
    this.#reading = reading;
    const { done, value } = await reading;
    if (done) return null;
    // A few bytes must not hold on to a large buffer.
    const isCopied = into !== undefined || value.byteLength < CHUNK_SIZE / 4;
    if (!isCopied) return value;
    this.#spare = new Uint8Array(value.buffer);
    if (!into) return value.slice();
    into.set(value);
    return into.subarray(0, value.byteLength);
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#writer.write(bytes).catch(fail);
  }

  async closeWrite(): Promise<void> {
    await this.#writer.close().catch(fail);
    this.#isEnded = true;
  }

  /**
   * `close()` alone waits for a peer that does not read, unless the writer was
   * closed before; after `abort()` the descriptor stays open for good.
   */
  destroy(): void {
    this.#handshake.abort();
    if (this.#isTls && this.#isEnded) return void this.#linger();
    this.#writer.close().catch(ignore);
    this.#socket.close().catch(ignore);
  }

  /**
   * A system that closes what was not read to the end answers with a reset,
   * and the peer may lose what we wrote. With TLS there is always something:
   * the server's session tickets.
   */
  async #linger(): Promise<void> {
    try {
      await this.#reading;
      while (await this.read());
    } catch {
      // It is closed all the same.
    }
    this.#socket.close().catch(ignore);
  }

  /**
   * What is buffered of plain text cannot be told, but TLS does not take it
   * for its own, and fails.
   */
  async startTls(hostname: string, options: TlsOptions): Promise<Transport> {
    const option = tlsOption(options);
    const refusal = option !== undefined
      ? `${option} is not supported on workerd`
      : hostname !== this.#dialled
      ? VERIFIES_WHAT_IS_DIALLED
      : undefined;
    if (refusal) throw new TypeError(`Cannot start TLS: ${refusal}`);
    this.#reader.releaseLock();
    this.#writer.releaseLock();
    try {
      const socket = this.#socket.startTls();
      await opening(socket, this.#handshake.signal);
      return new SocketTransport(socket, true, this.#dialled, this.remoteAddr);
    } catch (error) {
      throw attemptError("ERR_TLS_HANDSHAKE", error);
    }
  }
}

/**
 * The platform has but one error for a connection that does not open, and
 * refused is the most common truth.
 */
export function explain(error: unknown): Error {
  return attemptError("ECONNREFUSED", error);
}

/** Once it is open, all that goes wrong is that the connection is lost. */
function fail(error: unknown): never {
  throw attemptError("ECONNRESET", error);
}

/** For what was told in another way. */
function ignore(): void {}
