/**
 * What every adapter promises, as tests on connections that are real.
 *
 * The suite knows `Runtime`, `Connection` and a world with servers in it, and
 * nothing of the platform below. `runtime_test.ts` runs it on the runtime at
 * hand and the loopback interface. Where a platform cannot keep a promise, its
 * `Abilities` say so and the test asserts what happens instead.
 *
 * Left out: whether TCP_NODELAY was set, which no platform lets one read.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";

import type { Connection } from "../src/connection.ts";
import type { Endpoint } from "../src/core/endpoint.ts";
import { ConnectError } from "../src/errors.ts";
import type { TlsOptions } from "../src/options.ts";
import type { AttemptError } from "../src/runtime/attempt_error.ts";
import type { DialOptions, Runtime } from "../src/runtime/runtime.ts";
import { CountedAbort } from "./fake_network.ts";
import { test } from "./harness.ts";

/** The server's end of one connection. It does nothing by itself. */
export interface Peer {
  readonly remoteAddress: string;
  /** The name the client sent (SNI). */
  readonly serverName: string | null;
  /** The common name in the client's certificate. */
  readonly clientName: string | null;
  /** Some bytes; `null` at the client's FIN. */
  read(): Promise<Uint8Array | null>;
  write(bytes: Uint8Array): Promise<void>;
  /** Sends FIN. */
  end(): Promise<void>;
  /** Sends RST. */
  reset(): void;
  /** Closes at once. */
  destroy(): void;
  /** Becomes the server of a TLS handshake. */
  startTls(options?: ServerTlsOptions): Promise<Peer>;
}

/** How to speak TLS. */
export interface ServerTlsOptions {
  /** @default "server" */
  readonly certificate?: "server" | "expired";
  readonly alpnProtocols?: string[];
  readonly requestsClient?: boolean;
}

/** What a server does with each connection. */
export type Behaviour = (peer: Peer) => void | Promise<void>;

/** How to serve. */
export interface ServerOptions {
  /** @default "127.0.0.1" */
  readonly address?: string;
  readonly tls?: ServerTlsOptions;
}

/** A server; disposal closes it and what is connected to it. */
export interface Server extends AsyncDisposable {
  readonly endpoint: Endpoint;
  /** How many connections were accepted. */
  readonly accepted: number;
  /** Resolves when all connections made so far are closed by their clients. */
  idle(): Promise<void>;
}

/** A place where SYNs get no answer. */
export interface BlackHole extends AsyncDisposable {
  readonly endpoint: Endpoint;
  /** How many are waiting for one. */
  dialling(): number;
}

/** Everything outside the runtime. */
export interface World {
  serve(behaviour: Behaviour, options?: ServerOptions): Promise<Server>;
  /** An endpoint that answers with RST. */
  refusing(address: string): Promise<Endpoint>;
  readonly blackHole: (() => Promise<BlackHole>) | undefined;
  /** A local IPv4 address that is not the one the system would choose. */
  readonly secondLocalAddress: string;
  /** With its zone id. */
  readonly linkLocalAddress: string | undefined;
  /** Whether the system probes the connection between these ports. */
  readonly keepsAlive?:
    | ((localPort: number, remotePort: number) => Promise<boolean>)
    | undefined;
  /** The authority of the servers' certificates, and a client's. */
  readonly certificates: { ca: string; client: string; clientKey: string };
  /** Lets everything that can run, run. */
  turn(): Promise<void>;
}

/** What a platform cannot do. */
export interface Abilities {
  readonly clientCertificates: boolean;
  /** Releases the descriptor of a handshake that is cancelled. */
  readonly endsHandshakes: boolean;
  /** Knows of plain text that came in and was not read. */
  readonly knowsBuffered: boolean;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const silent: Behaviour = () => {};
const MIB = 1024 * 1024;

/** Sends back what comes, then FIN after FIN. */
export async function echo(peer: Peer): Promise<void> {
  for (;;) {
    const bytes = await peer.read();
    if (bytes === null) break;
    await peer.write(bytes);
  }
  await peer.end();
}

/** Bytes that tell their place: a shifted or lost one is seen. */
function pattern(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

function concat(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const size = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}

/** All that comes until FIN. */
async function readAll(
  stream: ReadableStream<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
  }
  reader.releaseLock();
  return concat(chunks);
}

async function readText(stream: ReadableStream<Uint8Array>): Promise<string> {
  return decoder.decode(await readAll(stream));
}

/** All that a peer gets until FIN. */
async function receive(peer: Peer): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const bytes = await peer.read();
    if (bytes === null) return concat(chunks);
    chunks.push(bytes);
  }
}

/** All that comes until FIN, by a BYOB reader whose views are of this kind. */
async function readAllInto(
  stream: ReadableStream<Uint8Array>,
  View: new (length: number) => ArrayBufferView<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  const reader = stream.getReader({ mode: "byob" });
  for (let length = 1;; length = length * 3 % 40_009) {
    const { done, value } = await reader.read(new View(length));
    if (done) break;
    chunks.push(
      new Uint8Array(value.buffer, value.byteOffset, value.byteLength),
    );
  }
  reader.releaseLock();
  return concat(chunks);
}

