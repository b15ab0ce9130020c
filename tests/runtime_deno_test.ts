/**
 * What only Deno does, or only Deno gets wrong; what every adapter promises is
 * in `runtime_conformance.ts`, and permissions are in
 * `permissions_deno_test.ts`.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import type { Connection } from "../src/connection.ts";
import type { Endpoint } from "../src/core/endpoint.ts";
import type { AttemptError } from "../src/runtime/attempt_error.ts";
import { runtime } from "../src/runtime/deno.ts";
import type { DialOptions } from "../src/runtime/runtime.ts";
import { certificate } from "./certs/read.ts";
import { test } from "./harness.ts";

const plain: DialOptions = {
  hostname: "localhost",
  tls: null,
  allowHalfOpen: false,
  noDelay: true,
  keepAlive: false,
};
const clientCertificate = { cert: "a certificate", key: "a key" };
const caCerts = [certificate("ca")];

test("check() refuses a client certificate, which Deno.startTls ignores", () => {
  assertThrows(
    () => runtime.check!({ ...plain, tls: clientCertificate }, []),
    TypeError,
    "tls.cert",
  );
});

test("check() refuses TLS from a local address, which Deno.connect ignores", () => {
  assertThrows(
    () => runtime.check!({ ...plain, tls: {} }, ["127.0.0.1"]),
    TypeError,
    "localAddresses",
  );
});

test("check() takes a local address without TLS, and TLS without one", () => {
  runtime.check!(plain, ["127.0.0.1"]);
  runtime.check!({ ...plain, tls: { caCerts: [], alpnProtocols: [] } }, []);
});

// Deno.connect forgets a connection that an abort came too late for. With
// its own signal passed on, 42 to 150 of 1000 stayed open here.
test("connect() leaves nothing open when it is aborted at any moment", async () => {
  using server = new Server();
  let cancelled = 0;
  async function dialAndAbort(ms: number): Promise<void> {
    const aborter = new AbortController();
    setTimeout(() => aborter.abort(), ms);
    try {
      const connection = await dial(server.endpoint, plain, aborter.signal);
      await drop(connection);
    } catch (error) {
      assertStrictEquals(error, aborter.signal.reason);
      cancelled++;
    }
    await aborted(aborter.signal);
  }
  for (let batch = 0; batch < 20; batch++) {
    const delays = Array.from({ length: 50 }, (_, i) => i % 4);
    await Promise.all(delays.map(dialAndAbort));
  }
  assert(cancelled > 0);
  assertEquals(await server.countOpen(), 0);
});

test("startTls() refuses on a connection from a local address", async () => {
  using server = new Server();
  const accepted = server.accept();
  const localAddress = "127.0.0.1";
  const connection = await dial({ ...server.endpoint, localAddress });
  await assertRejects(() => connection.startTls(), TypeError, "local address");
  (await accepted).close();
  await drop(connection);
});

test("connectByName() lets Deno resolve the name", async () => {
  using server = new Server();
  const accepted = server.accept();
  const connection = await dialByName("localhost", server.endpoint.port);
  (await accepted).close();
  assertEquals(connection.remoteAddr?.port, server.endpoint.port);
  await drop(connection);
});

// The resolver's errors have no code in Deno.
test("connectByName() fails with ENOTFOUND for a name that does not exist", async () => {
  const error = await rejection(dialByName("does-not-exist.invalid", 80));
  assertMatch((error as AttemptError).code, /^(ENOTFOUND|EAI_AGAIN)$/);
});

test("lookup() asks about no host where all is granted, which Deno would never forget", async () => {
  const { permissions } = Deno;
  const { querySync } = permissions;
  const asked: Deno.PermissionDescriptor[] = [];
  permissions.querySync = (descriptor) => {
    asked.push(descriptor);
    return querySync.call(permissions, descriptor);
  };
  try {
    await runtime.lookup("localhost", 4);
  } finally {
    permissions.querySync = querySync;
  }
  assertEquals(asked, [{ name: "net" }]);
});

test("sourceAddress() knows no way to a link that does not exist", async () => {
  assertEquals(await runtime.sourceAddress("fe80::1%nowhere"), null);
});

test("read() of few bytes does not hold on to a large buffer", async () => {
  using server = new Server();
  const [connection, peer] = await server.connect();
  const reader = connection.readable.getReader();
  await peer.write(Uint8Array.of(1, 2, 3));
  const first = (await reader.read()).value!;
  await peer.write(Uint8Array.of(4));
  const second = (await reader.read()).value!;
  assertEquals([...first, ...second], [1, 2, 3, 4]);
  assertEquals(first.buffer.byteLength, 3);
  peer.close();
  await drop(connection);
});

// Deno tells a missing close_notify from an end, Node and Bun do not.
test("read() tells a TLS connection that was cut off from one that ended", async () => {
  using server = new TlsServer();
  using cut = new Server();
  const accepted = cut.accept();
  const dialling = dial(cut.endpoint, { ...plain, tls: { caCerts } });
  using relay = new Relay(await accepted, await server.dial());
  const connection = await dialling;
  const peer = await server.accepted;
  await peer.write(Uint8Array.of(1, 2, 3));
  const reader = connection.readable.getReader();
  assertEquals([...(await reader.read()).value!], [1, 2, 3]);
  relay.close();
  const error = await rejection(reader.read()) as AttemptError;
  assertEquals(error.code, "ECONNRESET");
  assertInstanceOf(error.cause, Deno.errors.UnexpectedEof);
  assertStrictEquals(await rejection(connection.closed), error);
  peer.close();
});

test("startTls() refuses a client certificate and leaves the connection as it was", async () => {
  using server = new Server();
  const [connection, peer] = await server.connect();
  await assertRejects(
    () => connection.startTls(clientCertificate),
    TypeError,
    "tls.cert",
  );
  await peer.write(Uint8Array.of(1));
  const { value } = await connection.readable.getReader().read();
  assertEquals([...value!], [1]);
  peer.close();
  await drop(connection);
});

/** A server on loopback that knows which of its connections are open. */
class Server {
  readonly endpoint: Endpoint;
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.TcpConn>();
  #onAccept: ((conn: Deno.TcpConn) => void) | undefined;

