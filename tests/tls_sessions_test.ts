/**
 * TLS sessions: what resumes, and above all what must not.
 *
 * Whether a handshake resumed a session is the server's word. Its servers share
 * their ticket keys, so that a ticket offered where it should not be would be
 * taken. Which options forbid it is walked through with sockets that are none,
 * for most of them cannot be had for real here. On Deno nothing is resumed.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { EventEmitter, once } from "node:events";
import https from "node:https";
import net from "node:net";
import process from "node:process";
import tls from "node:tls";

import { assert, assertEquals, assertRejects } from "@std/assert";

import {
  connect,
  type ConnectOptions,
  staticResolver,
  type TlsOptions,
} from "../mod.ts";
import {
  connectNode,
  type Connector,
  connector,
  type ConnectorTarget,
  createConnection,
} from "../src/entry/node.ts";
import { CONNECTION_ATTEMPT_DELAY } from "../src/options.ts";
import { TlsSessions } from "../src/runtime/node_tls_sessions.ts";
import { certificate } from "./certs/read.ts";
import { FakeClock, turn } from "./fake_clock.ts";
import { runtimeName, test } from "./harness.ts";
import { loopback } from "./servers.ts";

/** What a second connect does. */
const resumes = runtimeName !== "deno";
const { ca, client, clientKey } = loopback.certificates;
const versions = ["TLSv1.2", "TLSv1.3"] as const;

/** A TLS server that greets. */
interface Server extends AsyncDisposable {
  readonly port: number;
  /** Of each handshake that was done, whether it resumed a session. */
  readonly reused: boolean[];
}

/** Tickets of one server are good for all. */
const ticketKeys = Buffer.alloc(48, 7);

async function serve(
  options: tls.TlsOptions = {},
  { host = "127.0.0.1", port = 0 } = {},
): Promise<Server> {
  const reused: boolean[] = [];
  const context = {
    cert: certificate("server"),
    key: certificate("server_key"),
    ca,
    ticketKeys,
    ALPNProtocols: ["a", "b", "http/1.1", "h2"],
    ...options,
  };
  const listener = tls.createServer(context, (socket) => {
    reused.push(socket.isSessionReused());
    socket.on("error", () => {});
    // What a client sends would be answered by a reset, were it not read.
    socket.resume().end("hello");
  });
  const close = await listen(listener, host, port);
  const { port: itsPort } = listener.address() as net.AddressInfo;
  return { port: itsPort, reused, [Symbol.asyncDispose]: close };
}

/** Returns what closes it with its connections. */
async function listen(
  listener: net.Server,
  host: string,
  port: number,
): Promise<() => Promise<void>> {
  const open = new Set<net.Socket>();
  listener.on("connection", (socket: net.Socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve) => listener.listen(port, host, resolve));
  return async () => {
    const closed = new Promise((resolve) => listener.close(resolve));
    for (const socket of open) socket.destroy();
    await closed;
    while (open.size > 0) await turn();
  };
}

/** Connects in one way, reads the greeting and closes. */
type Visit = (
  options: ConnectOptions & { tls: TlsOptions },
) => Promise<void>;

async function greet(connection: Awaited<ReturnType<typeof connect>>) {
  const { value } = await connection.readable.getReader().read();
  assertEquals(new TextDecoder().decode(value), "hello");
  await connection.close();
}

const doors: Record<string, Visit> = {
  "connect()": async (options) => await greet(await connect(options)),
  async "connectNode()"(options) {
    const socket = await connectNode(options);
    await once(socket.resume(), "end");
    socket.destroy();
  },
  async "startTls()"({ tls, ...options }) {
    const plain = await connect(options);
    await greet(await plain.startTls(tls));
  },
};

const visit = doors["connect()"]!;

/** The options with which the certificate of {@linkcode serve} is trusted. */
function trusting(
  { port }: Server,
  more: TlsOptions = {},
): ConnectOptions & { tls: TlsOptions } {
  return {
    hostname: "127.0.0.1",
    port,
    tls: { caCerts: [ca], serverName: "example.test", ...more },
  };
}

