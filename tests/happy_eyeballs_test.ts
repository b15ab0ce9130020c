/**
 * `happyEyeballs()` in exact virtual time, by section of the standards.
 *
 * Each row of a table is a world (what DNS says and when, what each address
 * does) and what has to come of it: every start with its instant, and the end.
 * `play()` in `fake_network.ts` checks after each row that nothing but the
 * winner is open, and all else that holds after every call.
 *
 * A, C and hazard numbers are those of the project's conformance and hazard
 * lists. Times are milliseconds; the defaults are a Resolution Delay of 50 and
 * a Connection Attempt Delay of 250.
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
import type { Answer, Resolver } from "../src/core/answer.ts";
import type { Endpoint } from "../src/core/endpoint.ts";
import { ConnectError } from "../src/errors.ts";
import type { HappyEyeballsEvent } from "../src/events.ts";
import { happyEyeballs } from "../src/happy_eyeballs.ts";
import { connect } from "../src/connect.ts";
import type { ConnectOptions, HappyEyeballsOptions } from "../src/options.ts";
import { FakeClock } from "./fake_clock.ts";
import {
  codeError,
  CountedAbort,
  FakeNetwork,
  type Host,
  long,
  play,
  type PlayOptions,
  settled,
  type World,
} from "./fake_network.ts";
import { runtimeName, test } from "./harness.ts";

interface Row extends World {
  readonly name: string;
  readonly options?: PlayOptions;
  readonly starts: string;
  readonly end: string;
  /** Destinations whose source was asked for. */
  readonly probes?: string;
}

function table(topic: string, rows: readonly Row[]): void {
  for (const row of rows) {
    test(`happyEyeballs() ${row.name} (${topic})`, async () => {
      const { starts, end, network } = await play(row, row.options);
      assertEquals({ starts, end }, { starts: row.starts, end: row.end });
      if (row.probes !== undefined) {
        assertEquals(network.probes.toSorted().join(" "), row.probes);
      }
    });
  }
}

/** Packets vanish. */
const never: Host = {};
const up = (accept: number): Host => ({ accept });
const down = (refuse: number, code = "ECONNREFUSED"): Host => ({
  refuse,
  code,
});

/** Eight addresses that never answer, but for the last one. */
const eight: Readonly<Record<string, Host>> = {
  "6.1": never,
  "6.2": never,
  "6.3": never,
  "6.4": never,
  "4.1": never,
  "4.2": never,
  "4.3": never,
  "4.4": never,
};
const all6 = ["6.1", "6.2", "6.3", "6.4"];
const all4 = ["4.1", "4.2", "4.3", "4.4"];

/** Local errors cannot be told from others on Bun, so the floor stays (A54). */
const afterLocalError = runtimeName === "bun" ? 10 : 0;

// A.1 Issuing queries

test("happyEyeballs() asks one question for both types, AAAA first (A1, A2, A6, A7)", async () => {
  const { network } = await play({
    dns: [{ at: 5, AAAA: ["6.1"] }],
    hosts: { "6.1": up(1) },
  }, { hostname: "example.com", port: 8443 });
  const [query, ...more] = network.queries;
  assertEquals(more, []);
  assertEquals(
    {
      time: query?.time,
      hostname: query?.hostname,
      types: query?.types,
      port: query?.port,
    },
    { time: 0, hostname: "example.com", types: ["AAAA", "A"], port: 8443 },
  );
  assertStrictEquals(network.starts[0]?.endpoint.port, 8443);
});

test("happyEyeballs() asks for one type when the family is given (A4)", async () => {
  for (
    const [family, type, address] of [
      [4, "A", "4.1"],
      [6, "AAAA", "6.1"],
    ] as const
  ) {
    const { network, end } = await play({
      dns: [{ at: 5, AAAA: ["6.1"] }, { at: 5, A: ["4.1"] }],
      hosts: { [address]: up(1) },
    }, { family });
    assertEquals(network.queries.map(({ types }) => types), [[type]]);
    assertStrictEquals(end, `${address}@6`);
  }
});

