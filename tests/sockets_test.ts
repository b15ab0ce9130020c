/**
 * The Sockets API of WinterTC, by the sentences of the proposal and what the
 * issue of a socket that exists before its connection brings with it.
 *
 * TLS verifies by the platform's roots and takes no others, so what is about
 * TLS runs in a process of its own that is told of ours (`sockets/tls_cases.ts`).
 * Drivers made for Workers are in `workerd/builds.ts`.
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

import {
  connect,
  type Socket,
  SocketError,
  type SocketOptions,
} from "../src/entry/sockets.ts";
import { ConnectError } from "../src/errors.ts";
import { path, run } from "./child.ts";
import { test } from "./harness.ts";
import {
  type Behaviour,
  echo,
  type Peer,
  type Server,
} from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const MIB = 1024 * 1024;
const silent: Behaviour = () => {};

/** All that a peer gets until FIN. */
async function receive(peer: Peer): Promise<string> {
  let text = "";
  for (;;) {
    const bytes = await peer.read();
    if (bytes === null) return text;
    text += decoder.decode(bytes);
  }
}

/** A socket to a server of that behaviour, while both last. */
async function withSocket(
  behaviour: Behaviour,
  options: SocketOptions,
  use: (socket: Socket, server: Server) => Promise<void>,
): Promise<void> {
  const server = await loopback.serve(behaviour);
  const { address, port } = server.endpoint;
  const socket = connect({ hostname: address, port }, options);
  await use(socket, server);
  await server.idle();
  await server[Symbol.asyncDispose]();
}

/** Such a socket, open, and its peer, which the test plays. */
async function withPeer(
  options: SocketOptions,
  use: (socket: Socket, peer: Peer) => Promise<void>,
): Promise<void> {
  let meet!: (peer: Peer) => void;
  const peer = new Promise<Peer>((resolve) => {
    meet = resolve;
  });
  await withSocket((peer) => meet(peer), options, async (socket) => {
    await socket.opened;
    await use(socket, await peer);
  });
}

