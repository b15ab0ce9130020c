/**
 * `ConnectError`: what it tells, and in which order, when nothing worked.
 *
 * The errors come out of real calls in a fake network, so that what is tested
 * is what a caller catches.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { ConnectError } from "../src/errors.ts";
import { happyEyeballs } from "../src/happy_eyeballs.ts";
import {
  codeError,
  type DnsEvent,
  type Host,
  play,
  type PlayOptions,
  type World,
} from "./fake_network.ts";
import { test } from "./harness.ts";

const down = (refuse: number, code = "ECONNREFUSED"): Host => ({
  refuse,
  code,
});

/** The error of a call that fails. */
async function failure(
  world: World,
  options: PlayOptions = {},
): Promise<ConnectError> {
  const { error } = await play(world, options);
  assertInstanceOf(error, ConnectError);
  return error;
}

test("ConnectError names every address and why it failed", async () => {
  const error = await failure(
    { hosts: { "::1": down(0), "127.0.0.1": down(0) } },
    { hostname: "localhost", port: 9 },
  );
  assertStrictEquals(
    error.message,
    'Cannot connect to "localhost" port 9: ' +
      "[::1] ECONNREFUSED, 127.0.0.1 ECONNREFUSED",
  );
  assertStrictEquals(error.name, "ConnectError");
  assertInstanceOf(error, AggregateError);
  assertInstanceOf(error, Error);
  assert(String(error).startsWith("ConnectError: Cannot connect to "));
});

test("ConnectError keeps hostname and port as they were given", async () => {
  const error = await failure(
    { hosts: { "6.1": down(1) } },
    { hostname: "[2001:DB8::1]", port: 65_535 },
  );
  assertStrictEquals(error.hostname, "[2001:DB8::1]");
  assertStrictEquals(error.port, 65_535);
});

test("ConnectError tells each attempt: endpoint, start, duration, error", async () => {
  const error = await failure({
    dns: [{ at: 10, A: ["4.1"] }, { at: 20, AAAA: ["6.1"] }],
    hosts: { "6.1": down(700, "ETIMEDOUT"), "4.1": down(15) },
  }, { port: 80 });
  assertEquals(
    error.attempts.map(({ error: _, ...attempt }) => attempt),
    [
      {
        index: 0,
        endpoint: { address: "2001:db8::1", family: 6, port: 80 },
        startTime: 20,
        duration: 700,
      },
      {
        index: 1,
        endpoint: { address: "192.0.2.1", family: 4, port: 80 },
        startTime: 270,
        duration: 15,
      },
    ],
  );
  assertEquals(
    error.attempts.map(({ error }) => (error as { code: string }).code),
    ["ETIMEDOUT", "ECONNREFUSED"],
  );
});

test("ConnectError lists attempts in start order, then DNS errors, AAAA first (hazard 33)", async () => {
  const aaaa = codeError("EAI_AGAIN");
  const a = codeError("ESERVFAIL");
  const onlyDns = await failure({
    dns: [{ at: 10, A: [], error: a }, { at: 20, AAAA: [], error: aaaa }],
  });
  assertEquals(onlyDns.errors.length, 2);
  assertStrictEquals(onlyDns.errors[0], aaaa);
  assertStrictEquals(onlyDns.errors[1], a);

  const both = await failure({
    dns: [{ at: 10, AAAA: [], error: aaaa }, { at: 20, A: ["4.1", "4.2"] }],
    // The second one fails first.
    hosts: { "4.1": down(900), "4.2": down(5) },
  });
  assertEquals(both.errors.length, 3);
  assertStrictEquals(both.errors[0], both.attempts[0]?.error);
  assertStrictEquals(both.errors[1], both.attempts[1]?.error);
  assertStrictEquals(both.errors[2], aaaa);
  assert(both.message.includes("192.0.2.1 ECONNREFUSED"), both.message);
  assert(both.message.includes("192.0.2.2 ECONNREFUSED"), both.message);
  assert(both.message.includes("EAI_AGAIN"), both.message);
});

test("ConnectError has a single failure as its cause, and no cause for several (hazard 51)", async () => {
  const attempt = await failure({
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 5, A: [] }],
    hosts: { "6.1": down(20) },
  });
  assertEquals(attempt.errors.length, 1);
  assertStrictEquals(attempt.cause, attempt.errors[0]);

  const dns = codeError("EAI_AGAIN");
  const query = await failure({ dns: [{ at: 5, throws: dns }] });
  assertStrictEquals(query.cause, dns);

  const several = await failure(
    { hosts: { "::1": down(0), "127.0.0.1": down(0) } },
    { hostname: "localhost" },
  );
  assertStrictEquals(several.cause, undefined);
});

