/**
 * `LazySocket` on real sockets: when it connects, what it replays, and that
 * clients find it a `net.Socket` in what they rely on.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { once } from "node:events";
import type net from "node:net";
import tls from "node:tls";

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";

import { ConnectError } from "../src/errors.ts";
import { createConnection, LazySocket } from "../src/entry/node.ts";
import { staticResolver } from "../src/resolvers/static.ts";
import { runtimeName, test } from "./harness.ts";
import { echo, type Server } from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const MIB = 2 ** 20;
const text = new TextEncoder();

/** A socket that will connect to `server`. */
function towards(server: Server, options = {}): LazySocket {
  const { address, port } = server.endpoint;
  return new LazySocket({ hostname: address, port, ...options });
}

async function readAll(socket: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Waits for the end of a socket, whatever way. */
async function closed(socket: net.Socket): Promise<void> {
  if (socket.closed) await loopback.turn();
  else await once(socket, "close");
}

/** What a socket emits, by name, from now on. */
function record(socket: net.Socket): string[] {
  const seen: string[] = [];
  for (
    const name of ["connect", "secureConnect", "ready", "timeout", "end"]
  ) {
    socket.on(name, () => seen.push(name));
  }
  socket.on("error", (error) => seen.push(`error ${error.name}`));
  socket.on("close", (hadError: boolean) => seen.push(`close ${hadError}`));
  return seen;
}

test("LazySocket connects on the first write, not before", async () => {
  await using server = await loopback.serve(echo);
  const socket = towards(server);
  assertEquals(
    [socket.connecting, socket.pending, socket.readyState],
    [false, true, "open"],
  );
  await loopback.turn();
  assertEquals(server.accepted, 0);

  socket.end("ping");
  assertEquals([socket.connecting, socket.readyState], [true, "opening"]);
  assertEquals(String(await readAll(socket)), "ping");
  await closed(socket);
  assertEquals(server.accepted, 1);
});

test("LazySocket connects when somebody listens to data (hazard 18)", async () => {
  await using server = await loopback.serve(async (peer) => {
    await peer.write(text.encode("220 hello"));
    await echo(peer);
  });
  const socket = towards(server);
  const [banner] = await once(socket, "data");
  assertEquals(String(banner), "220 hello");
  socket.end();
  await closed(socket);
});

test("LazySocket.connect() goes where it is told, as net.Socket's does", async () => {
  await using server = await loopback.serve(echo);
  const { address, port } = server.endpoint;
  const ways: ((socket: LazySocket, then: () => void) => LazySocket)[] = [
    (socket, then) => socket.connect(port, address, then),
    (socket, then) => socket.connect({ port, host: address }, then),
    (socket, then) => socket.connect(port, then),
  ];
  for (const connect of ways) {
    const socket = new LazySocket({ hostname: address, port: 1 });
    await new Promise<void>((resolve) => {
      assertStrictEquals(connect(socket, resolve), socket);
    });
    assertEquals(
      [socket.remoteAddress, socket.remotePort, socket.remoteFamily],
      [address, port, "IPv4"],
    );
    assertEquals(socket.address(), {
      address: socket.localAddress!,
      port: socket.localPort!,
      family: "IPv4",
    });
    socket.destroy();
    await closed(socket);
  }
});

test("LazySocket has the name that postgres.js verifies", () => {
  assertEquals(new LazySocket().host, undefined);
  assertEquals(new LazySocket({ hostname: "a.test" }).host, "a.test");
});

test("LazySocket.connect() takes a path, as net.Socket's does", async () => {
  // Deno wants a permission for the file.
  if (runtimeName === "deno") return;
  const path = "/run/postgresql/.s.PGSQL.0";
  for (const target of [path, { path }]) {
    const socket = new LazySocket().connect(target as never);
    const [error] = await once(socket, "error");
    assertEquals([error.code, error.syscall], ["ENOENT", "connect"]);
    await closed(socket);
  }
});

test("LazySocket.connect() connects again after the end", async () => {
  await using server = await loopback.serve(echo);
  const { port } = server.endpoint;
  const socket = new LazySocket({
    hostname: "name.test",
    resolver: staticResolver(["127.0.0.1"]),
  });
  for (const word of ["one", "two"]) {
    socket.connect({ port });
    const isClosed = once(socket, "close");
    socket.end(word);
    assertEquals(String(await readAll(socket)), word);
    await isClosed;
  }
  assertEquals(server.accepted, 2);
});

test("LazySocket has as a connected socket what it was asked before", async () => {
  await using server = await loopback.serve(echo);
  const { address, port } = server.endpoint;
  const socket = new LazySocket();
  assertStrictEquals(socket.setNoDelay(false), socket);
  assertStrictEquals(socket.setKeepAlive(true, 5000), socket);
  assertStrictEquals(socket.setTimeout(60_000), socket);
  assertStrictEquals(socket.setEncoding("latin1"), socket);
  assertStrictEquals(socket.unref(), socket);
  assertStrictEquals(socket.ref(), socket);
  socket.connect(port, address);
  await once(socket, "ready");
  assertEquals(socket.timeout, 60_000);
  socket.write("caf\u00e9", "latin1");
  assertEquals((await once(socket, "data"))[0], "caf\u00e9");
  socket.destroy();
  await closed(socket);
});

test("LazySocket emits what a net.Socket emits, in its order", async () => {
  await using server = await loopback.serve(echo);
  const socket = towards(server);
  const seen = record(socket);
  socket.end("x");
  socket.resume();
  await closed(socket);
  assertEquals(seen, ["connect", "ready", "end", "close false"]);
  assertEquals(socket.readyState, "closed");
});

test("LazySocket notices the peer's end though nobody reads", async () => {
  await using server = await loopback.serve((peer) => peer.end());
  const { address, port } = server.endpoint;
  const socket = new LazySocket().connect(port, address);
  await once(socket, "end");
  await closed(socket);
});

test("LazySocket keeps its writable side open with allowHalfOpen", async () => {
  const received: string[] = [];
  await using server = await loopback.serve(async (peer) => {
    await peer.end();
    for (let bytes; (bytes = await peer.read());) {
      received.push(new TextDecoder().decode(bytes));
    }
  });
  const socket = towards(server, { allowHalfOpen: true }).resume();
  await once(socket, "end");
  assertEquals(socket.readyState, "writeOnly");
  socket.end("late");
  await closed(socket);
  await server.idle();
  assertEquals(received.join(""), "late");
});

test("LazySocket that is ended before use never connects", async () => {
  await using server = await loopback.serve(echo);
  const socket = towards(server);
  const seen = record(socket);
  socket.end();
  await closed(socket);
  // As on the platform's own sockets, nothing says whether there was an error.
  assertEquals(seen[0], "end");
  assertMatch(seen[1]!, /^close (false|undefined)$/);
  await loopback.turn();
  assertEquals(server.accepted, 0);
});

test("LazySocket moves megabytes both ways, intact", async () => {
  await using server = await loopback.serve(echo);
  const socket = towards(server);
  const sent = Buffer.alloc(8 * MIB);
  for (let i = 0; i < sent.length; i += 4) sent.writeUInt32LE(i, i);
  socket.end(sent);
  const received = await readAll(socket);
  assert(received.equals(sent));
  assertEquals(
    [socket.bytesRead, socket.bytesWritten],
    [sent.length, sent.length],
  );
});

test("LazySocket lets the peer wait while nobody reads", async () => {
  let written = 0;
  const total = 64 * MIB;
  const stop = new AbortController();
  await using server = await loopback.serve(async (peer) => {
    const bytes = new Uint8Array(MIB);
    while (written < total && !stop.signal.aborted) {
      await peer.write(bytes);
      written += bytes.length;
    }
  });
  const socket = towards(server);
  const [first] = await once(socket, "data");
  socket.pause();
  // Once nothing more comes in from one turn to the next, the peer waits.
  for (let before = -1, turns = 0; turns < 50; turns++) {
    if (written !== before) [before, turns] = [written, 0];
    await loopback.turn();
  }
  assert(first.length > 0);
  assert(written < total, `${written} of ${total} bytes were taken`);
  assert(socket.readableLength < MIB);
  stop.abort();
  socket.destroy();
  await closed(socket);
});

test("LazySocket keeps the order of writes, corked or not", async () => {
  await using server = await loopback.serve(echo);
  const socket = towards(server);
  const words = Array.from({ length: 100 }, (_, index) => `${index} `);
  socket.cork();
  words.slice(0, 50).forEach((word) => socket.write(word));
  socket.uncork();
  words.slice(50).forEach((word) => socket.write(word));
  socket.end();
  assertEquals(String(await readAll(socket)), words.join(""));
});

test("LazySocket fails with the platform's error, caused by a ConnectError", async () => {
  const { address, port } = await loopback.refusing("127.0.0.1");
  const resolver = staticResolver([address]);
  for (const hostname of [address, "name.test"]) {
    const socket = new LazySocket({ hostname, port, resolver });
    const seen = record(socket);
    socket.write("x", () => {});
    const [error] = await once(socket, "error");
    assertEquals(error.message, `connect ECONNREFUSED ${address}:${port}`);
    assertEquals(
      [error.code, error.syscall, error.address, error.port],
      ["ECONNREFUSED", "connect", address, port],
    );
    assertInstanceOf(error.cause, ConnectError);
    assertMatch(error.cause.message, /: 127\.0\.0\.1 ECONNREFUSED$/);
    assertEquals(Object.keys(error).includes("cause"), false);
    while (seen.length < 2) await loopback.turn();
    assertEquals(seen, ["error Error", "close true"]);
  }
});

test("LazySocket fails at several addresses with an AggregateError", async () => {
  const { address, port } = await loopback.refusing("127.0.0.1");
  const resolver = staticResolver([address, "127.0.0.2"]);
  const socket = new LazySocket({ hostname: "name.test", port, resolver });
  socket.connect();
  const [error] = await once(socket, "error");
  assertInstanceOf(error, AggregateError);
  assertEquals(
    (error as AggregateError & { code: string }).code,
    "ECONNREFUSED",
  );
  assertEquals(
    error.errors.map((each: Error) => each.message).sort(),
    [address, "127.0.0.2"].map((to) => `connect ECONNREFUSED ${to}:${port}`),
  );
  assertInstanceOf(error.cause, ConnectError);
  await closed(socket);
});

test("LazySocket fails for a name as dns.lookup() does", async () => {
  const resolver = staticResolver([]);
  const socket = new LazySocket({ hostname: "name.test", port: 1, resolver });
  const looked = once(socket, "lookup").catch((error) => [error]);
  socket.connect();
  const [error] = await once(socket, "error");
  assertEquals(error.message, "getaddrinfo ENOTFOUND name.test");
  assertEquals(
    [error.code, error.syscall, error.hostname],
    ["ENOTFOUND", "getaddrinfo", "name.test"],
  );
  assertInstanceOf(error.cause, ConnectError);
  assertStrictEquals((await looked)[0], error);
  await closed(socket);
});

test("LazySocket finds nobody by a name that is refused", async () => {
  const socket = new LazySocket({ hostname: "127.1" }).connect(80);
  const [error] = await once(socket, "error");
  assertEquals(error.message, "getaddrinfo ENOTFOUND 127.1");
  assertInstanceOf(error.cause, TypeError);
});

test("LazySocket destroyed by the peer's reset has the error", async () => {
  await using server = await loopback.serve(async (peer) => {
    await peer.read();
    peer.reset();
  });
  const socket = towards(server);
  const seen = record(socket);
  socket.write("x");
  const [error] = await once(socket, "error");
  assertEquals(error.code, "ECONNRESET");
  while (seen.length < 4) await loopback.turn();
  assertEquals(seen, ["connect", "ready", "error Error", "close true"]);
});

test("LazySocket.destroy() cancels the attempts under way", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  const { address, port } = hole.endpoint;
  const socket = new LazySocket().connect(port, address);
  const seen = record(socket);
  while (hole.dialling() === 0) await loopback.turn();
  socket.destroy();
  assertEquals(socket.connecting, false);
  await closed(socket);
  while (hole.dialling() > 0) await loopback.turn();
  assertEquals(seen, ["close false"]);
});

