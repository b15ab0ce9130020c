/**
 * `connector()` as undici calls it, on real sockets and without undici; with it
 * is in `drivers/`. Its limit of time is tested in virtual time.
 *
 * @module
 */

import { once } from "node:events";
import net from "node:net";
import os from "node:os";
import process from "node:process";
import tls from "node:tls";

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";

import { ConnectError, staticResolver } from "../mod.ts";
import {
  type Connector,
  connector,
  type ConnectorOptions,
  type ConnectorTarget,
} from "../src/entry/node.ts";
import { FakeClock, turn } from "./fake_clock.ts";
import { runtimeName, test } from "./harness.ts";
import { echo, type Server } from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const { ca } = loopback.certificates;

/** What undici would say of a server. */
function target(
  { endpoint: { address, port } }: Pick<Server, "endpoint">,
  more: Partial<ConnectorTarget> = {},
): ConnectorTarget {
  return {
    hostname: address,
    host: `${address}:${port}`,
    protocol: "http:",
    port: String(port),
    servername: null,
    localAddress: null,
    ...more,
  };
}

const https = { protocol: "https:" };

/** What a connector calls back with. */
function call(connect: Connector, target: ConnectorTarget) {
  return new Promise<net.Socket>((resolve, reject) => {
    let isCalled = false;
    const returned: unknown = connect(target, (...[error, socket]) => {
      assert(!isCalled, "called back twice");
      isCalled = true;
      if (error) reject(error);
      else resolve(socket);
    });
    assertEquals(returned, undefined);
  });
}

/** Says so much and ends; the answer is that. */
async function talk(socket: net.Socket, text = "hello"): Promise<void> {
  socket.end(text);
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  assertEquals(answer, text);
}

test("connector() calls back with the platform's own socket", async () => {
  await using plain = await loopback.serve(echo);
  await using secure = await loopback.serve(echo, { tls: {} });
  const connect = connector({ ca });
  const socket = await call(connect, target(plain));
  assert(socket instanceof net.Socket && !(socket instanceof tls.TLSSocket));
  await talk(socket);
  const tlsSocket = await call(connect, target(secure, https));
  assertInstanceOf(tlsSocket, tls.TLSSocket);
  assertEquals(tlsSocket.authorized, true);
  await talk(tlsSocket);
  await plain.idle();
  await secure.idle();
});

test("connector() probes idle connections unless told otherwise", async () => {
  const { keepsAlive } = loopback;
  if (!keepsAlive) return;
  await using server = await loopback.serve(echo);
  for (const keepAlive of [undefined, null, true, false]) {
    const socket = await call(connector({ keepAlive }), target(server));
    const { localPort, remotePort } = socket;
    assertEquals(await keepsAlive(localPort!, remotePort!), keepAlive ?? true);
    socket.destroy();
  }
  await server.idle();
});

test("connector() takes the protocol's port where there is none", async () => {
  const ports: number[] = [];
  const allow = ({ port }: { port: number }) => {
    ports.push(port);
    return false;
  };
  const cases = [["http:", {}], ["https:", {}], ["https:", { port: 8443 }]];
  for (const [protocol, more] of cases as [string, ConnectorOptions][]) {
    for (const port of [undefined, ""]) {
      const target = { protocol, port, hostname: "192.0.2.1" };
      const connect = connector({ allow, ...more });
      await assertRejects(() => call(connect, target), ConnectError);
    }
  }
  assertEquals(ports, [80, 80, 443, 443, 8443, 8443]);
});

test("connector() sends and verifies the name undici means", async () => {
  const cases: [Partial<ConnectorTarget>, ConnectorOptions, string | null][] = [
    [{ servername: "localhost", host: "example.test" }, {}, "localhost"],
    [{ host: "example.test:1" }, { servername: "localhost" }, "localhost"],
    [{ host: "example.test:1" }, {}, "example.test"],
    [{ host: "example.test" }, {}, "example.test"],
    [{ host: undefined, hostname: "localhost" }, {}, "localhost"],
    [{ host: "127.0.0.1:1" }, {}, null],
    [{ host: "127.0.0.1" }, {}, null],
    [{ host: "[::1]:1" }, {}, null],
  ];
  for (const [more, options, name] of cases) {
    const names: unknown[] = [];
    await using server = await loopback.serve(async (peer) => {
      names.push(peer.serverName);
      await echo(peer);
    }, { tls: {} });
    const connect = connector({ ca, family: 4, ...options });
    const socket = await call(connect, target(server, { ...https, ...more }));
    await talk(socket);
    await server.idle();
    // Deno's server does not know what the client said of names.
    if (runtimeName !== "deno") assertEquals(names, [name], more.host);
  }
  await using server = await loopback.serve(echo, { tls: {} });
  const wrong = { ...https, host: "other.test" };
  const error = await assertRejects(() =>
    call(connector({ ca }), target(server, wrong))
  ) as NodeJS.ErrnoException;
  assertEquals(error.code, "ERR_TLS_CERT_ALTNAME_INVALID");
  assertInstanceOf(error.cause, ConnectError);
  await server.idle();
});

