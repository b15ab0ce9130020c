/**
 * Real servers on the loopback interface, by `node:net` and `node:tls` on every
 * runtime: the world that `runtime_conformance.ts` runs in.
 *
 * A server's behaviour is a function of a peer, its end of one connection. A
 * peer reads and writes only when told to, so a test decides who waits for
 * whom and needs no sleep. The certificates are in `certs/`.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import net from "node:net";
import os from "node:os";
import tls from "node:tls";
import { Worker } from "node:worker_threads";

import type { Endpoint } from "../src/core/endpoint.ts";
import { certificate } from "./certs/read.ts";
import { turn } from "./fake_clock.ts";
import { runtimeName } from "./harness.ts";
import type {
  Behaviour,
  BlackHole,
  Peer,
  Server,
  ServerOptions,
  ServerTlsOptions,
  World,
} from "./runtime_conformance.ts";
import {
  type PeerHost,
  type ServedPeer,
  serveTlsOnDeno,
} from "./tls_server_deno.ts";

const isLinux = os.platform() === "linux";

/** The loopback interface, and a link-local address where there is one. */
export const loopback: World = {
  serve,
  refusing,
  blackHole: isLinux ? blackHole : undefined,
  // All of 127/8 is ours on Linux; elsewhere only 127.0.0.1 is.
  secondLocalAddress: isLinux ? "127.0.0.2" : "127.0.0.1",
  linkLocalAddress: linkLocalAddress(),
  keepsAlive: isLinux ? keepsAlive : undefined,
  certificates: {
    ca: certificate("ca"),
    client: certificate("client"),
    clientKey: certificate("client_key"),
  },
  turn,
};

/** What a server socket is, with or without TLS. */
type Socket = net.Socket | tls.TLSSocket;

async function serve(
  behaviour: Behaviour,
  { address = "127.0.0.1", tls }: ServerOptions = {},
): Promise<Server> {
  const server = new LoopbackServer(behaviour);
  if (tls && runtimeName === "deno") {
    server.open(address, serveTlsOnDeno(address, tls, server));
    return server;
  }
  const listener = net.createServer({ allowHalfOpen: true }, (socket) => {
    const peer = new SocketPeer(socket);
    socket.on("close", () => server.forget(peer));
    server.meet(peer, socket.remotePort!, tls);
  });
  // Deno's node:net knows no zone ids.
  await listen(listener, hasZone(address) ? "::" : address);
  server.open(address, {
    port: (listener.address() as net.AddressInfo).port,
    close: () => new Promise((resolve) => listener.close(() => resolve())),
  });
  return server;
}

function hasZone(address: string): boolean {
  return address.includes("%");
}

function listen(listener: net.Server, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once("error", reject);
    listener.listen({ host, port: 0 }, resolve);
  });
}

class LoopbackServer implements Server, PeerHost {
  endpoint!: Endpoint;
  accepted = 0;
  #close!: () => void | Promise<void>;
  readonly #behaviour: Behaviour;
  readonly #open = new Set<ServedPeer>();
  /** The clients' ports. */
  readonly #acceptedPorts = new Set<number>();
  readonly #failures: unknown[] = [];
  #wake: (() => void) | undefined;

  constructor(behaviour: Behaviour) {
    this.#behaviour = behaviour;
  }

  open(
    address: string,
    listener: { port: number; close(): void | Promise<void> },
  ): void {
    this.endpoint = endpointOf(address, listener.port);
    this.#close = () => listener.close();
  }

  async meet(
    peer: ServedPeer,
    port: number,
    tls?: ServerTlsOptions,
  ): Promise<void> {
    this.accepted++;
    this.#acceptedPorts.add(port);
    this.#open.add(peer);
    this.#wake?.();
    try {
      await this.#behaviour(tls ? await peer.startTls(tls) : peer);
    } catch (error) {
      // When the client is gone, whatever the peer was about fails.
      if (!peer.isGone) this.#failures.push(error);
    }
  }

