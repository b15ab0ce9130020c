/**
 * What only workerd does: it is given names, it tells little, it cancels
 * nothing, it has few connections. Everything here is the portable `connect()`
 * in workerd itself, on sockets that are real.
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
} from "@std/assert";

import { connect } from "../../src/connect.ts";
import type { Connection } from "../../src/connection.ts";
import { ConnectError } from "../../src/errors.ts";
import type { HappyEyeballsEvent } from "../../src/events.ts";
import type { ConnectOptions } from "../../src/options.ts";
import { staticResolver } from "../../src/resolvers/static.ts";
import { systemResolver } from "../../src/resolvers/system.ts";
import { runtime } from "../../src/runtime/workerd.ts";
import { FakeClock } from "../fake_clock.ts";
import { test } from "../harness.ts";
import type { Behaviour, ServerOptions } from "../runtime_conformance.ts";
import { loopback, openHole } from "./world.ts";

const silent: Behaviour = () => {};

/** Each event in a few words. */
function story(events: readonly HappyEyeballsEvent[]): string[] {
  return events.map((event) => {
    switch (event.type) {
      case "attempt-start":
        return `start ${event.endpoint?.address ?? event.delegated}`;
      case "attempt-end":
        return `${event.outcome} ${event.endpoint?.address ?? null}`;
      default:
        return "outcome" in event ? event.outcome : event.type;
    }
  });
}

/** Listens to what happens, too. */
function listening(
  options: ConnectOptions,
): { events: HappyEyeballsEvent[]; connected: Promise<Connection> } {
  const events: HappyEyeballsEvent[] = [];
  const onEvent = (event: HappyEyeballsEvent) => void events.push(event);
  return { events, connected: connect({ ...options, onEvent }) };
}

async function serve(behaviour: Behaviour, options?: ServerOptions) {
  const server = await loopback.serve(behaviour, options);
  return { server, port: server.endpoint.port };
}

test("connect() on workerd leaves a name to the platform, in one attempt", async () => {
  const { server, port } = await serve(silent);
  const { events, connected } = listening({
    hostname: "localhost.test.",
    port,
  });
  await assertRejects(() => connected, ConnectError);
  assertEquals(story(events), ["start true", "failed null", "failed"]);
  await server[Symbol.asyncDispose]();
});

test("connect() on workerd leaves localhost to the platform unless an option asks for addresses", async () => {
  const { server, port } = await serve(silent);
  for (
    const [options, told] of [
      [{}, ["start true", "won null", "connected"]],
      [
        { allow: () => true },
        [
          "start ::1",
          "failed ::1",
          "start 127.0.0.1",
          "won 127.0.0.1",
          "connected",
        ],
      ],
    ] as const
  ) {
    const hostname = "localhost";
    const { events, connected } = listening({ hostname, port, ...options });
    const connection = await connected;
    assertEquals(story(events), [...told]);
    await connection.close();
  }
  await server.idle();
  await server[Symbol.asyncDispose]();
});

test("connect() on workerd dials a literal, and tells no local address", async () => {
  for (
    const [address, hostname] of [["127.0.0.1"], ["::1", "[::1]"]] as const
  ) {
    const { server, port } = await serve(silent, { address });
    const options = { hostname: hostname ?? address, port };
    const connection = await connect(options);
    const { remoteAddr, localAddr, alpnProtocol } = connection;
    assertEquals(remoteAddr, { transport: "tcp", hostname: address, port });
    assertEquals([localAddr, alpnProtocol], [null, null]);
    await connection.close();
    await server.idle();
    await server[Symbol.asyncDispose]();
  }
});

test("connect() on workerd does TLS by name, and does not know the address", async () => {
  const { server, port } = await serve(
    async (peer) => {
      await peer.write(new TextEncoder().encode("hello"));
      await peer.end();
    },
    { tls: {} },
  );
  const { events, connected } = listening({
    hostname: "localhost",
    port,
    tls: true,
  });
  const connection = await connected;
  assertEquals(story(events), ["start true", "won null", "connected"]);
  assertStrictEquals(connection.remoteAddr, null);
  assertEquals(await new Response(connection.readable).text(), "hello");
  await connection.closed;
  await server[Symbol.asyncDispose]();
});