test("LazySocket.destroy() ends a write that waits for the connection", async () => {
  const socket = new LazySocket();
  const error = await new Promise<unknown>((resolve) => {
    socket.write("x", resolve);
    socket.destroy();
  });
  assertEquals(
    (error as { code?: string }).code,
    "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
  );
});

test("LazySocket has its timeout while it connects", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  const { address, port } = hole.endpoint;
  const socket = new LazySocket({ hostname: address, port });
  const start = performance.now();
  const heard = new Promise<void>((resolve) => socket.setTimeout(20, resolve));
  socket.write("x");
  // The timer alone does not keep a process alive, the attempt does.
  await heard;
  assert(performance.now() - start >= 19);
  assertEquals(socket.connecting, true);
  socket.destroy();
  while (hole.dialling() > 0) await loopback.turn();
});

test("LazySocket has its timeout when it is connected", async () => {
  await using server = await loopback.serve(echo);
  const socket = towards(server);
  const seen = record(socket);
  socket.setTimeout(20);
  socket.write("x");
  await once(socket, "timeout");
  assertEquals(seen.slice(0, 3), ["connect", "ready", "timeout"]);
  socket.destroy();
  await closed(socket);
});

test("LazySocket is destroyed with the reason of its signal, until connected", async () => {
  await using server = await loopback.serve(echo);
  const reason = new Error("enough");
  const early = towards(server, { signal: AbortSignal.abort(reason) });
  early.write("x");
  assertStrictEquals((await once(early, "error"))[0], reason);

  const controller = new AbortController();
  const socket = towards(server, { signal: controller.signal });
  socket.write("x");
  await once(socket, "connect");
  controller.abort(reason);
  socket.end();
  assertEquals(String(await readAll(socket)), "x");
});