  forget(peer: ServedPeer): void {
    this.#open.delete(peer);
    this.#wake?.();
  }

  async idle(): Promise<void> {
    await this.#acceptAll();
    for (const peer of this.#open) drain(peer);
    while (this.#open.size > 0) await this.#change();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#open) peer.destroy();
    await this.#close();
    while (this.#open.size > 0) await this.#change();
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  /** Connections are accepted in order: once ours is, all before it are. */
  async #acceptAll(): Promise<void> {
    const { address, port } = this.endpoint;
    const host = hasZone(address) ? "::1" : address;
    const last = net.connect({ host, port });
    last.on("error", () => {});
    await new Promise((resolve) => last.once("connect", resolve));
    while (!this.#acceptedPorts.has(last.localPort!)) await this.#change();
    last.destroy();
    this.accepted--;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** Reads to the end, whatever the behaviour does, and closes. */
async function drain(peer: ServedPeer): Promise<void> {
  try {
    while (await (peer.secure ?? peer).read() !== null);
  } catch {
    // It is gone, which is what is waited for.
  }
  peer.destroy();
}

class SocketPeer implements ServedPeer {
  readonly remoteAddress: string;
  #socket: Socket;
  secure: SocketPeer | undefined;
  #isEnded = false;
  #error: unknown;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress!;
    socket.on("readable", this.#onChange);
    socket.on("close", this.#onChange);
    socket.on("end", this.#onEnd);
    socket.on("error", (error: Error) => {
      this.#error = error;
      this.#onChange();
    });
  }

  get isGone(): boolean {
    const secure = this.secure;
    if (secure && (secure.isGone || secure.#isEnded)) return true;
    return this.#socket.destroyed || this.#error !== undefined;
  }

  get serverName(): string | null {
    const { servername } = this.#socket as { servername?: unknown };
    return typeof servername === "string" ? servername : null;
  }

  get clientName(): string | null {
    const certificate = (this.#socket as tls.TLSSocket).getPeerCertificate();
    return certificate?.subject?.CN ?? null;
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const bytes: Uint8Array | null = this.#socket.read();
      if (bytes) return new Uint8Array(bytes);
      if (this.#isEnded) return null;
      if (this.isGone) throw this.#error ?? new Error("The peer was closed");
      await this.#change();
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve());
    });
  }

  end(): Promise<void> {
    return new Promise((resolve) => void this.#socket.end(() => resolve()));
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  async startTls(options: ServerTlsOptions = {}): Promise<Peer> {
    this.#socket.off("readable", this.#onChange);
    this.#socket.off("end", this.#onEnd);
    const socket = new tls.TLSSocket(this.#socket, {
      isServer: true,
      cert: certificate(options.certificate ?? "server"),
      key: certificate("server_key"),
      ca: certificate("ca"),
      requestCert: options.requestsClient ?? false,
      rejectUnauthorized: false,
      ALPNProtocols: options.alpnProtocols ?? [],
    });
    let isSecure = false;
    const secure = new SocketPeer(socket);
    this.secure = secure;
    socket.on("secure", () => {
      isSecure = true;
      secure.#onChange();
    });
    while (!isSecure) {
      if (secure.isGone || secure.#isEnded) throw new Error("No handshake");
      await secure.#change();
    }
    return secure;
  }

  destroy(): void {
    this.secure?.destroy();
    this.#socket.destroy();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#wake;
      this.#wake = () => {
        before?.();
        resolve();
      };
    });
  }

  #onChange = (): void => {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  };

  #onEnd = (): void => {
    this.#isEnded = true;
    this.#onChange();
  };
}

/** A port of ours that nobody listens on: it was free a moment ago. */
async function refusing(address: string): Promise<Endpoint> {
  const listener = net.createServer();
  await listen(listener, address);
  const { port } = listener.address() as net.AddressInfo;
  await new Promise<void>((resolve) => listener.close(() => resolve()));
  return endpointOf(address, port);
}

function endpointOf(address: string, port: number): Endpoint {
  return { address, family: address.includes(":") ? 6 : 4, port };
}

/**
 * A listener that accepts nothing, in a thread that is asleep. Once its queue
 * is full, Linux drops what else comes: SYNs get no answer.
 */
async function blackHole(): Promise<BlackHole> {
  const worker = new Worker(
    `const { parentPort, workerData } = require("node:worker_threads");
    const listener = require("node:net").createServer();
    listener.listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => {
      parentPort.postMessage(listener.address().port);
      setImmediate(() => Atomics.wait(workerData, 0, 0));
    });`,
    { eval: true, workerData: new Int32Array(new SharedArrayBuffer(4)) },
  );
  const port = await new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const dialling = () => countDialling(port);
  const queue: net.Socket[] = [];
  for (let size = 1; dialling() === 0; size *= 2) {
    queue.push(...await fill(port, size, dialling));
  }
  for (const socket of queue) if (socket.connecting) socket.destroy();
  while (dialling() > 0) await turn();
  return {
    endpoint: endpointOf("127.0.0.1", port),
    dialling,
    async [Symbol.asyncDispose]() {
      for (const socket of queue) socket.destroy();
      await worker.terminate();
    },
  };
}

/** So many more for the queue; some are stuck if there is no room for them. */
async function fill(
  port: number,
  size: number,
  dialling: () => number,
): Promise<net.Socket[]> {
  const sockets = Array.from({ length: size }, () => {
    const socket = net.connect({ host: "127.0.0.1", port });
    socket.on("error", () => {});
    return socket;
  });
  // The loopback interface answers within the call, or not at all; only the
  // events take a few turns.
  for (let turns = 1; sockets.some(({ connecting }) => connecting); turns++) {
    if (turns % 16 === 0 && dialling() > 0) break;
    await turn();
  }
  return sockets;
}

/** How many sockets have sent a SYN to this port that has no answer. */
function countDialling(port: number): number {
  return tcpTable().filter(({ remote, state }) =>
    remote === port && state === SYN_SENT
  ).length;
}

/**
 * Whether the one timer of an idle connection is that of the probes; waits
 * until the peer has acknowledged what was sent.
 */
async function keepsAlive(
  localPort: number,
  remotePort: number,
): Promise<boolean> {
  for (;;) {
    const row = tcpTable().find(({ local, remote, state }) =>
      local === localPort && remote === remotePort && state === ESTABLISHED
    );
    if (row?.timer !== RETRANSMISSION) return row?.timer === PROBES;
    await turn();
  }
}

// As Linux numbers them.
const ESTABLISHED = 0x01;
const SYN_SENT = 0x02;
const RETRANSMISSION = 0x01;
const PROBES = 0x02;

interface TcpRow {
  readonly local: number;
  readonly remote: number;
  readonly state: number;
  readonly timer: number;
}

/**
 * The IPv4 sockets of this host, ports and states only. Deno lets nobody read
 * `/proc` who has not every permission, but `cat` may.
 */
function tcpTable(): TcpRow[] {
  const table = execFileSync("cat", ["/proc/net/tcp"], {
    encoding: "utf8",
    // A busy host has many thousands of closed connections in there.
    maxBuffer: Infinity,
  });
  const row = /^ *\d+: \w+:(\w+) \w+:(\w+) (\w+) \w+:\w+ (\w+):/gm;
  return Array.from(table.matchAll(row), (columns) => {
    const [local, remote, state, timer] = columns.slice(1)
      .map((hex) => Number.parseInt(hex, 16)) as [
        number,
        number,
        number,
        number,
      ];
    return { local, remote, state, timer };
  });
}

function linkLocalAddress(): string | undefined {
  for (const [name, addresses] of Object.entries(os.networkInterfaces())) {
    const found = addresses?.find(({ address }) => address.startsWith("fe80:"));
    if (found) return `${found.address.split("%")[0]}%${name}`;
  }
  return undefined;
}