test("connector() offers HTTP/2 when it is allowed", async () => {
  const cases: [ConnectorOptions, Partial<ConnectorTarget>, string][] = [
    [{}, {}, "http/1.1"],
    [{ allowH2: null }, {}, "http/1.1"],
    [{ allowH2: false }, {}, "http/1.1"],
    [{ allowH2: true }, {}, "h2"],
    [{ allowH2: true, preferH2: true }, {}, "h2"],
    [{ preferH2: true }, {}, "http/1.1"],
    [{ allowH2: true }, { allowH2: false }, "http/1.1"],
    [{}, { allowH2: true }, "h2"],
  ];
  await using server = await loopback.serve(echo, {
    tls: { alpnProtocols: ["h2", "http/1.1"] },
  });
  for (const [options, more, protocol] of cases) {
    const connect = connector({ ca, ...options });
    const socket = await call(connect, target(server, { ...https, ...more }));
    assertEquals((socket as tls.TLSSocket).alpnProtocol, protocol);
    await talk(socket);
  }
  await using plain = await loopback.serve(echo);
  const socket = await call(connector({ useH2c: true }), target(plain));
  assertEquals((socket as tls.TLSSocket).alpnProtocol, "h2");
  await talk(socket);
  await plain.idle();
  await server.idle();
});

/** How a connect with a limit fails, in virtual time. */
async function failure(
  connect: (clock: FakeClock) => Promise<unknown>,
  isReady: () => boolean,
): Promise<{ error: NodeJS.ErrnoException; time: number }> {
  const clock = new FakeClock();
  const failed = connect(clock).catch((error) => error);
  while (!isReady()) await turn();
  await clock.finish();
  const error = await failed;
  assertEquals(clock.pending, 0);
  return { error: error as NodeJS.ErrnoException, time: clock.now() };
}

const resolver = staticResolver(["::1", "127.0.0.1"]);

test("connector() fails in time, as undici's own does", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  const { port } = hole.endpoint;
  const cases = [[undefined, 10_000], [1234, 1234]] as const;
  for (const [timeout, limit] of cases) {
    const hostname = "name.test";
    const { error, time } = await failure(
      (clock) =>
        call(connector({ timeout, clock, resolver }), {
          hostname,
          port,
          protocol: "http:",
        }),
      () => hole.dialling() > 0,
    );
    assertEquals(time, limit);
    assertEquals(
      [error.name, error.code],
      ["ConnectTimeoutError", "UND_ERR_CONNECT_TIMEOUT"],
    );
    assertEquals(
      error.message,
      `Connect Timeout Error (attempted addresses: ::1:${port}, ` +
        `127.0.0.1:${port}, timeout: ${limit}ms)`,
    );
    // How undici knows its own.
    for (const mark of ["UND_ERR", "UND_ERR_CONNECT_TIMEOUT"]) {
      const symbol = Symbol.for(`undici.error.${mark}`);
      assertEquals((error as unknown as Record<symbol, unknown>)[symbol], true);
    }
    assertInstanceOf(error.cause, ConnectError);
    assertEquals(
      error.cause.message,
      `Cannot connect to "name.test" port ${port}: ` +
        "[::1] ECONNREFUSED, 127.0.0.1 ETIMEDOUT",
    );
    while (hole.dialling() > 0) await turn();
  }
});

test("connector() fails in time while TLS is silent", async () => {
  await using server = await loopback.serve(async (peer) => {
    await peer.read();
  });
  const { error, time } = await failure(
    (clock) => call(connector({ clock }), target(server, https)),
    () => server.accepted > 0,
  );
  assertEquals([error.code, time], ["UND_ERR_CONNECT_TIMEOUT", 10_000]);
  assertMatch((error.cause as Error).message, /127\.0\.0\.1 ETIMEDOUT$/);
  await server.idle();
});