table("A8, A9, A16: no waiting for what is not needed", [
  {
    name: "starts with the first AAAA, whatever A does",
    dns: [{ at: 10, AAAA: ["6.1"] }],
    hosts: { "6.1": up(5) },
    starts: "6.1@10",
    end: "6.1@15",
  },
  {
    name: "starts with A at once when only IPv4 is wanted",
    options: { family: 4 },
    dns: [{ at: 10, A: ["4.1"] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@10",
    end: "4.1@15",
  },
  {
    // Hazard 34: some implementations wait for A in both directions.
    name: "does not wait for a slow A",
    dns: [{ at: 10, AAAA: ["6.1", "6.2"] }, { at: 2000, A: ["4.1"] }],
    hosts: { "6.1": never, "6.2": up(20) },
    starts: "6.1@10 6.2@260",
    end: "6.2@280",
  },
]);

test("happyEyeballs() asks nobody about a literal or localhost", async () => {
  for (
    const [hostname, starts] of [
      ["192.0.2.1", "4.1@0"],
      ["2001:db8::1", "6.1@0"],
      ["[2001:db8::1]", "6.1@0"],
      ["2001:DB8:0:0::1", "6.1@0"],
      ["::ffff:192.0.2.1", "4.1@0"],
      ["localhost", "::1@0 127.0.0.1@0"],
      ["LOCALHOST.", "::1@0 127.0.0.1@0"],
      ["a.b.LocalHost", "::1@0 127.0.0.1@0"],
    ] as const
  ) {
    const played = await play({
      hosts: {
        "4.1": up(1),
        "6.1": up(1),
        "::1": down(0),
        "127.0.0.1": up(1),
      },
    }, { hostname });
    assertStrictEquals(played.starts, starts, hostname);
    assertEquals(played.network.queries, []);
    assert(!played.events.some(({ type }) => type === "resolve-start"));
    assert(!played.events.some(({ type }) => type === "answer"));
  }
});

test("happyEyeballs() keeps the zone of a literal, in brackets or not", async () => {
  for (const hostname of ["fe80::1%eth0", "[fe80::1%eth0]"]) {
    const { network } = await play(
      { hosts: { "fe80::1%eth0": up(1) } },
      { hostname },
    );
    assertStrictEquals(network.starts[0]?.endpoint.address, "fe80::1%eth0");
    assertStrictEquals(network.starts[0]?.endpoint.family, 6);
  }
});

test("happyEyeballs() uses one address of localhost when the family is given", async () => {
  for (const [family, starts] of [[4, "127.0.0.1@0"], [6, "::1@0"]] as const) {
    const played = await play(
      { hosts: { "::1": up(1), "127.0.0.1": up(1) } },
      { hostname: "localhost", family },
    );
    assertStrictEquals(played.starts, starts);
  }
});

// A.2 Answers, Resolution Delay

table("A13, A14, A15, A17: Resolution Delay", [
  {
    name: "waits 50 ms for AAAA after A, then starts with IPv4",
    dns: [{ at: 10, A: ["4.1"] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@60",
    end: "4.1@65",
  },
  {
    name: "starts with IPv6 when AAAA comes within the delay",
    dns: [{ at: 10, A: ["4.1"] }, { at: 40, AAAA: ["6.1"] }],
    hosts: { "6.1": up(5) },
    starts: "6.1@40",
    end: "6.1@45",
  },
  {
    // Hazard 31: the negative answer has to wake the wait.
    name: "starts with IPv4 at once when AAAA is negative within the delay",
    dns: [{ at: 10, A: ["4.1"] }, { at: 25, AAAA: [] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@25",
    end: "4.1@30",
  },
  {
    name: "takes a failed AAAA for a negative one (A19)",
    dns: [
      { at: 10, A: ["4.1"] },
      { at: 25, AAAA: [], error: codeError("ENOTFOUND") },
    ],
    hosts: { "4.1": up(5) },
    starts: "4.1@25",
    end: "4.1@30",
  },
  {
    name: "starts with IPv4 at once when AAAA was negative before",
    dns: [{ at: 10, AAAA: [] }, { at: 25, A: ["4.1"] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@25",
    end: "4.1@30",
  },
  {
    name: "takes the resolver's end for a negative answer",
    dns: [{ at: 10, A: ["4.1"] }, { at: 25, end: true }],
    hosts: { "4.1": up(5) },
    starts: "4.1@25",
    end: "4.1@30",
  },
  {
    name: "takes the resolver's throw for a negative answer",
    dns: [{ at: 10, A: ["4.1"] }, { at: 25, throws: new Error("gone") }],
    hosts: { "4.1": up(5) },
    starts: "4.1@25",
    end: "4.1@30",
  },
  {
    name: "waits as long as it is told to",
    options: { resolutionDelay: 7.5 },
    dns: [{ at: 10, A: ["4.1"] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@17.5",
    end: "4.1@22.5",
  },
  {
    name: "waits for every type with a delay of Infinity",
    options: { resolutionDelay: Infinity },
    dns: [{ at: 10, A: ["4.1"] }, { at: 9000, AAAA: [] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@9000",
    end: "4.1@9005",
  },
]);

table("A18, A19: from when, and to the instant", [
  {
    name: "runs the delay from the first positive answer, not the question",
    dns: [{ at: 100, A: ["4.1"] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@150",
    end: "4.1@155",
  },
  {
    name: "does not run it again from a second positive answer",
    dns: [{ at: 10, A: ["4.1"] }, { at: 40, A: ["4.1", "4.2"] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@60",
    end: "4.1@65",
  },
  {
    name: "does not run it from a negative answer",
    dns: [{ at: 10, A: [] }, { at: 900, AAAA: ["6.1"] }],
    hosts: { "6.1": up(5) },
    starts: "6.1@900",
    end: "6.1@905",
  },
  {
    name: "prefers IPv6 when AAAA comes right before the delay expires",
    dns: [{ at: 10, A: ["4.1"] }, { at: 59.999, AAAA: ["6.1"] }],
    hosts: { "6.1": up(5) },
    starts: "6.1@59.999",
    end: "6.1@64.999",
  },
  {
    // The answer was scheduled before the delay began, so it is there first.
    name: "prefers IPv6 when AAAA comes in the instant of expiry",
    dns: [{ at: 10, A: ["4.1"] }, { at: 60, AAAA: ["6.1"] }],
    hosts: { "6.1": up(5) },
    starts: "6.1@60",
    end: "6.1@65",
  },
  {
    name: "starts with IPv4 when AAAA comes right after the delay expired",
    dns: [{ at: 10, A: ["4.1"] }, { at: 60.001, AAAA: ["6.1"] }],
    hosts: { "4.1": up(5) },
    starts: "4.1@60",
    end: "4.1@65",
  },
  {
    name: "fails when every answer is negative",
    dns: [{ at: 10, AAAA: [] }, { at: 900, A: [] }],
    starts: "",
    end: "failed@900",
  },
  {
    name: "fails when the resolver ends without an answer (hazard 40)",
    dns: [{ at: 30, end: true }],
    starts: "",
    end: "failed@30",
  },
  {
    name: "fails when the resolver throws (hazard 41)",
    dns: [{ at: 30, throws: "no Error at all" }],
    starts: "",
    end: "failed@30",
  },
]);

test("happyEyeballs() acts at once with a Resolution Delay of 0 and sets no timer for it (A18)", async () => {
  const { starts, end, network } = await play({
    dns: [{ at: 10, A: ["4.1"] }],
    hosts: { "4.1": up(5) },
  }, { resolutionDelay: 0 });
  assertEquals({ starts, end }, { starts: "4.1@10", end: "4.1@15" });
  assert(network.clock.sleeps.every((ms) => ms > 0), "a timer of 0 ms");
});

table("A25, A42, hazard 32: answers after the start", [
  {
    name: "tries IPv4 next when A comes while IPv6 is tried",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }, { at: 100, A: ["4.1"] }],
    hosts: { "6.1": never, "6.2": never, "4.1": up(5) },
    starts: "6.1@0 4.1@250",
    end: "4.1@255",
  },
  {
    name: "waits for A when IPv6 failed before A was answered",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 300, A: ["4.1"] }],
    hosts: { "6.1": down(20), "4.1": up(5) },
    starts: "6.1@0 4.1@300",
    end: "4.1@305",
  },
  {
    name: "starts a late answer at once when the delay has long passed",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 600, A: ["4.1"] }],
    hosts: { "6.1": never, "4.1": up(5) },
    starts: "6.1@0 4.1@600",
    end: "4.1@605",
  },
  {
    name: "fails when all attempts failed and DNS finishes empty",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 300, A: [] }],
    hosts: { "6.1": down(20) },
    starts: "6.1@0",
    end: "failed@300",
  },
  {
    name: "fails at once when DNS had finished before",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 10, A: [] }],
    hosts: { "6.1": down(20) },
    starts: "6.1@0",
    end: "failed@20",
  },
  {
    // Nothing more is waited for once every type is answered.
    name: "does not wait for the resolver's end once every type is answered",
    dns: [
      { at: 0, AAAA: ["6.1"] },
      { at: 10, A: [] },
      { at: 500, AAAA: ["6.2"] },
    ],
    hosts: { "6.1": down(20) },
    starts: "6.1@0",
    end: "failed@20",
  },
]);

table("A59, A60: an answer that replaces an earlier one", [
  {
    name: "drops an address not yet tried, and lets a running one go on",
    dns: [
      { at: 0, AAAA: ["6.1", "6.2"] },
      { at: 10, A: ["4.1"] },
      { at: 100, AAAA: ["6.3"] },
    ],
    hosts: { "6.1": up(600), "6.3": never, "4.1": never },
    starts: "6.1@0 6.3@250 4.1@500",
    end: "6.1@600",
  },
  {
    name: "takes an update while attempts run, after all was answered",
    dns: [
      { at: 0, AAAA: ["6.1"] },
      { at: 10, A: [] },
      { at: 100, A: ["4.1"] },
    ],
    hosts: { "6.1": never, "4.1": up(5) },
    starts: "6.1@0 4.1@250",
    end: "4.1@255",
  },
]);

const otherName = { name: "other.example" };

table("Answer.name: answers about another name are passed over", [
  ...[
    "example.com",
    "example.com.",
    "EXAMPLE.com",
    "Example.COM.",
    "ｅｘａｍｐｌｅ.com",
  ].map((name) => ({
    name: `takes an answer about ${name} for one about example.com`,
    dns: [{ at: 5, AAAA: ["6.1"], name }, { at: 5, A: [] }],
    hosts: { "6.1": up(5) },
    starts: "6.1@5",
    end: "6.1@10",
  })),
  ...[
    "other.example",
    "a.example.com",
    "com",
    "",
    "example.com..",
    "xn--e",
    "a b",
    "\u0130",
  ].map((name) => ({
    name: `passes over an answer about ${JSON.stringify(name)}`,
    dns: [{ at: 5, AAAA: ["6.9"], name }, { at: 10, AAAA: ["6.1"] }, {
      at: 10,
      A: [],
    }],
    hosts: { "6.1": up(5) },
    starts: "6.1@10",
    end: "6.1@15",
  })),
  {
    name: "lets it replace nothing, and drop nothing",
    dns: [
      { at: 0, AAAA: ["6.1", "6.2"] },
      { at: 0, A: ["4.1"] },
      { at: 100, AAAA: ["6.9"], ...otherName },
      { at: 100, A: [], ...otherName },
    ],
    hosts: { "6.1": never, "6.2": up(5), "4.1": never },
    starts: "6.1@0 4.1@250 6.2@500",
    end: "6.2@505",
  },
  {
    // Neither the Resolution Delay nor the wait for an answer ends by it.
    name: "leaves the question open that it does not answer",
    dns: [
      { at: 0, AAAA: [], ...otherName },
      { at: 10, A: ["4.1"] },
      { at: 20, AAAA: ["6.9"], ...otherName },
    ],
    hosts: { "4.1": up(5) },
    starts: "4.1@60",
    end: "4.1@65",
  },
  {
    name: "answers the open question with none at the end of the iteration",
    dns: [
      { at: 0, AAAA: ["6.9"], ...otherName },
      { at: 10, A: [] },
      { at: 30, end: true },
    ],
    starts: "",
    end: "failed@30",
  },
  {
    name: "forgets its error, too",
    dns: [
      { at: 0, AAAA: [], error: codeError("EAI_AGAIN"), ...otherName },
      { at: 10, AAAA: [] },
      { at: 10, A: ["4.1"] },
    ],
    hosts: { "4.1": up(5) },
    starts: "4.1@10",
    end: "4.1@15",
  },
]);

test("happyEyeballs() compares the name of an answer with the one it asked for, in any script", async () => {
  for (
    const [hostname, name, counts] of [
      ["bücher.example", "bücher.example", true],
      ["bücher.example", "BÜCHER.example.", true],
      ["bücher.example", "xn--bcher-kva.example", true],
      ["xn--bcher-kva.example", "bücher.example", true],
      ["bücher.example.", "xn--BCHER-kva.example", true],
      ["bücher.example", "bucher.example", false],
      ["example.com.", "example.com", true],
      ["example.com.", "example.com..", false],
    ] as const
  ) {
    const { end } = await play({
      dns: [{ at: 0, AAAA: ["6.1"], name }, { at: 1, end: true }],
      hosts: { "6.1": up(5) },
    }, { hostname });
    assertStrictEquals(
      end,
      counts ? "6.1@5" : "failed@1",
      `${hostname} ${name}`,
    );
  }
});

test("happyEyeballs() tells neither events nor errors of what it passes over", async () => {
  const { events, error } = await play({
    dns: [
      { at: 0, AAAA: ["6.9"], ...otherName },
      { at: 1, A: ["4.9"], error: new Error("of the other"), ...otherName },
      { at: 2, end: true },
    ],
  });
  const answers = events.filter((event) => event.type === "answer");
  assertEquals(
    answers.map(({ time, recordType, addresses }) =>
      `${recordType}@${time} ${addresses}`
    ),
    ["AAAA@2 ", "A@2 "],
  );
  assertInstanceOf(error, ConnectError);
  assertEquals(error.answers.map(({ addresses }) => addresses), [[], []]);
  assertEquals(error.errors, []);
});

// A.3 Sorting and interleaving

table("A39, A40: interleaving", [
  {
    name: "alternates between the families, IPv6 first",
    dns: [{ at: 0, A: all4 }, { at: 10, AAAA: all6 }],
    hosts: { ...eight, "4.4": up(5) },
    starts:
      "6.1@10 4.1@260 6.2@510 4.2@760 6.3@1010 4.3@1260 6.4@1510 4.4@1760",
    end: "4.4@1765",
  },
  {
    name: "lets as many addresses of the first family lead as it is told to",
    options: { preferredAddressFamilyCount: 3 },
    dns: [{ at: 0, A: all4 }, { at: 10, AAAA: all6 }],
    hosts: { ...eight, "4.4": up(5) },
    starts:
      "6.1@10 6.2@260 6.3@510 4.1@760 6.4@1010 4.2@1260 4.3@1510 4.4@1760",
    end: "4.4@1765",
  },
  {
    name: "tries what is left of the longer list in order",
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1", "6.2", "6.3"] }],
    hosts: { ...eight, "6.3": up(5) },
    starts: "6.1@10 4.1@260 6.2@510 6.3@760",
    end: "6.3@765",
  },
]);

table("A41, C.3: late answers re-sort the whole list", [
  {
    // 400 is 100 ms after the last start, so AAAA starts at once (A52).
    name: "catches up with IPv6 when AAAA comes after 4.1 and 4.2",
    dns: [{ at: 0, A: all4 }, { at: 400, AAAA: all6 }],
    hosts: { ...eight, "4.4": up(5) },
    starts: "4.1@50 4.2@300 6.1@400 6.2@650 6.3@900 4.3@1150 6.4@1400 4.4@1650",
    end: "4.4@1655",
  },
  {
    name: "catches up with IPv4 when A comes after 6.1 and 6.2",
    dns: [{ at: 0, AAAA: all6 }, { at: 400, A: all4 }],
    hosts: { ...eight, "4.4": up(5) },
    starts: "6.1@0 6.2@250 4.1@500 4.2@750 6.3@1000 4.3@1250 6.4@1500 4.4@1750",
    end: "4.4@1755",
  },
  {
    name: "keeps the head of the first family when A comes after 6.1 and 6.2",
    options: { preferredAddressFamilyCount: 3 },
    dns: [{ at: 0, AAAA: all6 }, { at: 400, A: all4 }],
    hosts: { ...eight, "4.4": up(5) },
    starts: "6.1@0 6.2@250 6.3@500 4.1@750 6.4@1000 4.2@1250 4.3@1500 4.4@1750",
    end: "4.4@1755",
  },
  {
    name: "puts three of IPv6 first when AAAA comes after 4.1 and 4.2",
    options: { preferredAddressFamilyCount: 3 },
    dns: [{ at: 0, A: all4 }, { at: 400, AAAA: all6 }],
    hosts: { ...eight, "4.4": up(5) },
    starts: "4.1@50 4.2@300 6.1@400 6.2@650 6.3@900 6.4@1150 4.3@1400 4.4@1650",
    end: "4.4@1655",
  },
]);

table("A33, A20: RFC 6724 by source address", [
  {
    // Rule 5: the label of a unique local source does not match a global
    // destination, IPv4 matches IPv4.
    name: "puts IPv4 first when the IPv6 source is unique local",
    dns: [{ at: 0, A: ["4.1"] }, { at: 20, AAAA: ["6.1"] }],
    sources: {
      "6.1": { address: "fd00::2" },
      "4.1": { address: "192.0.2.200" },
    },
    hosts: { "6.1": up(5), "4.1": never },
    starts: "4.1@20 6.1@270",
    end: "6.1@275",
  },
  {
    name: "keeps IPv6 first when both sources are global",
    dns: [{ at: 0, A: ["4.1"] }, { at: 20, AAAA: ["6.1"] }],
    sources: {
      "6.1": { address: "2001:db8::200" },
      "4.1": { address: "192.0.2.200" },
    },
    hosts: { "6.1": up(5) },
    starts: "6.1@20",
    end: "6.1@25",
  },
  {
    // Rule 1.
    name: "puts a destination without a route last, and still tries it",
    dns: [{ at: 0, A: [] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    sources: { "6.1": null, "6.2": { address: "2001:db8::200" } },
    hosts: { "6.1": up(5), "6.2": never },
    starts: "6.2@10 6.1@260",
    end: "6.1@265",
  },
  {
    name: "prefers IPv4 when only IPv4 has a route (A20)",
    options: { preferredAddressFamilyCount: 2 },
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 20, AAAA: ["6.1", "6.2"] }],
    sources: {
      "6.1": null,
      "6.2": null,
      "4.1": { address: "192.0.2.200" },
      "4.2": { address: "192.0.2.200" },
    },
    hosts: { ...eight, "6.2": up(5) },
    starts: "4.1@20 4.2@270 6.1@520 6.2@770",
    end: "6.2@775",
  },
  {
    // Rule 9: 32 common bits against 31.
    name: "puts the longest matching prefix first within IPv6",
    dns: [{ at: 0, A: [] }, { at: 10, AAAA: ["6.1", "2001:db9::1"] }],
    sources: {
      "6.1": { address: "2001:db9::200" },
      "2001:db9::1": { address: "2001:db9::200" },
    },
    hosts: { "2001:db9::1": up(5) },
    starts: "2001:db9::1@10",
    end: "2001:db9::1@15",
  },
  {
    name: "counts no more of the prefix than the source's own length",
    dns: [{ at: 0, A: [] }, { at: 10, AAAA: ["6.1", "2001:db9::1"] }],
    sources: {
      "6.1": { address: "2001:db9::200", prefixLength: 16 },
      "2001:db9::1": { address: "2001:db9::200", prefixLength: 16 },
    },
    hosts: { "6.1": up(5) },
    starts: "6.1@10",
    end: "6.1@15",
  },
  {
    name: "leaves the order of IPv4 alone, whatever the prefixes",
    dns: [{ at: 0, AAAA: [] }, { at: 10, A: ["198.51.100.1", "4.1"] }],
    sources: {
      "198.51.100.1": { address: "192.0.2.200" },
      "4.1": { address: "192.0.2.200" },
    },
    hosts: { "198.51.100.1": up(5) },
    starts: "198.51.100.1@10",
    end: "198.51.100.1@15",
  },
  {
    name: "skips the source rules for all when one source is unknown",
    dns: [{ at: 0, A: [] }, { at: 10, AAAA: ["6.1", "6.2", "6.3"] }],
    sources: { "6.1": null, "6.2": { address: "2001:db8::200" } },
    hosts: { "6.1": up(5) },
    starts: "6.1@10",
    end: "6.1@15",
  },
  {
    name: "takes what is no address for an unknown source",
    dns: [{ at: 0, A: [] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    sources: {
      "6.1": null,
      "6.2": { after: 1, source: { address: "eth0" } },
    },
    hosts: { "6.1": up(5) },
    starts: "6.1@11",
    end: "6.1@16",
  },
  ...(["throws", "rejects"] as const).map((source): Row => ({
    name: `takes a function that ${source} for an unknown source`,
    dns: [{ at: 0, A: [] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    sources: { "6.1": null, "6.2": source },
    hosts: { "6.1": up(5) },
    starts: "6.1@10",
    end: "6.1@15",
  })),
]);

table("sourceAddress: when it is asked and waited for", [
  {
    name: "does not ask for the source of a single endpoint",
    dns: [{ at: 0, AAAA: ["6.1"] }],
    sources: { "6.1": "never" },
    hosts: { "6.1": up(5) },
    starts: "6.1@0",
    end: "6.1@5",
    probes: "",
  },
  {
    name: "asks for all sources in parallel and waits for them",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    sources: {
      "6.1": { after: 6, source: null },
      "6.2": { after: 8, source: { address: "2001:db8::200" } },
    },
    hosts: { "6.2": up(5) },
    starts: "6.2@8",
    end: "6.2@13",
    probes: "6.1@0 6.2@0",
  },
  {
    name: "waits no longer than 10 ms, and ranks without",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    sources: { "6.1": null, "6.2": "never" },
    hosts: { "6.1": up(5) },
    starts: "6.1@10",
    end: "6.1@15",
  },
  {
    name: "asks once per destination within a second",
    options: { connectionAttemptDelay: 300 },
    dns: [
      { at: 0, A: ["4.1"] },
      { at: 10, AAAA: ["6.1", "6.2"] },
    ],
    sources: {
      "6.1": { address: "2001:db8::200" },
      "6.2": { address: "2001:db8::200" },
      "4.1": { address: "192.0.2.200" },
    },
    hosts: { "6.1": never, "4.1": never, "6.2": up(5) },
    starts: "6.1@10 4.1@310 6.2@610",
    end: "6.2@615",
    probes: "4.1@10 6.1@10 6.2@10",
  },
]);

test("happyEyeballs() keeps what it was told of a source for a second, over calls", async () => {
  const clock = new FakeClock();
  const network = new FakeNetwork(
    {
      dns: [{ at: 0, A: [] }, { at: 0, AAAA: ["6.1", "6.2"] }],
      sources: {
        "6.1": { address: "2001:db8::200" },
        "6.2": { address: "2001:db8::200" },
      },
      hosts: { "6.1": up(5) },
    },
    clock,
    250,
  );
  for (const time of [0, 900, 1100]) {
    await clock.finish(time);
    await clock.run(happyEyeballs(network.attempt, {
      hostname: "example.com",
      port: 443,
      resolver: network.resolver,
      sourceAddress: network.sourceAddress,
      clock,
    }));
  }
  assertEquals(network.probes, ["6.1@0", "6.2@0", "6.1@1100", "6.2@1100"]);
});

// A.4 Attempts

table("A43, A44, A45, A55, A56: one after the other, none stopped", [
  {
    name: "lets a slow address win after others began",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": up(700), "4.1": never, "6.2": never },
    starts: "6.1@10 4.1@260 6.2@510",
    end: "6.1@710",
  },
  {
    name: "closes the loser that succeeded a moment later (hazard 2)",
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
    hosts: { "6.1": { accept: 1300, deaf: true }, "4.1": up(20) },
    starts: "6.1@10 4.1@260",
    end: "4.1@280",
  },
  {
    name: "takes one of two successes of one instant (hazard 1)",
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
    hosts: {
      "6.1": { accept: 300, deaf: true },
      "4.1": { accept: 50, deaf: true },
    },
    starts: "6.1@10 4.1@260",
    end: "6.1@310",
  },
  {
    name: "waits as long as it is told to between starts",
    options: { connectionAttemptDelay: 10 },
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": never, "4.1": never, "6.2": up(3) },
    starts: "6.1@10 4.1@20 6.2@30",
    end: "6.2@33",
  },
  {
    name: "tries one at a time with a delay of Infinity",
    options: { connectionAttemptDelay: Infinity },
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
    hosts: { "6.1": down(5000), "4.1": up(5) },
    starts: "6.1@10 4.1@5010",
    end: "4.1@5015",
  },
]);

table("A51, A53, hazards 15, 23, 26, 27: failures", [
  {
    name: "starts the next at once when the newest fails",
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(30), "4.1": never, "6.2": up(5) },
    starts: "6.1@10 4.1@40 6.2@290",
    end: "6.2@295",
  },
  {
    name: "starts nothing when an older one fails",
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(300), "4.1": never, "6.2": up(5) },
    starts: "6.1@10 4.1@260 6.2@510",
    end: "6.2@515",
  },
  {
    name: "starts once when the newest fails as the delay fires",
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(250), "4.1": never, "6.2": up(5) },
    starts: "6.1@10 4.1@260 6.2@510",
    end: "6.2@515",
  },
  {
    name: "tries every address and fails when the last has failed",
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
    hosts: { "6.1": down(900), "4.1": down(15) },
    starts: "6.1@10 4.1@260",
    end: "failed@910",
  },
]);

table("A47, A54, hazard 24: the floor of 10 ms", [
  {
    name: "keeps 10 ms between starts though the first fails at once",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(0), "6.2": up(5) },
    starts: "6.1@0 6.2@10",
    end: "6.2@15",
  },
  {
    name: "spreads a storm of refusals",
    dns: [{ at: 0, A: all4 }, { at: 0, AAAA: all6 }],
    hosts: Object.fromEntries([...all6, ...all4].map((it) => [it, down(2)])),
    starts: "6.1@0 4.1@10 6.2@20 4.2@30 6.3@40 4.3@50 6.4@60 4.4@70",
    end: "failed@72",
  },
  {
    name: "adds nothing to a failure that took longer",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(10.5), "6.2": up(5) },
    starts: "6.1@0 6.2@10.5",
    end: "6.2@15.5",
  },
  {
    name: "does not delay the final error",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 1, A: [] }],
    hosts: { "6.1": down(2) },
    starts: "6.1@0",
    end: "failed@2",
  },
  {
    name: "exempts what follows an attempt to loopback",
    options: { hostname: "localhost" },
    hosts: { "::1": down(0), "127.0.0.1": up(1) },
    starts: "::1@0 127.0.0.1@0",
    end: "127.0.0.1@1",
  },
  {
    name: "keeps the floor after an address that is not loopback",
    dns: [{ at: 0, A: [] }, { at: 0, AAAA: ["6.1", "::1", "6.2"] }],
    // RFC 6724 puts ::1 first: its precedence is the highest.
    hosts: { "::1": down(1), "6.1": down(1), "6.2": up(1) },
    starts: "::1@0 6.1@1 6.2@11",
    end: "6.2@12",
  },
  {
    name: "exempts all of 127.0.0.0/8",
    dns: [{ at: 0, AAAA: [] }, { at: 0, A: ["127.0.0.1", "127.9.9.9"] }],
    hosts: { "127.0.0.1": down(0), "127.9.9.9": up(1) },
    starts: "127.0.0.1@0 127.9.9.9@0",
    end: "127.9.9.9@1",
  },
  ...["ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"].map(
    (code): Row => ({
      name: `exempts ${code} that came at once (not on Bun)`,
      dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
      hosts: { "6.1": down(0, code), "6.2": up(5) },
      starts: `6.1@0 6.2@${afterLocalError}`,
      end: `6.2@${afterLocalError + 5}`,
    }),
  ),
  {
    name: "exempts a local error after exactly 1 ms (not on Bun)",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(1, "ENETUNREACH"), "6.2": up(5) },
    starts: `6.1@0 6.2@${afterLocalError || 1}`,
    end: `6.2@${(afterLocalError || 1) + 5}`,
  },
  {
    name: "does not exempt such a code that came after more than 1 ms",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(1.5, "ENETUNREACH"), "6.2": up(5) },
    starts: "6.1@0 6.2@10",
    end: "6.2@15",
  },
  {
    name: "does not exempt other codes that came at once",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(0, "EHOSTUNREACH"), "6.2": up(5) },
    starts: "6.1@0 6.2@10",
    end: "6.2@15",
  },
  {
    // The routes are asked for when there is an order to find: at 2.
    name: "exempts what had no route, whatever its code",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 2, A: ["4.1"] }],
    sources: { "6.1": null, "4.1": { address: "192.0.2.200" } },
    hosts: { "6.1": down(1.5), "4.1": up(5) },
    starts: "6.1@0 4.1@2",
    end: "4.1@7",
  },
  {
    // Ranking happens after the wait: 4.1 came while the floor was kept.
    name: "ranks after the floor, not before",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }, { at: 5, A: ["4.1"] }],
    hosts: { "6.1": down(2), "4.1": up(5) },
    starts: "6.1@0 4.1@10",
    end: "4.1@15",
  },
  {
    name: "keeps the floor for an answer that comes right after a failure",
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 6, A: ["4.1"] }],
    hosts: { "6.1": down(2), "4.1": up(5) },
    starts: "6.1@0 4.1@10",
    end: "4.1@15",
  },
]);