  constructor() {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.endpoint = endpointOf(this.#listener.addr as Deno.NetAddr);
    this.#serve();
  }

  /** The next connection, which is then the caller's. */
  accept(): Promise<Deno.TcpConn> {
    return new Promise((resolve) => {
      this.#onAccept = resolve;
    });
  }

  async connect(): Promise<[Connection, Deno.TcpConn]> {
    const accepted = this.accept();
    return [await dial(this.endpoint), await accepted];
  }

  /**
   * How many connections are open. The FIN of a closed one has arrived when
   * this is called, for this is loopback, but may not have been read: round
   * trips of the same event loop give it the time.
   */
  async countOpen(): Promise<number> {
    for (let trip = 0; trip < 200; trip++) {
      const conn = await Deno.connect({
        hostname: this.endpoint.address,
        port: this.endpoint.port,
      });
      await conn.write(Uint8Array.of(0));
      await conn.read(new Uint8Array(1));
      conn.close();
      if (this.#open.size === 0) break;
    }
    return this.#open.size;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const conn of this.#open) conn.close();
  }

  async #serve(): Promise<void> {
    for await (const conn of this.#listener) {
      const onAccept = this.#onAccept;
      this.#onAccept = undefined;
      if (onAccept) onAccept(conn);
      else this.#answer(conn);
    }
  }

  /** Whoever sends a byte gets one back; all others only come and go. */
  async #answer(conn: Deno.TcpConn): Promise<void> {
    this.#open.add(conn);
    const byte = new Uint8Array(1);
    const count = await conn.read(byte).catch(() => null);
    if (!this.#open.delete(conn)) return;
    if (count) await conn.write(byte);
    conn.close();
  }
}

/** A TLS server on loopback for one connection. */
class TlsServer {
  readonly accepted: Promise<Deno.TlsConn>;
  readonly #listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    cert: certificate("server"),
    key: certificate("server_key"),
  });

  constructor() {
    this.accepted = this.#listener.accept();
  }

  /** A plain connection to it. */
  dial(): Promise<Deno.TcpConn> {
    const { hostname, port } = this.#listener.addr as Deno.NetAddr;
    return Deno.connect({ hostname, port });
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}

/** Passes on what either connection sends, until it is closed. */
class Relay {
  readonly #conns: readonly Deno.TcpConn[];

  constructor(a: Deno.TcpConn, b: Deno.TcpConn) {
    this.#conns = [a, b];
    // They end by `close()`.
    pass(a, b).catch(() => {});
    pass(b, a).catch(() => {});
  }

  close(): void {
    for (const conn of this.#conns) conn[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Passes on what one connection sends, until its end. */
async function pass(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    const count = await from.read(buffer);
    if (count === null) return;
    for (let done = 0; done < count;) {
      done += await to.write(buffer.subarray(done, count));
    }
  }
}

function endpointOf({ hostname, port }: Deno.NetAddr): Endpoint {
  return { address: hostname, family: 4, port };
}

function dial(
  endpoint: Endpoint,
  options: DialOptions = plain,
  signal: AbortSignal = new AbortController().signal,
): Promise<Connection> {
  return runtime.connect(endpoint, options, signal, () => {});
}

function dialByName(hostname: string, port: number): Promise<Connection> {
  const { signal } = new AbortController();
  return runtime.connectByName!(hostname, port, plain, signal, () => {});
}

function drop(connection: Connection): Promise<void> {
  return connection.close(new Error("The test is over")).catch(() => {});
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve());
  });
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It was expected to reject");
}
