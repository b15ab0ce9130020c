/**
 * The portable socket behind every adapter: web streams over a `Transport`.
 *
 * An adapter only moves bytes. What is the same everywhere is decided here:
 * when a side of the connection ends and when both have, what is flushed and
 * what is dropped, when TLS may start. Each side is an object that is made when
 * it is first used, because a connect that is only measured, pooled or handed
 * on should not pay for streams and promises.
 *
 * Left out: timeouts, and reading on after `close()` until the peer ends too,
 * for which a caller reads to the end first.
 *
 * @module
 */

import type {
  Connection,
  ConnectionInfo,
  NetAddr,
  Transport,
} from "./connection.ts";
import { check, checkOptional, isObject } from "./core/check.ts";
import { after, type Clock } from "./core/clock.ts";
import type { Endpoint } from "./core/endpoint.ts";
import { ConnectError } from "./errors.ts";
import { checkTlsNames, checkTlsOptions, type TlsOptions } from "./options.ts";
import { systemClock } from "./runtime/system_clock.ts";

/** How long disposal waits for the peer to take what was written, in ms. */
const DISPOSE_TIMEOUT = 1_000;

/** What a connection is told beside its transport. */
export interface ConnectionOptions {
  /** The name TLS verifies unless another is given. */
  readonly hostname: string;
  /** The port it goes to, where its transport does not tell. */
  readonly port?: number | undefined;
  /** Whether it is a TLS connection already: anything but `null`. */
  readonly tls: TlsOptions | null;
  /** Keep the writable side open after the peer's FIN was read. */
  readonly allowHalfOpen: boolean;
  /** Measures the patience of disposal. @default the system's clock */
  readonly clock?: Clock | undefined;
}

/** What `startTls()` takes. */
type StartTlsOptions = NonNullable<Parameters<Connection["startTls"]>[0]>;

/** What a side of the connection needs of the whole. */
interface Whole {
  /** Whether a TLS handshake has the transport for itself. */
  isUpgrading(): boolean;
  /** The readable side has ended, with the peer's FIN or by `cancel()`. */
  readEnded(isFin: boolean): void;
  /** Our FIN was sent. */
  writeEnded(): void;
  /** No side can go on, as after a reset. */
  failed(error: unknown): void;
  /** The writer gave up, so that nothing is to be flushed. */
  aborted(reason: unknown): void;
}

/** The readable side: reads when it is asked to, never ahead. */
class ReadSide {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  isDone = false;
  isReading = false;
  readonly #transport: Transport;
  readonly #whole: Whole;
  #controller!: ReadableByteStreamController;

  constructor(transport: Transport, whole: Whole) {
    this.#transport = transport;
    this.#whole = whole;
    this.stream = new ReadableStream({
      type: "bytes",
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: () => {
        this.isDone = true;
        whole.readEnded(false);
      },
    }, { highWaterMark: 0 });
  }

  /** Whether bytes wait in the stream: those of a read that was given up. */
  get isBuffered(): boolean {
    return (this.#controller.desiredSize ?? 0) < 0;
  }

  /** Ends the stream; a pending read ends with it. */
  end(): void {
    if (this.isDone) return;
    this.isDone = true;
    try {
      this.#controller.close();
    } catch {
      // A BYOB read of wide elements was given half of one: by its own rules
      // the stream has errored.
    }
    if (!this.isReading) this.#releaseBuffer();
  }

  fail(reason: unknown): void {
    if (this.isDone) return;
    this.isDone = true;
    this.#controller.error(reason);
  }

  async #pull(): Promise<void> {
    if (this.#whole.isUpgrading()) throw new TypeError(UPGRADED);
    const view = this.#controller.byobRequest?.view as
      | Uint8Array<ArrayBuffer>
      | undefined;
    this.isReading = true;
    try {
      this.#deliver(await this.#transport.read(view), view !== undefined);
    } catch (error) {
      this.isReading = false;
      if (this.isDone) this.#releaseBuffer();
      else this.#whole.failed(error);
    }
  }

  #deliver(bytes: Uint8Array<ArrayBuffer> | null, isInPlace: boolean): void {
    this.isReading = false;
    if (this.isDone) this.#releaseBuffer();
    else if (bytes === null) {
      this.end();
      this.#whole.readEnded(true);
    } else if (isInPlace) {
      this.#controller.byobRequest?.respond(bytes.byteLength);
    } else {
      this.#controller.enqueue(bytes);
    }
  }