table("A48, A52: a late answer of the preferred family", [
  {
    name: "starts it at once when the last start is 100 ms ago",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 200, AAAA: ["6.1"] }],
    hosts: { "4.1": never, "6.1": up(5) },
    starts: "4.1@50 6.1@200",
    end: "6.1@205",
  },
  {
    name: "starts it 100 ms after the last start, not sooner",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 90, AAAA: ["6.1"] }],
    hosts: { "4.1": never, "6.1": up(5) },
    starts: "4.1@50 6.1@150",
    end: "6.1@155",
  },
  {
    name: "keeps to a Connection Attempt Delay that is shorter than that",
    options: { connectionAttemptDelay: 60 },
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 90, AAAA: ["6.1"] }],
    hosts: { "4.1": never, "6.1": up(5) },
    starts: "4.1@50 6.1@110",
    end: "6.1@115",
  },
  {
    name: "ends a long Connection Attempt Delay, too",
    options: { connectionAttemptDelay: 1500 },
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 400, AAAA: ["6.1"] }],
    hosts: { "4.1": never, "6.1": never, "4.2": up(5) },
    starts: "4.1@50 6.1@400 4.2@1900",
    end: "4.2@1905",
  },
  {
    name: "is not woken by a negative answer",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 200, AAAA: [] }],
    hosts: { "4.1": never, "4.2": up(5) },
    starts: "4.1@50 4.2@300",
    end: "4.2@305",
  },
  {
    name: "is not woken by the other family",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }, { at: 150, A: ["4.1"] }],
    hosts: { "6.1": never, "4.1": up(5) },
    starts: "6.1@0 4.1@250",
    end: "4.1@255",
  },
  {
    name: "is not woken while the preferred family is in flight, too",
    dns: [
      { at: 0, A: ["4.1"] },
      { at: 10, AAAA: ["6.1"] },
      { at: 400, AAAA: ["6.1", "6.2"] },
    ],
    hosts: { "6.1": never, "4.1": never, "6.2": up(5) },
    starts: "6.1@10 4.1@260 6.2@510",
    end: "6.2@515",
  },
  {
    name: "is woken when the preferred family has failed before",
    dns: [
      { at: 0, A: ["4.1", "4.2"] },
      { at: 10, AAAA: ["6.1"] },
      { at: 400, AAAA: ["6.1", "6.2"] },
    ],
    hosts: { "6.1": down(300), "4.1": never, "6.2": up(5) },
    starts: "6.1@10 4.1@260 6.2@400",
    end: "6.2@405",
  },
  {
    name: "does not apply with a Connection Attempt Delay of Infinity",
    options: { connectionAttemptDelay: Infinity },
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 200, AAAA: ["6.1"] }],
    hosts: { "4.1": down(1000), "6.1": up(5) },
    starts: "4.1@50 6.1@1050",
    end: "6.1@1055",
  },
  {
    name: "lets a hold win over it",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 200, AAAA: ["6.1"] }],
    hosts: { "4.1": { accept: 100, tls: 5000 }, "6.1": up(5) },
    starts: "4.1@50 6.1@550",
    end: "6.1@555",
  },
  {
    name: "lets a hold that begins after the answer win over it",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 60, AAAA: ["6.1"] }],
    hosts: { "4.1": { accept: 80, tls: 5000 }, "6.1": up(5) },
    starts: "4.1@50 6.1@450",
    end: "6.1@455",
  },
  {
    // 4.1 is an older attempt by then, and its failure starts nothing.
    name: "hurries one start, not those after it",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 200, AAAA: ["6.1", "6.2"] }],
    hosts: { "4.1": down(270), "6.1": never, "6.2": up(5) },
    starts: "4.1@50 6.1@200 6.2@450",
    end: "6.2@455",
  },
  {
    // The sources show that only IPv4 has a route (A20), so A is the late one.
    name: "is IPv4 where only IPv4 has a route",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }, { at: 150, A: ["4.1"] }],
    sources: {
      "6.1": null,
      "6.2": null,
      "4.1": { address: "192.0.2.200" },
    },
    hosts: { "6.1": never, "4.1": up(5) },
    starts: "6.1@0 4.1@150",
    end: "4.1@155",
  },
  {
    // Source addresses hold a start back for 10 ms at most, this one, too.
    name: "starts it though its source address is never told",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 200, AAAA: ["6.1"] }],
    sources: {
      "4.1": { address: "192.0.2.200" },
      "4.2": { address: "192.0.2.200" },
      "6.1": "never",
    },
    hosts: { "4.1": never, "6.1": up(5) },
    starts: "4.1@50 6.1@210",
    end: "6.1@215",
  },
  {
    // Two late answers, two waits for sources: neither timer outlives the call.
    name: "leaves no timer when it ends while such sources are waited for",
    dns: [
      { at: 0, A: ["4.1", "4.2"] },
      { at: 200, AAAA: ["6.1"] },
      { at: 205, AAAA: ["6.1", "6.2"] },
    ],
    sources: {
      "4.1": { address: "192.0.2.200" },
      "4.2": { address: "192.0.2.200" },
      "6.1": "never",
      "6.2": "never",
    },
    hosts: { "4.1": up(157) },
    starts: "4.1@50",
    end: "4.1@207",
  },
  {
    name: "starts it when the newest fails, 100 ms or not",
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 90, AAAA: ["6.1"] }],
    hosts: { "4.1": down(60), "6.1": up(5) },
    starts: "4.1@50 6.1@110",
    end: "6.1@115",
  },
]);

