/**
 * `./node` on real sockets: `connectNode()`, `createConnection()` with Node's
 * own HTTP clients, and `lookup()`. `LazySocket` has a file of its own; other
 * clients are in `drivers/`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { LookupAddress } from "node:dns";
import http from "node:http";
import https from "node:https";
import net from "node:net";
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

import type { Resolver } from "../src/core/answer.ts";
import { ConnectError } from "../src/errors.ts";
import {
  connectNode,
  createConnection,
  type CreateConnectionOptions,
  lookup,
} from "../src/entry/node.ts";
import { staticResolver } from "../src/resolvers/static.ts";
import type { HappyEyeballsEvent } from "../src/events.ts";
import { certificate } from "./certs/read.ts";
import { run } from "./child.ts";
import { runtimeName, test } from "./harness.ts";
import { echo, type Server } from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const encoder = new TextEncoder();
const { ca } = loopback.certificates;

function options({ endpoint }: Server): { hostname: string; port: number } {
  return { hostname: endpoint.address, port: endpoint.port };
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return String(Buffer.concat(chunks));
}

test("connectNode() gives a net.Socket with its first bytes (hazard 18)", async () => {
  await using server = await loopback.serve(async (peer) => {
    await peer.write(encoder.encode("220 hello "));
    await echo(peer);
  });
  const socket = await connectNode(options(server));
  assertInstanceOf(socket, net.Socket);
  assertEquals(
    [socket.connecting, socket.isPaused(), socket.listenerCount("data")],
    [false, false, 0],
  );
  await loopback.turn();
  socket.end("bye");
  assertEquals(await readAll(socket), "220 hello bye");
  await server.idle();
});

test("connectNode() with tls gives a tls.TLSSocket after its handshake", async () => {
  await using server = await loopback.serve(echo, {
    tls: { alpnProtocols: ["h2"] },
  });
  const events: HappyEyeballsEvent[] = [];
  const socket = await connectNode({
    ...options(server),
    tls: {
      caCerts: [ca],
      serverName: "example.test",
      alpnProtocols: ["h2"],
    },
    onEvent: (event) => events.push(event),
  });
  assertInstanceOf(socket, tls.TLSSocket);
  assertEquals([socket.authorized, socket.alpnProtocol], [true, "h2"]);
  assertEquals(
    events.map(({ type }) => type),
    ["attempt-start", "attempt-progress", "attempt-end", "end"],
  );
  socket.end("secret");
  assertEquals(await readAll(socket), "secret");
  await server.idle();
});

test("connectNode() ends its side when the peer did, unless told otherwise", async () => {
  for (const allowHalfOpen of [undefined, false, true]) {
    const received: Uint8Array[] = [];
    await using server = await loopback.serve(async (peer) => {
      await peer.end();
      for (let bytes; (bytes = await peer.read());) received.push(bytes);
    });
    const socket = await connectNode({ ...options(server), allowHalfOpen });
    socket.resume();
    await once(socket, "end");
    await loopback.turn();
    assertEquals(socket.writable, allowHalfOpen ?? false);
    if (allowHalfOpen) socket.end("late");
    await server.idle();
    const text = String(Buffer.concat(received));
    assertEquals(text, allowHalfOpen ? "late" : "");
  }
});

test("connectNode() goes on where the first address refuses", async () => {
  await using server = await loopback.serve(echo);
  const outcomes: unknown[] = [];
  const socket = await connectNode({
    hostname: "name.test",
    port: server.endpoint.port,
    resolver: staticResolver(["::1", "127.0.0.1"]),
    onEvent(event) {
      if (event.type !== "attempt-end") return;
      outcomes.push([event.endpoint?.address, event.outcome]);
    },
  });
  assertEquals(outcomes, [["::1", "failed"], ["127.0.0.1", "won"]]);
  assertEquals(socket.remoteAddress, "127.0.0.1");
  socket.destroy();
  await server.idle();
});

test("connectNode() fails with every address and the platform's own errors", async () => {
  const { address, port } = await loopback.refusing("127.0.0.1");
  const error = await assertRejects(
    () => connectNode({ hostname: address, port }),
    ConnectError,
    "127.0.0.1 ECONNREFUSED",
  );
  assertEquals(error.code, "ECONNREFUSED");
  const own = error.attempts[0]!.error as NodeJS.ErrnoException;
  assertEquals([own.code, own.syscall], ["ECONNREFUSED", "connect"]);
  assertStrictEquals(error.cause, own);
});

test("connectNode() keeps Node's codes of TLS", async () => {
  // Whether the root is in the chain is the server's choice.
  const unknown =
    /^(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/;
  const worlds = [
    [
      "server",
      { caCerts: [ca], serverName: "other.test" },
      /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    ],
    // Deno 2.9 does not tell dates from chains.
    [
      "expired",
      { caCerts: [ca] },
      runtimeName === "deno" ? unknown : /^CERT_HAS_EXPIRED$/,
    ],
    ["server", {}, unknown],
  ] as const;
  for (const [name, tlsOptions, code] of worlds) {
    await using server = await loopback.serve(echo, {
      tls: { certificate: name },
    });
    const error = await assertRejects(
      () => connectNode({ ...options(server), tls: tlsOptions }),
      ConnectError,
    );
    assertMatch(error.code!, code);
    await server.idle();
  }
});

test("connectNode() refuses a wrong option before anything starts", async () => {
  const wrong = [{ hostname: "127.1" }, { port: 0 }, { noDelay: 1 }];
  for (const option of wrong) {
    const events: unknown[] = [];
    const options = {
      hostname: "localhost",
      port: 80,
      onEvent: (event: unknown) => events.push(event),
      ...option,
    };
    const error = await connectNode(options as never).catch((error) => error);
    assert(error instanceof TypeError || error instanceof RangeError);
    assertMatch(error.message, /^Cannot connect: /);
    assertEquals(events, []);
  }
});

test("connectNode() rejects with the reason of its signal and cancels", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  const { address, port } = hole.endpoint;
  const controller = new AbortController();
  const reason = new Error("enough");
  const connecting = connectNode({
    hostname: address,
    port,
    signal: controller.signal,
  }).catch((error) => error);
  while (hole.dialling() === 0) await loopback.turn();
  controller.abort(reason);
  assertStrictEquals(await connecting, reason);
  while (hole.dialling() > 0) await loopback.turn();
});

/** An HTTP server that answers with the request's body. */
async function serveHttp(
  isSecure: boolean,
): Promise<AsyncDisposable & { port: number; open: Set<net.Socket> }> {
  const answer: http.RequestListener = (request, response) => {
    request.pipe(response);
  };
  const server = isSecure
    ? https.createServer({
      cert: certificate("server"),
      key: certificate("server_key"),
    }, answer)
    : http.createServer(answer);
  const open = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve());
  });
  const { port } = server.address() as net.AddressInfo;
  return {
    port,
    open,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Posts `body` and returns the answer's. */
function post(
  { request }: typeof http | typeof https,
  options: https.RequestOptions,
  body: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", method: "POST", ...options });
    sent.on("error", reject);
    sent.on("response", (response) => readAll(response).then(resolve, reject));
    sent.end(body);
  });
}