test("connect() on workerd fails with ECONNREFUSED and the platform's words", async () => {
  const expired = await serve(silent, { tls: { certificate: "expired" } });
  const plain = await serve((peer) => peer.end());
  const { port } = await loopback.refusing("127.0.0.1");
  const options: ConnectOptions[] = [
    { hostname: "127.0.0.1", port },
    { hostname: "name.invalid", port },
    { hostname: "localhost", port: expired.port, tls: true },
    { hostname: "localhost", port: plain.port, tls: true },
    // The address is not in the certificate.
    { hostname: "127.0.0.3", port: expired.port, tls: true },
  ];
  for (const each of options) {
    const error = await assertRejects(() => connect(each), ConnectError);
    assertEquals(error.code, "ECONNREFUSED");
    assertInstanceOf((error.cause as Error).cause, Error);
    assertMatch(error.message, new RegExp(`port ${each.port}: .*ECONNREFUSED`));
  }
  await expired.server[Symbol.asyncDispose]();
  await plain.server[Symbol.asyncDispose]();
});

test("connect() on workerd blames no network for an address that the platform cannot read", async () => {
  const connecting = connect({ hostname: "fe80::1%lo", port: 9 });
  const error = await assertRejects(() => connecting, ConnectError);
  assertInstanceOf(error.cause, TypeError);
  assertMatch(error.message, /\[fe80::1%lo\] Specified address/);
  assertNotEquals(error.code, "ECONNREFUSED");
});

/** It passes for a certificate, and for a key. */
const PEM = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";

const refused: readonly [
  options: Omit<ConnectOptions, "hostname" | "port"> & { hostname?: string },
  message: RegExp,
][] = [
  [{ localAddresses: ["127.0.0.1"] }, /localAddresses is not supported/],
  [{ tls: { alpnProtocols: ["h2"] } }, /tls\.alpnProtocols is not supported/],
  [{ tls: { caCerts: [PEM] } }, /tls\.caCerts is not supported/],
  [{ tls: { cert: PEM, key: PEM } }, /tls\.cert is not supported/],
  [{ tls: { serverName: "a.test" } }, /tls\.serverName is not supported/],
  [{ keepAlive: true }, /keepAlive is not supported/],
  [{ noDelay: false }, /noDelay: false is not supported/],
  [{ allow: () => true }, /allow needs a resolver/],
  [{ family: 4 }, /family needs a resolver/],
  [{ sourceAddress: () => null }, /sourceAddress needs a resolver/],
  [
    { tls: true, resolver: staticResolver(["127.0.0.1"]) },
    /resolver is not supported with tls/,
  ],
  [{ tls: true, allow: () => true }, /allow is not supported with tls/],
  [{ tls: true, family: 4, hostname: "localhost" }, /family is not supported/],
];

test("connect() on workerd refuses what the platform cannot honour", async () => {
  for (const [options, message] of refused) {
    const { events, connected } = listening({
      hostname: "db.test",
      port: 5432,
      ...options,
    });
    const error = await assertRejects(() => connected, TypeError);
    assertMatch(error.message, message);
    assertMatch(error.message, /^Cannot connect: .*workerd/);
    assertEquals(events, []);
  }
});

test("connect() on workerd takes for addresses what needs no resolver", async () => {
  const { server, port } = await serve(silent);
  const connection = await connect({
    hostname: "127.0.0.1",
    port,
    family: 4,
    allow: ({ address }) => address === "127.0.0.1",
  });
  await connection.close();
  await server[Symbol.asyncDispose]();
});

test("connect() on workerd says that there is no system resolver", async () => {
  const resolver = systemResolver();
  const error = await assertRejects(
    () => connect({ hostname: "localhost.test", port: 80, resolver }),
    ConnectError,
  );
  assertMatch(error.message, /workerd has no resolver/);
});

test("connect() on workerd does no TLS by address under another name", async () => {
  const { server, port } = await serve(silent, { tls: {} });
  const options = {
    hostname: "localhost",
    tls: {},
    allowHalfOpen: false,
    noDelay: true,
    keepAlive: false,
  };
  const { signal } = new AbortController();
  const endpoint = { address: "127.0.0.1", family: 4, port } as const;
  await assertRejects(
    () => runtime.connect(endpoint, options, signal, () => {}),
    TypeError,
    "TLS on workerd verifies what was dialled",
  );
  const plain = { ...options, tls: null };
  const connection = await runtime.connect(endpoint, plain, signal, () => {});
  await assertRejects(
    () => connection.startTls(),
    TypeError,
    "TLS on workerd verifies what was dialled",
  );
  await connection.close();
  await server.idle();
  await server[Symbol.asyncDispose]();
});