test("LazySocket with TLS is destroyed with the reason of its signal amid the handshake", async () => {
  await using server = await loopback.serve(async (peer) => {
    await peer.read();
    // The handshake gets no answer.
    while (await peer.read());
  });
  const reason = new Error("enough");
  const controller = new AbortController();
  const socket = towards(server, { tls: true, signal: controller.signal });
  socket.write("x", () => {});
  await once(socket, "connect");
  controller.abort(reason);
  assertStrictEquals((await once(socket, "error"))[0], reason);
  await closed(socket);
  await server.idle();
});

test("LazySocket with TLS tells what was agreed on", async () => {
  await using server = await loopback.serve(echo, {
    tls: { alpnProtocols: ["h2", "http/1.1"] },
  });
  const socket = createConnection({
    protocol: "https:",
    host: server.endpoint.address,
    port: server.endpoint.port,
    servername: "example.test",
    ca: loopback.certificates.ca,
    ALPNProtocols: ["h2"],
  });
  const seen = record(socket);
  assertInstanceOf(socket, tls.TLSSocket);
  assertEquals([socket.encrypted, socket.authorized], [true, false]);
  await once(socket, "secureConnect");
  assertEquals(socket.getPeerCertificate()?.subject.CN, "example.test");
  socket.end("ping");
  assertEquals(String(await readAll(socket)), "ping");
  assertEquals(
    [socket.encrypted, socket.authorized, socket.alpnProtocol],
    [true, true, "h2"],
  );
  await closed(socket);
  assertEquals(seen.slice(0, 3), ["connect", "ready", "secureConnect"]);
});

