/**
 * A runtime whose sockets are in memory, and the world of servers it dials.
 *
 * It lets the conformance suite run without a kernel below: what fails there on
 * a real runtime and not here is that runtime's doing. A connection is two
 * pipes that hold back a writer nobody reads from; a reset fails both. TLS is a
 * stand-in of three frames (names, certificate, done) in front of plain bytes,
 * enough to be refused, to stall and to be cancelled half-way. A dial takes one
 * turn of the event loop.
 *
 * Left out: encryption, and every clock.
 *
 * @module
 */

import { clearImmediate, setImmediate } from "node:timers";
import type { Connection, NetAddr, Transport } from "../src/connection.ts";
import { OpenConnection } from "../src/open_connection.ts";
import type { Clock } from "../src/core/clock.ts";
import type { Endpoint } from "../src/core/endpoint.ts";
import type { TlsOptions } from "../src/options.ts";
import { attemptError } from "../src/runtime/attempt_error.ts";
import type { DialOptions, Runtime } from "../src/runtime/runtime.ts";
import { turn } from "./fake_clock.ts";
import type {
  Behaviour,
  BlackHole,
  Peer,
  Server,
  ServerOptions,
  World,
} from "./runtime_conformance.ts";

/** What a pipe takes before it holds its writer back, in bytes. */
const CAPACITY = 64 * 1024;
/** The first byte of a TLS handshake record. */
const HANDSHAKE = 0x16;
const AUTHORITY = "-----BEGIN CERTIFICATE----- of these servers";
const CLIENT = "the client's certificate";
const NAMES = ["localhost", "example.test", "127.0.0.1", "::1"];
const LINK_LOCAL = "fe80::1%fake0";

/** Bytes one way, in order. */
class Pipe {
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  #size = 0;
  #isEnded = false;
  #failure: { readonly error: unknown } | undefined;
  readonly #waiting: (() => void)[] = [];

  /** Whether bytes wait to be read. */
  get isFilled(): boolean {
    return this.#size > 0;
  }

