/**
 * `Connection` over a transport that does nothing by itself: what it asks of
 * its adapter, and when. Behaviour that shows on the wire is tested on real
 * sockets, by `runtime_conformance.ts`.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";

import { runInNewContext } from "node:vm";

import type { Connection, Transport } from "../src/connection.ts";
import {
  type ConnectionOptions,
  OpenConnection,
} from "../src/open_connection.ts";
import { ConnectError } from "../src/errors.ts";
import type { TlsOptions } from "../src/options.ts";
import { FakeClock, turn } from "./fake_clock.ts";
import { CountedAbort } from "./fake_network.ts";
import { test } from "./harness.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A call that waits for the test. */
class Pending<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (reason: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** Writes down what is asked of it, and waits for the test to answer. */
class FakeTransport implements Transport {
  readonly calls: string[] = [];
  readonly remoteAddr = {
    transport: "tcp" as const,
    hostname: "2001:db8::1",
    port: 443,
  };
  readonly localAddr = null;
  readonly alpnProtocol = null;
  into: Bytes | undefined;
  reading = new Pending<Bytes | null>();
  writing = new Pending<void>();
  ending = new Pending<void>();
  upgrade = new Pending<Transport>();
  tls: [hostname: string, options: TlsOptions] | undefined;

  /** Answers the read under way, which streams start in their own time. */
  async give(chunk: Bytes | null): Promise<void> {
    await turn();
    this.reading.resolve(chunk);
  }

  read(into?: Bytes): Promise<Bytes | null> {
    this.calls.push("read");
    this.into = into;
    this.reading = new Pending();
    return this.reading.promise;
  }

  write(bytes: Uint8Array): Promise<void> {
    this.calls.push(`write ${text(bytes)}`);
    this.writing = new Pending();
    return this.writing.promise;
  }

  closeWrite(): Promise<void> {
    this.calls.push("closeWrite");
    return this.ending.promise;
  }

  destroy(): void {
    this.calls.push("destroy");
    const reason = new Error("destroyed");
    for (const call of [this.reading, this.writing, this.ending]) {
      call.promise.catch(() => {});
      call.reject(reason);
    }
  }

  startTls(hostname: string, options: TlsOptions): Promise<Transport> {
    this.calls.push("startTls");
    this.tls = [hostname, options];
    return this.upgrade.promise;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const bytes = (text: string): Bytes => encoder.encode(text);
const text = (bytes: AllowSharedBufferSource | undefined): string =>
  decoder.decode(bytes);

/** A connection, and the transport under it. */
function open(
  options: Partial<ConnectionOptions> = {},
): { connection: Connection; transport: FakeTransport } {
  const transport = new FakeTransport();
  const connection = new OpenConnection(transport, {
    hostname: "example.test",
    tls: null,
    allowHalfOpen: false,
    ...options,
  });
  return { connection, transport };
}

/** Whether a promise is still pending when everything else has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let isDone = false;
  const done = () => {
    isDone = true;
  };
  promise.then(done, done);
  await turn();
  return !isDone;
}

// Streams

test("Connection asks nothing of its transport before it is used", async () => {
  const { connection, transport } = open();
  assert(connection.readable && connection.writable && connection.closed);
  connection.readable.getReader();
  connection.writable.getWriter();
  await turn();
  assertEquals(transport.calls, []);
});

test("Connection.readable reads once for each read, and never ahead", async () => {
  const { connection, transport } = open();
  const reader = connection.readable.getReader();
  for (const chunk of ["one", "two"]) {
    const reading = reader.read();
    await transport.give(bytes(chunk));
    assertEquals(text((await reading).value), chunk);
    await turn();
  }
  assertEquals(transport.calls, ["read", "read"]);
});

test("Connection.readable has the transport fill the buffer of a BYOB reader", async () => {
  const { connection, transport } = open();
  const reader = connection.readable.getReader({ mode: "byob" });
  const reading = reader.read(new Uint8Array(8));
  await turn();
  const into = transport.into!;
  assertEquals(into.byteLength, 8);
  into.set(bytes("abc"));
  transport.reading.resolve(into.subarray(0, 3));
  const { value } = await reading;
  assertEquals([text(value), value?.buffer.byteLength], ["abc", 8]);
});

test("Connection.readable keeps what a read brings that was given up", async () => {
  const { connection, transport } = open();
  const reader = connection.readable.getReader();
  const given = assertRejects(() => reader.read());
  await turn();
  reader.releaseLock();
  await given;
  await transport.give(bytes("still here"));
  await turn();
  const error = await assertRejects(() => connection.startTls(), TypeError);
  assertEquals(error.message, "Cannot start TLS: plain text is buffered");
  const { value } = await connection.readable.getReader().read();
  assertEquals(text(value), "still here");
  assertEquals(transport.calls, ["read"]);
});

test("Connection.readable ends a BYOB read that is pending at the FIN", async () => {
  for (const View of [Uint8Array, Uint16Array]) {
    const { connection, transport } = open();
    const reader = connection.readable.getReader({ mode: "byob" });
    const reading = reader.read(new View(4));
    await transport.give(null);
    assertEquals((await reading).done, true);
  }
});

test("Connection.readable that ends amid an element of a BYOB read errors", async () => {
  const { connection, transport } = open();
  const reader = connection.readable.getReader({ mode: "byob" });
  const reading = assertRejects(
    () => reader.read(new Uint16Array(2)),
    TypeError,
  );
  await turn();
  transport.reading.resolve(transport.into!.subarray(0, 1));
  await transport.give(null);
  await reading;
  transport.ending.resolve();
  await connection.closed;
});

test("Connection.readable.cancel() ends that side alone", async () => {
  const { connection, transport } = open();
  const reader = connection.readable.getReader();
  const reading = reader.read();
  await turn();
  await reader.cancel();
  assertEquals((await reading).done, true);
  await transport.give(bytes("nobody wants it"));
  const writer = connection.writable.getWriter();
  const writing = writer.write(bytes("a"));
  await turn();
  transport.writing.resolve();
  await writing;
  const closing = writer.close();
  await turn();
  assertEquals(transport.calls, ["read", "write a", "closeWrite"]);
  transport.ending.resolve();
  await closing;
  await connection.closed;
  assertEquals(transport.calls.at(-1), "destroy");
});

test("Connection.writable writes one chunk at a time and tells when it is full", async () => {
  const { connection, transport } = open();
  const writer = connection.writable.getWriter();
  assertEquals(writer.desiredSize, 1);
  const writes = [writer.write(bytes("a")), writer.write(bytes("b"))];
  await turn();
  assertEquals([transport.calls, writer.desiredSize], [["write a"], -1]);
  assert(await isPending(writer.ready));
  transport.writing.resolve();
  await turn();
  assertEquals(transport.calls, ["write a", "write b"]);
  transport.writing.resolve();
  await writer.ready;
  await Promise.all(writes);
});

test("Connection.writable takes any buffer and any view of one", async () => {
  const { buffer } = bytes("abcdefgh");
  const shared = new SharedArrayBuffer(2);
  new Uint8Array(shared).set(bytes("xy"));
  const chunks: [unknown, expected: string][] = [
    [new Uint8Array(buffer, 1, 2), "bc"],
    [new DataView(buffer, 1, 2), "bc"],
    [new Uint16Array(buffer, 2, 2), "cdef"],
    [new BigInt64Array(buffer), "abcdefgh"],
    [buffer, "abcdefgh"],
    [new ArrayBuffer(0), ""],
    [shared, "xy"],
    [new Uint8Array(shared, 1), "y"],
    // Of another realm, whose ArrayBuffer is not ours.
    [runInNewContext("new Uint8Array([102, 97, 114]).buffer"), "far"],
    [runInNewContext("new Uint8Array([102, 97, 114])"), "far"],
  ];
  for (const [chunk, expected] of chunks) {
    const { connection, transport } = open();
    const writer = connection.writable.getWriter();
    const writing = writer.write(chunk as Uint8Array);
    await turn();
    transport.writing.resolve();
    await writing;
    assertEquals(transport.calls, [`write ${expected}`]);
  }
  assertEquals(text(buffer), "abcdefgh");
});

test("Connection.writable breaks the connection at a chunk that is no bytes", async () => {
  const detached = new Uint8Array(1);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  for (const chunk of ["text", 1, null, undefined, [1], {}, detached]) {
    const { connection, transport } = open();
    const writer = connection.writable.getWriter();
    const writing = writer.write(chunk as Uint8Array);
    const error = await assertRejects(() => writing, TypeError);
    assertStrictEquals(await assertRejects(() => connection.closed), error);
    assertEquals(transport.calls, ["destroy"]);
  }
});

// The end

test("Connection.close() sends the FIN after all writes that were asked for", async () => {
  const { connection, transport } = open();
  const writer = connection.writable.getWriter();
  const writes = ["a", "b"].map((chunk) => writer.write(bytes(chunk)));
  const closed = connection.close();
  const late = assertRejects(() => writer.write(bytes("c")), TypeError);
  await turn();
  transport.writing.resolve();
  await turn();
  assertEquals(transport.calls, ["write a", "write b"]);
  transport.writing.resolve();
  await Promise.all(writes);
  await late;
  await turn();
  assertEquals(transport.calls.slice(2), ["closeWrite"]);
  assert(await isPending(closed));
  transport.ending.resolve();
  await closed;
  assertEquals(transport.calls.slice(2), ["closeWrite", "destroy"]);
});

test("Connection.close() works where nothing was ever read or written", async () => {
  const { connection, transport } = open();
  transport.ending.resolve();
  await connection.close();
  assertEquals(transport.calls, ["closeWrite", "destroy"]);
  assertEquals((await connection.readable.getReader().read()).done, true);
  const writer = connection.writable.getWriter();
  await assertRejects(() => writer.write(bytes("a")), TypeError);
});

test("Connection.close() ends reads of both kinds, and drops what still comes", async () => {
  for (const mode of [undefined, "byob"] as const) {
    const { connection, transport } = open();
    const reading = mode
      ? connection.readable.getReader({ mode }).read(new Uint8Array(4))
      : connection.readable.getReader().read();
    await turn();
    const closed = connection.close();
    transport.reading.resolve(transport.into?.subarray(0, 1) ?? bytes("a"));
    const { done } = await reading;
    assertEquals(done, true);
    transport.ending.resolve();
    await closed;
  }
});

test("Connection.close() comes after writable.close() and reading to the end", async () => {
  const { connection, transport } = open();
  transport.ending.resolve();
  await connection.writable.close();
  await connection.close();
  assertEquals(transport.calls, ["closeWrite", "destroy"]);
});

test("Connection.close() again gives the same promise and changes nothing", async () => {
  const { connection, transport } = open();
  const closed = connection.close();
  assertStrictEquals(connection.close(), closed);
  transport.ending.resolve();
  await closed;
  assertStrictEquals(connection.close(new Error("too late")), closed);
  assertEquals(transport.calls, ["closeWrite", "destroy"]);
});

test("Connection.close(reason) cuts a close() short that waits for the peer", async () => {
  const { connection, transport } = open();
  const writer = connection.writable.getWriter();
  const writing = assertRejects(() => writer.write(bytes("a")));
  const closed = connection.close();
  assert(await isPending(closed));
  connection.close("enough");
  await closed;
  await writing;
  assertStrictEquals(await assertRejects(() => writer.closed), "enough");
  assertEquals(transport.calls, ["write a", "destroy"]);
});

test("Connection.close(reason) errors streams that are asked for afterwards", async () => {
  const { connection } = open();
  await connection.close("enough");
  const { readable, writable } = connection;
  assertStrictEquals(
    await assertRejects(() => readable.getReader().read()),
    "enough",
  );
  assertStrictEquals(
    await assertRejects(() => writable.getWriter().closed),
    "enough",
  );
});

test("Connection: the writer may close after the peer's FIN has closed its side", async () => {
  const { connection, transport } = open();
  const writer = connection.writable.getWriter();
  const reading = connection.readable.getReader().read();
  await transport.give(null);
  await reading;
  transport.ending.resolve();
  await connection.closed;
  await writer.close();
  assertEquals(transport.calls, ["read", "closeWrite", "destroy"]);
});

test("Connection.closed rejects whenever it is asked for, and needs no handler", async () => {
  const { connection, transport } = open();
  const before = connection.closed;
  const reading = assertRejects(() => connection.readable.getReader().read());
  const error = new Error("reset");
  await turn();
  transport.reading.reject(error);
  await reading;
  // The test runner would report it here.
  await turn();
  assertStrictEquals(await assertRejects(() => before), error);
  const late = open();
  const writer = late.connection.writable.getWriter();
  const writing = assertRejects(() => writer.write(bytes("a")));
  await turn();
  late.transport.writing.reject(error);
  await writing;
  assertStrictEquals(await assertRejects(() => late.connection.closed), error);
});

test("Connection.closed rejects when the FIN cannot be sent", async () => {
  const { connection, transport } = open();
  const error = new Error("reset");
  const closing = assertRejects(() => connection.writable.close());
  await turn();
  transport.ending.reject(error);
  assertStrictEquals(await closing, error);
  assertStrictEquals(await assertRejects(() => connection.closed), error);
  assertEquals(transport.calls, ["closeWrite", "destroy"]);
});

// Disposal

test("Connection[Symbol.asyncDispose]() drops what is not taken after 1 s", async () => {
  const clock = new FakeClock();
  const { connection, transport } = open({ clock });
  const writer = connection.writable.getWriter();
  const writing = assertRejects(() => writer.write(bytes("a")));
  await clock.run(connection[Symbol.asyncDispose]());
  assertEquals([clock.now(), clock.pending], [1000, 0]);
  await writing;
  await assertRejects(() => connection.closed, Error);
  assertEquals(transport.calls, ["write a", "destroy"]);
});

test("Connection[Symbol.asyncDispose]() leaves no timer behind", async () => {
  const clock = new FakeClock();
  const { connection, transport } = open({ clock });
  transport.ending.resolve();
  await clock.run(connection[Symbol.asyncDispose]());
  assertEquals([clock.now(), clock.pending], [0, 0]);
  assertEquals(transport.calls, ["closeWrite", "destroy"]);
  await clock.run(connection[Symbol.asyncDispose]());
  assertEquals(clock.pending, 0);
});

test("Connection[Symbol.asyncDispose]() does not reject after a reset", async () => {
  const clock = new FakeClock();
  const { connection, transport } = open({ clock });
  const disposed = connection[Symbol.asyncDispose]();
  transport.ending.reject(new Error("reset"));
  await clock.run(disposed);
  await assertRejects(() => connection.closed, Error, "reset");
});

// TLS

test("Connection.startTls() passes the hostname and a copy of the options", async () => {
  const { connection, transport } = open();
  const secure = new FakeTransport();
  transport.upgrade.resolve(secure);
  const alpnProtocols = ["h2"];
  const upgraded = await connection.startTls({ alpnProtocols });
  alpnProtocols.push("http/1.1");
  assertEquals(transport.tls![0], "example.test");
  assertEquals(transport.tls![1].alpnProtocols, ["h2"]);
  await connection.closed;
  await connection.close();
  assertEquals(transport.calls, ["startTls"]);
  await assertRejects(() => upgraded.startTls(), TypeError);
  assertEquals(secure.calls, []);
});

test("Connection.startTls() refuses bad options before it does anything", async () => {
  const { connection, transport } = open();
  const signal = AbortSignal.abort();
  for (
    const options of [
      { caCerts: "a certificate" },
      { caCerts: "a certificate", signal },
      { signal: "stop" },
      { signal: null },
      { signal: {} },
      "options",
      null,
    ]
  ) {
    await assertRejects(
      () => connection.startTls(options as unknown as TlsOptions),
      TypeError,
    );
  }
  assertEquals(transport.calls, []);
  const reading = connection.readable.getReader().read();
  await transport.give(bytes("here"));
  assertEquals(text((await reading).value), "here");
});

test("Connection.startTls() that fails is a ConnectError of one attempt", async () => {
  const clock = new FakeClock();
  for (const knowsAddress of [true, false]) {
    const { connection, transport } = open({ clock, port: 587 });
    if (!knowsAddress) Object.assign(transport, { remoteAddr: null });
    const starting = connection.startTls();
    await clock.run(clock.sleep(30));
    const cause = Object.assign(new Error("bad record"), {
      code: "ERR_TLS_HANDSHAKE",
    });
    transport.upgrade.reject(cause);
    const error = await assertRejects(() => starting, ConnectError);
    assertStrictEquals(await assertRejects(() => connection.closed), error);
    const { hostname, port, code, attempts, errors, answers } = error;
    assertEquals([hostname, port], ["example.test", knowsAddress ? 443 : 587]);
    assertEquals([code, answers], ["ERR_TLS_HANDSHAKE", []]);
    assertEquals(attempts, [{
      index: 0,
      endpoint: knowsAddress
        ? { address: "2001:db8::1", family: 6, port: 443 }
        : null,
      startTime: clock.now() - 30,
      duration: 30,
      error: cause,
    }]);
    assertEquals([errors, error.cause], [[cause], cause]);
    assertEquals(transport.calls, ["startTls", "destroy"]);
  }
});

test("Connection.startTls() ends with its signal, whatever its transport does", async () => {
  const { connection, transport } = open();
  const { readable } = connection;
  const controller = new CountedAbort();
  const { signal } = controller;
  const starting = connection.startTls({ signal });
  assertEquals(controller.listeners, 1);
  controller.abort("enough");
  assertStrictEquals(await assertRejects(() => starting), "enough");
  assertEquals(controller.listeners, 0);
  await connection.closed;
  assertStrictEquals(
    await assertRejects(() => readable.getReader().read()),
    "enough",
  );
  const secure = new FakeTransport();
  transport.upgrade.resolve(secure);
  await turn();
  assertEquals([transport.calls, secure.calls], [
    ["startTls", "destroy"],
    ["destroy"],
  ]);
});

test("Connection.startTls() with an aborted signal starts nothing", async () => {
  const { connection, transport } = open();
  const signal = AbortSignal.abort("enough");
  const error = await assertRejects(() => connection.startTls({ signal }));
  assertStrictEquals(error, "enough");
  await connection.closed;
  assertEquals(transport.calls, ["destroy"]);
});

test("Connection.startTls() leaves no listener on its signal", async () => {
  const controller = new CountedAbort();
  const { signal } = controller;
  for (const outcome of [new Error("reset"), new TypeError("plain text")]) {
    const { connection, transport } = open();
    transport.upgrade.reject(outcome);
    await assertRejects(() => connection.startTls({ signal }));
    assertEquals(controller.listeners, 0);
  }
  const { connection, transport } = open();
  transport.upgrade.resolve(new FakeTransport());
  const secure = await connection.startTls({ signal });
  assertEquals(controller.listeners, 0);
  controller.abort("too late");
  assertEquals([connection.upgraded, secure.upgraded], [true, false]);
});

test("Connection.startTls() that its transport refuses changes nothing", async () => {
  const { connection, transport } = open();
  transport.upgrade.reject(new TypeError("there is plain text"));
  await assertRejects(() => connection.startTls(), TypeError);
  const reading = connection.readable.getReader().read();
  await transport.give(bytes("here"));
  assertEquals(text((await reading).value), "here");
  assertEquals(transport.calls, ["startTls", "read"]);
});

test("Connection.startTls() has the transport for itself", async () => {
  const { connection, transport } = open();
  const { readable, writable } = connection;
  const starting = connection.startTls();
  await assertRejects(() => readable.getReader().read(), TypeError);
  await assertRejects(() => writable.getWriter().write(bytes("a")), TypeError);
  await assertRejects(() => connection.startTls(), TypeError);
  assertEquals(transport.calls, ["startTls"]);
  transport.upgrade.resolve(new FakeTransport());
  assertEquals((await starting).upgraded, false);
  assertEquals(connection.upgraded, true);
});

test("Connection.startTls() loses against close(), and a late success is closed", async () => {
  const { connection, transport } = open();
  const starting = connection.startTls();
  const reason = new Error("enough");
  await connection.close(reason);
  assertStrictEquals(await assertRejects(() => starting), reason);
  const secure = new FakeTransport();
  transport.upgrade.resolve(secure);
  await turn();
  assertEquals([transport.calls, secure.calls], [["startTls", "destroy"], [
    "destroy",
  ]]);
  assertEquals(connection.upgraded, false);
});

// What it tells

test("Connection.opened writes addresses as WinterTC does", async () => {
  const { connection } = open();
  assertEquals(await connection.opened, {
    remoteAddress: "[2001:db8::1]:443",
    localAddress: null,
    alpn: null,
  });
  assertStrictEquals(connection.opened, connection.opened);
});
