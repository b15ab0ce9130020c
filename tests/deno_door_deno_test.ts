/**
 * `connectDeno()`: that what comes out is Deno's own, and that what goes wrong
 * on the way leaves nothing behind, which Deno's sanitizers would tell. The race
 * itself is that of `connect()`.
 *
 * @module
 */

import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";

import { connectDeno, type ConnectDenoOptions } from "../src/entry/deno.ts";
import { ConnectError } from "../src/errors.ts";
import type { HappyEyeballsEvent } from "../src/events.ts";
import { staticResolver } from "../src/resolvers/static.ts";
import { certificate } from "./certs/read.ts";
import { test } from "./harness.ts";
import {
  type Behaviour,
  echo,
  type ServerOptions,
} from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const silent: Behaviour = () => {};
const caCerts = [certificate("ca")];

async function withServer(
  behaviour: Behaviour,
  options: ServerOptions,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = await loopback.serve(behaviour, options);
  await use(server.endpoint.port);
  await server.idle();
  await server[Symbol.asyncDispose]();
}

async function assertEchoes(conn: Deno.Conn): Promise<void> {
  await conn.write(encoder.encode("hello"));
  await conn.closeWrite();
  const text = await new Response(conn.readable).text();
  assertEquals(text, "hello");
}

test("connectDeno() gives the real Deno.TcpConn", async () => {
  await withServer(echo, {}, async (port) => {
    const conn = await connectDeno({ hostname: "127.0.0.1", port });
    assertEquals(conn.constructor.name, "TcpConn");
    assertEquals({ ...conn.remoteAddr }, {
      transport: "tcp",
      hostname: "127.0.0.1",
      port,
    });
    conn.setNoDelay(false);
    conn.setKeepAlive(true);
    await assertEchoes(conn);
  });
});

test("connectDeno() gives the real Deno.TlsConn, after its handshake", async () => {
  const tls = { alpnProtocols: ["h2"] };
  await withServer(echo, { tls }, async (port) => {
    const conn = await connectDeno({
      hostname: "localhost",
      port,
      tls: { caCerts, alpnProtocols: ["h2"] },
    });
    assertEquals(conn.constructor.name, "TlsConn");
    assertEquals((await conn.handshake()).alpnProtocol, "h2");
    await conn.write(encoder.encode("hello"));
    const buffer = new Uint8Array(5);
    assertEquals(await conn.read(buffer), 5);
    assertEquals(decoder.decode(buffer), "hello");
    conn.close();
  });
});

test("connectDeno() races addresses, and tells how", async () => {
  await withServer(silent, {}, async (port) => {
    const events: HappyEyeballsEvent[] = [];
    const conn = await connectDeno({
      hostname: "db.test",
      port,
      resolver: staticResolver(["127.0.0.2", "127.0.0.1"]),
      onEvent: (event) => void events.push(event),
    });
    assertEquals((conn.remoteAddr as Deno.NetAddr).hostname, "127.0.0.1");
    conn.close();
    const ends = events.filter((event) => event.type === "attempt-end");
    assertEquals(
      ends.map(({ endpoint, outcome }) => `${endpoint?.address} ${outcome}`),
      ["127.0.0.2 failed", "127.0.0.1 won"],
    );
  });
});

test("connectDeno() closes losers that opened at the same time", async () => {
  await withServer(silent, { address: "0.0.0.0" }, async (port) => {
    // So much time passes that all attempts start before the first has ended.
    let time = 0;
    const clock = { now: () => time += 1000, sleep: () => Promise.resolve() };
    const events: HappyEyeballsEvent[] = [];
    const conn = await connectDeno({
      hostname: "db.test",
      port,
      resolver: staticResolver(["127.0.0.1", "127.0.0.2", "127.0.0.3"]),
      onEvent: (event) => void events.push(event),
      clock,
    });
    conn.close();
    const starts = events.filter(({ type }) => type === "attempt-start");
    assertEquals(starts.length, 3);
  });
});

test("connectDeno() fails with a ConnectError, in the portable codes", async () => {
  const { port } = await loopback.refusing("127.0.0.1");
  const error = await assertRejects(
    () => connectDeno({ hostname: "127.0.0.1", port }),
    ConnectError,
  );
  assertEquals(error.code, "ECONNREFUSED");
  await withServer(silent, { tls: {} }, async (port) => {
    const error = await assertRejects(
      () => connectDeno({ hostname: "127.0.0.1", port, tls: true }),
      ConnectError,
    );
    assertEquals(error.code, "ERR_TLS_CERT");
  });
});

test("connectDeno() refuses what Deno cannot do", async () => {
  const target = { hostname: "127.0.0.1", port: 1 };
  const localAddresses = ["127.0.0.1"];
  const pem = "-----BEGIN CERTIFICATE-----";
  for (
    const [options, message] of [
      [{ ...target, localAddresses }, /localAddresses/],
      [{ ...target, tls: { cert: pem, key: pem } }, /tls\.cert/],
    ] as const
  ) {
    const error = await assertRejects(
      () => connectDeno(options as ConnectDenoOptions),
      TypeError,
    );
    assertMatch(error.message, message);
  }
});

test("connectDeno() leaves nothing open when it is aborted at any moment", async () => {
  await withServer(silent, {}, async (port) => {
    for (let i = 0; i < 100; i++) {
      const controller = new AbortController();
      const { signal } = controller;
      const reason = new Error("never mind");
      const dialled = connectDeno({ hostname: "127.0.0.1", port, signal }).then(
        (conn) => conn.close(),
        (error) => assertStrictEquals(error, reason),
      );
      for (let turns = (i >> 3) % 4; turns > 0; turns--) await loopback.turn();
      for (let jobs = i % 8; jobs > 0; jobs--) await null;
      controller.abort(reason);
      await dialled;
    }
  });
});

test("connectDeno() lets Deno resolve where only the name is permitted", async () => {
  await withServer(silent, {}, async (port) => {
    const door = new URL("../src/entry/deno.ts", import.meta.url);
    const program = `import { connectDeno } from ${JSON.stringify(door)};
      const conn = await connectDeno({ hostname: "localhost", port: ${port} });
      console.log(conn.constructor.name);
      conn.close();`;
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-prompt", "--quiet", `--allow-net=localhost:${port}`],
        `data:application/typescript,${encodeURIComponent(program)}`,
      ],
      env: { NO_COLOR: "1" },
    }).output();
    assertEquals(decoder.decode(stderr), "");
    assertEquals(decoder.decode(stdout), "TcpConn\n");
  });
});
