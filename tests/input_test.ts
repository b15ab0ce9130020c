/**
 * Wrong input to the real `connect()`: an error that says what is wrong, before
 * anything starts, in the same words on every runtime. The whole text is in
 * the tables, so a runtime that says anything else fails here.
 *
 * Then resolvers that do not keep their promises, on real sockets, and the
 * guard against internal addresses as it stands in the README, which is read
 * from there.
 *
 * @module
 */

import { BlockList } from "node:net";
import { readFileSync } from "node:fs";

import { assert, assertEquals, assertStrictEquals } from "@std/assert";

import {
  type Answer,
  connect,
  ConnectError,
  type ConnectOptions,
  type Endpoint,
  type Family,
  happyEyeballs,
  type HappyEyeballsEvent,
  type Resolver,
} from "../mod.ts";
import { test } from "./harness.ts";
import { loopback } from "./servers.ts";

/** The options that are wrong, and what the error says after "Cannot connect". */
type Row = readonly [options: unknown, message: string];

/** Refused before anything starts, also when the signal has aborted already. */
function refuses(what: string, kind: ErrorConstructor, rows: readonly Row[]) {
  test(`connect() refuses ${what} with a ${kind.name}`, async () => {
    for (const [wrong, message] of rows) {
      const started: unknown[] = [];
      const options = isObject(wrong)
        ? {
          hostname: "example.test",
          port: 80,
          resolver: () => started.push("resolver"),
          onEvent: (event: unknown) => started.push(event),
          signal: AbortSignal.abort(),
          ...wrong,
        }
        : wrong;
      const error = await connect(options as ConnectOptions)
        .catch((error: unknown) => error);
      assertEquals(
        [(error as Error).constructor, (error as Error).message, started],
        [kind, `Cannot connect: ${message}`, []],
      );
    }
  });
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

refuses("what is no object", TypeError, [
  [undefined, "options must be an object, got undefined"],
  [null, "options must be an object, got null"],
  ["example.test", 'options must be an object, got "example.test"'],
  [() => {}, "options must be an object, got function"],
]);

const a63 = "a".repeat(63);
const longName = `${a63}.${a63}.${a63}.${a63}`;
refuses("a wrong hostname", TypeError, [
  [{ hostname: undefined }, "hostname is not a string: undefined"],
  [{ hostname: null }, "hostname is not a string: object"],
  [{ hostname: 5 }, "hostname is not a string: number"],
  [{ hostname: "" }, 'hostname is empty: ""'],
  [{ hostname: " " }, 'hostname has a bad character: " "'],
  [{ hostname: "a b" }, 'hostname has a bad character: "a b"'],
  [{ hostname: "." }, 'hostname has an empty label: "."'],
  [{ hostname: ".a" }, 'hostname has an empty label: ".a"'],
  [{ hostname: "a..b" }, 'hostname has an empty label: "a..b"'],
  // One dot at the end is fine, two are not.
  [{ hostname: "a.." }, 'hostname has an empty label: "a.."'],
  [
    { hostname: `a${a63}.test` },
    `hostname has a label over 63 octets: "a${a63}.test"`,
  ],
  [{ hostname: longName }, `hostname is over 253 octets: "${longName}"`],
  // Not a URL, and no part of one.
  [{ hostname: "http://x" }, 'hostname has a bad character: "http://x"'],
  [{ hostname: "x:80" }, 'hostname has a bad character: "x:80"'],
  [{ hostname: "x/y" }, 'hostname has a bad character: "x/y"'],
  // Brackets come in pairs, and around IPv6.
  [{ hostname: "[::1" }, 'hostname has a bad character: "[::1"'],
  [{ hostname: "::1]" }, 'hostname has a bad character: "::1]"'],
  [{ hostname: "[127.0.0.1]" }, 'hostname has a bad character: "[127.0.0.1]"'],
  [{ hostname: "fe80::1%" }, 'hostname has a bad character: "fe80::1%"'],
  // What a URL parser makes another host of.
  [
    { hostname: "evil.com#.good.com" },
    'hostname has a bad character: "evil.com#.good.com"',
  ],
  [{ hostname: "a@evil.com" }, 'hostname has a bad character: "a@evil.com"'],
  [
    { hostname: "ex%61mple.com" },
    'hostname has a bad character: "ex%61mple.com"',
  ],
  [{ hostname: "a\0.test" }, 'hostname has a bad character: "a\\u0000.test"'],
  [{ hostname: "a\n.test" }, 'hostname has a bad character: "a\\n.test"'],
  // What getaddrinfo takes for 127.0.0.1.
  [
    { hostname: "127.1" },
    'hostname ends in a number but is no IP address: "127.1"',
  ],
  [
    { hostname: "2130706433" },
    'hostname ends in a number but is no IP address: "2130706433"',
  ],
  [
    { hostname: "0x7f000001" },
    'hostname ends in a number but is no IP address: "0x7f000001"',
  ],
  [
    { hostname: "0177.0.0.1" },
    'hostname ends in a number but is no IP address: "0177.0.0.1"',
  ],
  // Full-width digits and dots, which conversion makes 127.0.0.1 and "a..b" of.
  [
    { hostname: "１２７.０.０.１" },
    'hostname ends in a number but is no IP address: "１２７.０.０.１"',
  ],
  [{ hostname: "ａ．．ｂ" }, 'hostname has an empty label: "ａ．．ｂ"'],
]);

refuses("a port that is no number", TypeError, [
  [{ port: undefined }, port("undefined")],
  [{ port: null }, port("null")],
  [{ port: "80" }, port('"80"')],
  [{ port: true }, port("true")],
  [{ port: {} }, port("object")],
]);
refuses("a wrong port", RangeError, [
  [{ port: 0 }, port("0")],
  [{ port: -1 }, port("-1")],
  [{ port: 65_536 }, port("65536")],
  [{ port: 1.5 }, port("1.5")],
  [{ port: NaN }, port("NaN")],
  [{ port: Infinity }, port("Infinity")],
]);

function port(got: string): string {
  return `port must be an integer from 1 to 65535, got ${got}`;
}

refuses("an option of the wrong kind", TypeError, [
  [{ signal: null }, "signal must be an AbortSignal, got null"],
  [{ signal: {} }, "signal must be an AbortSignal, got object"],
  [
    { signal: new EventTarget() },
    "signal must be an AbortSignal, got object",
  ],
  [
    { signal: new AbortController() },
    "signal must be an AbortSignal, got object",
  ],
  [{ family: null }, "family must be 4 or 6, got null"],
  [{ family: 5 }, "family must be 4 or 6, got 5"],
  [{ family: "4" }, 'family must be 4 or 6, got "4"'],
  [
    { hostname: "127.0.0.1", family: 6 },
    "hostname must be of family 6, got 127.0.0.1",
  ],
  [{ hostname: "[::1]", family: 4 }, "hostname must be of family 4, got ::1"],
  // An IPv4-mapped literal is IPv4.
  [
    { hostname: "::ffff:127.0.0.1", family: 6 },
    "hostname must be of family 6, got 127.0.0.1",
  ],
  [{ resolver: null }, "resolver must be a function, got null"],
  [
    { resolver: ["127.0.0.1"] },
    "resolver must be a function, got object",
  ],
  [
    { connectionAttemptDelay: null },
    "connectionAttemptDelay must be at least 10, got null",
  ],
  [
    { connectionAttemptDelay: "250" },
    'connectionAttemptDelay must be at least 10, got "250"',
  ],
  [
    { resolutionDelay: null },
    "resolutionDelay must be at least 0, got null",
  ],
  [
    { preferredAddressFamilyCount: null },
    "preferredAddressFamilyCount must be an integer of at least 1, got null",
  ],
  [
    { localAddresses: null },
    "localAddresses must be an iterable of IP literals, got null",
  ],
  // A string is iterable, too.
  [
    { localAddresses: "127.0.0.1" },
    'localAddresses must be an iterable of IP literals, got "127.0.0.1"',
  ],
  [
    { localAddresses: ["127.0.0.1", "127.1"] },
    'localAddresses must be an iterable of IP literals, got "127.1"',
  ],
  [
    { localAddresses: [5] },
    "localAddresses must be an iterable of IP literals, got 5",
  ],
  [{ allow: null }, "allow must be a function, got null"],
  [{ allow: true }, "allow must be a function, got true"],
  [
    { sourceAddress: "127.0.0.1" },
    'sourceAddress must be a function, got "127.0.0.1"',
  ],
  [{ onEvent: {} }, "onEvent must be a function, got object"],
  [{ clock: null }, "clock must be a Clock, got null"],
  [{ clock: { now: () => 0 } }, "clock must be a Clock, got object"],
  [{ allowHalfOpen: "no" }, 'allowHalfOpen must be a boolean, got "no"'],
  [{ noDelay: 1 }, "noDelay must be a boolean, got 1"],
  [{ keepAlive: null }, "keepAlive must be a boolean, got null"],
]);

refuses("an option out of its range", RangeError, [
  [
    { connectionAttemptDelay: 9 },
    "connectionAttemptDelay must be at least 10, got 9",
  ],
  [
    { connectionAttemptDelay: NaN },
    "connectionAttemptDelay must be at least 10, got NaN",
  ],
  [
    { resolutionDelay: -1 },
    "resolutionDelay must be at least 0, got -1",
  ],
  [
    { resolutionDelay: NaN },
    "resolutionDelay must be at least 0, got NaN",
  ],
  [
    { preferredAddressFamilyCount: 0 },
    "preferredAddressFamilyCount must be an integer of at least 1, got 0",
  ],
  [
    { preferredAddressFamilyCount: 1.5 },
    "preferredAddressFamilyCount must be an integer of at least 1, got 1.5",
  ],
  [
    { preferredAddressFamilyCount: Infinity },
    "preferredAddressFamilyCount must be an integer of at least 1, got Infinity",
  ],
]);

const alpn =
  "tls.alpnProtocols must be an array of strings of 1 to 255 characters";
const long = "x".repeat(256);
refuses("wrong TLS options", TypeError, [
  [{ tls: null }, "tls must be an object, got null"],
  [{ tls: "yes" }, 'tls must be an object, got "yes"'],
  [
    { tls: { serverName: "" } },
    'tls.serverName must be a host name, got ""',
  ],
  [
    { tls: { serverName: null } },
    "tls.serverName must be a host name, got null",
  ],
  // SNI takes no address (RFC 6066 section 3).
  [
    { tls: { serverName: "127.0.0.1" } },
    'tls.serverName must be a host name, got "127.0.0.1"',
  ],
  [
    { tls: { serverName: "a b" } },
    'tls.serverName must be a host name, got "a b"',
  ],
  [{ tls: { alpnProtocols: "h2" } }, `${alpn}, got "h2"`],
  [{ tls: { alpnProtocols: ["h2", ""] } }, `${alpn}, got ""`],
  [{ tls: { alpnProtocols: [2] } }, `${alpn}, got 2`],
  [{ tls: { alpnProtocols: [long] } }, `${alpn}, got "${long}"`],
  [
    { tls: { caCerts: "PEM" } },
    'tls.caCerts must be an array of PEM certificates, got "PEM"',
  ],
  [
    { tls: { caCerts: [5] } },
    "tls.caCerts must be an array of PEM certificates, got 5",
  ],
  [{ tls: { session: true } }, "tls.session must be false, got true"],
  [{ tls: { session: null } }, "tls.session must be false, got null"],
  [{ tls: { session: "x" } }, 'tls.session must be false, got "x"'],
  [{ tls: { cert: "PEM" } }, "tls.cert and tls.key go together"],
  [{ tls: { key: "PEM" } }, "tls.cert and tls.key go together"],
  [
    { tls: { cert: "", key: "PEM" } },
    'tls.cert must be a string that is not empty, got ""',
  ],
  [
    { tls: { cert: "PEM", key: null } },
    "tls.key must be a string that is not empty, got null",
  ],
]);

const answer = "Cannot resolve: an answer must have a type and an array of " +
  "addresses";
const iterable = "Cannot resolve: a resolver must return an async iterable";
const boom = new Error("boom");

/** Resolvers that leave nothing to connect to, and what the error says of it. */
const useless: readonly [what: string, resolver: unknown, reason: string][] = [
  ["ends at once", () => answers(), "no address found"],
  [
    "has no addresses",
    () => answers(ofType("AAAA"), ofType("A")),
    "no address found",
  ],
  ["throws", () => throws(boom), "AAAA and A boom"],
  ["throws what is no error", () => throws("boom"), "AAAA and A boom"],
  ["throws later", () => answers(ofType("AAAA"), boom), "A boom"],
  ["returns nothing", () => {}, `AAAA and A ${iterable}`],
  [
    "returns an array",
    () => [ofType("A", "127.0.0.1")],
    `AAAA and A ${iterable}`,
  ],
  [
    "returns a promise",
    () => Promise.resolve(answers()),
    `AAAA and A ${iterable}`,
  ],
  ["answers null", () => answers(null), `AAAA and A ${answer}`],
  ["answers a text", () => answers("127.0.0.1"), `AAAA and A ${answer}`],
  [
    "has one address in the place of a list",
    () => answers({ type: "A", addresses: "127.0.0.1" }),
    `AAAA and A ${answer}`,
  ],
  [
    "answers what was not asked",
    () => answers(ofType("MX", "127.0.0.1")),
    "no address found",
  ],
  [
    "has addresses that are none",
    () => answers(ofType("A", null, 5, "", "x", "127.1", Object.create(null))),
    "no address found",
  ],
  // A bare IPv4 address does not belong in AAAA, nor IPv6 in A.
  [
    "mixes up the families",
    () => answers(ofType("AAAA", "127.0.0.1"), ofType("A", "::1")),
    "no address found",
  ],
];
for (const [what, resolver, reason] of useless) {
  test(`connect() is clear about a resolver that ${what}`, async () => {
    const options = { hostname: "example.test", port: 80 };
    const error = await connect({ ...options, resolver: resolver as Resolver })
      .catch((error: unknown) => error);
    assert(error instanceof ConnectError, String(error));
    assertEquals(
      [error.message, error.code, error.attempts],
      [
        `Cannot connect to "example.test" port 80: ${reason}`,
        "ENOTFOUND",
        [],
      ],
    );
  });
}

/** Resolvers that do no harm: there is one attempt, and it succeeds. */
const harmless: readonly [what: string, resolver: unknown][] = [
  [
    "repeats an address",
    () =>
      answers(
        ofType("AAAA", "::ffff:127.0.0.1", "::ffff:7f00:1"),
        ofType("A", ...Array(100).fill("127.0.0.1")),
      ),
  ],
  [
    "repeats an answer",
    () => answers(...Array(100).fill(ofType("A", "127.0.0.1"))),
  ],
  [
    "has addresses that are none among others",
    () => answers(ofType("A", null, "x", "127.0.0.1", Symbol("y"), {})),
  ],
  [
    "answers what was not asked, too",
    () => answers(ofType("MX", "127.0.0.2"), ofType("A", "127.0.0.1")),
  ],
  [
    "is wrong about everything else",
    () =>
      answers({ ...ofType("A", "127.0.0.1"), name: 5, ttl: "x", secure: 1 }),
  ],
  ["throws after a good answer", () => answers(ofType("A", "127.0.0.1"), boom)],
];
for (const [what, resolver] of harmless) {
  test(`connect() gets by with a resolver that ${what}`, async () => {
    await using server = await loopback.serve(() => {});
    const { events, onEvent } = listener();
    const connection = await connect({
      hostname: "example.test",
      port: server.endpoint.port,
      resolver: resolver as Resolver,
      onEvent,
    });
    await connection.close();
    await server.idle();
    const starts = events.filter(({ type }) => type === "attempt-start");
    assertEquals(starts.length, 1);
    assertEquals(server.accepted, 1);
  });
}

test("connect() can be aborted while a resolver hangs", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  let hears: AbortSignal | undefined;
  const error = await connect({
    hostname: "example.test",
    port: 80,
    signal: controller.signal,
    // deno-lint-ignore require-yield
    resolver: async function* (_hostname, { signal }) {
      hears = signal;
      queueMicrotask(() => controller.abort(reason));
      await new Promise(() => {});
    },
  }).catch((error: unknown) => error);
  assertStrictEquals(error, reason);
  assertEquals(hears?.aborted, true);
});