test("createConnection() is a hook of http.Agent, which keeps its socket", async () => {
  await using server = await serveHttp(false);
  const agent = Object.assign(
    new http.Agent({ keepAlive: true, maxSockets: 1 }),
    { createConnection },
  );
  const body = "x".repeat(300_000);
  const seen = new Set<net.Socket>();
  for (let times = 0; times < 3; times++) {
    assertEquals(await post(http, { port: server.port, agent }, body), body);
    for (const socket of server.open) seen.add(socket);
  }
  assertEquals(seen.size, 1);
  agent.destroy();
});

test("createConnection() is a hook of https.Agent, which verifies", async () => {
  await using server = await serveHttp(true);
  const { port } = server;
  const agent = () => Object.assign(new https.Agent(), { createConnection });
  const good = [
    { agent: agent(), ca },
    { agent: agent(), ca, servername: "example.test" },
    { agent: agent(), rejectUnauthorized: false },
    // Without an agent, as `ws` has it.
    { createConnection, ca } as https.RequestOptions,
    { protocol: "https:", agent: agent(), ca },
  ];
  for (const options of good) {
    assertEquals(await post(https, { port, ...options }, "hello"), "hello");
  }
  const bad = [
    { agent: agent(), code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" },
    {
      agent: agent(),
      ca,
      servername: "other.test",
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
    },
  ];
  for (const { code, ...options } of bad) {
    const error: NodeJS.ErrnoException = await assertRejects(
      () => post(https, { port, ...options }, ""),
      Error,
    );
    assertEquals(error.code, code);
    assertInstanceOf(error.cause, ConnectError);
    assertEquals(error.cause.code, code);
  }
});

test("createConnection() lets a request be aborted while it connects", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  const { address, port } = hole.endpoint;
  const agent = Object.assign(new http.Agent({ keepAlive: true }), {
    createConnection,
  });
  const controller = new AbortController();
  const request = http.request({
    host: address,
    port,
    agent,
    signal: controller.signal,
  });
  const failed = once(request, "error");
  request.end();
  while (hole.dialling() === 0) await loopback.turn();
  controller.abort();
  const [error] = await failed;
  assertEquals(error.name, "AbortError");
  while (hole.dialling() > 0) await loopback.turn();
  while (Object.keys(agent.sockets).length > 0) await loopback.turn();
});