test("LazySocket carries a TLS session that the client starts on it", async () => {
  await using server = await loopback.serve(async (peer) => {
    await peer.read();
    await peer.write(text.encode("S"));
    await echo(await peer.startTls());
  });
  const plain = towards(server);
  plain.write("SSLRequest");
  const [answer] = await once(plain, "data");
  assertEquals(String(answer), "S");
  const secure = tls.connect({
    socket: plain,
    servername: "example.test",
    ca: loopback.certificates.ca,
  });
  await once(secure, "secureConnect");
  secure.end("secret");
  assertEquals(String(await readAll(secure)), "secret");
  await closed(plain);
});

test("LazySocket.destroySoon() sends what was written first", async () => {
  const received: Uint8Array[] = [];
  await using server = await loopback.serve(async (peer) => {
    for (let bytes; (bytes = await peer.read());) received.push(bytes);
  });
  const socket = towards(server);
  socket.write("all of it");
  socket.destroySoon();
  await closed(socket);
  await server.idle();
  assertEquals(String(Buffer.concat(received)), "all of it");
});

test("LazySocket.resetAndDestroy() resets", async () => {
  let failure: unknown;
  await using server = await loopback.serve(async (peer) => {
    await peer.write(text.encode("x"));
    failure = await peer.read().catch((error) => error);
  });
  const socket = towards(server);
  await once(socket, "data");
  socket.resetAndDestroy();
  await closed(socket);
  await server.idle();
  assertEquals((failure as { code?: string }).code, "ECONNRESET");
});