for (const [name, visit] of Object.entries(doors)) {
  test(`${name} resumes the session of an earlier connection`, async () => {
    for (const version of versions) {
      await using server = await serve({ maxVersion: version });
      const options = trusting(server);
      for (let times = 0; times < 3; times++) await visit(options);
      assertEquals(server.reused, [false, resumes, resumes], version);
    }
  });

  test(`${name} with session: false neither offers nor keeps one`, async () => {
    for (const version of versions) {
      await using server = await serve({ maxVersion: version });
      const never = trusting(server, { session: false });
      for (const options of [never, trusting(server), never]) {
        await visit(options);
      }
      assertEquals(server.reused, [false, false, false], version);
    }
  });
}

test("connect(), connectNode() and startTls() share their sessions", async () => {
  await using server = await serve({ maxVersion: "TLSv1.2" });
  for (const visit of Object.values(doors)) await visit(trusting(server));
  assertEquals(server.reused, [false, resumes, resumes]);
});

test("a session serves nobody who asks for other trust", async () => {
  const expired = certificate("expired");
  const others: TlsOptions[] = [
    { serverName: "localhost" },
    { serverName: undefined },
    { alpnProtocols: ["a"] },
    { alpnProtocols: ["b"] },
    { alpnProtocols: ["a", "b"] },
    { caCerts: [ca, expired] },
    // Deno takes no client certificate.
    ...resumes
      ? [
        { cert: client, key: clientKey },
        { cert: client, key: clientKey, caCerts: [ca, expired] },
      ]
      : [],
  ];
  for (const version of versions) {
    await using server = await serve({
      maxVersion: version,
      requestCert: true,
      rejectUnauthorized: false,
    });
    await visit(trusting(server));
    for (const other of others) await visit(trusting(server, other));
    assert(server.reused.every((isReused) => !isReused), version);
    for (const other of others) await visit(trusting(server, other));
    const second = server.reused.slice(1 + others.length);
    assertEquals(second, others.map(() => resumes), version);
  }
});

test("a session serves no other port of the same host", async () => {
  await using one = await serve();
  await using other = await serve();
  await visit(trusting(one));
  await visit(trusting(other));
  await visit(trusting(one));
  assertEquals([one.reused, other.reused], [[false, resumes], [false]]);
});

test("a connection whose certificate was refused leaves no session", async () => {
  for (const version of versions) {
    await using server = await serve({ maxVersion: version });
    const { hostname, port } = trusting(server);
    // Neither a name nor a root that fits.
    for (const tls of [{ serverName: "other.test", caCerts: [ca] }, {}]) {
      for (const connectBy of [connect, connectNode]) {
        for (let times = 0; times < 2; times++) {
          await assertRejects(() => connectBy({ hostname, port, tls }));
        }
      }
    }
    assert(server.reused.every((isReused) => !isReused), version);
  }
});

test("a server that has lost its tickets gets a full handshake", async () => {
  for (const version of versions) {
    const { port } = await (async () => {
      await using server = await serve({ maxVersion: version });
      await visit(trusting(server));
      return server;
    })();
    const other = { maxVersion: version, ticketKeys: Buffer.alloc(48, 8) };
    await using server = await serve(other, { port });
    for (let times = 0; times < 2; times++) await visit(trusting(server));
    // The newest ticket is offered first.
    assertEquals(server.reused, [false, resumes], version);
  }
});

test("what one connect takes none beside it can offer", async () => {
  for (const version of versions) {
    await using server = await serve({ maxVersion: version });
    await visit(trusting(server));
    server.reused.length = 0;
    await Promise.all(Array.from({ length: 5 }, () => visit(trusting(server))));
    // In TLS 1.3 Node's servers give two tickets, Bun's too.
    const tickets = version === "TLSv1.3" ? 2 : 1;
    const count = server.reused.filter((isReused) => isReused).length;
    assertEquals([server.reused.length, count], [5, resumes ? tickets : 0]);
  }
});

/** When the attempts of a connect began, the first of which is silent in TLS. */
async function race(port: number): Promise<number[]> {
  const clock = new FakeClock();
  const starts: number[] = [];
  let isTls = false;
  const visiting = visit({
    hostname: "example.test",
    port,
    clock,
    resolver: staticResolver(["::1", "127.0.0.1"]),
    tls: { caCerts: [ca] },
    onEvent(event) {
      if (event.type === "attempt-start") starts.push(event.time);
      isTls ||= event.type === "attempt-progress";
    },
  });
  while (!isTls) await turn();
  await clock.finish();
  await visiting;
  return starts;
}