/** Yields what it is given, and throws what is an error. */
async function* answers(...list: unknown[]): AsyncGenerator<Answer> {
  for (const each of list) {
    if (each instanceof Error) throw each;
    yield await Promise.resolve(each as Answer);
  }
}

function ofType(type: string, ...addresses: unknown[]) {
  return { type, addresses };
}

function throws(error: unknown): never {
  throw error;
}

function listener() {
  const events: HappyEyeballsEvent[] = [];
  return {
    events,
    onEvent: (event: HappyEyeballsEvent) => void events.push(event),
  };
}

/** What the guard in the README makes of an endpoint. */
type Guard = (address: string, family: Family) => boolean;

/**
 * The guard as the README has it. Its types are removed, for not every runtime
 * here can, and its imports are handed in; all of the example is run.
 */
async function guardOfReadme(): Promise<{ guard: Guard; printed: unknown[] }> {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const section = readme.split("### Guard against requests to internal ")[1];
  const example = /```ts\n(.*?)```/s.exec(section ?? "")?.[1];
  assert(example, "README has no guard");
  const script = example.replace(/^import .*;$/gm, "")
    .replaceAll(" as const", "")
    .replace(
      "isPublic(address: string, family: 4 | 6): boolean",
      "isPublic(address, family)",
    );
  const printed: unknown[] = [];
  const console = { log: (value: unknown) => printed.push(value) };
  const AsyncFunction = guardOfReadme.constructor as FunctionConstructor;
  const run = new AsyncFunction(
    ...["connect", "ConnectError", "BlockList", "console"],
    `${script}; return isPublic;`,
  );
  const guard = await run(connect, ConnectError, BlockList, console);
  return { guard, printed };
}

