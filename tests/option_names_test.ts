/**
 * Options that do not exist: refused by every function and door, by name, with
 * the nearest one that does exist.
 *
 * Every option of every door is misspelt here in every way that a hand slips:
 * a letter left out, doubled, in the wrong case, two in the wrong order.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";

import {
  connect,
  happyEyeballs,
  staggeredRace,
  type TlsOptions,
} from "../mod.ts";
import { connectDeno } from "../src/entry/deno.ts";
import {
  connectNode,
  connector,
  createConnection,
  LazySocket,
  lookup,
} from "../src/entry/node.ts";
import { connect as connectSocket, SocketError } from "../src/entry/sockets.ts";
import { test } from "./harness.ts";
import { echo } from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const shared = [
  "hostname",
  "port",
  "signal",
  "family",
  "resolver",
  "connectionAttemptDelay",
  "resolutionDelay",
  "preferredAddressFamilyCount",
  "localAddresses",
  "allow",
  "sourceAddress",
  "onEvent",
  "clock",
];
const ofConnect = [...shared, "tls", "allowHalfOpen", "noDelay", "keepAlive"];
const ofTls = [
  "serverName",
  "alpnProtocols",
  "caCerts",
  "cert",
  "key",
  "session",
];

/** Those of undici, and of Node's sockets; TLS has more, some very short. */
const ofConnector = [
  // Slips of these two are as near to `sigalgs` and `localAddress`.
  ...shared.filter((name) => !["signal", "localAddresses"].includes(name)),
  "allowH2",
  "preferH2",
  "useH2c",
  "maxCachedSessions",
  "socketPath",
  "timeout",
  "keepAlive",
  "keepAliveInitialDelay",
  "highWaterMark",
  "typeOfService",
  "rejectUnauthorized",
  "servername",
  "checkServerIdentity",
];

interface Door {
  readonly name: string;
  /** What the message begins with. */
  readonly action: string;
  readonly options: readonly string[];
  /** How the message names an option. @default as it is */
  readonly prefix?: string;
  /** Takes options, beside what is wrong anyway: nothing may start. */
  readonly open: (options: Record<string, unknown>) => unknown;
}

// The hostname is refused, after the names.
const nowhere = { hostname: "", port: 80 };

const doors: readonly Door[] = [
  {
    name: "connect()",
    action: "connect",
    options: ofConnect,
    open: (options) => connect({ ...nowhere, ...options }),
  },
  {
    name: "happyEyeballs()",
    action: "connect",
    options: [...shared, "onDiscard"],
    open: (options) => happyEyeballs(() => 1, { ...nowhere, ...options }),
  },
  {
    name: "staggeredRace()",
    action: "race",
    options: ["delay", "signal", "onDiscard", "onEvent", "clock"],
    open: (options) => staggeredRace([], options),
  },
  {
    name: "connectNode()",
    action: "connect",
    options: ofConnect,
    open: (options) => connectNode({ ...nowhere, ...options }),
  },
  {
    name: "LazySocket",
    action: "connect",
    options: ofConnect,
    open: (options) => new LazySocket(options).destroy(),
  },
  {
    name: "connectDeno()",
    action: "connect",
    options: ofConnect,
    open: (options) => connectDeno({ ...nowhere, ...options }),
  },
  {
    name: "connect({ tls })",
    action: "connect",
    options: ofTls,
    prefix: "tls.",
    open: (tls) => connect({ ...nowhere, tls }),
  },
  {
    name: "connectNode({ tls })",
    action: "connect",
    options: ofTls,
    prefix: "tls.",
    open: (tls) => connectNode({ ...nowhere, tls }),
  },
  {
    name: "connect() of ./sockets",
    action: "connect",
    options: [
      ...["secureTransport", "allowHalfOpen", "sni", "alpn"],
      "highWaterMark",
    ],
    open: (options) => connectSocket({ hostname: "", port: 1 }, options),
  },
  {
    name: "connector()",
    action: "connect",
    options: ofConnector,
    // Nothing starts before it is called.
    open: (options) => void connector(options),
  },
  {
    name: "lookup()",
    action: "look up",
    options: ["resolver", "family", "hints", "all", "order", "verbatim"],
    open: (options) => lookup("127.0.0.1", options, () => {}),
  },
];