test("A50: an attempt that resumes delays the next one as long as any", async () => {
  await using server = await serve({ maxVersion: "TLSv1.2" });
  const silent = net.createServer();
  const close = await listen(silent, "::1", server.port);
  for (let times = 0; times < 2; times++) {
    assertEquals(await race(server.port), [0, CONNECTION_ATTEMPT_DELAY]);
  }
  // The one session went to the first attempt, to which nobody answered.
  assertEquals(server.reused, [false, false]);
  await close();
});

test("a handshake that resumes leaves no listener but that for its tickets", async () => {
  await using server = await serve();
  for (let times = 0; times < 2; times++) {
    const socket = await connectNode(trusting(server));
    const count = (event: string) => socket.listenerCount(event);
    assertEquals(count("secureConnect"), 0);
    assertEquals(count("session"), resumes ? 1 : 0);
    await once(socket.resume(), "end");
    socket.destroy();
  }
});

/** A request that fails at its first byte, for the greeting is no HTTP. */
async function ask(options: https.RequestOptions): Promise<void> {
  const request = https.get({
    host: "127.0.0.1",
    servername: "example.test",
    ca,
    ...options,
  });
  request.on("error", () => {});
  const [socket] = await once(request, "socket");
  // On Node 20 the tickets come after the data.
  await once(socket, "close");
}

test("createConnection() resumes for an https.Agent, as that itself does", async () => {
  const hooks: Record<string, typeof createConnection> = {
    plain: createConnection,
    // It does not know who asks.
    wrapped: (options, callback) => createConnection({ ...options }, callback),
  };
  for (const [name, hook] of Object.entries(hooks)) {
    for (const version of versions) {
      await using server = await serve({ maxVersion: version });
      const { port, reused } = server;
      const agent = Object.assign(new https.Agent(), {
        createConnection: hook,
      });
      for (const path of ["/a", "/b", "/c"]) await ask({ port, agent, path });
      assertEquals(reused, [false, resumes, resumes], `${name} ${version}`);
    }
  }
});

test("createConnection() keeps the sessions of each agent apart", async () => {
  await using server = await serve({ maxVersion: "TLSv1.2" });
  const { port, reused } = server;
  const agent = (options?: https.AgentOptions) =>
    Object.assign(new https.Agent(options), { createConnection });
  const [one, other, none] = [
    agent(),
    agent(),
    agent({ maxCachedSessions: 0 }),
  ];
  for (const agent of [one, other, none, none]) await ask({ port, agent });
  // Without an agent nobody keeps them.
  const own = { port, createConnection } as https.RequestOptions;
  for (let times = 0; times < 2; times++) await ask(own);
  assertEquals(reused, [false, false, false, false, false, false]);
  for (const agent of [one, other]) await ask({ port, agent });
  assertEquals(reused.slice(6), [resumes, resumes]);
});