table("A63, hazards 35, 38, 39: no address twice", [
  {
    name: "tries an address once that DNS gives twice, in other spellings",
    dns: [
      { at: 0, A: ["4.1", "4.1"] },
      { at: 10, AAAA: ["6.1", "2001:DB8:0::0001", "2001:db8:0:0:0:0:0:1"] },
    ],
    hosts: { "6.1": down(20), "4.1": down(20) },
    starts: "6.1@10 4.1@30",
    end: "failed@50",
  },
  {
    name: "gives an address that comes twice one place in the order",
    dns: [
      { at: 0, A: ["4.1", "4.2"] },
      { at: 10, AAAA: ["6.1", "6.1", "6.2"] },
    ],
    hosts: {
      "6.1": down(20),
      "4.1": down(20),
      "6.2": down(20),
      "4.2": down(20),
    },
    starts: "6.1@10 4.1@30 6.2@50 4.2@70",
    end: "failed@90",
  },
  {
    name: "dials no mapped IPv4 address when the family is 6",
    options: { family: 6 },
    dns: [{ at: 10, AAAA: ["::ffff:192.0.2.1", "6.1"] }],
    hosts: { "6.1": down(20) },
    starts: "6.1@10",
    end: "failed@30",
  },
  {
    name: "takes an IPv4-mapped address for the IPv4 it is",
    dns: [
      { at: 0, A: ["4.1"] },
      { at: 10, AAAA: ["::ffff:192.0.2.1", "::ffff:c000:202"] },
    ],
    hosts: { "4.1": down(20), "4.2": down(20) },
    starts: "4.1@10 4.2@30",
    end: "failed@50",
  },
  {
    name: "drops what is no literal or of the wrong family",
    dns: [
      { at: 0, A: ["6.2", "127.1", "4.1", "example.com", ""] },
      { at: 10, AAAA: ["127.0.0.1", "6.1", "[2001:db8::2]", "2001:db8::g"] },
    ],
    hosts: { "6.1": down(20), "4.1": down(20) },
    starts: "6.1@10 4.1@30",
    end: "failed@50",
  },
  {
    name: "tells addresses of different zones apart",
    dns: [
      { at: 0, A: [] },
      { at: 10, AAAA: ["fe80::1%a", "fe80::1%b", "FE80::1%a"] },
    ],
    hosts: { "fe80::1%a": down(20), "fe80::1%b": down(20) },
    starts: "fe80::1%a@10 fe80::1%b@30",
    end: "failed@50",
  },
]);