/** Answers of a resolver that has none. */
function silence(signal: AbortSignal): AsyncIterable<never> {
  const next = async (): Promise<IteratorResult<never>> => {
    await once(signal, "abort");
    return { done: true, value: undefined };
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

test("connector() fails in time while a name has no answer", async () => {
  let isAsked = false;
  const { error, time } = await failure(
    (clock) =>
      call(
        connector({
          clock,
          resolver(_name, { signal }) {
            isAsked = true;
            return silence(signal);
          },
        }),
        { hostname: "name.test", protocol: "https:" },
      ),
    () => isAsked,
  );
  assertEquals([error.code, time], ["UND_ERR_CONNECT_TIMEOUT", 10_000]);
  assertEquals(
    error.message,
    "Connect Timeout Error (attempted address: name.test:443, timeout: 10000ms)",
  );
  assertEquals(error.cause, undefined);
});

test("connector() without a timeout has no limit", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  for (const timeout of [0, null]) {
    const clock = new FakeClock();
    const controller = new AbortController();
    const { signal } = controller;
    const connect = connector({ timeout, clock, signal });
    const failed = assertRejects(() => call(connect, target(hole)));
    while (hole.dialling() === 0) await turn();
    await clock.finish();
    assertEquals([clock.now(), hole.dialling()], [0, 1]);
    controller.abort();
    await failed;
    assertEquals(clock.pending, 0);
    while (hole.dialling() > 0) await turn();
  }
});

test("connector() rejects with the reason of its signal", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: never[]) => {
    listeners++;
    Reflect.apply(addEventListener, signal, args);
  };
  signal.removeEventListener = (...args: never[]) => {
    listeners--;
    Reflect.apply(removeEventListener, signal, args);
  };
  await using server = await loopback.serve(echo);
  const connect = connector({ signal });
  await talk(await call(connect, target(server)));
  assertEquals(listeners, 0);
  const reason = new Error("enough");
  const failed = call(connect, target(hole)).catch((error) => error);
  while (hole.dialling() === 0) await turn();
  controller.abort(reason);
  assertStrictEquals(await failed, reason);
  assertEquals(listeners, 0);
  while (hole.dialling() > 0) await turn();
  // One that has aborted already.
  const error = await call(connect, target(server)).catch((error) => error);
  assertStrictEquals(error, reason);
  await server.idle();
  assertEquals(server.accepted, 1);
});

test("connector() fails with the platform's error and ours as its cause", async () => {
  const endpoint = await loopback.refusing("127.0.0.1");
  const { port } = endpoint;
  const failed = (hostname: string, options: ConnectorOptions = {}) =>
    call(connector(options), { hostname, port, protocol: "http:" })
      .catch((error) => error);
  const one = await failed("127.0.0.1");
  assertEquals([one.code, one.syscall, one.port], [
    "ECONNREFUSED",
    "connect",
    port,
  ]);
  assertInstanceOf(one.cause, ConnectError);
  const two = await failed("name.test", { resolver });
  assertInstanceOf(two, AggregateError);
  assertEquals([two.errors.length, (two as NodeJS.ErrnoException).code], [
    2,
    "ECONNREFUSED",
  ]);
  const none = await failed("name.test", { resolver: staticResolver([]) });
  assertEquals(none.code, "ENOTFOUND");
});

test("connector() connects from the address undici names, or its own", async () => {
  await using server = await loopback.serve(echo);
  const localAddress = loopback.secondLocalAddress;
  const cases: [Partial<ConnectorTarget>, ConnectorOptions][] = [
    [{ localAddress }, {}],
    [{ localAddress }, { localAddress: "127.0.0.1" }],
    [{}, { localAddress }],
    [{}, { localAddresses: new Set([localAddress]).values() }],
  ];
  for (const [more, options] of cases) {
    const connect = connector(options);
    // An iterator has one life, a connector has many.
    for (let times = 0; times < 2; times++) {
      const socket = await call(connect, target(server, more));
      assertEquals(socket.localAddress, localAddress);
      await talk(socket);
    }
  }
  await server.idle();
});

test("connector() asks a lookup in the place of the system", async () => {
  await using server = await loopback.serve(echo);
  const asked: string[] = [];
  const connect = connector({
    lookup(hostname, _options, callback) {
      asked.push(hostname);
      const found = [{ address: "127.0.0.1", family: 4 }];
      callback(null, found as never);
    },
  });
  await talk(await call(connect, target(server, { hostname: "name.test" })));
  assertEquals(asked, ["name.test"]);
  await server.idle();
});