test("createConnection() lets a request time out while it connects", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  const { address, port } = hole.endpoint;
  const agent = Object.assign(new http.Agent(), { createConnection });
  const request = http.request({ host: address, port, agent, timeout: 20 });
  request.on("error", () => {});
  request.end();
  await once(request, "timeout");
  request.destroy();
  while (hole.dialling() > 0) await loopback.turn();
});

/** What `createConnection()` calls back with. */
function callBack(
  options: CreateConnectionOptions,
): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const returned = createConnection(options, (...[error, socket]) => {
      if (error) return reject(error);
      assertStrictEquals(socket, returned);
      resolve(socket);
    });
  });
}

test("createConnection() calls back with the socket it has returned", async () => {
  await using plain = await loopback.serve(echo);
  await using secure = await loopback.serve(echo, { tls: {} });
  // As undici calls it.
  const options = { servername: undefined, localAddress: null };
  const socket = await callBack({
    ...options,
    protocol: "http:",
    hostname: plain.endpoint.address,
    port: String(plain.endpoint.port),
  });
  assert(socket instanceof net.Socket && !(socket instanceof tls.TLSSocket));
  const tlsSocket = await callBack({
    ...options,
    ca,
    protocol: "https:",
    hostname: secure.endpoint.address,
    port: String(secure.endpoint.port),
  });
  assertInstanceOf(tlsSocket, tls.TLSSocket);
  for (const open of [socket, tlsSocket]) {
    open.end("x");
    assertEquals(await readAll(open), "x");
  }
  await plain.idle();
  await secure.idle();
});

test("createConnection() calls back with the error", async () => {
  const { address, port } = await loopback.refusing("127.0.0.1");
  const error: NodeJS.ErrnoException = await assertRejects(
    () => callBack({ host: address, port }),
    Error,
  );
  assertEquals(error.code, "ECONNREFUSED");
  assertInstanceOf(error.cause, ConnectError);
});

test("createConnection() takes the protocol's port where none is given", async () => {
  const ports: number[] = [];
  for (const protocol of [undefined, "http:", "https:"]) {
    for (const port of [undefined, ""]) {
      const error = await assertRejects(
        () =>
          callBack({
            protocol,
            port,
            host: "192.0.2.1",
            allow: (endpoint) => {
              ports.push(endpoint.port);
              return false;
            },
          }),
        ConnectError,
      );
      assertEquals(error.code, "EACCES");
    }
  }
  assertEquals(ports, [80, 80, 80, 80, 443, 443]);
});

test("createConnection() without a callback returns a socket that connects", async () => {
  await using server = await loopback.serve(echo);
  const socket = createConnection(options(server));
  assertInstanceOf(socket, net.Socket);
  assertEquals(socket.connecting, true);
  await once(socket, "connect");
  socket.end();
  await readAll(socket);
  await server.idle();
});