  /** A closed byte stream still owes a pending BYOB read its buffer. */
  #releaseBuffer(): void {
    this.#controller.byobRequest?.respond(0);
  }
}

/** The writable side: one write at a time, then the FIN. */
class WriteSide {
  isDone = false;
  readonly #transport: Transport;
  readonly #whole: Whole;
  #stream: WritableStream<Uint8Array> | undefined;
  #controller: WritableStreamDefaultController | undefined;
  #failure: { readonly reason: unknown } | undefined;
  /** Writes asked for before the end and not yet done. */
  #pending = 0;
  #end: Promise<void> | undefined;
  #onFlushed: (() => void) | undefined;

  constructor(transport: Transport, whole: Whole) {
    this.#transport = transport;
    this.#whole = whole;
  }

  /**
   * `size` sees every write at the moment it is asked for, also those that
   * wait in the stream; nothing else tells how many there are.
   */
  get stream(): WritableStream<Uint8Array> {
    return this.#stream ??= new WritableStream({
      start: (controller) => this.#start(controller),
      write: (chunk) => this.#write(chunk),
      close: () => {
        this.#pending = 0;
        return this.end();
      },
      abort: (reason) => this.#abort(reason),
    }, {
      highWaterMark: 1,
      size: () => {
        if (!this.#end) this.#pending++;
        return 1;
      },
    });
  }

  get isLocked(): boolean {
    return this.#stream?.locked ?? false;
  }

  get isWriting(): boolean {
    return this.#pending > 0;
  }

  get isEnding(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Takes no new writes, and sends the FIN after those asked for. The stream
   * itself stays open, for only its writer can close it: `close()` succeeds
   * then, `write()` does not.
   */
  end(): Promise<void> {
    if (!this.#end) {
      this.#end = this.#flush();
      this.#end.catch(() => {});
    }
    return this.#end;
  }

  fail(reason: unknown): void {
    this.#failure = { reason };
    this.#controller?.error(reason);
  }

  /**
   * `abort()` waits for the write under way, and that one, if it is stalled,
   * for the transport: hence the signal, which Bun before 1.4 does not have.
   */
  #start(controller: WritableStreamDefaultController): void {
    const { signal } = controller as { signal?: AbortSignal };
    signal?.addEventListener("abort", () => this.#abort(signal.reason));
    this.#controller = controller;
    if (this.#failure) controller.error(this.#failure.reason);
  }

  /**
   * The stream errors by itself then, and Node 20 throws when it is made to do
   * so twice.
   */
  #abort(reason: unknown): void {
    if (!this.#controller) return;
    this.#controller = undefined;
    this.#whole.aborted(reason);
  }

  async #write(chunk: Chunk): Promise<void> {
    if (this.#pending === 0) throw new TypeError(ENDED);
    if (this.#whole.isUpgrading()) throw new TypeError(UPGRADED);
    try {
      await this.#transport.write(toBytes(chunk));
    } catch (error) {
      this.#whole.failed(error);
      throw error;
    }
    this.#pending--;
    if (this.#pending === 0) this.#onFlushed?.();
  }

  async #flush(): Promise<void> {
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#onFlushed = resolve;
      });
    }
    try {
      await this.#transport.closeWrite();
    } catch (error) {
      this.#whole.failed(error);
      throw error;
    }
    this.isDone = true;
    this.#whole.writeEnded();
  }
}

const ENDED = "Cannot write: this side of the connection has ended";
const UPGRADED = "Cannot use this connection: TLS took it over";

/** What can be written, whatever its type says. */
type Chunk = ArrayBufferView | ArrayBufferLike;

/**
 * The bytes themselves, of any view or buffer; platforms differ in what they
 * make of these, and of anything else. By name, because a buffer may come from
 * another realm.
 */