table("A64 to A68: TLS is part of the race", [
  {
    name: "succeeds when the handshake is complete",
    dns: [{ at: 0, AAAA: ["6.1"] }],
    hosts: { "6.1": { accept: 20, tls: 30 } },
    starts: "6.1@0",
    end: "6.1@50",
  },
  {
    name: "keeps the loser's handshake alive until there is a winner",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": { accept: 20, tls: 400 }, "6.2": never },
    starts: "6.1@0 6.2@270",
    end: "6.1@420",
  },
  {
    name: "holds the next attempt for four times the TCP time",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": { accept: 200, tls: 9000 }, "6.2": up(5) },
    starts: "6.1@0 6.2@1000",
    end: "6.2@1005",
  },
  {
    name: "re-bases the timer when an older attempt's TCP is up (A68)",
    dns: [{ at: 0, AAAA: ["6.1", "6.2", "6.3"] }],
    hosts: { "6.1": { accept: 260, tls: 9000 }, "6.2": never, "6.3": up(5) },
    starts: "6.1@0 6.2@250 6.3@1300",
    end: "6.3@1305",
  },
  {
    name: "holds no longer than the attempt lasts",
    dns: [{ at: 0, AAAA: ["6.1", "6.2", "6.3"] }],
    hosts: {
      "6.1": { accept: 260, tls: 100, tlsError: "ERR_TLS_HANDSHAKE" },
      "6.2": never,
      "6.3": up(5),
    },
    starts: "6.1@0 6.2@250 6.3@500",
    end: "6.3@505",
  },
  {
    name: "tries the next address when the handshake fails (hazard 5)",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: {
      "6.1": { accept: 20, tls: 30, tlsError: "ERR_TLS_CERT" },
      "6.2": { accept: 20, tls: 30 },
    },
    starts: "6.1@0 6.2@50",
    end: "6.2@100",
  },
  {
    name: "closes a loser in the middle of its handshake",
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": { accept: 20, tls: 9000 }, "6.2": up(30) },
    starts: "6.1@0 6.2@270",
    end: "6.2@300",
  },
]);

test("happyEyeballs() makes at most 64 attempts (hazard 42)", async () => {
  const addresses = Array.from({ length: 70 }, (_, index) => `6.${index + 1}`);
  const refused = await play({
    dns: [{ at: 0, A: [] }, { at: 0, AAAA: addresses }],
    hosts: Object.fromEntries(addresses.map((it) => [it, down(1)])),
  });
  assertStrictEquals(refused.network.starts.length, 64);
  assertStrictEquals(refused.end, "failed@631");
  assertInstanceOf(refused.error, ConnectError);
  assertStrictEquals(refused.error.attempts.length, 64);
  assertStrictEquals(refused.error.errors.length, 64);

  // No more starts, but what runs may still win: the oldest is not pruned.
  const slow = await play({
    dns: [{ at: 0, A: [] }, { at: 0, AAAA: addresses }],
    hosts: {
      ...Object.fromEntries(addresses.map((it) => [it, never])),
      "6.1": up(60_000),
    },
  });
  assertStrictEquals(slow.network.starts.length, 64);
  assertStrictEquals(slow.end, "6.1@60000");
});

// Aborts

table("hazards 11 and 13: abort at any moment", [
  {
    name: "rejects with the reason during DNS",
    options: { abortAt: 30 },
    dns: [],
    starts: "",
    end: "aborted@30",
  },
  {
    name: "rejects with the reason during DNS that ignores the abort",
    options: { abortAt: 30 },
    dns: [{ at: 400, AAAA: ["6.1"] }],
    dnsDeaf: true,
    starts: "",
    end: "aborted@30",
  },
  {
    name: "rejects with the reason during the Resolution Delay",
    options: { abortAt: 30 },
    dns: [{ at: 0, A: ["4.1"] }],
    starts: "",
    end: "aborted@30",
  },
  {
    name: "rejects with the reason during TCP",
    options: { abortAt: 300 },
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": never, "6.2": up(900) },
    starts: "6.1@0 6.2@250",
    end: "aborted@300",
  },
  {
    name: "rejects with the reason during TCP that ignores the abort",
    options: { abortAt: 100 },
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": { accept: 200, deaf: true } },
    starts: "6.1@0",
    end: "aborted@100",
  },
  {
    name: "rejects with the reason during TLS",
    options: { abortAt: 100 },
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": { accept: 50, tls: 900 } },
    starts: "6.1@0",
    end: "aborted@100",
  },
  {
    name: "rejects with the reason during the floor",
    options: { abortAt: 5 },
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": down(2) },
    starts: "6.1@0",
    end: "aborted@5",
  },
  {
    name: "rejects with the reason while source addresses are asked for",
    options: { abortAt: 5 },
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    sources: { "6.1": "never", "6.2": "never" },
    starts: "",
    end: "aborted@5",
  },
  {
    name: "rejects with the reason between the last failure and a late answer",
    options: { abortAt: 500 },
    dns: [{ at: 0, AAAA: ["6.1"] }],
    hosts: { "6.1": down(20) },
    starts: "6.1@0",
    end: "aborted@500",
  },
]);

test("happyEyeballs() asks and dials nothing when the signal is already aborted (hazard 10)", async () => {
  for (const reason of [new Error("no"), "a string", null]) {
    const clock = new FakeClock();
    const network = new FakeNetwork({ dns: [] }, clock, 250);
    const caller = new CountedAbort();
    caller.abort(reason);
    const error = await assertRejects(() =>
      clock.run(happyEyeballs(network.attempt, {
        hostname: "example.com",
        port: 443,
        resolver: network.resolver,
        sourceAddress: network.sourceAddress,
        signal: caller.signal,
        clock,
      }))
    );
    assertStrictEquals(error, reason);
    assertEquals(network.queries, []);
    assertEquals(network.starts, []);
    assertEquals(clock.sleeps, []);
    assertStrictEquals(caller.listeners, 0);
  }
});

test("happyEyeballs() asks allow() nothing when the signal is already aborted (hazard 10)", async () => {
  const reason = new Error("no");
  const error = await assertRejects(() =>
    happyEyeballs(() => 1, {
      hostname: "192.0.2.1",
      port: 443,
      signal: AbortSignal.abort(reason),
      allow: () => {
        throw new Error("guard");
      },
    })
  );
  assertStrictEquals(error, reason);
});

test("happyEyeballs() leaves no listener on a signal after 1000 calls (hazard 12)", async () => {
  const caller = new CountedAbort();
  const worlds: World[] = [
    {
      dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
      hosts: { "6.1": never, "4.1": up(20) },
    },
    { dns: [{ at: 5, end: true }] },
    {
      dns: [{ at: 0, AAAA: ["6.1"] }, { at: 0, A: [] }],
      hosts: { "6.1": down(5) },
    },
  ];
  for (let i = 0; i < 1000; i++) {
    const clock = new FakeClock();
    const world = worlds[i % worlds.length] ?? {};
    const network = new FakeNetwork(world, clock, 250);
    await clock.run(settled(happyEyeballs(network.attempt, {
      hostname: "example.com",
      port: 443,
      resolver: network.resolver,
      sourceAddress: network.sourceAddress,
      signal: caller.signal,
      clock,
    })));
    assertStrictEquals(caller.listeners, 0);
    assertStrictEquals(clock.pending, 0);
  }
});

test("happyEyeballs() derives no signal from the caller's (hazard 12)", async () => {
  const original = AbortSignal.any;
  let calls = 0;
  AbortSignal.any = (signals: AbortSignal[]) => {
    calls++;
    return original.call(AbortSignal, signals);
  };
  try {
    await play({
      dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
      hosts: { "6.1": never, "4.1": up(20) },
    });
  } finally {
    AbortSignal.any = original;
  }
  assertStrictEquals(calls, 0);
});

test("happyEyeballs() tells the loser and the query to stop, not the winner (A55, A57)", async () => {
  const { network } = await play({
    dns: [{ at: 0, AAAA: ["6.1", "6.2", "6.3"] }],
    hosts: { "6.1": never, "6.2": up(20) },
  });
  assertEquals(
    network.starts.map(({ signal }) => signal.aborted),
    [true, false],
  );
  assertEquals(network.queries.map(({ signal }) => signal.aborted), [true]);
});

// localAddresses (C.2, hazard 54)

const locals = ["2001:db8::101", "192.0.2.101", "192.0.2.102"];

