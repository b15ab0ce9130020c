/**
 * A connection as callers see it, and the transport an adapter gives it.
 *
 * The members are those of a WinterTC socket. What is behind them is the same
 * on every platform (`open_connection.ts`); a platform only moves bytes, which
 * is what {@linkcode Transport} asks of it.
 *
 * @module
 */

import type { TlsOptions } from "./options.ts";

/** One side of a TCP connection. */
export interface NetAddr {
  /** The transport protocol. */
  readonly transport: "tcp";
  /** The IP literal, without brackets. */
  readonly hostname: string;
  /** The TCP port. */
  readonly port: number;
}

/** What {@linkcode Connection.opened} tells, in the words of WinterTC. */
export interface ConnectionInfo {
  /** Where the connection goes, such as `"192.0.2.1:443"`. */
  readonly remoteAddress: string | null;
  /** Where it comes from, such as `"[2001:db8::1]:50123"`. */
  readonly localAddress: string | null;
  /** The protocol ALPN agreed on. */
  readonly alpn: string | null;
}

/**
 * `Symbol.asyncDispose` for `await using`, where the reader's library has it:
 * {@linkcode Connection.close} that never rejects, and drops what the peer has
 * not taken after one second.
 */
export type AsyncDisposal = SymbolConstructor extends
  { readonly asyncDispose: infer K extends symbol }
  ? { readonly [P in K]: () => Promise<void> }
  : object;

/** An open TCP connection, with TLS on top if asked: a WinterTC socket. */
export interface Connection extends AsyncDisposal {
  /**
   * What the peer sends: a byte stream for default and BYOB readers. It reads
   * when it is read from and never ahead, so a peer that sends too fast is held
   * back. Ends with the peer's FIN; errors when the connection is reset.
   * `cancel()` ends this side alone.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;

  /**
   * What is sent to the peer. A write is done when the system has taken it.
   * `close()` sends the FIN after what was written; `abort(reason)` is
   * {@linkcode Connection.close} with that reason.
   *
   * A chunk may be any view, an `ArrayBuffer` or a `SharedArrayBuffer`, whatever
   * the type says; anything else breaks the connection. Its memory stays the
   * caller's: it is not transferred, and not read once the write is done.
   */
  readonly writable: WritableStream<Uint8Array>;

  /** Where the connection goes; `null` where the platform does not tell. */
  readonly remoteAddr: NetAddr | null;

  /**
   * Where it comes from; `null` where the platform does not tell, which may be
   * once it is closed.
   */
  readonly localAddr: NetAddr | null;

  /** The protocol ALPN agreed on; `null` for plain TCP or none. */
  readonly alpnProtocol: string | null;

  /** Fulfilled: a connection is open from the start. */
  readonly opened: Promise<ConnectionInfo>;

  /**
   * Resolves when the descriptor is released, after an orderly end or by
   * `close()`; rejects when the connection was reset. Needs no handler.
   */
  readonly closed: Promise<void>;

  /** Whether {@linkcode Connection.startTls} has made another connection of it. */
  readonly upgraded: boolean;

  /**
   * Ends the connection. Without a reason: no new writes, what was written
   * reaches the system, then FIN; pending reads end. With one: at once, and
   * both streams error with it. Returns {@linkcode Connection.closed}.
   */
  close(reason?: unknown): Promise<void>;

  /**
   * Starts TLS on this connection, for protocols that begin in plain text.
   *
   * Resolves with the new connection when the handshake is done. It verifies
   * `serverName`, or else the hostname given to `connect`, never the address.
   * This one is over then: `upgraded`, its streams unusable, `closed` resolved
   * a turn later. A failed handshake closes the descriptor, and so does an abort
   * of `signal`, at once; once the handshake is done the signal means nothing.
   *
   * @throws {ConnectError} when the handshake fails.
   * @throws `signal.reason` when the caller aborts.
   * @throws {TypeError} when it is a TLS connection or has ended, a stream is
   * locked, a read or write is pending, or plain text that nobody has read has
   * arrived, which may be an injected response. The connection stays as it was.
   */
  startTls(
    options?: TlsOptions & { readonly signal?: AbortSignal | undefined },
  ): Promise<Connection>;
}

/**
 * What an adapter gives: one descriptor, driven by promises. `Connection`
 * makes streams of it and keeps the order: at most one `read` and one `write`
 * are under way, nothing is called after `destroy()`.
 */
export interface Transport {
  readonly remoteAddr: NetAddr | null;
  readonly localAddr: NetAddr | null;
  /** The protocol ALPN agreed on; `null` for plain TCP or none. */
  readonly alpnProtocol: string | null;

  /**
   * Some bytes, at least one: written to the start of `into` (the result is a
   * view of it), or without `into` a chunk in memory that nobody else uses, as
   * it will be transferred. `null` at the peer's FIN. Rejects when the
   * connection was reset or destroyed. Reads nothing ahead beyond what the
   * platform already holds.
   */
  read(
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null>;

  /**
   * Resolves when the platform has taken all of `bytes` (backpressure). They
   * are the caller's: never transferred, and not read after that.
   */
  write(bytes: Uint8Array): Promise<void>;

  /** Sends FIN (close_notify first on TLS) after all that was written. */
  closeWrite(): Promise<void>;

  /** Releases the descriptor at once, idempotent; pending reads and writes reject. */
  destroy(): void;

  /**
   * A TLS client on top of this connection, as a new transport that owns the
   * descriptor; rejects, with the descriptor closed, when the handshake
   * fails. Adapters refuse (TypeError, connection untouched) when plaintext is
   * already buffered.
   */
  startTls(hostname: string, options: TlsOptions): Promise<Transport>;
}