test("createConnection() takes Node's options", async () => {
  await using server = await loopback.serve(echo);
  const seen: unknown[] = [];
  const socket = await callBack({
    ...options(server),
    family: 0,
    localAddress: loopback.secondLocalAddress,
    timeout: 20,
    keepAlive: true,
    keepAliveInitialDelay: 1000,
    noDelay: false,
    allowHalfOpen: true,
    onEvent: (event) => seen.push(event.type),
  });
  assertEquals(socket.localAddress, loopback.secondLocalAddress);
  assertEquals([socket.timeout, socket.allowHalfOpen], [20, true]);
  assertEquals(seen, ["attempt-start", "attempt-end", "end"]);
  await once(socket, "timeout");
  socket.destroy();
  await server.idle();
});

test("createConnection() leaves a path to the platform", async () => {
  const guarded = () =>
    createConnection(
      { allow: () => true, path: "/run/x" } as CreateConnectionOptions,
    );
  assertThrows(guarded, TypeError, "allow sees a host and a port only");
  // Deno wants a permission for the file.
  if (runtimeName === "deno") return;
  for (const option of [{ socketPath: "/run/x" }, { path: "/run/x" }]) {
    for (const protocol of ["http:", "https:"]) {
      const error: NodeJS.ErrnoException = await callBack({
        protocol,
        ...option,
      }).catch((error) => error);
      assertEquals([error.code, error.syscall], ["ENOENT", "connect"]);
    }
  }
});

test("createConnection() asks the caller's own lookup", async () => {
  await using server = await loopback.serve(echo);
  const { port } = server.endpoint;
  const asked: unknown[] = [];
  const all = [
    { address: "127.0.0.2", family: 4 },
    { address: "127.0.0.1", family: 4 },
  ];
  for (const found of [all, all.slice(1)]) {
    const socket = await callBack({
      host: "localhost",
      port,
      lookup: (
        host: string,
        { all }: { all: boolean },
        done: (...outcome: unknown[]) => void,
      ) => {
        asked.push([host, all]);
        done(null, found);
      },
    } as CreateConnectionOptions);
    assertEquals(socket.remoteAddress, "127.0.0.1");
    socket.destroy();
  }
  assertEquals(asked, [["localhost", true], ["localhost", true]]);
  await server.idle();
});

/** What `lookup()` calls back with. */
function look(...rest: unknown[]): Promise<unknown[]> {
  return new Promise((resolve) => {
    const all = [...rest, (...result: unknown[]) => resolve(result)];
    (lookup as (...rest: unknown[]) => void)("name.test", ...all);
  });
}