test("startTls() on workerd refuses options, and leaves the connection as it is", async () => {
  const { server, port } = await serve(async (peer) => {
    await peer.write((await peer.read())!);
    await peer.end();
  });
  const connection = await connect({ hostname: "127.0.0.1", port });
  for (const options of [{ serverName: "a.test" }, { alpnProtocols: ["h2"] }]) {
    await assertRejects(
      () => connection.startTls(options),
      TypeError,
      `tls.${Object.keys(options)[0]} is not supported on workerd`,
    );
  }
  await connection.writable.getWriter().write(Uint8Array.of(1, 2, 3));
  const echoed = await new Response(connection.readable).arrayBuffer();
  assertEquals([...new Uint8Array(echoed)], [1, 2, 3]);
  await connection.closed;
  await server[Symbol.asyncDispose]();
});

test("startTls() on workerd fails with ERR_TLS_HANDSHAKE, whatever it is, and closes", async () => {
  const behaviours: Behaviour[] = [
    (peer) => peer.startTls({ certificate: "expired" }).then(() => {}),
    (peer) => peer.write(new TextEncoder().encode("220 this is no TLS\r\n")),
  ];
  for (const behaviour of behaviours) {
    const { server, port } = await serve(behaviour);
    const connection = await connect({ hostname: "127.0.0.1", port });
    const error = await assertRejects(
      () => connection.startTls(),
      ConnectError,
    );
    const { hostname } = error;
    assertEquals([hostname, error.port, error.code], [
      "127.0.0.1",
      port,
      "ERR_TLS_HANDSHAKE",
    ]);
    assertInstanceOf(error.cause, Error);
    assertStrictEquals(await assertRejects(() => connection.closed), error);
    // A server of Node's does not notice that the client left its handshake.
    if (behaviour === behaviours[1]) await server.idle();
    await server[Symbol.asyncDispose]();
  }
});

test("connect() on workerd races a resolver's addresses, and closes a loser when it opens", async () => {
  const { server, port } = await serve(silent);
  const hole = await openHole("127.0.0.2", port);
  const { events, connected } = listening({
    hostname: "db.test",
    port,
    resolver: staticResolver(["127.0.0.2", "127.0.0.1"]),
    connectionAttemptDelay: 10,
  });
  const connection = await connected;
  assertEquals(story(events), [
    "resolve-start",
    "answer",
    "answer",
    "start 127.0.0.2",
    "start 127.0.0.1",
    "won 127.0.0.1",
    "canceled 127.0.0.2",
    "connected",
  ]);
  // It cannot be cancelled, so its SYN is repeated until it gets through.
  assertEquals(await hole.count(), { dialling: 1, open: 0 });
  await hole.wake();
  for (;;) {
    const { dialling, open } = await hole.count();
    if (dialling + open === 0) break;
    await loopback.turn();
  }
  await connection.close();
  await server.idle();
  await server[Symbol.asyncDispose]();
  await hole.close();
});

test("connect() on workerd has six attempts under way at most", async () => {
  const hole = await openHole("0.0.0.0");
  const clock = new FakeClock();
  const controller = new AbortController();
  const { events, connected } = listening({
    hostname: "db.test",
    port: hole.port,
    resolver: staticResolver(
      [2, 3, 4, 5, 6, 7, 8, 9].map((n) => `127.0.0.${n}`),
    ),
    signal: controller.signal,
    clock,
  });
  await clock.finish(60_000);
  assertEquals(events.filter(({ type }) => type === "attempt-start").length, 6);
  while ((await hole.count()).dialling < 6) await loopback.turn();
  const reason = new Error("never mind");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => connected), reason);
  // Lets them in, so that they are closed.
  await hole.wake();
  for (;;) {
    const { dialling, open } = await hole.count();
    if (dialling + open === 0) break;
    await loopback.turn();
  }
  await hole.close();
});

test("connect() on workerd does not count attempts that have failed", async () => {
  const { server, port } = await serve(silent);
  const hole = await openHole("127.0.0.2", port);
  // Nobody listens at 127.0.0.3 and so on: they are refused at once.
  const addresses = [2, 3, 4, 5, 6, 7, 8, 1].map((n) => `127.0.0.${n}`);
  const { events, connected } = listening({
    hostname: "db.test",
    port,
    resolver: staticResolver(addresses),
    connectionAttemptDelay: 10,
  });
  const connection = await connected;
  assert(story(events).includes("won 127.0.0.1"));
  await connection.close();
  await hole.wake();
  await hole.close();
  await server[Symbol.asyncDispose]();
});