test("ConnectError lists what a resolver throws once, though it answers two questions", async () => {
  const thrown = new Error("resolver");
  const error = await failure({ dns: [{ at: 5, throws: thrown }] });
  assertEquals(error.errors.length, 1);
  assertStrictEquals(error.errors[0], thrown);

  const beside = await failure({
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 5, throws: thrown }],
    hosts: { "6.1": down(20) },
  });
  assertEquals(beside.errors.length, 2);
  assertStrictEquals(beside.errors[1], thrown);
});

test("ConnectError does not list an empty answer beside a usable one", async () => {
  const empty: DnsEvent[] = [
    { at: 5, A: [] },
    // What getaddrinfo says of a name without an address of that family.
    { at: 5, A: [], error: codeError("ENOTFOUND") },
  ];
  for (const answer of empty) {
    const error = await failure({
      dns: [{ at: 0, AAAA: ["6.1"] }, answer],
      hosts: { "6.1": down(20) },
    });
    assertEquals(error.errors.length, 1);
    assertStrictEquals(error.errors[0], error.attempts[0]?.error);
  }
});

test("ConnectError keeps the answers as they were received", async () => {
  const again = codeError("EAI_AGAIN");
  const error = await failure({
    dns: [
      { at: 5, A: ["192.0.2.1", "no literal"], name: "EXAMPLE.com." },
      { at: 9, AAAA: [], error: again },
    ],
    hosts: { "4.1": down(20) },
  });
  assertEquals(error.answers, [
    {
      type: "A",
      addresses: ["192.0.2.1", "no literal"],
      name: "EXAMPLE.com.",
    },
    { type: "AAAA", addresses: [], error: again },
  ]);
});

/** Worlds in which nothing is attempted, and the code that follows. */
const unattempted: readonly {
  readonly why: string;
  readonly dns: readonly DnsEvent[];
  readonly options?: PlayOptions;
  readonly code: string;
}[] = [
  {
    why: "there is no address",
    dns: [{ at: 0, AAAA: [] }, { at: 0, A: [] }],
    code: "ENOTFOUND",
  },
  {
    why: "the resolver ends",
    dns: [{ at: 0, end: true }],
    code: "ENOTFOUND",
  },
  {
    why: "every question says ENOTFOUND",
    dns: [
      { at: 0, AAAA: [], error: codeError("ENOTFOUND") },
      { at: 0, A: [], error: codeError("ENOTFOUND") },
    ],
    code: "ENOTFOUND",
  },
  {
    why: "the resolver throws something else",
    dns: [{ at: 0, throws: new Error("no code") }],
    code: "ENOTFOUND",
  },
  ...["EAI_AGAIN", "SERVFAIL", "ESERVFAIL", "ETIMEOUT", "ETIMEDOUT"].map(
    (code) => ({
      why: `one question says ${code}`,
      dns: [
        { at: 0, AAAA: [], error: codeError("ENOTFOUND") },
        { at: 0, A: [], error: codeError(code) },
      ],
      code: "EAI_AGAIN",
    }),
  ),
  {
    why: "one question times out",
    dns: [
      { at: 0, AAAA: [] },
      { at: 0, A: [], error: new DOMException("late", "TimeoutError") },
    ],
    code: "EAI_AGAIN",
  },
  ...["ERR_ACCESS_DENIED", "EACCES", "EPERM"].map((code) => ({
    why: `one question was refused with ${code}, whatever else there was`,
    dns: [
      { at: 0, AAAA: [], error: codeError("EAI_AGAIN") },
      { at: 0, A: [], error: codeError(code) },
    ],
    code: "ERR_ACCESS_DENIED",
  })),
  {
    why: "the only address is vetoed",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 0, A: [] }],
    options: { allow: () => false },
    code: "EACCES",
  },
  {
    why: "one address is vetoed and one question failed for a while",
    dns: [
      { at: 0, AAAA: ["6.1"] },
      { at: 0, A: [], error: codeError("EAI_AGAIN") },
    ],
    options: { allow: () => false },
    code: "EAI_AGAIN",
  },
  {
    why: "no local address fits",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 0, A: [] }],
    options: { localAddresses: ["192.0.2.101"] },
    code: "EADDRNOTAVAIL",
  },
];

for (const { why, dns, options, code } of unattempted) {
  test(`ConnectError has the code ${code} when ${why} (hazard 43)`, async () => {
    const error = await failure({ dns }, options);
    assertStrictEquals(error.code, code);
    assertEquals(error.attempts, []);
    const start = 'Cannot connect to "example.com" port 443: ';
    assert(error.message.startsWith(start), error.message);
    assert(error.message.length > start.length, "says nothing");
  });
}