test("connector() does TLS on a socket that is there already", async () => {
  await using server = await loopback.serve(echo, { tls: {} });
  const { port } = server.endpoint;
  const httpSocket = net.connect(port, "127.0.0.1");
  await once(httpSocket, "connect");
  const socket = await call(connector({ ca }), {
    ...https,
    hostname: "tunnelled.test",
    host: "example.test",
    httpSocket,
  });
  assertInstanceOf(socket, tls.TLSSocket);
  assertEquals(socket.authorized, true);
  await talk(socket);
  await server.idle();
});

test("connector() keeps its limit on a socket that is there already", async () => {
  await using server = await loopback.serve(async (peer) => {
    await peer.read();
  });
  const { port } = server.endpoint;
  const httpSocket = net.connect(port, "127.0.0.1");
  await once(httpSocket, "connect");
  const { error, time } = await failure(
    (clock) =>
      call(connector({ clock }), { ...https, hostname: "a.test", httpSocket }),
    () => server.accepted > 0,
  );
  assertEquals([error.code, time], ["UND_ERR_CONNECT_TIMEOUT", 10_000]);
  await server.idle();
  assert(httpSocket.destroyed);
});

test("connector() refuses a socket that is there already without TLS", async () => {
  const httpSocket = new net.Socket();
  const plain = { protocol: "http:", hostname: "a.test", httpSocket };
  await assertRejects(() => call(connector(), plain), TypeError, "httpSocket");
  httpSocket.destroy();
});

test("connector() fails where the socket that is there is gone", async () => {
  await using server = await loopback.serve((peer) => peer.end());
  const { port } = server.endpoint;
  const httpSocket = net.connect(port, "127.0.0.1");
  await once(httpSocket, "connect");
  httpSocket.destroy();
  await assertRejects(() =>
    call(connector(), { ...https, hostname: "a.test", httpSocket })
  );
  await server.idle();
});

test("connector() connects to a path", async () => {
  if (process.platform === "win32" || runtimeName === "deno") return;
  const path = `${os.tmpdir()}/connector-${process.pid}.sock`;
  const listener = net.createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => listener.listen(path, resolve));
  const host = { hostname: "name.test", protocol: "http:" };
  await talk(await call(connector({ socketPath: path }), host));
  await talk(await call(connector(), { ...host, socketPath: path }));
  await assertRejects(
    () => call(connector({ socketPath: path, allow: () => true }), host),
    TypeError,
    "allow",
  );
  await new Promise((resolve) => listener.close(resolve));
  const error = await call(connector({ socketPath: path }), host)
    .catch((error) => error);
  assertEquals(error.code, "ENOENT");
});

test("connector() refuses wrong options before it is called", () => {
  const wrong: [ConnectorOptions, typeof TypeError | typeof RangeError][] = [
    [{ timeout: -1 }, RangeError],
    [{ timeout: NaN }, RangeError],
    [{ timeout: "1" as never }, TypeError],
    [{ connectionAttemptDelay: 1 }, RangeError],
    [{ resolver: 1 as never }, TypeError],
    [{ localAddress: "here" }, TypeError],
  ];
  for (const [options, Kind] of wrong) {
    assertThrows(() => connector(options), Kind, "Cannot connect: ");
  }
  for (const maxCachedSessions of [-1, 1.5, NaN, Infinity, "1" as never]) {
    const error = assertThrows(
      () => connector({ maxCachedSessions }),
      TypeError,
      "maxCachedSessions",
    );
    const { code } = error as NodeJS.ErrnoException;
    assertEquals(code, "UND_ERR_INVALID_ARG");
  }
});

test("connector() calls back with what is wrong about a target", async () => {
  const host = { protocol: "http:", hostname: "a.test" };
  for (const port of ["x", 65_536, -1]) {
    const error = await assertRejects(
      () => call(connector(), { ...host, port }),
      RangeError,
    );
    assertMatch(error.message, /^Cannot connect: port /);
  }
  // Names that we look up for nobody are not found, as Node has it.
  for (const hostname of ["", "127.1", "a b"]) {
    const error = await call(connector(), { ...host, hostname })
      .catch((error) => error);
    assertEquals(error.code, "ENOTFOUND");
    assertInstanceOf(error.cause, TypeError);
  }
});