  get isFailed(): boolean {
    return this.#failure !== undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#check();
    if (this.#isEnded) throw new Error("This side has ended");
    if (bytes.byteLength === 0) return;
    this.#chunks.push(new Uint8Array(bytes));
    this.#size += bytes.byteLength;
    this.#change();
    while (this.#size > CAPACITY) {
      await this.#wait();
      this.#check();
    }
  }

  async read(
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    for (;;) {
      this.#check();
      if (this.isFilled) return this.#take(into);
      if (this.#isEnded) return null;
      await this.#wait();
    }
  }

  /** FIN. */
  end(): void {
    this.#isEnded = true;
    this.#change();
  }

  /** What was not read is lost, and both sides hear why. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#chunks.length = 0;
    this.#size = 0;
    this.#change();
  }

  /** The writer is gone: FIN, or more if the reader did not keep up. */
  leave(error: unknown): void {
    if (this.#size > CAPACITY) this.fail(error);
    else this.end();
  }

  #take(into?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const chunk = this.#chunks.shift()!;
    const size = Math.min(chunk.byteLength, into?.byteLength ?? CAPACITY);
    if (size < chunk.byteLength) this.#chunks.unshift(chunk.subarray(size));
    this.#size -= size;
    this.#change();
    // A copy, for a stream transfers the buffer it is given.
    if (into === undefined) return chunk.slice(0, size);
    into.set(chunk.subarray(0, size));
    return into.subarray(0, size);
  }

  #check(): void {
    if (this.#failure) throw this.#failure.error;
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  #change(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What the client says first. */
interface ClientHello {
  readonly serverName: string | null;
  readonly alpnProtocols: readonly string[];
  readonly clientName: string | null;
}

/** What the server answers. */
interface ServerHello {
  readonly isExpired: boolean;
  readonly alpnProtocol: string | null;
}

function sendFrame(pipe: Pipe, frame: object): Promise<void> {
  const body = encoder.encode(JSON.stringify(frame));
  const { byteLength } = body;
  const head = [HANDSHAKE, byteLength >> 8, byteLength & 0xff];
  return pipe.write(new Uint8Array([...head, ...body]));
}

/** Throws when what comes is no frame, or nothing comes any more. */
async function readFrame(pipe: Pipe): Promise<unknown> {
  const [type, high, low] = await readExactly(pipe, 3);
  if (type !== HANDSHAKE) throw new Error("This is no TLS");
  const body = await readExactly(pipe, high! * 256 + low!);
  return JSON.parse(decoder.decode(body));
}

async function readExactly(pipe: Pipe, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let filled = 0; filled < size;) {
    const more = await pipe.read(bytes.subarray(filled));
    if (more === null) throw new Error("The peer ended amid the handshake");
    filled += more.byteLength;
  }
  return bytes;
}

/** The two directions of a connection, and who is at its ends. */
interface Link {
  readonly toServer: Pipe;
  readonly toClient: Pipe;
  readonly remoteAddr: NetAddr;
  readonly localAddr: NetAddr;
  /** Told when the client has released its end. */
  readonly onReleased: () => void;
}

const DESTROYED = new Error("This end was destroyed");

class FakeTransport implements Transport {
  readonly remoteAddr: NetAddr;
  readonly localAddr: NetAddr;
  readonly alpnProtocol: string | null;
  readonly #link: Link;
  #isDestroyed = false;

  constructor(link: Link, alpnProtocol: string | null) {
    this.#link = link;
    this.remoteAddr = link.remoteAddr;
    this.localAddr = link.localAddr;
    this.alpnProtocol = alpnProtocol;
  }

  read(
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#link.toClient.read(into);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#link.toServer.write(bytes);
  }

  closeWrite(): Promise<void> {
    this.#link.toServer.end();
    return Promise.resolve();
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#link.toServer.leave(DESTROYED);
    this.#link.toClient.fail(DESTROYED);
    this.#link.onReleased();
  }

  startTls(hostname: string, options: TlsOptions): Promise<Transport> {
    return this.#link.toClient.isFilled
      ? Promise.reject(new TypeError("Cannot start TLS: text is buffered"))
      : this.secure(hostname, options);
  }

  /** TLS from the first byte on: what has come by now is a part of it. */
  async secure(hostname: string, options: TlsOptions): Promise<Transport> {
    try {
      return new FakeTransport(
        this.#link,
        await this.#handshake(hostname, options),
      );
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  /** Resolves with the protocol agreed on. */
  async #handshake(
    hostname: string,
    { serverName, alpnProtocols, caCerts, cert }: TlsOptions,
  ): Promise<string | null> {
    const { toServer, toClient } = this.#link;
    const name = serverName ?? hostname;
    const hello: ClientHello = {
      serverName: /^[\d.]+$|:/.test(name) ? null : name,
      alpnProtocols: alpnProtocols ?? [],
      clientName: cert === CLIENT ? "client" : null,
    };
    let answer: ServerHello;
    try {
      await sendFrame(toServer, hello);
      answer = await readFrame(toClient) as ServerHello;
    } catch (error) {
      throw attemptError("ERR_TLS_HANDSHAKE", error);
    }
    const isTrusted = caCerts?.includes(AUTHORITY) && NAMES.includes(name);
    if (!isTrusted || answer.isExpired) {
      throw attemptError("ERR_TLS_CERT", new Error("Bad certificate"));
    }
    await sendFrame(toServer, {});
    return answer.alpnProtocol;
  }
}

class FakePeer implements Peer {
  readonly remoteAddress: string;
  readonly serverName: string | null;
  readonly clientName: string | null;
  readonly #link: Link;

  constructor(link: Link, hello?: ClientHello) {
    this.#link = link;
    this.remoteAddress = link.localAddr.hostname;
    this.serverName = hello?.serverName ?? null;
    this.clientName = hello?.clientName ?? null;
  }

  get isGone(): boolean {
    return this.#link.toClient.isFailed || this.#link.toServer.isFailed;
  }

  read(): Promise<Uint8Array | null> {
    return this.#link.toServer.read();
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#link.toClient.write(bytes);
  }

  end(): Promise<void> {
    this.#link.toClient.end();
    return Promise.resolve();
  }

  reset(): void {
    const error = attemptError("ECONNRESET", new Error("Reset by the peer"));
    this.#link.toServer.fail(error);
    this.#link.toClient.fail(error);
  }

  destroy(): void {
    this.#link.toClient.leave(DESTROYED);
    this.#link.toServer.fail(
      attemptError("ECONNRESET", new Error("The peer has left")),
    );
  }

  async startTls(options: ServerOptions["tls"] = {}): Promise<FakePeer> {
    const { toServer, toClient } = this.#link;
    const hello = await readFrame(toServer) as ClientHello;
    const answer: ServerHello = {
      isExpired: options.certificate === "expired",
      alpnProtocol:
        hello.alpnProtocols.find((protocol) =>
          options.alpnProtocols?.includes(protocol)
        ) ?? null,
    };
    await sendFrame(toClient, answer);
    await readFrame(toServer);
    return new FakePeer(this.#link, hello);
  }

  /** Reads to the end, whatever the behaviour does, and leaves. */
  async drain(): Promise<void> {
    try {
      while (await this.read() !== null);
    } catch {
      // It is gone, which is what is waited for.
    }
    this.destroy();
  }
}

class FakeServer implements Server {
  readonly endpoint: Endpoint;
  accepted = 0;
  readonly #behaviour: Behaviour;
  readonly #tls: ServerOptions["tls"];
  readonly #onClose: () => void;
  readonly #peers: FakePeer[] = [];
  readonly #failures: unknown[] = [];
  readonly #releases: Promise<void>[] = [];

  constructor(
    endpoint: Endpoint,
    behaviour: Behaviour,
    tls: ServerOptions["tls"],
    onClose: () => void,
  ) {
    this.endpoint = endpoint;
    this.#behaviour = behaviour;
    this.#tls = tls;
    this.#onClose = onClose;
  }

  /** Makes a connection; its client's end is the transport. */
  accept(localAddress: string): FakeTransport {
    this.accepted++;
    const { address, port } = this.endpoint;
    let onReleased = () => {};
    this.#releases.push(
      new Promise((resolve) => {
        onReleased = resolve;
      }),
    );
    const link: Link = {
      toServer: new Pipe(),
      toClient: new Pipe(),
      remoteAddr: { transport: "tcp", hostname: address, port },
      localAddr: {
        transport: "tcp",
        hostname: localAddress,
        port: 40_000 + this.accepted,
      },
      onReleased,
    };
    this.#meet(new FakePeer(link));
    return new FakeTransport(link, null);
  }

  async idle(): Promise<void> {
    for (const peer of this.#peers) peer.drain();
    await Promise.all(this.#releases);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#onClose();
    for (const peer of this.#peers) peer.destroy();
    return this.#failures.length > 0
      ? Promise.reject(this.#failures[0])
      : Promise.resolve();
  }

  async #meet(plain: FakePeer): Promise<void> {
    this.#peers.push(plain);
    let peer = plain;
    if (this.#tls) {
      try {
        peer = await plain.startTls(this.#tls);
      } catch {
        // A client that leaves or refuses amid the handshake: its own test.
        return;
      }
    }
    try {
      await this.#behaviour(peer);
    } catch (error) {
      if (!peer.isGone) this.#failures.push(error);
    }
  }
}

/** A second of patience is ten turns here. */
const hurriedClock: Clock = {
  now: () => 0,
  async sleep(ms, signal) {
    for (let left = ms / 100; left > 0 && !signal?.aborted; left--) {
      await turn();
    }
  },
};

/** The sockets of one process, and the servers of the world. */
export class FakeRuntime implements Runtime {
  readonly name = "node";
  /** What listens, by `address port`; `null` where SYNs get no answer. */
  readonly #listeners = new Map<string, FakeServer | null>();
  readonly #dials = new Map<string, number>();
  #lastPort = 1024;

  /** Everything outside. */
  readonly world: World = {
    serve: (behaviour, { address = "127.0.0.1", tls } = {}) => {
      const endpoint = this.#newEndpoint(address);
      const key = keyOf(endpoint);
      const close = () => this.#listeners.delete(key);
      const server = new FakeServer(endpoint, behaviour, tls, close);
      this.#listeners.set(key, server);
      return Promise.resolve(server);
    },
    refusing: (address) => Promise.resolve(this.#newEndpoint(address)),
    blackHole: () => Promise.resolve(this.#blackHole()),
    secondLocalAddress: "127.0.0.2",
    linkLocalAddress: LINK_LOCAL,
    certificates: { ca: AUTHORITY, client: CLIENT, clientKey: "its key" },
    turn,
  };

  connect(
    endpoint: Endpoint,
    options: DialOptions,
    signal: AbortSignal,
    onTcp: () => void,
  ): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const key = keyOf(endpoint);
      this.#countDial(key, 1);
      let transport: FakeTransport | undefined;
      let isSettled = false;
      const settle = (then: () => void) => {
        if (isSettled) return;
        isSettled = true;
        signal.removeEventListener("abort", abort);
        then();
      };
      const succeed = (transport: Transport) =>
        settle(() => {
          const clock = hurriedClock;
          resolve(new OpenConnection(transport, { ...options, clock }));
        });
      const fail = (error: unknown) => settle(() => reject(error));
      const abort = () => {
        clearImmediate(dial);
        if (!transport) this.#countDial(key, -1);
        transport?.destroy();
        fail(signal.reason);
      };
      const dial = setImmediate(() => {
        // In a black hole, nothing but an abort ends a dial.
        if (this.#listeners.get(key) === null) return;
        this.#countDial(key, -1);
        try {
          transport = this.#open(endpoint);
        } catch (error) {
          return fail(error);
        }
        if (!options.tls) return succeed(transport);
        onTcp();
        if (isSettled) return;
        transport.secure(options.hostname, options.tls).then(succeed, fail);
      });
      signal.addEventListener("abort", abort);
    });
  }

  lookup(hostname: string, family: 4 | 6): Promise<readonly string[]> {
    if (hostname === "localhost") {
      return Promise.resolve([family === 4 ? "127.0.0.1" : "::1"]);
    }
    const error = new Error(`${hostname} is not in this world`);
    return Promise.reject(Object.assign(error, { code: "ENOTFOUND" }));
  }

  sourceAddress(destination: string): { address: string } | null {
    return isOurs(destination) ? { address: destination } : null;
  }

  #open(endpoint: Endpoint): FakeTransport {
    const { address, localAddress = address } = endpoint;
    if (localAddress.includes(":") !== address.includes(":")) {
      throw attemptError("EINVAL", new Error("Another family"));
    }
    if (!isOurs(localAddress)) {
      throw attemptError("EADDRNOTAVAIL", new Error("Not our address"));
    }
    const server = this.#listeners.get(keyOf(endpoint));
    if (!server) throw attemptError("ECONNREFUSED", new Error("Nobody there"));
    return server.accept(localAddress);
  }

  #newEndpoint(address: string): Endpoint {
    const family = address.includes(":") ? 6 : 4;
    return { address, family, port: ++this.#lastPort };
  }

  #blackHole(): BlackHole {
    const endpoint = this.#newEndpoint("127.0.0.1");
    const key = keyOf(endpoint);
    this.#listeners.set(key, null);
    return {
      endpoint,
      dialling: () => this.#dials.get(key) ?? 0,
      [Symbol.asyncDispose]: () => {
        this.#listeners.delete(key);
        return Promise.resolve();
      },
    };
  }

  #countDial(key: string, change: number): void {
    this.#dials.set(key, (this.#dials.get(key) ?? 0) + change);
  }
}

function keyOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}

function isOurs(address: string): boolean {
  return address.startsWith("127.") || address === "::1" ||
    address === LINK_LOCAL;
}