/** What `open` throws or rejects with; nothing where it does neither. */
async function failureOf(open: () => unknown): Promise<unknown> {
  try {
    await open();
  } catch (error) {
    return error;
  }
}

/** The ways in which a name is misspelt by one slip. */
function* slips(name: string): Generator<string> {
  for (let i = 0; i < name.length; i++) {
    const [before, letter, after] = [
      name.slice(0, i),
      name[i] as string,
      name.slice(i + 1),
    ];
    yield before + after;
    yield before + letter + letter + after;
    yield before + after.slice(0, 1) + letter + after.slice(1);
    const isLower = letter === letter.toLowerCase();
    yield before + (isLower ? letter.toUpperCase() : letter.toLowerCase()) +
      after;
  }
  yield name + "s";
}

for (const { name, action, options, prefix = "", open } of doors) {
  test(`${name} names an option that does not exist, and the nearest that does`, async () => {
    for (const option of options) {
      for (const wrong of new Set(slips(option))) {
        if (options.includes(wrong)) continue;
        // Given as `undefined`, it is as wrong.
        const error = await failureOf(() => open({ [wrong]: undefined }));
        assertInstanceOf(error, TypeError, `${wrong} is taken`);
        const said =
          `Cannot ${action}: there is no option ${prefix}${wrong}; ` +
          `did you mean ${prefix}${option}?`;
        assertEquals(error.message.replace(/^SocketError: /, ""), said);
      }
    }
  });

  test(`${name} takes every option that does exist`, async () => {
    for (const option of options) {
      const error = await failureOf(() => open({ [option]: undefined }));
      const message = error instanceof Error ? error.message : "";
      assert(!message.includes("there is no option"), message);
    }
  });

  test(`${name} looks at names that are its caller's own, and no symbols`, async () => {
    const inherited = Object.create({ nothing: 1, alow: 1 });
    const hidden = Object.defineProperty({}, "alow", { value: 1 });
    for (const options of [inherited, hidden, { [Symbol("alow")]: 1 }]) {
      const error = await failureOf(() => open(options));
      const message = error instanceof Error ? error.message : "";
      assert(!message.includes("there is no option"), message);
    }
    for (const wrong of ["toString", "constructor", "__proto__", "", "0"]) {
      const options = Object.fromEntries([[wrong, 1]]);
      const error = await failureOf(() => open(options));
      assertInstanceOf(error, TypeError, `${wrong} is taken`);
      assert(error.message.includes(`there is no option ${prefix}${wrong};`));
    }
  });
}

test("connect() refuses a misspelt option before it looks at any value", async () => {
  const wrong = { hostname: 5, port: 0, alow: () => false };
  const error = await failureOf(() => connect(wrong as never));
  assertEquals(
    (error as Error).message,
    "Cannot connect: there is no option alow; did you mean allow?",
  );
});

test("connect() of ./sockets refuses a misspelt option with its own error", async () => {
  const open = () => connectSocket("127.0.0.1:1", { allowHalfOpn: 1 } as never);
  assertInstanceOf(await failureOf(open), SocketError);
});

test("Connection.startTls() refuses a misspelt option, and the connection stays as it was", async () => {
  await using server = await loopback.serve(echo);
  const { address: hostname, port } = server.endpoint;
  await using connection = await connect({ hostname, port });
  const error = await failureOf(() =>
    connection.startTls({ serverNam: "x" } as TlsOptions)
  );
  assertInstanceOf(error, TypeError);
  assertEquals(
    error.message,
    "Cannot connect: there is no option tls.serverNam; did you mean tls.serverName?",
  );
  const writer = connection.writable.getWriter();
  await writer.write(new Uint8Array(3));
  await writer.close();
  const bytes = await new Response(connection.readable).arrayBuffer();
  assertEquals(bytes.byteLength, 3);
});

test("createConnection() takes what a client hands through, whatever its name", async () => {
  await using server = await loopback.serve(echo);
  const { address, port } = server.endpoint;
  const socket = createConnection.call(undefined, {
    host: address,
    port,
    alow: 1,
    agentOptions: {},
    servername: "",
  } as never);
  await new Promise((resolve, reject) => {
    socket!.on("connect", resolve).on("error", reject);
  });
  socket!.destroy();
  await server.idle();
});