table("C.2, hazard 54: localAddresses", [
  {
    name: "tries every endpoint from the first local address, then the second",
    options: { localAddresses: locals },
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 10, AAAA: ["6.1", "6.2"] }],
    hosts: Object.fromEntries(
      ["6.1", "6.2", "4.1", "4.2"].map((it) => [it, down(20)]),
    ),
    starts: "6.1<6.101@10 4.1<4.101@30 6.2<6.101@50 4.2<4.101@70 " +
      "4.1<4.102@90 4.2<4.102@110",
    end: "failed@130",
  },
  {
    name: "wins from the second local address",
    options: { localAddresses: new Set(locals) },
    dns: [{ at: 0, AAAA: [] }, { at: 10, A: ["4.1"] }],
    hosts: { "4.1<4.101": down(20, "EADDRNOTAVAIL"), "4.1<4.102": up(5) },
    starts: "4.1<4.101@10 4.1<4.102@30",
    end: "4.1<4.102@35",
  },
  {
    name: "skips an endpoint whose family has no local address",
    options: { localAddresses: ["2001:db8::101"] },
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
    hosts: { "6.1": down(20) },
    starts: "6.1<6.101@10",
    end: "failed@30",
  },
  {
    name: "fails when no endpoint has one",
    options: { localAddresses: ["2001:db8::101"] },
    dns: [{ at: 10, AAAA: [] }, { at: 20, A: ["4.1"] }],
    starts: "",
    end: "failed@20",
  },
  {
    name: "takes an empty list for none given",
    options: { localAddresses: [] },
    dns: [{ at: 0, AAAA: ["6.1"] }],
    hosts: { "6.1": up(5) },
    starts: "6.1@0",
    end: "6.1@5",
  },
  {
    // Rule 5 of RFC 6724: fd00::2 does not match a global destination.
    name: "ranks by the first local address and asks for no source",
    options: { localAddresses: ["fd00::2", "2001:db8::101", "192.0.2.101"] },
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
    sources: { "6.1": { address: "2001:db8::200" }, "4.1": null },
    hosts: { "4.1": down(20), "6.1": down(20), "6.1<6.101": up(5) },
    starts: "4.1<4.101@10 6.1<fd00::2@30 6.1<6.101@50",
    end: "6.1<6.101@55",
    probes: "",
  },
  {
    name: "re-sorts late answers with their local addresses",
    options: { localAddresses: locals },
    dns: [{ at: 0, A: ["4.1"] }, { at: 200, AAAA: ["6.1"] }],
    hosts: { "4.1": never, "6.1": never, "4.1<4.102": up(5) },
    starts: "4.1<4.101@50 6.1<6.101@200 4.1<4.102@450",
    end: "4.1<4.102@455",
  },
]);

test("happyEyeballs() names what was missing when no local address fits (hazard 54)", async () => {
  const { error } = await play(
    { dns: [{ at: 10, AAAA: [] }, { at: 20, A: ["4.1"] }] },
    { localAddresses: ["2001:db8::101"] },
  );
  assertInstanceOf(error, ConnectError);
  assertStrictEquals(error.code, "EADDRNOTAVAIL");
  assertEquals(error.attempts, []);
});

test("happyEyeballs() copies localAddresses once, before anything starts", async () => {
  let iterations = 0;
  const list = ["192.0.2.101"];
  const { starts } = await play({
    dns: [{ at: 0, AAAA: [] }, { at: 10, A: ["4.1", "4.2"] }],
    hosts: { "4.1": down(20), "4.2": up(5) },
  }, {
    localAddresses: {
      [Symbol.iterator]() {
        iterations++;
        return list.values();
      },
    },
    onEvent: () => {
      list.length = 0;
    },
  });
  assertStrictEquals(starts, "4.1<4.101@10 4.2<4.101@30");
  assertStrictEquals(iterations, 1);
});

// allow (hazard 35)

test("happyEyeballs() shows allow() each endpoint as it will be dialled", async () => {
  const seen: Endpoint[] = [];
  const { network } = await play({
    dns: [{ at: 0, AAAA: ["2001:DB8::1"] }, { at: 10, A: ["4.1"] }],
    hosts: { "6.1": never, "4.1": up(5) },
  }, {
    port: 8443,
    localAddresses: ["2001:db8::101", "192.0.2.101"],
    allow: (endpoint) => {
      seen.push(endpoint);
      return true;
    },
  });
  const dialled = network.starts.map(({ endpoint }) => endpoint);
  assertEquals(dialled, [
    {
      address: "2001:db8::1",
      family: 6,
      port: 8443,
      localAddress: "2001:db8::101",
    },
    {
      address: "192.0.2.1",
      family: 4,
      port: 8443,
      localAddress: "192.0.2.101",
    },
  ]);
  for (const endpoint of dialled) {
    assert(
      seen.some((it) => JSON.stringify(it) === JSON.stringify(endpoint)),
      `${endpoint.address} was not shown`,
    );
  }
});

const isPublic = ({ address }: Endpoint) => address !== long("4.1");

table("hazard 35: allow", [
  {
    name: "never dials what allow() refuses",
    options: { allow: isPublic },
    dns: [{ at: 0, A: ["4.1", "4.2"] }, { at: 10, AAAA: ["6.1"] }],
    hosts: { "6.1": never, "4.2": up(5) },
    starts: "6.1@10 4.2@260",
    end: "4.2@265",
  },
  {
    name: "never dials what allow() refuses of a late answer",
    options: { allow: isPublic },
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 400, A: ["4.1", "4.2"] }],
    hosts: { "6.1": never, "4.2": up(5) },
    starts: "6.1@0 4.2@400",
    end: "4.2@405",
  },
  {
    name: "never dials a mapped spelling of what allow() refuses",
    options: { allow: isPublic },
    dns: [{ at: 0, A: [] }, { at: 10, AAAA: ["::ffff:192.0.2.1"] }],
    starts: "",
    end: "failed@10",
  },
  {
    name: "never dials a literal that allow() refuses",
    options: { allow: isPublic, hostname: "192.0.2.1" },
    starts: "",
    end: "failed@0",
  },
  {
    name: "takes anything but true for a no",
    options: { allow: (() => 1) as unknown as () => boolean },
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
    starts: "",
    end: "failed@10",
  },
]);

test("happyEyeballs() rejects with what allow() throws", async () => {
  const thrown = new Error("guard");
  const first = await play({ dns: [{ at: 7, AAAA: ["6.1"] }] }, {
    allow: () => {
      throw thrown;
    },
  });
  assertStrictEquals(first.error, thrown);
  assertEquals([first.starts, first.end], ["", "failed@7"]);

  const literal = await play({}, {
    hostname: "192.0.2.1",
    allow: () => {
      throw thrown;
    },
  });
  assertStrictEquals(literal.error, thrown);
  assertEquals([literal.starts, literal.end], ["", "failed@0"]);

  const late = await play({
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 300, A: ["4.1"] }],
    hosts: { "6.1": { accept: 900, deaf: true } },
  }, {
    allow: ({ family }) => {
      if (family === 4) throw thrown;
      return true;
    },
  });
  assertStrictEquals(late.error, thrown);
  assertEquals([late.starts, late.end], ["6.1@0", "failed@300"]);
});

// Events

test("happyEyeballs() tells every event of a race, exactly", async () => {
  const nodata = codeError("ENODATA");
  const { events, network, value } = await play({
    dns: [
      { at: 10, A: ["4.1", "4.2"] },
      { at: 30, AAAA: ["6.1"], name: "Example.COM." },
      { at: 40, AAAA: [], error: nodata },
    ],
    hosts: {
      "6.1": down(100),
      "4.1": { accept: 1000, deaf: true },
      "4.2": up(20),
    },
  }, { port: 80 });
  const [six, four1, four2] = network.starts.map(({ endpoint }) => endpoint);
  assertEquals(
    events,
    [
      {
        type: "resolve-start",
        time: 0,
        types: ["AAAA", "A"],
      },
      {
        type: "answer",
        time: 10,
        recordType: "A",
        name: "example.com",
        addresses: ["192.0.2.1", "192.0.2.2"],
      },
      {
        type: "answer",
        time: 30,
        recordType: "AAAA",
        name: "Example.COM.",
        addresses: ["2001:db8::1"],
      },
      { type: "attempt-start", time: 30, index: 0, endpoint: six },
      {
        type: "answer",
        time: 40,
        recordType: "AAAA",
        name: "example.com",
        addresses: [],
        error: nodata,
      },
      {
        type: "attempt-end",
        time: 130,
        index: 0,
        endpoint: six,
        startTime: 30,
        outcome: "failed",
        error: (events[5] as { error?: unknown }).error,
      },
      { type: "attempt-start", time: 130, index: 1, endpoint: four1 },
      { type: "attempt-start", time: 380, index: 2, endpoint: four2 },
      {
        type: "attempt-end",
        time: 400,
        index: 2,
        endpoint: four2,
        startTime: 380,
        outcome: "won",
      },
      {
        type: "attempt-end",
        time: 400,
        index: 1,
        endpoint: four1,
        startTime: 130,
        outcome: "canceled",
      },
      {
        type: "end",
        time: 400,
        outcome: "connected",
        index: 2,
        endpoint: four2,
      },
      { type: "discard", time: 1130, index: 1 },
    ].map((event) => ({
      ...event,
      hostname: "example.com",
      port: 80,
    })) as unknown as HappyEyeballsEvent[],
  );
  assertEquals([six, four1, four2], [
    { address: "2001:db8::1", family: 6, port: 80 },
    { address: "192.0.2.1", family: 4, port: 80 },
    { address: "192.0.2.2", family: 4, port: 80 },
  ]);
  assertStrictEquals(value?.endpoint, four2);
  assertStrictEquals(
    (events[5] as { error?: { code?: string } }).error?.code,
    "ECONNREFUSED",
  );
});

test("happyEyeballs() tells hostname and port with every event, as they were given", async () => {
  for (
    const [hostname, dns] of [
      ["Example.COM.", [{ at: 0, AAAA: ["6.1"] }, { at: 5, A: ["4.1"] }]],
      ["[2001:DB8::1]", []],
      ["bücher.example", [{ at: 0, AAAA: ["6.1"] }, { at: 5, end: true }]],
      ["none.example", [{ at: 0, end: true }]],
    ] as const
  ) {
    const { events } = await play({
      dns,
      hosts: { "6.1": { accept: 400, deaf: true }, "4.1": up(5) },
    }, { hostname, port: 8443 });
    assert(events.length > 1, hostname);
    for (const { type, ...event } of events) {
      assertEquals([event.hostname, event.port], [hostname, 8443], type);
    }
  }
});

test("happyEyeballs() ends its events with the endpoint that won, and with none where none did", async () => {
  const won = await play({
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 0, A: ["4.1"] }],
    hosts: { "6.1": never, "4.1": up(5) },
  });
  const end = won.events.find((event) => event.type === "end");
  assertStrictEquals(end?.endpoint, won.value?.endpoint);
  for (const options of [{}, { abortAt: 10 }]) {
    const { events } = await play({
      dns: [{ at: 0, AAAA: ["6.1"] }, { at: 0, A: [] }],
      hosts: { "6.1": down(50) },
    }, options);
    assert(!("endpoint" in (events.at(-1) ?? {})), "nobody won");
  }
});