/** What can be written, of each kind, by its name; all hold `bytes`. */
function writables(
  bytes: Uint8Array<ArrayBuffer>,
): Record<string, ArrayBufferView | ArrayBufferLike> {
  const inside = new Uint8Array(bytes.length + 24);
  inside.set(bytes, 8);
  const wide = bytes.length / 8;
  const chunks: Record<string, ArrayBufferView | ArrayBufferLike> = {
    "a part of a larger buffer": inside.subarray(8, 8 + bytes.length),
    DataView: new DataView(inside.slice().buffer, 8, bytes.length),
    Float64Array: new Float64Array(inside.slice().buffer, 8, wide),
    ArrayBuffer: bytes.slice().buffer,
  };
  // Not every platform has it.
  if (typeof SharedArrayBuffer === "function") {
    const shared = () => {
      const buffer = new SharedArrayBuffer(bytes.length);
      new Uint8Array(buffer).set(bytes);
      return buffer;
    };
    chunks.SharedArrayBuffer = shared();
    chunks["a view of a SharedArrayBuffer"] = new Uint8Array(shared());
  }
  return chunks;
}

/** A promise and what settles it. */
interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T | PromiseLike<T>): void;
}

function deferred<T = void>(): Deferred<T> {
  let resolve!: Deferred<T>["resolve"];
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** A TLS server that can tell who its client asked for, and who that is. */
async function serveNames(
  world: World,
  address = "127.0.0.1",
  options?: ServerTlsOptions,
): Promise<{ server: Server; peer: Promise<Peer> }> {
  const { promise, resolve } = deferred<Peer>();
  const server = await world.serve(
    async (peer) => resolve(await peer.startTls(options)),
    { address },
  );
  return { server, peer: promise };
}

/** A server that lets the test play the peer. */
async function servePeer(
  world: World,
  options?: ServerOptions,
): Promise<{ server: Server; peer: Promise<Peer> }> {
  const { promise, resolve } = deferred<Peer>();
  const server = await world.serve((peer) => resolve(peer), options);
  return { server, peer: promise };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await assertRejects(() => promise, Error) as AttemptError;
  assertInstanceOf(error.cause, Error);
  assertNotEquals(error.message, "");
  return error.code;
}

/** Registers the suite. */
export function runtimeConformance(
  runtime: Runtime,
  world: World,
  abilities: Abilities,
): void {
  const { ca, client, clientKey } = world.certificates;
  const trusting: TlsOptions = { caCerts: [ca] };

  function dial(
    endpoint: Endpoint,
    options: Partial<DialOptions> = {},
    signal: AbortSignal = new AbortController().signal,
    onTcp: () => void = () => {},
  ): Promise<Connection> {
    const { address } = endpoint;
    return runtime.connect(
      endpoint,
      {
        hostname: options.tls ? "localhost" : address,
        tls: null,
        allowHalfOpen: false,
        noDelay: true,
        keepAlive: false,
        ...options,
      },
      signal,
      onTcp,
    );
  }

  const define = (name: string, fn: () => Promise<void>) =>
    test(`${runtime.name}: ${name}`, fn);

  // TCP

  for (const address of ["127.0.0.1", "::1", world.linkLocalAddress]) {
    if (address === undefined) continue;
    define(
      `connect() opens ${
        address.replace(/.*%.*/, "an address with a zone id")
      }`,
      async () => {
        const { server, peer } = await servePeer(world, { address });
        const { endpoint } = server;
        const connection = await dial(endpoint);
        const { remoteAddr, localAddr, alpnProtocol } = connection;
        const { remoteAddress } = await peer;
        assertEquals(remoteAddr, {
          transport: "tcp",
          hostname: address,
          port: endpoint.port,
        });
        assertEquals(
          withoutZone(localAddr!.hostname),
          withoutZone(remoteAddress),
        );
        assertStrictEquals(alpnProtocol, null);
        const { remoteAddress: to, alpn } = await connection.opened;
        const host = endpoint.family === 6 ? `[${address}]` : address;
        assertEquals([to, alpn], [`${host}:${endpoint.port}`, null]);
        await connection.close();
        await server.idle();
        assertEquals(server.accepted, 1);
        await server[Symbol.asyncDispose]();
      },
    );
  }

  define("connect() fails with ECONNREFUSED and its cause", async () => {
    for (const address of ["127.0.0.1", "::1"]) {
      const endpoint = await world.refusing(address);
      for (const tls of [null, trusting]) {
        assertEquals(await codeOf(dial(endpoint, { tls })), "ECONNREFUSED");
      }
    }
  });

  define("connect() connects from the local address", async () => {
    const { server, peer } = await servePeer(world);
    await using _ = server;
    const localAddress = world.secondLocalAddress;
    const connection = await dial({ ...server.endpoint, localAddress });
    assertEquals((await peer).remoteAddress, localAddress);
    assertEquals(connection.localAddr?.hostname, localAddress);
    await connection.close();
    await server.idle();
  });

  define(
    "connect() fails with EADDRNOTAVAIL from an address that is not ours",
    async () => {
      await using server = await world.serve(silent);
      const localAddress = "192.0.2.99";
      const code = await codeOf(dial({ ...server.endpoint, localAddress }));
      assertEquals(code, "EADDRNOTAVAIL");
      await server.idle();
      assertEquals(server.accepted, 0);
    },
  );

  define(
    "connect() takes a local address of the wrong family as a failure (hazard 6)",
    async () => {
      await using server = await world.serve(silent);
      const localAddress = "::1";
      await codeOf(dial({ ...server.endpoint, localAddress }));
      await server.idle();
      assertEquals(server.accepted, 0);
    },
  );

  if (world.keepsAlive) {
    const { keepsAlive } = world;
    for (const tls of [null, trusting]) {
      define(
        `connect() sets SO_KEEPALIVE as asked${tls ? ", with TLS too" : ""}`,
        async () => {
          await using server = await world.serve(
            silent,
            tls ? { tls: {} } : {},
          );
          for (const keepAlive of [true, false]) {
            const connection = await dial(server.endpoint, { tls, keepAlive });
            const { port } = connection.localAddr!;
            assertEquals(
              await keepsAlive(port, server.endpoint.port),
              keepAlive,
            );
            await connection.close();
          }
          await server.idle();
        },
      );
    }
  }

  // Cancellation

  define(
    "connect() with an aborted signal starts nothing (hazard 10)",
    async () => {
      await using server = await world.serve(silent);
      const reason = new Error("never mind");
      const error = await assertRejects(() =>
        dial(server.endpoint, {}, AbortSignal.abort(reason))
      );
      assertStrictEquals(error, reason);
      await server.idle();
      assertEquals(server.accepted, 0);
    },
  );

  if (world.blackHole) {
    const { blackHole } = world;
    define(
      "connect() that is aborted takes its SYN back (hazard 11)",
      async () => {
        await using hole = await blackHole();
        for (const tls of [null, trusting]) {
          const controller = new AbortController();
          const dialled = dial(hole.endpoint, { tls }, controller.signal);
          dialled.catch(() => {});
          while (hole.dialling() === 0) await world.turn();
          const reason = { not: "even an error" };
          controller.abort(reason);
          const error = await dialled.then(() => null, (error) => error);
          assertStrictEquals(error, reason);
          while (hole.dialling() > 0) await world.turn();
        }
      },
    );
  }

  define("connect() is deaf to its signal once it is done", async () => {
    await using server = await world.serve(echo);
    const controller = new AbortController();
    const connection = await dial(server.endpoint, {}, controller.signal);
    controller.abort();
    await world.turn();
    const text = readText(connection.readable);
    const writer = connection.writable.getWriter();
    await writer.write(encoder.encode("still here"));
    await writer.close();
    assertEquals(await text, "still here");
    await connection.closed;
  });

  define(
    "connect() leaves nothing open when aborted at any moment (hazards 3, 4, 9)",
    async () => {
      await using server = await world.serve(silent);
      await abortAtAnyMoment(server, {});
    },
  );

  if (abilities.endsHandshakes) {
    define(
      "connect() with TLS leaves nothing open when aborted at any moment",
      async () => {
        await using server = await world.serve(silent, { tls: {} });
        await abortAtAnyMoment(server, { tls: trusting });
      },
    );
  }

  /** In some runs the abort comes too late, in some too early to see. */
  async function abortAtAnyMoment(
    server: Server,
    options: Partial<DialOptions>,
  ): Promise<void> {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const moments = pattern(8).map((byte, i) => byte ^ (seed >>> i));
    for (let i = 0; i < 160; i++) {
      const controller = new CountedAbort();
      const reason = new Error("too late");
      const dialled = dial(server.endpoint, options, controller.signal).then(
        (connection) => connection.close("not needed"),
        (error) => assertStrictEquals(error, reason, `seed ${seed}`),
      );
      dialled.catch(() => {});
      const moment = (moments[i % 8]! + i) % 16;
      for (let turns = moment >> 1; turns > 0; turns--) await world.turn();
      for (let jobs = i % 8; jobs > 0; jobs--) await null;
      controller.abort(reason);
      await dialled;
      assertEquals(controller.listeners, 0, `seed ${seed}`);
    }
    await server.idle();
  }

  define("connect() leaves no listener on its signal (hazard 12)", async () => {
    await using server = await world.serve(silent);
    const counted = new CountedAbort();
    const refusing = await world.refusing("127.0.0.1");
    await assertRejects(() => dial(refusing, {}, counted.signal));
    const connection = await dial(server.endpoint, {}, counted.signal);
    assertEquals(counted.listeners, 0);
    await connection.close();
  });

  // TLS

  define(
    "connect() verifies the hostname and sends it, whatever the address (hazard 55)",
    async () => {
      const { server, peer } = await serveNames(world);
      await using _ = server;
      const hostname = "example.test";
      const connection = await dial(server.endpoint, {
        hostname,
        tls: trusting,
      });
      assertEquals((await peer).serverName, hostname);
      await connection.close();
      await server.idle();
    },
  );

  define("connect() verifies serverName instead of the hostname", async () => {
    const { server, peer } = await serveNames(world);
    await using _ = server;
    const serverName = "localhost";
    const hostname = "wrong.test";
    const tls = { ...trusting, serverName };
    const connection = await dial(server.endpoint, { hostname, tls });
    assertEquals((await peer).serverName, serverName);
    await connection.close();
    await server.idle();
  });

  define(
    "connect() verifies an address where it is all there is, and sends no name",
    async () => {
      for (const address of ["127.0.0.1", "::1"]) {
        const { server, peer } = await serveNames(world, address);
        const options = { hostname: address, tls: trusting };
        const connection = await dial(server.endpoint, options);
        assertEquals((await peer).serverName, null);
        await connection.close();
        await server.idle();
        await server[Symbol.asyncDispose]();
      }
    },
  );

  const badCertificates: [
    why: string,
    hostname: string,
    TlsOptions,
    ServerTlsOptions,
  ][] = [
    // The address is in the certificate, the name is not.
    ["another name", "wrong.test", trusting, {}],
    ["another serverName", "localhost", {
      ...trusting,
      serverName: "wrong.test",
    }, {}],
    ["another address", "192.0.2.1", trusting, {}],
    ["an unknown authority", "localhost", {}, {}],
    ["a date in the past", "localhost", trusting, { certificate: "expired" }],
  ];
  for (const [why, hostname, tls, serverTls] of badCertificates) {
    define(`connect() fails with ERR_TLS_CERT at ${why}`, async () => {
      await using server = await world.serve(silent, { tls: serverTls });
      const code = await codeOf(dial(server.endpoint, { hostname, tls }));
      assertEquals(code, "ERR_TLS_CERT");
      await server.idle();
      assertEquals(server.accepted, 1);
    });
  }

  const badServers: [what: string, Behaviour][] = [
    [
      "does not speak TLS",
      (peer) => peer.write(encoder.encode("220 hello\r\n")),
    ],
    ["leaves", (peer) => peer.end()],
    ["resets", async (peer) => {
      await peer.read();
      peer.reset();
    }],
  ];
  for (const [what, behaviour] of badServers) {
    define(
      `connect() fails with ERR_TLS_HANDSHAKE when the server ${what}`,
      async () => {
        await using server = await world.serve(behaviour);
        const code = await codeOf(dial(server.endpoint, { tls: trusting }));
        assertEquals(code, "ERR_TLS_HANDSHAKE");
        await server.idle();
      },
    );
  }

  define(
    "connect() that is aborted amid the handshake ends it (hazard 11)",
    async () => {
      const { server, peer } = await servePeer(world);
      await using _ = server;
      const controller = new AbortController();
      const { signal } = controller;
      const dialled = dial(server.endpoint, { tls: trusting }, signal);
      dialled.catch(() => {});
      // The hello is in; no answer will come.
      assertNotEquals(await (await peer).read(), null);
      const reason = new Error("never mind");
      controller.abort(reason);
      assertStrictEquals(await assertRejects(() => dialled), reason);
      if (abilities.endsHandshakes) await server.idle();
    },
  );

  define(
    "connect() calls onTcp once, when TLS begins, and never without TLS",
    async () => {
      const { server, peer } = await servePeer(world);
      await using _ = server;
      const begun = deferred();
      let calls = 0;
      const tls = dial(server.endpoint, { tls: trusting }, undefined, () => {
        calls++;
        begun.resolve();
      });
      await begun.promise;
      (await peer).destroy();
      assertEquals(await codeOf(tls), "ERR_TLS_HANDSHAKE");
      assertEquals(calls, 1);
      const plain = await dial(server.endpoint, {}, undefined, () => calls++);
      assertEquals(calls, 1);
      await plain.close();
    },
  );

  define("connect() aborted in onTcp rejects with the reason", async () => {
    await using server = await world.serve(silent, { tls: {} });
    const controller = new AbortController();
    const reason = new Error("never mind");
    const abort = () => controller.abort(reason);
    const error = await assertRejects(() =>
      dial(server.endpoint, { tls: trusting }, controller.signal, abort)
    );
    assertStrictEquals(error, reason);
    await server.idle();
  });

  define("connect() agrees on a protocol by ALPN, or on none", async () => {
    const alpnProtocols = ["h2", "http/1.1"];
    for (
      const [offered, agreed] of [[["http/1.1"], "http/1.1"], [
        undefined,
        null,
      ]] as const
    ) {
      const options = { tls: { alpnProtocols } };
      await using server = await world.serve(silent, options);
      const tls = { ...trusting, alpnProtocols: offered };
      const connection = await dial(server.endpoint, { tls });
      assertEquals(connection.alpnProtocol, agreed);
      assertEquals((await connection.opened).alpn, agreed);
      await connection.close();
      await server.idle();
    }
  });

  const withClient = { ...trusting, cert: client, key: clientKey };
  if (abilities.clientCertificates) {
    define("connect() shows its certificate", async () => {
      const options = { requestsClient: true };
      const { server, peer } = await serveNames(world, undefined, options);
      await using _ = server;
      const connection = await dial(server.endpoint, { tls: withClient });
      assertEquals((await peer).clientName, "client");
      await connection.close();
      await server.idle();
    });
  } else {
    define(
      "check() refuses a client certificate rather than leave it out",
      async () => {
        const options = {
          hostname: "localhost",
          tls: withClient,
          allowHalfOpen: false,
          noDelay: true,
          keepAlive: false,
        };
        assertThrows(() => runtime.check!(options, []), TypeError);
        await Promise.resolve();
      },
    );
  }

  // Data, in plain text and over TLS

  for (const tls of [null, trusting]) {
    const kind = tls ? "TLS" : "TCP";
    const serverTls = tls ? { tls: {} } : {};
    const open = ({ endpoint }: Server, options: Partial<DialOptions> = {}) =>
      dial(endpoint, { tls, ...options });

    define(
      `${kind}: 8 MiB each way at once come through in order`,
      async () => {
        await using server = await world.serve(echo, serverTls);
        const connection = await open(server);
        const sent = pattern(8 * MIB);
        const received = readAll(connection.readable);
        const writer = connection.writable.getWriter();
        for (let i = 0; i < sent.length; i += 50_000) {
          await writer.ready;
          writer.write(sent.subarray(i, i + 50_000)).catch(() => {});
        }
        await writer.close();
        assert(isSame(await received, sent));
        await connection.closed;
        await server.idle();
      },
    );

    define(
      `${kind}: the server that speaks first is heard (hazard 18)`,
      async () => {
        const said = deferred();
        await using server = await world.serve(async (peer) => {
          await peer.write(encoder.encode("220 ready\r\n"));
          await peer.end();
          said.resolve();
        }, serverTls);
        const connection = await open(server);
        await said.promise;
        await world.turn();
        assertEquals(await readText(connection.readable), "220 ready\r\n");
        await connection.closed;
        await server.idle();
      },
    );

    define(
      `${kind}: a BYOB reader gets every byte, in buffers of any size`,
      async () => {
        const sent = pattern(100_000);
        await using server = await world.serve(async (peer) => {
          await peer.write(sent);
          await peer.end();
        }, serverTls);
        const connection = await open(server);
        const received = await readAllInto(connection.readable, Uint8Array);
        assert(isSame(received, sent));
        await connection.closed;
        await server.idle();
      },
    );

    const readers: [name: string, read: typeof readAll][] = [
      ["a default reader", readAll],
      ["a BYOB reader", (stream) => readAllInto(stream, Uint8Array)],
      [
        "a BYOB reader of wide elements",
        (stream) => readAllInto(stream, Float64Array),
      ],
    ];
    for (const [name, read] of readers) {
      define(
        `${kind}: ${name} gets chunks of any size, on many connections at once`,
        async () => {
          // Around the sizes of records and buffers; together a multiple of 8.
          const sizes = [1, 2, 3, 16_383, 16_384, 16_385]
            .concat([65_535, 65_536, 65_537, 131_074]);
          const sent = pattern(sizes.reduce((sum, size) => sum + size));
          await using server = await world.serve(async (peer) => {
            let offset = 0;
            for (const size of sizes) {
              await peer.write(sent.subarray(offset, offset += size));
              await world.turn();
            }
            await peer.end();
          }, serverTls);
          await Promise.all(Array.from({ length: 8 }, async () => {
            const connection = await open(server);
            assert(isSame(await read(connection.readable), sent));
            await connection.closed;
          }));
          await server.idle();
        },
      );
    }

    define(
      `${kind}: few bytes do not hold on to a large buffer`,
      async () => {
        const { server, peer } = await servePeer(world, serverTls);
        await using _ = server;
        const connection = await open(server);
        const far = await peer;
        const readFew = async () => {
          const reader = connection.readable.getReader();
          const { value } = await reader.read();
          reader.releaseLock();
          // workerd's own streams bring a buffer of that size.
          assert(value!.buffer.byteLength <= 4096);
          return value!;
        };
        const text = encoder.encode("few");
        await far.write(text);
        assertEquals(decoder.decode(await readFew()), "few");
        // The end of a large chunk, all but which was read.
        await far.write(pattern(10_000));
        await far.write(text);
        const byob = connection.readable.getReader({ mode: "byob" });
        for (let left = 10_000; left > 0;) {
          const { value } = await byob.read(new Uint8Array(left));
          left -= value!.length;
        }
        byob.releaseLock();
        assertEquals(decoder.decode(await readFew()), "few");
        await connection.close();
      },
    );

    define(
      `${kind}: what is written stays the caller's, who may change it then`,
      async () => {
        const { server, peer } = await servePeer(world, serverTls);
        await using _ = server;
        const connection = await open(server);
        const received = receive(await peer);
        const writer = connection.writable.getWriter();
        const expected: Uint8Array[] = [];
        for (const size of [8, 300_000]) {
          const sent = pattern(size);
          for (const [name, chunk] of Object.entries(writables(sent))) {
            await writer.write(chunk as Uint8Array);
            const bytes = ArrayBuffer.isView(chunk)
              ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
              : new Uint8Array(chunk);
            assert(isSame(bytes, sent), name);
            bytes.fill(0);
            expected.push(sent);
          }
        }
        await writer.close();
        assert(isSame(await received, concat(expected)));
        await connection.close();
      },
    );

    define(
      `${kind}: readable.cancel() amid a read drops what still comes, and no more`,
      async () => {
        for (const isByob of [false, true]) {
          const { server, peer } = await servePeer(world, serverTls);
          await using _ = server;
          const connection = await open(server);
          const far = await peer;
          const { readable } = connection;
          const reader = isByob
            ? readable.getReader({ mode: "byob" })
            : readable.getReader();
          const reading = reader.read(new Uint8Array(4));
          await world.turn();
          await reader.cancel();
          assertEquals((await reading).done, true);
          await far.write(encoder.encode("nobody wants it"));
          const writer = connection.writable.getWriter();
          await writer.write(encoder.encode("and yet"));
          await writer.close();
          assertEquals(decoder.decode(await receive(far)), "and yet");
          await connection.closed;
          await server.idle();
        }
      },
    );

    define(
      `${kind}: an end that came before the first read is one`,
      async () => {
        const { server, peer } = await servePeer(world, serverTls);
        await using _ = server;
        const connection = await open(server);
        await (await peer).end();
        for (let i = 0; i < 100; i++) await world.turn();
        assertEquals(await readText(connection.readable), "");
        await connection.closed;
        await server.idle();
      },
    );

    define(`${kind}: default and BYOB readers share one stream`, async () => {
      await using server = await world.serve(async (peer) => {
        await peer.write(encoder.encode("one two three"));
        await peer.end();
      }, serverTls);
      const connection = await open(server);
      const byob = connection.readable.getReader({ mode: "byob" });
      let text = "";
      while (text.length < 4) {
        const { value } = await byob.read(new Uint8Array(4 - text.length));
        text += decoder.decode(value);
      }
      byob.releaseLock();
      assertEquals(text, "one ");
      assertEquals(await readText(connection.readable), "two three");
      await connection.closed;
    });

    define(
      `${kind}: a peer that does not read holds the writer back`,
      async () => {
        const { server, peer } = await servePeer(world, serverTls);
        await using _ = server;
        const connection = await open(server);
        const writer = connection.writable.getWriter();
        const chunk = pattern(MIB);
        const total = 64;
        let done = 0;
        const writing = (async () => {
          for (let i = 0; i < total; i++) {
            await writer.write(chunk);
            done++;
          }
          await writer.close();
        })();
        // Until a thousand turns have brought nothing.
        for (let before = -1; before !== done;) {
          before = done;
          for (let i = 0; i < 1000; i++) await world.turn();
        }
        assert(done < total, `${done} MiB were taken`);
        assertEquals((await receive(await peer)).length, total * MIB);
        await writing;
        await connection.close();
      },
    );

    define(
      `${kind}: a reader that does not read holds the peer back`,
      async () => {
        let done = 0;
        const total = 64;
        const chunk = pattern(MIB);
        await using server = await world.serve(async (peer) => {
          for (; done < total; done++) await peer.write(chunk);
          await peer.end();
        }, serverTls);
        const connection = await open(server);
        const reader = connection.readable.getReader();
        let size = (await reader.read()).value!.length;
        for (let before = -1; before !== done;) {
          before = done;
          for (let i = 0; i < 1000; i++) await world.turn();
        }
        assert(done < total, `${done} MiB were sent`);
        for (;;) {
          const { value } = await reader.read();
          if (!value) break;
          size += value.length;
        }
        assertEquals(size, total * MIB);
        await connection.closed;
      },
    );

    define(
      `${kind}: without allowHalfOpen the writable side ends after the peer's FIN was read`,
      async () => {
        const { server, peer } = await servePeer(world, serverTls);
        await using _ = server;
        const connection = await open(server);
        const far = await peer;
        await far.end();
        assertEquals(await readText(connection.readable), "");
        assertEquals(await far.read(), null);
        await connection.closed;
        const writer = connection.writable.getWriter();
        await assertRejects(
          () => writer.write(encoder.encode("too late")),
          TypeError,
        );
        await server.idle();
      },
    );

    define(
      `${kind}: with allowHalfOpen the writable side outlives the peer's FIN`,
      async () => {
        const { server, peer } = await servePeer(world, serverTls);
        await using _ = server;
        const connection = await open(server, { allowHalfOpen: true });
        const far = await peer;
        await far.end();
        assertEquals(await readText(connection.readable), "");
        const writer = connection.writable.getWriter();
        await writer.write(encoder.encode("one more thing"));
        await writer.close();
        assertEquals(decoder.decode(await receive(far)), "one more thing");
        await connection.closed;
        await server.idle();
      },
    );

    for (const allowHalfOpen of [false, true]) {
      define(
        `${kind}: reading goes on after writable.close(), allowHalfOpen ${allowHalfOpen}`,
        async () => {
          const { server, peer } = await servePeer(world, serverTls);
          await using _ = server;
          const connection = await open(server, { allowHalfOpen });
          await connection.writable.close();
          const far = await peer;
          assertEquals(await far.read(), null);
          await far.write(encoder.encode("the answer"));
          await far.end();
          assertEquals(await readText(connection.readable), "the answer");
          await connection.closed;
          await server.idle();
        },
      );
    }

    define(
      `${kind}: close() flushes what was written, sends FIN and ends reads`,
      async () => {
        const { server, peer } = await servePeer(world, serverTls);
        await using _ = server;
        const connection = await open(server);
        const reading = connection.readable.getReader().read();
        const writer = connection.writable.getWriter();
        const sent = pattern(MIB);
        const writes = [0, 1, 2, 3].map((i) =>
          writer.write(sent.subarray(i * MIB / 4, (i + 1) * MIB / 4))
        );
        const closed = connection.close();
        assertEquals((await reading).done, true);
        assert(isSame(await receive(await peer), sent));
        await Promise.all(writes);
        await closed;
        await assertRejects(() => writer.write(sent), TypeError);
        assertStrictEquals(connection.close(), closed);
        await server.idle();
      },
    );

    define(`${kind}: close(reason) ends everything at once`, async () => {
      await using server = await world.serve(silent, serverTls);
      const connection = await open(server);
      const reader = connection.readable.getReader();
      const writer = connection.writable.getWriter();
      const reading = assertRejects(() => reader.read());
      // More than the peer, who does not read, can be sent.
      const writing = assertRejects(() =>
        writer.write(new Uint8Array(64 * MIB))
      );
      const reason = new Error("enough");
      await connection.close(reason);
      assertStrictEquals(await reading, reason);
      await writing;
      assertStrictEquals(await assertRejects(() => writer.closed), reason);
      await server.idle();
    });

    define(
      `${kind}: writable.abort(reason) ends a write that is stalled`,
      async () => {
        await using server = await world.serve(silent, serverTls);
        const connection = await open(server);
        const writer = connection.writable.getWriter();
        const writing = assertRejects(() =>
          writer.write(new Uint8Array(64 * MIB))
        );
        await world.turn();
        const reason = new Error("enough");
        await writer.abort(reason);
        await writing;
        await connection.closed;
        const reader = connection.readable.getReader();
        assertStrictEquals(await assertRejects(() => reader.read()), reason);
        await server.idle();
      },
    );

    define(`${kind}: disposal flushes and never rejects`, async () => {
      const { server, peer } = await servePeer(world, serverTls);
      await using _ = server;
      {
        await using connection = await open(server);
        connection.writable.getWriter().write(encoder.encode("bye"));
      }
      assertEquals(decoder.decode(await receive(await peer)), "bye");
      await server.idle();
    });

    define(
      `${kind}: disposal gives up on a peer that does not read`,
      async () => {
        await using server = await world.serve(silent, serverTls);
        const connection = await open(server);
        const writing = assertRejects(() =>
          connection.writable.getWriter().write(new Uint8Array(64 * MIB))
        );
        await connection[Symbol.asyncDispose]();
        await writing;
        await assertRejects(() => connection.closed);
        await server.idle();
      },
    );
  }

  define("a reset is an error of both streams and of closed", async () => {
    const { server, peer } = await servePeer(world);
    await using _ = server;
    const connection = await dial(server.endpoint);
    const reader = connection.readable.getReader();
    const writer = connection.writable.getWriter();
    const reading = codeOf(reader.read());
    (await peer).reset();
    assertEquals(await reading, "ECONNRESET");
    assertEquals(await codeOf(writer.closed), "ECONNRESET");
    assertEquals(await codeOf(connection.closed), "ECONNRESET");
    await server.idle();
  });

  for (const from of ["", ", from a local address too"]) {
    define(`a reset amid a write is ECONNRESET${from}`, async () => {
      const local = from ? { localAddress: world.secondLocalAddress } : {};
      for (const isRead of [true, false]) {
        const { server, peer } = await servePeer(world);
        await using _ = server;
        const connection = await dial({ ...server.endpoint, ...local });
        const reader = connection.readable.getReader();
        const reading = isRead ? codeOf(reader.read()) : "ECONNRESET";
        const writer = connection.writable.getWriter();
        const writing = codeOf(writer.write(new Uint8Array(64 * MIB)));
        // Some of it is under way, and the rest waits.
        assertNotEquals(await (await peer).read(), null);
        (await peer).reset();
        assertEquals([await writing, await reading], [
          "ECONNRESET",
          "ECONNRESET",
        ]);
        assertEquals(await codeOf(connection.closed), "ECONNRESET");
        await server.idle();
      }
    });
  }

  // STARTTLS

  /** Plain text until the client says so. */
  async function upgradable(peer: Peer): Promise<void> {
    const asked = await peer.read();
    if (asked === null) return;
    await peer.write(encoder.encode("go ahead"));
    await echo(await peer.startTls());
  }

  /** A connection whose peer waits for a handshake. */
  async function openUpgradable(
    server: Server,
    hostname = "localhost",
  ): Promise<Connection> {
    const connection = await dial(server.endpoint, { hostname });
    const writer = connection.writable.getWriter();
    await writer.write(encoder.encode("STARTTLS"));
    writer.releaseLock();
    const reader = connection.readable.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    assertEquals(decoder.decode(value), "go ahead");
    return connection;
  }

  define("startTls() makes a TLS connection of one in plain text", async () => {
    await using server = await world.serve(upgradable);
    const connection = await openUpgradable(server);
    const { closed, localAddr } = connection;
    const order: string[] = [];
    closed.then(() => order.push("closed"));
    const secure = await connection.startTls(trusting).then((secure) => {
      order.push("secure");
      return secure;
    });
    await closed;
    assertEquals(order, ["secure", "closed"]);
    assertEquals([connection.upgraded, secure.upgraded], [true, false]);
    assertEquals(secure.localAddr, localAddr);
    await assertRejects(
      () => connection.readable.getReader().read(),
      TypeError,
    );
    await assertRejects(
      () => connection.writable.getWriter().write(new Uint8Array(1)),
      TypeError,
    );
    await connection.close();
    const text = readText(secure.readable);
    const writer = secure.writable.getWriter();
    await writer.write(encoder.encode("in private"));
    await writer.close();
    assertEquals(await text, "in private");
    await secure.closed;
    await server.idle();
  });

  define(
    "startTls() that fails tells where, and closes the connection",
    async () => {
      await using server = await world.serve(upgradable);
      const { address, family, port } = server.endpoint;
      const connection = await openUpgradable(server, "wrong.test");
      const error = await assertRejects(
        () => connection.startTls(trusting),
        ConnectError,
      );
      assertEquals([error.hostname, error.port, error.code], [
        "wrong.test",
        port,
        "ERR_TLS_CERT",
      ]);
      assertMatch(
        error.message,
        new RegExp(
          `^Cannot connect to "wrong.test" port ${port}: ${address} ERR_TLS_CERT`,
        ),
      );
      const [attempt, ...others] = error.attempts;
      assertEquals(others, []);
      assertEquals(attempt!.endpoint, { address, family, port });
      assert(attempt!.duration >= 0);
      assertStrictEquals(error.cause, attempt!.error);
      assertEquals((attempt!.error as AttemptError).code, "ERR_TLS_CERT");
      assertInstanceOf((attempt!.error as AttemptError).cause, Error);
      assertEquals(connection.upgraded, false);
      assertStrictEquals(
        await assertRejects(() => connection.closed),
        error,
      );
      await server.idle();
    },
  );

  define(
    "startTls() whose server is silent ends with its signal, at once",
    async () => {
      const { server, peer } = await servePeer(world);
      await using _ = server;
      const connection = await dial(server.endpoint, { hostname: "localhost" });
      const controller = new CountedAbort();
      const { signal } = controller;
      const starting = connection.startTls({ ...trusting, signal });
      starting.catch(() => {});
      // The hello is in; no answer will come.
      assertNotEquals(await (await peer).read(), null);
      const reason = { not: "even an error" };
      controller.abort(reason);
      const error = await starting.then(() => null, (error) => error);
      assertStrictEquals(error, reason);
      assertEquals([controller.listeners, connection.upgraded], [0, false]);
      await connection.closed;
      if (abilities.endsHandshakes) await server.idle();
    },
  );

  define(
    "startTls() with an aborted signal closes the connection",
    async () => {
      await using server = await world.serve(silent);
      const connection = await dial(server.endpoint, { hostname: "localhost" });
      const reason = new Error("never mind");
      const signal = AbortSignal.abort(reason);
      const error = await assertRejects(() =>
        connection.startTls({ ...trusting, signal })
      );
      assertStrictEquals(error, reason);
      await connection.closed;
      await server.idle();
    },
  );

  define("startTls() is deaf to its signal once it is done", async () => {
    await using server = await world.serve(upgradable);
    const connection = await openUpgradable(server);
    const controller = new CountedAbort();
    const { signal } = controller;
    const secure = await connection.startTls({ ...trusting, signal });
    assertEquals(controller.listeners, 0);
    controller.abort();
    const text = readText(secure.readable);
    const writer = secure.writable.getWriter();
    await writer.write(encoder.encode("still here"));
    await writer.close();
    assertEquals(await text, "still here");
    await secure.closed;
    await server.idle();
  });

  define("startTls() fails when the peer has left", async () => {
    const { server, peer } = await servePeer(world);
    await using _ = server;
    const connection = await dial(server.endpoint, { hostname: "localhost" });
    await (await peer).end();
    const code = await codeOf(connection.startTls(trusting));
    assertEquals(code, "ERR_TLS_HANDSHAKE");
    await assertRejects(() => connection.closed);
    await server.idle();
  });

  define("startTls() ends with close()", async () => {
    const { server, peer } = await servePeer(world);
    await using _ = server;
    const connection = await dial(server.endpoint, { hostname: "localhost" });
    const starting = connection.startTls(trusting);
    starting.catch(() => {});
    assertNotEquals(await (await peer).read(), null);
    await connection.close();
    await assertRejects(() => starting, TypeError);
    if (abilities.endsHandshakes) await server.idle();
  });

  define(
    "startTls() refuses while the connection is in use, and leaves it as it is",
    async () => {
      await using server = await world.serve(echo);
      const connection = await dial(server.endpoint);
      const refuses = () =>
        assertRejects(() => connection.startTls(trusting), TypeError);
      const reader = connection.readable.getReader();
      await refuses();
      reader.releaseLock();
      const writer = connection.writable.getWriter();
      await refuses();
      const writing = writer.write(encoder.encode("still in plain text"));
      writer.releaseLock();
      await refuses();
      await writing;
      await connection.writable.close();
      await refuses();
      assertEquals(await readText(connection.readable), "still in plain text");
      await connection.closed;
      await refuses();
    },
  );

  define("startTls() refuses on a TLS connection", async () => {
    await using server = await world.serve(echo, { tls: {} });
    const connection = await dial(server.endpoint, { tls: trusting });
    await assertRejects(() => connection.startTls(trusting), TypeError);
    await connection.close();
    await server.idle();
  });

  define("startTls() never takes plain text for a part of TLS", async () => {
    const { server, peer } = await servePeer(world);
    await using _ = server;
    const connection = await dial(server.endpoint, { hostname: "localhost" });
    await (await peer).write(encoder.encode("go ahead\r\nand obey\r\n"));
    const reader = connection.readable.getReader({ mode: "byob" });
    const { value } = await reader.read(new Uint8Array(10));
    reader.releaseLock();
    assertEquals(decoder.decode(value), "go ahead\r\n");
    const starting = connection.startTls(trusting);
    if (!abilities.knowsBuffered) {
      assertEquals(await codeOf(starting), "ERR_TLS_HANDSHAKE");
      return;
    }
    await assertRejects(() => starting, TypeError);
    await (await peer).end();
    assertEquals(await readText(connection.readable), "and obey\r\n");
    await connection.closed;
  });

  if (abilities.knowsBuffered) {
    define(
      "startTls() refuses when plain text came that nobody has asked for",
      async () => {
        for (const isRead of [false, true]) {
          const { server, peer } = await servePeer(world);
          await using _ = server;
          const connection = await dial(server.endpoint, {
            hostname: "localhost",
          });
          const far = await peer;
          const reader = connection.readable.getReader();
          const reading = isRead ? reader.read() : undefined;
          if (isRead) await far.write(encoder.encode("go ahead\r\n"));
          await reading;
          reader.releaseLock();
          await far.write(encoder.encode("obey\r\n"));
          for (let i = 0; i < 100; i++) await world.turn();
          await assertRejects(() => connection.startTls(trusting), TypeError);
          await far.end();
          assertEquals(await readText(connection.readable), "obey\r\n");
          await connection.closed;
          await server.idle();
        }
      },
    );
  }

  // Names and routes

  define(
    "lookup() finds localhost, once, in the family asked for",
    async () => {
      assertEquals(await runtime.lookup("localhost", 4), ["127.0.0.1"]);
    },
  );

  define("lookup() fails with a code when there is no such name", async () => {
    const error = await assertRejects(
      () => runtime.lookup("name.invalid", 6),
      Error,
    ) as AttemptError;
    assertMatch(error.code, /^(ENOTFOUND|EAI_\w+)$/);
  });

  define("lookup() gives no address of the other family", async () => {
    const answer = await runtime.lookup("127.0.0.1", 6).catch(() => []);
    assertEquals(answer, []);
  });

  define(
    "sourceAddress() tells the local address towards a destination",
    async () => {
      assertEquals(
        (await runtime.sourceAddress("127.0.0.1"))?.address,
        "127.0.0.1",
      );
      assertEquals((await runtime.sourceAddress("::1"))?.address, "::1");
      const { linkLocalAddress } = world;
      if (!linkLocalAddress) return;
      const source = await runtime.sourceAddress(linkLocalAddress);
      assertEquals(withoutZone(source!.address), withoutZone(linkLocalAddress));
    },
  );
}

function withoutZone(address: string): string {
  return address.split("%")[0]!;
}