test("createConnection() resumes for nobody who asks for other trust", async () => {
  const checkServerIdentity = () => undefined;
  for (const version of versions) {
    await using server = await serve({ maxVersion: version });
    const { port, reused } = server;
    const agent = Object.assign(new https.Agent(), { createConnection });
    const others: https.RequestOptions[] = [
      {},
      { servername: "localhost" },
      { rejectUnauthorized: false },
      { ca: [ca, client] },
      { cert: client, key: clientKey },
      { checkServerIdentity },
      { checkServerIdentity },
      { ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256" },
      { minVersion: version },
      { ecdhCurve: "P-256" },
    ];
    for (const other of others) await ask({ port, agent, ...other });
    assertEquals(reused, others.map(() => false), version);
  }
});

/** Whether undici's connection to that server would resume. */
async function dial(
  connect: Connector,
  { port, reused }: Server,
  target: Partial<ConnectorTarget> = {},
): Promise<boolean | undefined> {
  const socket = await new Promise<net.Socket>((resolve, reject) => {
    connect({
      protocol: "https:",
      hostname: "127.0.0.1",
      port,
      ...target,
    }, (...[error, socket]) => error ? reject(error) : resolve(socket));
  });
  await once(socket.resume(), "end");
  socket.destroy();
  return reused.at(-1);
}

test("connector() keeps its sessions for itself, for so many servers", async () => {
  for (const version of versions) {
    const server = { maxVersion: version };
    await using one = await serve(server);
    await using other = await serve(server);
    const connect = connector({ ca });
    assertEquals(await dial(connect, one), false);
    assertEquals(await dial(connect, one), resumes);
    assertEquals(await dial(connector({ ca }), one), false);
    const few = connector({ ca, maxCachedSessions: 1 });
    assertEquals(await dial(few, one), false);
    assertEquals(await dial(few, one), resumes);
    assertEquals(await dial(few, other), false);
    assertEquals(await dial(few, one), false);
    const none = connector({ ca, maxCachedSessions: 0 });
    assertEquals(await dial(none, one), false);
    assertEquals(await dial(none, one), false);
  }
});

test("connector() resumes for no target with other trust", async () => {
  const targets: Partial<ConnectorTarget>[] = [
    {},
    { servername: "example.test" },
    { servername: "localhost" },
    { allowH2: true },
  ];
  for (const version of versions) {
    await using server = await serve({
      maxVersion: version,
    });
    const connect = connector({ ca, family: 4 });
    for (const isAgain of [false, resumes]) {
      for (const target of targets) {
        assertEquals(await dial(connect, server, target), isAgain);
      }
    }
  }
});

test("connector() resumes on a socket that is there already", async () => {
  for (const version of versions) {
    await using server = await serve({ maxVersion: version });
    const connect = connector({ ca });
    for (const isReused of [false, resumes]) {
      const httpSocket = net.connect(server.port, "127.0.0.1");
      await once(httpSocket, "connect");
      const target = { hostname: "example.test", httpSocket };
      assertEquals(await dial(connect, server, target), isReused);
    }
  }
});

/** A socket that is none, done with its handshake at once. */
class FakeSocket extends EventEmitter {
  readonly isReused: boolean;
  readonly version: string;

  constructor(isReused: boolean, version: string) {
    super();
    this.isReused = isReused;
    this.version = version;
  }

  isSessionReused(): boolean {
    return this.isReused;
  }

  getProtocol(): string {
    return this.version;
  }
}

let lastTicket = 0;

/** Whether a session is offered with these options; a ticket is left each time. */
function offers(
  sessions: TlsSessions,
  options: Record<string, unknown>,
  port = 443,
): boolean {
  const resumption = sessions.begin(options, port);
  const isOffered = resumption?.session !== undefined;
  const socket = new FakeSocket(isOffered, "TLSv1.3");
  resumption?.watch(socket);
  socket.emit("secureConnect");
  lastTicket = (lastTicket + 1) % 256;
  socket.emit("session", Buffer.from([lastTicket]));
  return isOffered;
}

const server = { host: "example.test", servername: "example.test" };
const text = (data: string) => Buffer.from(data);

/** Two values each that a session must not pass between. */
const deciding: Record<string, readonly [unknown, unknown]> = {
  host: ["a.test", "b.test"],
  servername: ["a.test", "b.test"],
  ALPNProtocols: [["h2"], ["http/1.1"]],
  ca: [ca, client],
  cert: [client, ca],
  key: [clientKey, [{ pem: clientKey, passphrase: "a" }]],
  pfx: [text("a"), text("b")],
  passphrase: ["a", "b"],
  rejectUnauthorized: [true, false],
  minVersion: ["TLSv1.2", "TLSv1.3"],
  maxVersion: ["TLSv1.2", "TLSv1.3"],
  secureProtocol: ["TLS_method", "TLSv1_2_method"],
  ciphers: ["a", "b"],
  sigalgs: ["a", "b"],
  ecdhCurve: ["P-256", "P-384"],
  dhparam: [text("a"), text("b")],
  minDHSize: [1024, 2048],
  crl: [text("a"), text("b")],
  secureOptions: [0, 1],
  secureContext: [{ context: {} }, new Date()],
  sessionIdContext: ["a", "b"],
  honorCipherOrder: [true, false],
  allowPartialTrustChain: [true, false],
  clientCertEngine: ["a", "b"],
  privateKeyEngine: ["a", "b"],
  privateKeyIdentifier: ["a", "b"],
  certificateCompression: [["zlib"], ["zstd"]],
  path: ["/run/a", "/run/b"],
  socketPath: ["/run/a", "/run/b"],
  // What Node may think of next.
  unknownText: ["a", "b"],
  unknownNumber: [NaN, Infinity],
  unknownBigint: [1n, 2n],
  unknownFunction: [() => {}, () => {}],
  unknownObject: [new Map(), new Map()],
  unknownSymbol: [Symbol.iterator, Symbol.asyncIterator],
  unknownRecord: [{ a: { b: [1] } }, { a: { b: [2] } }],
  unknownKind: ["1", 1],
};

test("TlsSessions keeps apart whatever decides trust", () => {
  for (const [name, [one, other]] of Object.entries(deciding)) {
    const sessions = new TlsSessions();
    const offer = (value: unknown) =>
      offers(sessions, { ...server, [name]: value });
    const values = [one, other, undefined, one, other];
    assertEquals(
      values.map(offer),
      [false, false, false, resumes, resumes],
      name,
    );
    if (name in server) continue;
    assertEquals(offers(sessions, server), resumes, `${name} left out`);
  }
});

test("TlsSessions takes equal data for equal, and each object for itself", () => {
  const equal: readonly [unknown, unknown][] = [
    [text("a"), new Uint8Array(text("a"))],
    [[client, text("a")], [client, text("a")]],
    [{ pem: "a", passphrase: "b" }, { pem: "a", passphrase: "b" }],
  ];
  for (const [one, other] of equal) {
    const sessions = new TlsSessions();
    offers(sessions, { ...server, key: one });
    assertEquals(offers(sessions, { ...server, key: other }), resumes);
  }
  const cyclic: Record<string, unknown> = {};
  cyclic["itself"] = cyclic;
  for (const value of [new Map(), () => {}, cyclic]) {
    const sessions = new TlsSessions();
    const options = { ...server, unknown: value };
    assertEquals([offers(sessions, options), offers(sessions, options)], [
      false,
      resumes,
    ]);
  }
});

test("TlsSessions lets a session pass between requests of one agent", () => {
  const sessions = new TlsSessions();
  const request = (path: string) => ({
    ...server,
    hostname: "example.test",
    port: 443,
    protocol: "https:",
    method: path,
    href: path,
    pathname: path,
    search: path,
    hash: path,
    headers: { path },
    auth: path,
    agent: new https.Agent(),
    createConnection: () => {},
    timeout: path.length,
    signal: new AbortController().signal,
    localAddress: path,
    family: path.length,
    onEvent: () => {},
    allow: () => true,
    resolver: () => {},
    lookup: () => {},
    localAddresses: [path],
  });
  assertEquals(offers(sessions, request("a")), false);
  assertEquals(offers(sessions, request("bcd")), resumes);
});

test("TlsSessions keeps the platform's defaults apart", () => {
  const name = "NODE_TLS_REJECT_UNAUTHORIZED";
  if (!resumes) return;
  const sessions = new TlsSessions();
  const before = process.env[name];
  assertEquals(offers(sessions, server), false);
  process.env[name] = "0";
  assertEquals(offers(sessions, server), false);
  if (before === undefined) delete process.env[name];
  else process.env[name] = before;
  const { DEFAULT_MIN_VERSION } = tls;
  tls.DEFAULT_MIN_VERSION = "TLSv1.3";
  assertEquals(offers(sessions, server), false);
  tls.DEFAULT_MIN_VERSION = DEFAULT_MIN_VERSION;
  assertEquals(offers(sessions, server), true);
});

test("TlsSessions stays out where the caller decides", () => {
  const own: Record<string, unknown>[] = [
    { checkServerIdentity: () => undefined },
    { pskCallback: () => null },
    { requestOCSP: true },
    { session: text("own") },
    { session: false },
  ];
  for (const option of own) {
    const sessions = new TlsSessions();
    for (let times = 0; times < 2; times++) {
      assertEquals(offers(sessions, { ...server, ...option }), false);
    }
    assertEquals(offers(sessions, server), false);
    // It has a ticket now, which is none of theirs.
    assertEquals(offers(sessions, { ...server, ...option }), false);
  }
  const { checkServerIdentity } = tls;
  const sessions = new TlsSessions();
  const usual = { ...server, checkServerIdentity };
  assertEquals([offers(sessions, usual), offers(sessions, usual)], [
    false,
    resumes,
  ]);
});

test("TlsSessions forgets the server it has not heard from for longest", () => {
  for (const most of [1, 2, 100]) {
    const sessions = new TlsSessions(most);
    const ports = Array.from({ length: most }, (_, index) => index + 1);
    const offer = (port: number) => offers(sessions, server, port);
    for (const port of ports) assertEquals(offer(port), false);
    // One too many: only the first one is gone.
    assertEquals(offer(most + 1), false);
    for (const port of ports.slice(1)) assertEquals(offer(port), resumes);
    assertEquals(offer(1), false);
  }
  const none = new TlsSessions(0);
  assertEquals([offers(none, server), offers(none, server)], [false, false]);
});

/** The first byte of the session offered next, which is gone then. */
function next(sessions: TlsSessions): number | undefined {
  return sessions.begin(server, 443)?.session?.[0];
}

/** A handshake under way, with what it was given. */
function begin(sessions: TlsSessions, isReused = false, version = "TLSv1.3") {
  const socket = new FakeSocket(isReused, version);
  const resumption = sessions.begin(server, 443)!;
  return { socket, resumption };
}

test("TlsSessions offers each ticket once, the newest first, and few at most", () => {
  if (!resumes) return;
  const sessions = new TlsSessions();
  const { socket, resumption } = begin(sessions);
  resumption.watch(socket);
  socket.emit("secureConnect");
  for (let index = 1; index <= 6; index++) {
    socket.emit("session", Buffer.from([index]));
  }
  const offered = Array.from({ length: 5 }, () => next(sessions));
  assertEquals(offered, [6, 5, 4, 3, undefined]);
});

test("TlsSessions keeps a ticket when the handshake is done, and not before", () => {
  if (!resumes) return;
  const sessions = new TlsSessions();
  const { socket, resumption } = begin(sessions);
  resumption.watch(socket);
  socket.emit("session", Buffer.from([1]));
  assertEquals(next(sessions), undefined);
  socket.emit("secureConnect");
  assertEquals([next(sessions), next(sessions)], [1, undefined]);
});

test("TlsSessions keeps the tickets of a socket that took a handshake over", () => {
  if (!resumes) return;
  const sessions = new TlsSessions();
  const { socket, resumption } = begin(sessions);
  resumption.done(socket);
  const other = new FakeSocket(false, "TLSv1.3");
  resumption.keepFrom(other, true);
  other.emit("session", Buffer.from([1]));
  assertEquals([next(sessions), next(sessions)], [1, undefined]);
});

test("TlsSessions puts a session of TLS 1.2 back when it has served", () => {
  if (!resumes) return;
  const cases = [["TLSv1.2", true], ["TLSv1.2", false], ["TLSv1.3", true]];
  for (const [version, isReused] of cases as [string, boolean][]) {
    const sessions = new TlsSessions();
    offers(sessions, server);
    const { socket, resumption } = begin(sessions, isReused, version);
    resumption.watch(socket);
    assertEquals(next(sessions), undefined);
    socket.emit("secureConnect");
    const isBack = version === "TLSv1.2" && isReused;
    assertEquals(next(sessions), isBack ? lastTicket : undefined);
  }
});

test("TlsSessions copies a ticket out of the platform's memory", () => {
  if (!resumes) return;
  const sessions = new TlsSessions();
  const { socket, resumption } = begin(sessions);
  resumption.watch(socket);
  socket.emit("secureConnect");
  const shared = Buffer.from([1, 2, 3, 4]);
  socket.emit("session", shared.subarray(1, 3));
  shared.fill(0);
  const { session } = sessions.begin(server, 443)!;
  // Node takes no other view for a session of its own.
  assert(Buffer.isBuffer(session));
  assertEquals([[...session], session.buffer.byteLength], [[2, 3], 2]);
});