test("the guard in the README refuses what its example says", async () => {
  const { printed } = await guardOfReadme();
  assertEquals(printed, ["EACCES"]);
});

/** Addresses inside, in every spelling, and some that are nobody's. */
const internal = [
  // This host and network, "this network", broadcast and multicast.
  ...["127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3"],
  ...["255.255.255.255", "224.0.0.1", "239.255.255.255", "240.0.0.1"],
  ...["::1", "::", "ff02::1", "ff0e::1"],
  // Private, shared, link-local (where clouds keep their metadata), benchmarks.
  ...["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1"],
  ...["100.64.0.1", "100.127.255.255", "169.254.169.254", "192.0.0.8"],
  ...["198.18.0.1", "198.19.255.255"],
  ...["fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1"],
  // IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo.
  ...["::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:10.0.0.1"],
  ...["0:0:0:0:0:ffff:a9fe:a9fe", "::127.0.0.1", "::ffff:0:127.0.0.1"],
  ...["64:ff9b::7f00:1", "64:ff9b::127.0.0.1", "64:ff9b:1::a00:1"],
  ...["2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::%1"],
  ...["2001::1", "2001:0:53aa:64c:0:0:80ff:fffe"],
  // ORCHID, benchmarks, discard.
  ...["2001:10::1", "2001:20::1", "2001:2::1", "100::1"],
];
const outside = [
  ...["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"],
  ...["126.255.255.255", "128.0.0.0", "169.253.255.255", "172.15.255.255"],
  ...["172.32.0.0", "192.0.1.0", "192.169.0.0", "198.17.255.255"],
  ...["198.20.0.0", "223.255.255.255", "::ffff:1.1.1.1"],
  ...["2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700::1111"],
];