/** Whether a promise is pending after everything that can run has. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const settle = () => {
    isSettled = true;
  };
  promise.then(settle, settle);
  for (let turns = 0; turns < 100; turns++) await loopback.turn();
  return !isSettled;
}

function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => Promise.reject(new Error("It was expected to reject")),
    (reason) => reason,
  );
}

// connect()

test("connect() takes an address as text or as an object", async () => {
  for (const address of ["127.0.0.1", "::1"]) {
    const server = await loopback.serve(silent, { address });
    const { port } = server.endpoint;
    const host = address.includes(":") ? `[${address}]` : address;
    for (
      const form of [
        `${host}:${port}`,
        { hostname: address, port },
        { hostname: host, port: `${port}` as unknown as number },
      ]
    ) {
      const socket = connect(form);
      const { remoteAddress, localAddress, alpn } = await socket.opened;
      assertEquals(remoteAddress, `${host}:${port}`);
      assert(localAddress!.startsWith(`${host}:`));
      assertStrictEquals(alpn, null);
      await socket.close();
    }
    await server.idle();
    assertEquals(server.accepted, 3);
    await server[Symbol.asyncDispose]();
  }
});

test("connect() returns a socket that can be used before it is open", async () => {
  await withSocket(echo, {}, async (socket) => {
    const { readable, writable } = socket;
    assertEquals([socket.upgraded, socket.secureTransport], [false, "off"]);
    const text = new Response(readable).text();
    const writer = writable.getWriter();
    const writing = writer.write(encoder.encode("early "));
    await writer.ready;
    await writing;
    await writer.write(encoder.encode("bird"));
    await writer.close();
    assertEquals(await text, "early bird");
    await socket.closed;
    assertStrictEquals(socket.readable, readable);
    assertStrictEquals(socket.writable, writable);
  });
});

test("connect() races addresses", async () => {
  const server = await loopback.serve(silent);
  const { port } = server.endpoint;
  const socket = connect(`localhost:${port}`);
  // Nobody listens at the first address.
  assertEquals((await socket.opened).remoteAddress, `127.0.0.1:${port}`);
  await socket.close();
  await server.idle();
  await server[Symbol.asyncDispose]();
});

test("connect() throws a SocketError for an address in a wrong form", () => {
  const addresses: unknown[] = [
    "",
    "example.com",
    "example.com:",
    ":80",
    "::1:80",
    "[::1]",
    "[example.com]:80",
    "example.com:0",
    "example.com:65536",
    "example.com:1e3",
    "http://example.com:80",
    "a b:80",
    "127.1:80",
    { hostname: "example.com" },
    { hostname: "example.com", port: 1.5 },
    { hostname: "example.com", port: "80 " + "a" },
    { hostname: "example.com:80", port: 80 },
    { port: 80 },
    null,
    undefined,
    80,
  ];
  for (const address of addresses) {
    const error = assertThrows(
      () => connect(address as string),
      SocketError,
    );
    assertMatch((error as Error).message, /^SocketError: /);
  }
});

test("connect() throws a SocketError for options that are wrong", () => {
  const wrong: unknown[] = [
    { secureTransport: "yes" },
    { secureTransport: null },
    { sni: "example.com" },
    { secureTransport: "off", alpn: ["h2"] },
    { secureTransport: "on", sni: "127.0.0.1" },
    { secureTransport: "starttls", sni: "" },
    { secureTransport: "on", alpn: [""] },
    { secureTransport: "starttls", alpn: [1] },
  ];
  for (const options of wrong) {
    assertThrows(
      () => connect("127.0.0.1:80", options as SocketOptions),
      SocketError,
    );
  }
});

test("a SocketError is a TypeError whose message says what it is", () => {
  const cause = Object.assign(new Error("so it is"), { code: "ECONNREFUSED" });
  const error = new SocketError("connection failed", { cause });
  assertInstanceOf(error, TypeError);
  assertEquals(String(error), "TypeError: SocketError: connection failed");
  assertEquals([error.cause, error.code], [cause, "ECONNREFUSED"]);
  assertStrictEquals(new SocketError("connection failed").code, undefined);
});

// What it fails with. That nothing has to be handled is seen by the runners.

test("opened and closed reject when nothing can be connected to", async () => {
  const { port } = await loopback.refusing("127.0.0.1");
  const socket = connect(`localhost:${port}`);
  const reader = socket.readable.getReader();
  const writer = socket.writable.getWriter();
  const reading = reader.read();
  const writing = rejection(writer.write(encoder.encode("lost")));
  const error = await assertRejects(() => socket.opened, SocketError);
  const { code, cause, message } = error as SocketError;
  assertEquals(code, "ECONNREFUSED");
  assertInstanceOf(cause, ConnectError);
  assertEquals(
    message,
    `SocketError: Cannot connect to "localhost" port ${port}: ` +
      "[::1] ECONNREFUSED, 127.0.0.1 ECONNREFUSED",
  );
  assertStrictEquals(await rejection(socket.closed), error);
  assertEquals((await reading).done, true);
  assertStrictEquals(await writing, error);
  assertStrictEquals(await rejection(writer.closed), error);
  assertStrictEquals(await rejection(socket.close()), error);
});

test("the readable is cancelled and the writable aborted when nothing can be connected to", async () => {
  const { port } = await loopback.refusing("127.0.0.1");
  const socket = connect(`127.0.0.1:${port}`);
  const error = await rejection(socket.closed);
  assertEquals((await socket.readable.getReader().read()).done, true);
  const writer = socket.writable.getWriter();
  assertStrictEquals(await rejection(writer.closed), error);
});

// close()

test("close(reason) of a pending socket rejects opened, cancels and aborts", async () => {
  await withSocket(silent, {}, async (socket, server) => {
    const reader = socket.readable.getReader();
    const writer = socket.writable.getWriter();
    const reading = reader.read();
    const writing = rejection(writer.write(encoder.encode("lost")));
    const reason = { not: "even an error" };
    assertStrictEquals(socket.close(reason), socket.closed);
    assertStrictEquals(await rejection(socket.opened), reason);
    await socket.closed;
    assertEquals((await reading).done, true);
    await writing;
    assertStrictEquals(await rejection(writer.closed), reason);
    await server.idle();
  });
});

test("close() of a pending socket rejects opened with a SocketError", async () => {
  await withSocket(silent, {}, async (socket) => {
    await socket.close();
    const error = await assertRejects(() => socket.opened, SocketError);
    assertEquals(error.message, "SocketError: closed before it was open");
    assertEquals((await socket.readable.getReader().read()).done, true);
  });
});

test("abort() of a pending socket's writable drops the socket", async () => {
  await withSocket(silent, {}, async (socket) => {
    const reason = new Error("never mind");
    await socket.writable.abort(reason);
    assertStrictEquals(
      await rejection(socket.readable.getReader().read()),
      reason,
    );
    const error = await assertRejects(() => socket.opened, SocketError);
    assertStrictEquals(await rejection(socket.closed), error);
  });
});

if (loopback.blackHole) {
  const { blackHole } = loopback;
  test("close() of a pending socket takes its SYN back", async () => {
    await using hole = await blackHole();
    const { address, port } = hole.endpoint;
    const socket = connect({ hostname: address, port });
    while (hole.dialling() === 0) await loopback.turn();
    await socket.close();
    while (hole.dialling() > 0) await loopback.turn();
  });
}

test("close() sends what was written, then FIN, and ends pending reads", async () => {
  await withPeer({}, async (socket, peer) => {
    const reading = socket.readable.getReader().read();
    const writer = socket.writable.getWriter();
    const sent = "a".repeat(MIB);
    const writing = writer.write(encoder.encode(sent));
    const closed = socket.close();
    assertStrictEquals(closed, socket.closed);
    assertStrictEquals(socket.close(), closed);
    assertEquals((await reading).done, true);
    assertEquals(await receive(peer), sent);
    await writing;
    await closed;
    await assertRejects(() => writer.write(encoder.encode("more")), TypeError);
  });
});

test("close(reason) cancels the readable and aborts the writable, at once", async () => {
  await withPeer({}, async (socket) => {
    const reading = socket.readable.getReader().read();
    const writer = socket.writable.getWriter();
    // More than the peer, who does not read, can be sent.
    const writing = rejection(writer.write(new Uint8Array(64 * MIB)));
    const reason = new Error("enough");
    await socket.close(reason);
    assertEquals((await reading).done, true);
    await writing;
    assertStrictEquals(await rejection(writer.closed), reason);
  });
});

// closed

test("closed resolves when the peer's FIN was read, and the socket ends", async () => {
  await withPeer({}, async (socket, peer) => {
    await peer.write(encoder.encode("bye"));
    await peer.end();
    assert(await isPending(socket.closed));
    assertEquals(await new Response(socket.readable).text(), "bye");
    await socket.closed;
    assertEquals(await receive(peer), "");
  });
});

test("closed waits for the caller with allowHalfOpen", async () => {
  await withPeer({ allowHalfOpen: true }, async (socket, peer) => {
    await peer.end();
    assertEquals(await new Response(socket.readable).text(), "");
    const writer = socket.writable.getWriter();
    await writer.write(encoder.encode("one more thing"));
    assert(await isPending(socket.closed));
    await writer.close();
    assertEquals(await receive(peer), "one more thing");
    await socket.closed;
  });
});

test("closed resolves when the peer's RST was read, which the reader is told of", async () => {
  await withPeer({}, async (socket, peer) => {
    const reading = rejection(socket.readable.getReader().read());
    peer.reset();
    assertEquals((await reading as { code?: string }).code, "ECONNRESET");
    await socket.closed;
  });
});

test("closed does not resolve because the streams were cancelled and closed", async () => {
  await withPeer({}, async (socket, peer) => {
    const reading = socket.readable.getReader();
    reading.read().catch(() => {});
    await reading.cancel();
    await socket.writable.close();
    assertEquals(await receive(peer), "");
    assert(await isPending(socket.closed));
    await socket.close();
  });
});

// The streams

test("the readable is a byte stream", async () => {
  await withPeer({}, async (socket, peer) => {
    await peer.write(encoder.encode("one two three"));
    const reader = socket.readable.getReader({ mode: "byob" });
    const { value } = await reader.read(new Uint8Array(4));
    assertEquals(decoder.decode(value), "one ");
    reader.releaseLock();
    await peer.end();
    const rest = await socket.readable.getReader().read();
    assertEquals(decoder.decode(rest.value), "two three");
    await socket.close();
  });
});

test("the writable takes any buffer and any view of one, from before it is open", async () => {
  await using server = await loopback.serve(echo);
  const { address, port } = server.endpoint;
  const socket = connect({ hostname: address, port });
  const received = new Response(socket.readable).text();
  const writer = socket.writable.getWriter();
  const { buffer } = encoder.encode("one two three");
  const chunks = [
    buffer,
    new DataView(buffer, 3, 4),
    new Uint8Array(buffer, 7),
  ];
  for (const chunk of chunks) await writer.write(chunk as Uint8Array);
  assertEquals(decoder.decode(buffer), "one two three");
  await writer.close();
  assertEquals(await received, "one two three two three");
  await socket.closed;
});

test("a peer that does not read holds the writer back, from before it is open", async () => {
  let meet!: (peer: Peer) => void;
  const peer = new Promise<Peer>((resolve) => {
    meet = resolve;
  });
  await withSocket((peer) => meet(peer), {}, async (socket) => {
    const writer = socket.writable.getWriter();
    const chunk = new Uint8Array(MIB).fill(97);
    const total = 64;
    let done = 0;
    assertEquals(writer.desiredSize, 1);
    const writing = (async () => {
      for (; done < total; done++) await writer.write(chunk);
      await writer.close();
    })();
    assertEquals(writer.desiredSize, 0);
    for (let before = -1; before !== done;) {
      before = done;
      for (let i = 0; i < 1000; i++) await loopback.turn();
    }
    assert(done < total, `${done} MiB were taken`);
    assertEquals((await receive(await peer)).length, total * MIB);
    await writing;
    await socket.close();
  });
});

test("a reader that does not read holds the peer back", async () => {
  await withPeer({}, async (socket, peer) => {
    const chunk = new Uint8Array(MIB);
    const total = 64;
    let done = 0;
    const writing = (async () => {
      for (; done < total; done++) await peer.write(chunk);
      await peer.end();
    })();
    for (let before = -1; before !== done;) {
      before = done;
      for (let i = 0; i < 1000; i++) await loopback.turn();
    }
    assert(done < total, `${done} MiB were sent`);
    const bytes = await new Response(socket.readable).arrayBuffer();
    assertEquals(bytes.byteLength, total * MIB);
    await writing;
  });
});

// startTls()

test("startTls() throws a SocketError where it cannot start, and changes nothing", async () => {
  await withSocket(echo, {}, async (socket) => {
    assertThrows(() => socket.startTls(), SocketError, "secureTransport");
    await socket.close();
  });
  await withSocket(echo, { secureTransport: "starttls" }, async (socket) => {
    const refuses = (why: string) =>
      assertThrows(() => socket.startTls(), SocketError, why);
    const reader = socket.readable.getReader();
    refuses("locked");
    reader.releaseLock();
    const writer = socket.writable.getWriter();
    refuses("locked");
    writer.releaseLock();
    const wrong = { expectedServerHostname: "127.0.0.1" };
    assertThrows(() => socket.startTls(wrong), SocketError, "serverName");
    assertEquals([socket.upgraded, socket.secureTransport], [
      false,
      "starttls",
    ]);
    const text = new Response(socket.readable).text();
    const again = socket.writable.getWriter();
    await again.write(encoder.encode("still in plain text"));
    await again.close();
    assertEquals(await text, "still in plain text");
    await socket.close();
    refuses("closed");
  });
});

test("startTls() sends what was written before, in plain text", async () => {
  const options = { secureTransport: "starttls" } as const;
  await withPeer(options, async (socket, peer) => {
    const size = 8 * MIB;
    const writer = socket.writable.getWriter();
    writer.write(new Uint8Array(size / 2));
    writer.write(new Uint8Array(size / 2));
    writer.releaseLock();
    const secure = socket.startTls();
    assertEquals([socket.upgraded, secure.upgraded], [true, false]);
    let left = size;
    for (;;) {
      const bytes = (await peer.read())!;
      if (bytes.length <= left) left -= bytes.length;
      else {
        // The first byte of a TLS record that holds a handshake.
        assertEquals([...bytes.subarray(0, left + 1)].at(-1), 0x16);
        break;
      }
    }
    peer.destroy();
    await assertRejects(() => secure.opened, SocketError);
    await socket.closed;
  });
});

/** A case of `sockets/tls_cases.ts`, and what became of it. */
type Outcome = readonly [name: string, outcome: string];

test("over TLS: all cases in a process that trusts our authority", async () => {
  const outcomes = await runTlsCases();
  assertEquals(
    outcomes.map(([name]) => [name, "ok"]),
    outcomes as [string, string][],
  );
  assert(outcomes.length >= 10);
});

/** Trust is told by the environment, and only at a program's start. */
async function runTlsCases(): Promise<Outcome[]> {
  const ca = path("certs/ca.pem");
  const env = { NODE_EXTRA_CA_CERTS: ca, DENO_CERT: ca };
  const stdout = await run("sockets/tls_cases.ts", env);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}