test("happyEyeballs() ends its events with the error, or with the caller's reason", async () => {
  const failed = await play({
    dns: [{ at: 0, AAAA: ["6.1"] }, { at: 5, A: [] }],
    hosts: { "6.1": down(20) },
  });
  assertEquals(failed.events.at(-1), {
    type: "end",
    time: 20,
    hostname: "example.com",
    port: 443,
    outcome: "failed",
    error: failed.error,
  });
  const reason = "a string";
  const aborted = await play({
    dns: [{ at: 0, AAAA: ["6.1", "6.2"] }],
    hosts: { "6.1": never, "6.2": never },
  }, { abortAt: 300, reason });
  assertEquals(
    aborted.events.slice(-3).map((it) => ({ ...it, endpoint: null })),
    [
      {
        type: "attempt-end",
        time: 300,
        index: 0,
        startTime: 0,
        outcome: "canceled",
        endpoint: null,
      },
      {
        type: "attempt-end",
        time: 300,
        index: 1,
        startTime: 250,
        outcome: "canceled",
        endpoint: null,
      },
      {
        type: "end",
        time: 300,
        outcome: "aborted",
        error: reason,
        endpoint: null,
      },
    ].map((event) => ({
      ...event,
      hostname: "example.com",
      port: 443,
    })) as unknown as typeof aborted.events[number][],
  );
});

test("happyEyeballs() is not changed by what onEvent throws", async () => {
  const { starts, end } = await play({
    dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
    hosts: { "6.1": { accept: 900, deaf: true }, "4.1": up(5) },
  }, {
    onEvent: () => {
      throw new Error("listener");
    },
  });
  assertEquals([starts, end], ["6.1@10 4.1@260", "4.1@265"]);
});

test("happyEyeballs() tells what onDiscard threw as an event (hazard 7)", async () => {
  const clock = new FakeClock();
  const network = new FakeNetwork(
    {
      dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
      hosts: { "6.1": { accept: 900, deaf: true }, "4.1": up(5) },
    },
    clock,
    250,
  );
  const thrown = new Error("cannot close");
  const events: HappyEyeballsEvent[] = [];
  const value = await clock.run(happyEyeballs(network.attempt, {
    hostname: "example.com",
    port: 443,
    resolver: network.resolver,
    sourceAddress: network.sourceAddress,
    clock,
    onEvent: (event) => events.push(event),
    onDiscard: (socket) => {
      socket.close();
      throw thrown;
    },
  }));
  assertStrictEquals(value.endpoint.address, "192.0.2.1");
  await clock.finish();
  assertEquals(events.at(-1), {
    type: "discard",
    time: 910,
    hostname: "example.com",
    port: 443,
    index: 0,
    error: thrown,
  });
});

// Attempts of the caller's own making

test("happyEyeballs() gives what the attempt gives, whatever it is (C.1.2, hazards 6 and 22)", async () => {
  const attempts: ((endpoint: Endpoint) => unknown)[] = [
    ({ family }) => family,
    ({ family }) => Promise.resolve(family),
    ({ family }) => {
      if (family === 6) throw new Error("synchronous");
      return family;
    },
  ];
  const results: unknown[] = [];
  for (const attempt of attempts) {
    const clock = new FakeClock();
    const network = new FakeNetwork(
      {
        dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1"] }],
      },
      clock,
      250,
    );
    results.push(
      await clock.run(happyEyeballs(attempt, {
        hostname: "example.com",
        port: 443,
        resolver: network.resolver,
        sourceAddress: network.sourceAddress,
        clock,
      })),
    );
  }
  assertEquals(results, [6, 6, 4]);
});

test("happyEyeballs() dials each address, not the first one again (hazard 8)", async () => {
  const { network } = await play({
    dns: [{ at: 0, A: all4 }, { at: 10, AAAA: all6 }],
    hosts: Object.fromEntries([...all6, ...all4].map((it) => [it, down(20)])),
  });
  assertEquals(
    new Set(network.starts.map(({ endpoint }) => endpoint.address)),
    new Set([...all6, ...all4].map(long)),
  );
});

test("happyEyeballs() gives attempts their index, and starts no burst after a stall (hazard 20)", async () => {
  const clock = new FakeClock();
  const network = new FakeNetwork(
    {
      dns: [{ at: 0, A: [] }, { at: 0, AAAA: all6 }],
    },
    clock,
    250,
  );
  const starts: string[] = [];
  clock.at(100, () => clock.stall(2000));
  await clock.run(happyEyeballs((_, signal, { index }) => {
    starts.push(`${index}@${clock.now()}`);
    if (index === 3) return "done";
    return new Promise<string>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  }, {
    hostname: "example.com",
    port: 443,
    resolver: network.resolver,
    sourceAddress: network.sourceAddress,
    clock,
  }));
  assertEquals(starts, ["0@0", "1@2100", "2@2350", "3@2600"]);
});

// Resolvers that misbehave (hazards 28, 29, 41)

/** Runs a call with a resolver of its own; 4.1 refuses, 6.1 accepts. */
async function withResolver(
  resolver: (clock: FakeClock) => Resolver,
): Promise<{ end: string; error?: unknown }> {
  const clock = new FakeClock();
  const { end, error } = await (async () => {
    const network = new FakeNetwork(
      { hosts: { "4.1": down(20), "6.1": up(5) } },
      clock,
      250,
    );
    const outcome = await clock.run(settled(happyEyeballs(network.attempt, {
      hostname: "example.com",
      port: 443,
      resolver: resolver(clock),
      sourceAddress: network.sourceAddress,
      clock,
      onDiscard: (socket) => socket.close(),
    })));
    const time = clock.now();
    assertStrictEquals(clock.pending, 0);
    await clock.finish();
    return "value" in outcome
      ? { end: `${outcome.value.endpoint.address}@${time}`, error: undefined }
      : { end: `failed@${time}`, error: outcome.error };
  })();
  return { end, error };
}

test("happyEyeballs() takes a resolver that throws synchronously for one that fails (hazard 41)", async () => {
  const thrown = new Error("synchronous");
  const { end, error } = await withResolver(() => () => {
    throw thrown;
  });
  assertStrictEquals(end, "failed@0");
  assertInstanceOf(error, ConnectError);
  assertEquals(error.errors, [thrown]);
  assertStrictEquals(error.cause, thrown);
});

test("happyEyeballs() takes a resolver that gives no iterable for one that fails (hazard 41)", async () => {
  const { end, error } = await withResolver(() =>
    (() => ["192.0.2.1"]) as unknown as Resolver
  );
  assertStrictEquals(end, "failed@0");
  assertInstanceOf(error, ConnectError);
  assertInstanceOf(error.errors[0], TypeError);
});

test("happyEyeballs() takes an answer that is none for a failure of the resolver (hazard 41)", async () => {
  const answers = [undefined, null, "192.0.2.1", {}, { type: "A" }, {
    type: "AAAA",
    addresses: "2001:db8::1",
  }];
  for (const answer of answers) {
    const { end, error } = await withResolver(() =>
      async function* () {
        yield await Promise.resolve(answer as unknown as Answer);
      }
    );
    assertStrictEquals(end, "failed@0");
    assertInstanceOf(error, ConnectError);
    assertInstanceOf(error.errors[0], TypeError);
  }
  const { error } = await withResolver(() =>
    async function* () {
      const addresses = [5, null, {}, "192.0.2.1"] as unknown as string[];
      yield await Promise.resolve<Answer>({ type: "A", addresses });
    }
  );
  assertInstanceOf(error, ConnectError);
  assertEquals(
    error.attempts.map(({ endpoint }) => endpoint?.address),
    ["192.0.2.1"],
  );
});

/** Answers to questions that nobody asked. */
const unasked: readonly unknown[] = [
  { type: "HTTPS", records: [] },
  { type: "HTTPS", addresses: [], records: [] },
  { type: "SVCB", records: null, alias: 5 },
  { type: "TXT" },
  { type: "TXT", addresses: null },
  { type: "MX", addresses: "192.0.2.9" },
  { type: "MX", addresses: ["192.0.2.9"] },
  { type: "NS", addresses: ["192.0.2.9"], error: new Error("of NS") },
  { type: "", addresses: ["192.0.2.9"] },
  { type: "a", addresses: ["192.0.2.9"] },
  { type: "A ", addresses: ["192.0.2.9"] },
  { type: "toString" },
  { type: "CNAME", name: 5 },
];

test("happyEyeballs() passes over an answer of a type nobody asked for, whatever it holds", async () => {
  const good: Answer = { type: "AAAA", addresses: [long("6.1")] };
  for (const other of unasked) {
    for (const list of [[other, good], [other, other, good, other]]) {
      const { end } = await withResolver(() =>
        async function* () {
          for (const each of list) yield await Promise.resolve(each as Answer);
        }
      );
      assertStrictEquals(end, "2001:db8::1@5", JSON.stringify(other));
    }
    const { end, error } = await withResolver(() =>
      async function* () {
        yield await Promise.resolve(other as Answer);
      }
    );
    assertStrictEquals(end, "failed@0");
    assertInstanceOf(error, ConnectError);
    assertEquals([error.code, error.errors], ["ENOTFOUND", []]);
    assertEquals(error.answers, [
      { type: "AAAA", addresses: [] },
      { type: "A", addresses: [] },
    ]);
  }
});

test("happyEyeballs() passes over an answer of the type that `family` rules out", async () => {
  const clock = new FakeClock();
  const address = await clock.run(happyEyeballs(({ address }) => address, {
    hostname: "example.com",
    port: 443,
    family: 4,
    resolver: async function* () {
      yield { type: "AAAA", addresses: null } as unknown as Answer;
      yield await Promise.resolve<Answer>({
        type: "A",
        addresses: [long("4.1")],
      });
    },
    clock,
  }));
  assertStrictEquals(address, long("4.1"));
});

test("happyEyeballs() ends though the resolver never ends to answer what nobody asked", async () => {
  for (
    const other of [...unasked, {
      type: "A",
      addresses: [],
      name: "other.example",
    }]
  ) {
    let told = 0;
    const { end, error } = await withResolver(() =>
      async function* () {
        for (; told < 10_000; told++) {
          yield await Promise.resolve(other as Answer);
        }
      }
    );
    assertStrictEquals(end, "failed@0");
    assertInstanceOf(error, ConnectError);
    assertInstanceOf(error.errors[0], RangeError);
    assert(told <= 101, `${told} answers were heard`);
  }
});