function toBytes(chunk: Chunk): Uint8Array {
  if (ArrayBuffer.isView(chunk)) {
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  const kind = Object.prototype.toString.call(chunk).slice(8, -1);
  if (kind === "ArrayBuffer" || kind === "SharedArrayBuffer") {
    return new Uint8Array(chunk);
  }
  throw new TypeError(
    `Cannot write: a chunk must be an ArrayBuffer or a view of one, got ${kind}`,
  );
}

/** The connection an adapter makes of its transport. */
export class OpenConnection implements Connection {
  readonly #transport: Transport;
  readonly #options: ConnectionOptions;
  #reads: ReadSide | undefined;
  #writes: WriteSide | undefined;
  #state: "open" | "closing" | "upgrading" | "released" = "open";
  #isUpgraded = false;
  /** What both streams are errored with. */
  #failure: { readonly reason: unknown } | undefined;
  /** What `closed` rejects with. */
  #error: { readonly reason: unknown } | undefined;
  #opened: Promise<ConnectionInfo> | undefined;
  #closed: Promise<void> | undefined;
  #settleClosed: (() => void) | undefined;
  /** Rejects the upgrade under way. */
  #rejectUpgrade: ((reason: unknown) => void) | undefined;

  constructor(transport: Transport, options: ConnectionOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readSide().stream;
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#writeSide().stream;
  }

  get remoteAddr(): NetAddr | null {
    return this.#transport.remoteAddr;
  }

  get localAddr(): NetAddr | null {
    return this.#transport.localAddr;
  }

  get alpnProtocol(): string | null {
    return this.#transport.alpnProtocol;
  }

  get opened(): Promise<ConnectionInfo> {
    return this.#opened ??= Promise.resolve({
      remoteAddress: authority(this.remoteAddr),
      localAddress: authority(this.localAddr),
      alpn: this.alpnProtocol,
    });
  }

  get closed(): Promise<void> {
    if (!this.#closed) {
      this.#closed = new Promise((resolve, reject) => {
        const settle = () => {
          if (this.#error) reject(this.#error.reason);
          else resolve();
        };
        if (this.#isReleased) settle();
        else this.#settleClosed = settle;
      });
      this.#closed.catch(() => {});
    }
    return this.#closed;
  }

  get upgraded(): boolean {
    return this.#isUpgraded;
  }

  close(reason?: unknown): Promise<void> {
    if (this.#state === "upgrading" || reason !== undefined) {
      this.#drop(reason ?? new TypeError("Cannot start TLS: closed meanwhile"));
    } else if (this.#state === "open") {
      this.#state = "closing";
      this.#reads?.end();
      this.#writeSide().end();
      this.#releaseWhenDone();
    }
    return this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { clock = systemClock } = this.#options;
    const cancel = after(clock, DISPOSE_TIMEOUT, () => {
      this.#fail(new Error("The peer did not take what was written"));
    });
    await this.close().catch(() => {});
    cancel();
  }

  /**
   * Gives its transport away, for a door that makes another connection of it;
   * this one is over. Only for one that nobody has used.
   */
  release(): Transport {
    this.#state = "released";
    return this.#transport;
  }

  async startTls(options: StartTlsOptions = {}): Promise<Connection> {
    check("start TLS: options", "an object", options, isObject(options));
    const { signal, ...tls } = options;
    checkOptional(
      "start TLS: signal",
      "an AbortSignal",
      signal,
      signal?.throwIfAborted,
    );
    checkTlsNames(tls);
    const checked = checkTlsOptions(tls);
    const obstacle = this.#obstacleToTls();
    if (obstacle) throw new TypeError(`Cannot start TLS: ${obstacle}`);
    const abort = () => this.#drop(signal?.reason);
    if (signal?.aborted) abort();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort);
    try {
      return await this.#upgrade(checked);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Rejects at once when the connection is dropped meanwhile. */
  #upgrade(options: TlsOptions): Promise<Connection> {
    const { hostname, clock = systemClock } = this.#options;
    const startTime = clock.now();
    this.#state = "upgrading";
    return new Promise((resolve, reject) => {
      this.#rejectUpgrade = reject;
      this.#transport.startTls(hostname, options).then(
        (transport) => {
          if (this.#isReleased) transport.destroy();
          else resolve(this.#handOver(transport, options));
        },
        (error) => this.#upgradeFailed(error, startTime),
      );
    });
  }

  /** A transport that refuses is as it was; one that fails is closed. */
  #upgradeFailed(error: unknown, startTime: number): void {
    if (this.#isReleased) return;
    if (!(error instanceof TypeError)) {
      return this.#fail(this.#connectError(error, startTime));
    }
    this.#state = "open";
    this.#rejectUpgrade?.(error);
  }

  /** The handshake as the one attempt there was. */
  #connectError(error: unknown, startTime: number): ConnectError {
    const { hostname, port = 0, clock = systemClock } = this.#options;
    const { remoteAddr } = this;
    const duration = clock.now() - startTime;
    const endpoint = remoteAddr && endpointOf(remoteAddr);
    return new ConnectError({
      hostname,
      port: endpoint?.port ?? port,
      attempts: [{ index: 0, endpoint, startTime, duration, error }],
      answers: [],
      refusals: [],
    });
  }

  #obstacleToTls(): string | undefined {
    const reads = this.#reads;
    const writes = this.#writes;
    if (this.#options.tls) return "it is a TLS connection";
    if (this.#state !== "open") return "it is closed, or was upgraded";
    if (reads?.stream.locked || writes?.isLocked) return "a stream is locked";
    if (reads?.isDone || writes?.isEnding) return "one side has ended";
    if (reads?.isReading || writes?.isWriting) {
      return "a read or write is pending";
    }
    if (reads?.isBuffered) return "plain text is buffered";
    return undefined;
  }

  #handOver(transport: Transport, options: TlsOptions): Connection {
    this.#state = "released";
    this.#isUpgraded = true;
    this.#failSides(new TypeError(UPGRADED));
    // Not queueMicrotask(), which is among what tests of others fake.
    Promise.resolve().then(() => {}).then(() => this.#settleClosed?.());
    return new OpenConnection(transport, { ...this.#options, tls: options });
  }

  #readSide(): ReadSide {
    if (!this.#reads) {
      this.#reads = new ReadSide(this.#transport, this.#whole());
      if (this.#failure) this.#reads.fail(this.#failure.reason);
      else if (this.#state === "closing" || this.#isReleased) {
        this.#reads.end();
      }
    }
    return this.#reads;
  }

  #writeSide(): WriteSide {
    if (!this.#writes) {
      this.#writes = new WriteSide(this.#transport, this.#whole());
      if (this.#failure) this.#writes.fail(this.#failure.reason);
    }
    return this.#writes;
  }

  #whole(): Whole {
    return {
      isUpgrading: () => this.#state === "upgrading",
      readEnded: (isFin) => {
        if (isFin && !this.#options.allowHalfOpen) this.#writeSide().end();
        this.#releaseWhenDone();
      },
      writeEnded: () => this.#releaseWhenDone(),
      failed: (error) => this.#fail(error),
      aborted: (reason) => this.#drop(reason),
    };
  }

  #releaseWhenDone(): void {
    const isReadDone = this.#state === "closing" || this.#reads?.isDone;
    if (isReadDone && this.#writes?.isDone) this.#release();
  }

  get #isReleased(): boolean {
    return this.#state === "released";
  }

  #fail(error: unknown): void {
    if (this.#isReleased) return;
    this.#error = { reason: error };
    this.#drop(error);
  }

  #drop(reason: unknown): void {
    if (this.#isReleased) return;
    this.#failSides(reason);
    this.#release();
  }

  #failSides(reason: unknown): void {
    this.#failure = { reason };
    this.#reads?.fail(reason);
    this.#writes?.fail(reason);
  }

  #release(): void {
    if (this.#isReleased) return;
    this.#state = "released";
    this.#transport.destroy();
    this.#settleClosed?.();
    this.#rejectUpgrade?.(this.#failure?.reason);
  }
}

function endpointOf({ hostname, port }: NetAddr): Endpoint {
  return { address: hostname, family: hostname.includes(":") ? 6 : 4, port };
}

/** An address as WinterTC writes it. */
function authority(addr: NetAddr | null): string | null {
  if (!addr) return null;
  const { hostname, port } = addr;
  return hostname.includes(":")
    ? `[${hostname}]:${port}`
    : `${hostname}:${port}`;
}
