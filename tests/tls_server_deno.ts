/**
 * A TLS server by Deno's own means, for large amounts of data on Deno: its
 * `node:tls` reads ahead without bound and loses the end.
 *
 * @module
 */

import { certificate } from "./certs/read.ts";
import type { Peer, ServerTlsOptions } from "./runtime_conformance.ts";

/** A peer, and what its server has to know of it. */
export interface ServedPeer extends Peer {
  /** The client has left, or refused. */
  readonly isGone: boolean;
  /** TLS on top of this one, which reads for it from then on. */
  readonly secure?: Peer | undefined;
}

/** Who takes care of peers. */
export interface PeerHost {
  meet(peer: ServedPeer, port: number, tls: ServerTlsOptions): Promise<void>;
  forget(peer: ServedPeer): void;
}

/** Listens until it is closed. */
export function serveTlsOnDeno(
  hostname: string,
  options: ServerTlsOptions,
  host: PeerHost,
): { port: number; close(): void } {
  const listener = Deno.listenTls({
    hostname,
    port: 0,
    cert: certificate(options.certificate ?? "server"),
    key: certificate("server_key"),
    alpnProtocols: options.alpnProtocols ?? [],
  });
  acceptAll(listener, options, host);
  return { port: listener.addr.port, close: () => listener.close() };
}

async function acceptAll(
  listener: Deno.TlsListener,
  options: ServerTlsOptions,
  host: PeerHost,
): Promise<void> {
  for await (const conn of listener) {
    const peer = new DenoPeer(conn, () => host.forget(peer));
    host.meet(peer, conn.remoteAddr.port, options);
  }
}

/** A `Deno.TlsConn`. It cannot tell what the client said of names. */
class DenoPeer implements ServedPeer {
  readonly serverName = null;
  readonly clientName = null;
  readonly remoteAddress: string;
  isGone = false;
  #isClosed = false;
  readonly #conn: Deno.TlsConn;
  readonly #onClose: () => void;
  /** Deno refuses a read beside another one; these wait. */
  #lastRead: Promise<unknown> = Promise.resolve();

  constructor(conn: Deno.TlsConn, onClose: () => void) {
    this.#conn = conn;
    this.#onClose = onClose;
    this.remoteAddress = conn.remoteAddr.hostname;
  }

  read(): Promise<Uint8Array | null> {
    const reading = this.#lastRead.then(() => this.#read());
    this.#lastRead = reading.catch(() => {});
    return reading;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += await this.#try(this.#conn.write(bytes.subarray(done)));
    }
  }

  end(): Promise<void> {
    return this.#try(this.#conn.closeWrite());
  }

  reset(): void {
    throw new Error("Deno has no way to send RST");
  }

  async startTls(): Promise<Peer> {
    await this.#try(this.#conn.handshake());
    return this;
  }

  destroy(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.isGone = true;
    this.#conn.close();
    this.#onClose();
  }

  async #read(): Promise<Uint8Array | null> {
    const bytes = new Uint8Array(64 * 1024);
    const size = await this.#try(this.#conn.read(bytes));
    return size === null ? null : bytes.subarray(0, size);
  }

  async #try<T>(operation: Promise<T>): Promise<T> {
    try {
      return await operation;
    } catch (error) {
      this.isGone = true;
      throw error;
    }
  }
}