test("happyEyeballs() keeps a resolver's error that is no Error (hazards 41 and 53)", async () => {
  const { error } = await withResolver(() =>
    // deno-lint-ignore require-yield
    async function* () {
      await Promise.resolve();
      throw "just a string";
    }
  );
  assertInstanceOf(error, ConnectError);
  assertEquals(error.errors, ["just a string"]);
  assert(error.message.includes("just a string"), error.message);
});

test("happyEyeballs() ends though the resolver gives the same address again and again (hazard 41)", async () => {
  for (const pause of [0, 1]) {
    const { end, error } = await withResolver((clock) =>
      async function* (_, { signal }) {
        for (let i = 0; !signal.aborted && i < 10_000; i++) {
          yield { type: "AAAA", addresses: [] };
          yield { type: "A", addresses: [long("4.1")] };
          if (pause > 0) {
            await new Promise<void>((resolve) => {
              clock.at(clock.now() + pause, resolve);
            });
          }
        }
      }
    );
    assertStrictEquals(end, "failed@20");
    assertInstanceOf(error, ConnectError);
    assertStrictEquals(error.attempts.length, 1);
  }
});

test("happyEyeballs() aborts the resolver's signal before it closes it, and waits for neither (hazard 29)", async () => {
  const calls: string[] = [];
  const { end } = await withResolver(() => (_, { signal }) => {
    signal.addEventListener("abort", () => calls.push("abort"));
    let isFirst = true;
    return {
      [Symbol.asyncIterator]: () => ({
        next() {
          if (!isFirst) return new Promise<IteratorResult<Answer>>(() => {});
          isFirst = false;
          return Promise.resolve({
            done: false as const,
            value: { type: "AAAA" as const, addresses: [long("6.1")] },
          });
        },
        return() {
          calls.push("return");
          return new Promise<IteratorResult<Answer>>(() => {});
        },
      }),
    };
  });
  assertStrictEquals(end, "2001:db8::1@5");
  assertEquals(calls, ["abort", "return"]);
});

test("happyEyeballs() closes a generator that waits for its signal (hazard 29, C.3)", async () => {
  let isClosed = false;
  const { end } = await withResolver(() =>
    async function* (_, { signal }) {
      try {
        yield { type: "AAAA", addresses: [long("6.1")] };
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve);
        });
      } finally {
        isClosed = true;
      }
    }
  );
  assertStrictEquals(end, "2001:db8::1@5");
  assert(isClosed);
});

test("happyEyeballs() waits for a resolver that never settles, until it is aborted (hazard 41)", async () => {
  const { end } = await play({ dns: [], dnsDeaf: true }, {
    abortAt: 86_400_000,
  });
  assertStrictEquals(end, "aborted@86400000");
});

// Bad arguments

/** Each option with what is wrong, by the class of the error. */
const wrong: readonly [
  typeof TypeError | typeof RangeError,
  string,
  unknown[],
][] = [
  [TypeError, "hostname", [
    undefined,
    null,
    5,
    {},
    "",
    "a b",
    "a\tb",
    "a\u0000b",
    "a\u007fb",
    "example.com#",
    "ex%61mple.com",
    "example.com/",
    "example.com:80",
    "<",
    ">",
    "a?b",
    "user@example.com",
    "[example.com]",
    "a[b",
    "a]b",
    "a\\b",
    "a^b",
    "a|b",
    "a`b",
    "a{b",
    "a}b",
    "127.1",
    "0x7f.1",
    "2130706433",
    "0x7f000001",
    "example.1",
    "256.0.0.1",
    "1.2.3.4.5",
    "１２７.１",
    "a..b",
    ".a",
    ".",
    "a..",
    `${"a".repeat(64)}.com`,
    `${"a.".repeat(126)}ab`,
    "[::1",
    "::1]",
    "[127.0.0.1]",
    ":::",
    "::g",
    "1::2::3",
    "127.0.0.1%eth0",
  ]],
  [TypeError, "port", [undefined, null, "443", {}]],
  [RangeError, "port", [0, -1, 65_536, 1.5, NaN, Infinity]],
  [TypeError, "signal", [null, {}, "abort", { aborted: false }]],
  [TypeError, "family", [null, "6", {}, 0, 5, NaN]],
  [TypeError, "resolver", [null, {}, "8.8.8.8"]],
  [TypeError, "connectionAttemptDelay", [null, "250", {}]],
  [RangeError, "connectionAttemptDelay", [NaN, 9.99, 0, -1, -Infinity]],
  [TypeError, "resolutionDelay", [null, "50", {}]],
  [RangeError, "resolutionDelay", [NaN, -1, -Infinity]],
  [TypeError, "preferredAddressFamilyCount", [null, "1", {}]],
  [RangeError, "preferredAddressFamilyCount", [0, -1, 1.5, NaN, Infinity]],
  [TypeError, "localAddresses", [
    null,
    5,
    {},
    [5],
    ["eth0"],
    ["127.1"],
    [""],
    "192.0.2.1",
  ]],
  [TypeError, "allow", [null, true, {}]],
  [TypeError, "sourceAddress", [null, "::1", {}]],
  [TypeError, "onEvent", [null, {}, "log"]],
  [TypeError, "onDiscard", [null, {}, "close"]],
  [TypeError, "clock", [null, {}, Date.now, { now: () => 0 }]],
];

for (const [ErrorClass, option, values] of wrong) {
  test(`happyEyeballs() rejects a wrong ${option} with a ${ErrorClass.name} before anything starts`, async () => {
    for (const value of values) {
      for (const signal of [undefined, AbortSignal.abort()]) {
        const network = new FakeNetwork({ dns: [] }, new FakeClock(), 250);
        const options = {
          hostname: "example.com",
          port: 443,
          signal,
          resolver: network.resolver,
          sourceAddress: network.sourceAddress,
          clock: network.clock,
          [option]: value,
        } as unknown as HappyEyeballsOptions;
        const error = await network.clock.run(assertRejects(
          () => happyEyeballs(network.attempt, options),
          ErrorClass,
        ));
        assert(
          error.message.startsWith("Cannot connect: "),
          `${option} ${String(value)}: ${error.message}`,
        );
        assertStrictEquals(error.constructor, ErrorClass);
        assertEquals(network.queries, []);
        assertEquals(network.starts, []);
      }
    }
  });
}

test("connect() rejects a wrong option of its own with a TypeError before anything starts", async () => {
  const wrong: Record<string, unknown>[] = [
    ...[null, 5, "yes", () => true].map((tls) => ({ tls })),
    ...[null, 5, "", "a b", "example.com:443"].map((serverName) => ({
      tls: { serverName },
    })),
    ...[null, "h2", [5], [""]].map((alpnProtocols) => ({
      tls: { alpnProtocols },
    })),
    ...[null, "PEM", [5]].map((caCerts) => ({ tls: { caCerts } })),
    { tls: { cert: 5, key: "PEM" } },
    { tls: { cert: "PEM", key: null } },
    { allowHalfOpen: null },
    { allowHalfOpen: 1 },
    { noDelay: null },
    { noDelay: "yes" },
    { keepAlive: null },
    { keepAlive: 0 },
    { hostname: "" },
    { port: "443" },
    { connectionAttemptDelay: null },
  ];
  for (const option of wrong) {
    for (const signal of [undefined, AbortSignal.abort()]) {
      let queries = 0;
      const options = {
        hostname: "example.com",
        port: 443,
        signal,
        resolver: () => {
          queries++;
          throw new Error("asked");
        },
        ...option,
      } as unknown as ConnectOptions;
      const error = await assertRejects(() => connect(options), TypeError);
      assert(error.message.startsWith("Cannot connect: "), error.message);
      assertStrictEquals(queries, 0);
    }
  }
});

test("happyEyeballs() rejects a literal of the other family with a TypeError", async () => {
  for (
    const [hostname, family] of [
      ["192.0.2.1", 6],
      ["2001:db8::1", 4],
      ["[2001:db8::1]", 4],
      ["::ffff:192.0.2.1", 6],
    ] as const
  ) {
    await assertRejects(
      () => happyEyeballs(() => 1, { hostname, port: 1, family }),
      TypeError,
      "Cannot connect: ",
    );
  }
});

test("happyEyeballs() rejects options or an attempt that are none with a TypeError", async () => {
  const good = { hostname: "localhost", port: 1 };
  for (const options of [undefined, null, 5, "example.com:443"]) {
    await assertRejects(
      () => happyEyeballs(() => 1, options as unknown as typeof good),
      TypeError,
      "Cannot connect: ",
    );
  }
  for (const attempt of [undefined, null, {}, "connect"]) {
    await assertRejects(
      () => happyEyeballs(attempt as unknown as () => number, good),
      TypeError,
      "Cannot connect: ",
    );
  }
});

test("happyEyeballs() takes the names and numbers at the edge of what is right", async () => {
  for (
    const options of [
      { hostname: "a".repeat(63) + ".com" },
      { hostname: "a.".repeat(125) + "abc" },
      { hostname: "example.com." },
      { hostname: "_dmarc.example.com" },
      { hostname: "1e100.net" },
      { hostname: "münchen.example" },
      { port: 1 },
      { port: 65_535 },
      { connectionAttemptDelay: 10 },
      { connectionAttemptDelay: Infinity },
      { resolutionDelay: 0 },
      { resolutionDelay: Infinity },
      { preferredAddressFamilyCount: 1 },
      { family: undefined },
    ]
  ) {
    const { end } = await play({
      dns: [{ at: 0, AAAA: ["6.1"] }],
      hosts: { "6.1": up(5) },
    }, options);
    assertStrictEquals(end, "6.1@5");
  }
});

test("happyEyeballs() converts a name with non-ASCII characters before it asks", async () => {
  const { network } = await play({
    dns: [{ at: 0, AAAA: ["6.1"] }],
    hosts: { "6.1": up(5) },
  }, { hostname: "münchen.example" });
  assertEquals(
    network.queries.map(({ hostname }) => hostname),
    ["xn--mnchen-3ya.example"],
  );
});

test("happyEyeballs() keeps a trailing dot for DNS", async () => {
  const { network } = await play({
    dns: [{ at: 0, AAAA: ["6.1"] }],
    hosts: { "6.1": up(5) },
  }, { hostname: "example.com." });
  assertEquals(
    network.queries.map(({ hostname }) => hostname),
    ["example.com."],
  );
});