test("lookup() has the signatures of dns.lookup() and the order of connect()", async () => {
  const resolver = staticResolver(["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
  // The order is that of RFC 6724, which depends on the machine's routes.
  const [error, all] = await look({ all: true, resolver });
  assertEquals(error, null);
  const addresses = all as { address: string; family: number }[];
  assertEquals(
    new Set(addresses.map(({ address, family }) => `${address} ${family}`)),
    new Set(["192.0.2.1 4", "192.0.2.2 4", "2001:db8::1 6"]),
  );
  const first = addresses[0]!;
  assertEquals(await look({ resolver }), [null, first.address, first.family]);
  for (const family of [6, "IPv6"]) {
    assertEquals(await look({ resolver, family }), [null, "2001:db8::1", 6]);
  }
  assertEquals(await look({ resolver, family: 4, all: true }), [null, [
    { address: "192.0.2.1", family: 4 },
    { address: "192.0.2.2", family: 4 },
  ]]);
});

test("lookup() asks the system's resolver where it is given none", async () => {
  const found = (hostname: string, ...rest: unknown[]) =>
    new Promise((resolve) => {
      const callback = (...result: unknown[]) => resolve(result);
      (lookup as (...rest: unknown[]) => void)(hostname, ...rest, callback);
    });
  assertEquals(await found("127.0.0.1"), [null, "127.0.0.1", 4]);
  assertEquals(await found("localhost", 4), [null, "127.0.0.1", 4]);
  assertEquals(await found("localhost", 6), [null, "::1", 6]);
});

test("lookup() fails as dns.lookup() does", async () => {
  const none = await look({ resolver: staticResolver([]), all: true });
  const error = none[0] as NodeJS.ErrnoException & { hostname: string };
  assertEquals(
    [error.code, error.hostname, error.message],
    ["ENOTFOUND", "name.test", "lookup ENOTFOUND name.test"],
  );
  assertInstanceOf(error.cause, ConnectError);
});

test("lookup() gives a literal back, whatever the family, as dns.lookup() does", async () => {
  for (const family of [undefined, 0, 4, 6, "IPv4", "IPv6"]) {
    for (const [literal, own] of [["192.0.2.1", 4], ["2001:db8::1", 6]]) {
      const outcome = await new Promise((resolve) => {
        const callback = (...result: unknown[]) => resolve(result);
        lookup(literal as string, { family } as never, callback);
      });
      assertEquals(outcome, [null, literal, own]);
    }
  }
});

test("lookup() never calls back before it returns", async () => {
  for (const hostname of ["127.0.0.1", "localhost", "no name", ""]) {
    let isBack = false;
    const isLate = new Promise((resolve) => {
      lookup(hostname, () => resolve(isBack));
    });
    isBack = true;
    assertEquals(await isLate, true);
  }
});

test("lookup() refuses what dns.lookup() refuses, at once", () => {
  const call = lookup as (...rest: unknown[]) => void;
  const nothing = () => {};
  for (
    const wrong of [
      [],
      ["localhost"],
      ["localhost", 4],
      ["localhost", {}],
      ["localhost", {}, null],
      [5, nothing],
      [undefined, nothing],
      ["localhost", "4", nothing],
      ["localhost", 5, nothing],
      ["localhost", { family: 5 }, nothing],
      ["localhost", { family: "4" }, nothing],
      ["localhost", { resolver: {} }, nothing],
      ["localhost", { resolver: null }, nothing],
    ]
  ) {
    assertThrows(() => call(...wrong), TypeError, "Cannot look up: ");
  }
  for (const right of [undefined, null, {}, { family: null }, 0, 4, 6]) {
    call("127.0.0.1", right, nothing);
  }
});

test("lookup() waits for every answer and for no update, dials nothing, and ends the question", async () => {
  let isOver = false;
  const resolver: Resolver = async function* (_hostname, { signal }) {
    try {
      yield { type: "A", addresses: ["192.0.2.1"] };
      yield { type: "TXT" } as never;
      yield { type: "AAAA", addresses: ["2001:db8::9"], name: "other.test" };
      yield { type: "AAAA", addresses: ["2001:db8::1"] };
      await new Promise((resolve) => {
        signal.addEventListener("abort", resolve);
      });
    } finally {
      isOver = true;
    }
  };
  const [, all] = await look({ all: true, resolver });
  assertEquals(
    (all as LookupAddress[]).map(({ address }) => address).toSorted(),
    ["192.0.2.1", "2001:db8::1"],
  );
  assertEquals(isOver, true);
});

test("lookup() gives 64 addresses of very many, the families in turn", async () => {
  const resolver = staticResolver(
    Array.from({ length: 1000 }, (_, i) => [
      `198.18.${i >> 8}.${i & 255}`,
      `2001:db8::${(i + 1).toString(16)}`,
    ]).flat(),
  );
  const [, all] = await look({ all: true, resolver });
  const families = (all as LookupAddress[]).map(({ family }) => family).join(
    "",
  );
  assertMatch(families, /^((46){32}|(64){32})$/);
});

test("lookup() leaves what its callback throws to uncaughtException", async () => {
  const lines = (await run("node/lookup_throws.ts")).trim().split("\n");
  assertEquals(lines.toSorted(), [
    "uncaught: all addresses",
    "uncaught: an address",
    "uncaught: an error",
  ]);
});

test("lookup() is a hook of net.connect()", async () => {
  await using server = await loopback.serve(echo);
  const socket = net.connect({
    host: "localhost",
    port: server.endpoint.port,
    lookup,
  });
  // Node forgets an end that was asked for before an address failed.
  await once(socket, "connect");
  socket.end("x");
  assertEquals(await readAll(socket), "x");
  await server.idle();
});