test("the guard in the README refuses every internal address and no other", async () => {
  const { guard } = await guardOfReadme();
  const dialled: string[] = [];
  for (const hostname of [...internal, ...outside]) {
    await happyEyeballs(() => dialled.push(hostname), {
      hostname,
      port: 80,
      allow: ({ address, family }) => guard(address, family),
    }).catch((error: ConnectError) => assertEquals(error.code, "EACCES"));
  }
  assertEquals(dialled, outside);
});

test("the guard in the README sees late answers, too (hazard 35)", async () => {
  const { guard } = await guardOfReadme();
  const verdicts: Record<string, boolean> = {};
  const dialled: Endpoint[] = [];
  let fail: (error: Error) => void = () => {};
  const error = await happyEyeballs((endpoint) => {
    dialled.push(endpoint);
    return new Promise((_, reject) => {
      fail = reject;
    });
  }, {
    hostname: "example.test",
    port: 80,
    allow: ({ address, family }) => verdicts[address] = guard(address, family),
    resolver: async function* () {
      yield { type: "AAAA", addresses: ["2606:4700::1111"] };
      while (dialled.length === 0) await loopback.turn();
      yield { type: "A", addresses: ["0.0.0.0", "10.0.0.1"] };
      yield {
        type: "AAAA",
        addresses: ["::ffff:127.0.0.1", "2002:7f00:1::1", "64:ff9b::7f00:1"],
      };
      fail(boom);
    },
  }).catch((error: unknown) => error);
  assert(error instanceof ConnectError, String(error));
  assertEquals(dialled.map(({ address }) => address), ["2606:4700::1111"]);
  assertEquals(verdicts, {
    "2606:4700::1111": true,
    "0.0.0.0": false,
    "10.0.0.1": false,
    "127.0.0.1": false,
    "2002:7f00:1::1": false,
    "64:ff9b::7f00:1": false,
  });
});