test("ConnectError has the code of the first attempt, not of the most or the last", async () => {
  const error = await failure({
    dns: [
      { at: 0, A: ["4.1"], error: codeError("EAI_AGAIN") },
      { at: 10, AAAA: ["6.1", "6.2"] },
    ],
    hosts: {
      "6.1": down(900, "ETIMEDOUT"),
      "4.1": down(15),
      "6.2": down(15),
    },
  });
  assertStrictEquals(error.code, "ETIMEDOUT");
});

test("ConnectError has the code ERR_CONNECT_FAILED when the first attempt's error has none (hazard 53)", async () => {
  const values = [
    { thrown: new Error("too bad"), said: "[2001:db8::1] too bad" },
    { thrown: "a string", said: "[2001:db8::1] a string" },
    { thrown: { code: 5 }, said: "[2001:db8::1] 5" },
    { thrown: { code: "" }, said: "[2001:db8::1] object" },
    { thrown: undefined, said: "[2001:db8::1] undefined" },
    { thrown: null, said: "[2001:db8::1] null" },
    { thrown: Symbol("s"), said: "[2001:db8::1] Symbol(s)" },
    { thrown: Object.create(null), said: "[2001:db8::1] object" },
    { thrown: () => {}, said: "[2001:db8::1] thrown" },
    { thrown: new Error(), said: "[2001:db8::1] Error" },
    { thrown: { message: {} }, said: "[2001:db8::1] object" },
    {
      thrown: new DOMException("", "AbortError"),
      said: "[2001:db8::1] 20",
    },
  ];
  for (const { thrown, said } of values) {
    const error = await assertRejects(
      () =>
        happyEyeballs(() => {
          throw thrown;
        }, { hostname: "2001:db8::1", port: 443 }),
      ConnectError,
      said,
    );
    assertStrictEquals(error.code, "ERR_CONNECT_FAILED");
    assertStrictEquals(error.errors[0], thrown);
    assertStrictEquals(error.attempts[0]?.error, thrown);
    assertStrictEquals(error.cause, thrown);
  }
});

test("ConnectError takes the code of the first attempt, not that of a later one that has one", async () => {
  const error = await failure({
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }, { at: 0, A: [] }],
    hosts: { "6.1": down(5, ""), "6.2": down(5) },
  });
  assertStrictEquals(error.code, "ERR_CONNECT_FAILED");
});

test("ConnectError can be made by tests of those who catch it", () => {
  const endpoint = { address: "192.0.2.1", family: 4, port: 80 } as const;
  const host = { hostname: "example.com", port: 80 };
  const refused = codeError("ECONNREFUSED");
  const again = codeError("EAI_AGAIN");
  const said = 'Cannot connect to "example.com" port 80: ';
  const attempt = { index: 0, endpoint, startTime: 0, duration: 5 };
  for (
    const [failure, code, message, errors] of [
      [{}, "ENOTFOUND", "no address found", []],
      [
        { attempts: undefined, answers: undefined, refusals: undefined },
        "ENOTFOUND",
        "no address found",
        [],
      ],
      [
        { attempts: [{ ...attempt, error: refused }] },
        "ECONNREFUSED",
        "192.0.2.1 ECONNREFUSED",
        [refused],
      ],
      [
        { attempts: [{ ...attempt, error: "odd" }] },
        "ERR_CONNECT_FAILED",
        "192.0.2.1 odd",
        ["odd"],
      ],
      [
        { answers: [{ type: "A", addresses: [], error: again }] },
        "EAI_AGAIN",
        "A EAI_AGAIN",
        [again],
      ],
      [
        { refusals: [{ endpoint, code: "EACCES", reason: "refused" }] },
        "EACCES",
        "192.0.2.1 refused",
        [],
      ],
    ] as const
  ) {
    const error = new ConnectError({ ...host, ...failure });
    assertInstanceOf(error, AggregateError);
    assertEquals(
      [error.name, error.code, error.message, error.hostname, error.port],
      ["ConnectError", code, said + message, "example.com", 80],
    );
    assertEquals(error.errors, [...errors]);
    assertStrictEquals(error.cause, errors[0]);
    assert(Array.isArray(error.attempts) && Array.isArray(error.answers));
  }
});

test("ConnectError names the local address, too, where there were several", async () => {
  const error = await failure({
    dns: [{ at: 0, AAAA: [] }, { at: 0, A: ["4.1"] }],
    hosts: { "4.1": down(20) },
  }, { localAddresses: ["192.0.2.101", "192.0.2.102"] });
  assertEquals(
    error.attempts.map(({ endpoint }) => endpoint?.localAddress),
    ["192.0.2.101", "192.0.2.102"],
  );
  for (const local of ["192.0.2.101", "192.0.2.102"]) {
    assert(error.message.includes(local), error.message);
  }
});
