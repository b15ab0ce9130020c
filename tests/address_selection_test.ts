/**
 * Address selection. The examples of RFC 6724 section 10 are among the rows;
 * a second, pairwise statement of the rules judges random destinations.
 *
 * @module
 */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import * as fc from "fast-check";
import {
  type Destination,
  type KnownSource,
  parseSource,
  selectSource,
  sortDestinations,
  type Source,
} from "../src/core/address_selection.ts";
import { parseIpAddress } from "../src/core/ip_address.ts";
import { test } from "./harness.ts";

function address(text: string): Destination["address"] {
  const parsed = parseIpAddress(text);
  assert(parsed !== null, `${text} is no address`);
  return parsed;
}

/** `"2001:db8::1/48"`, or without the prefix length. */
function known(text: string): KnownSource {
  const [literal = "", length] = text.split("/");
  const source = parseSource({
    address: literal,
    prefixLength: length === undefined ? undefined : Number(length),
  });
  assert(source, `${text} is no source`);
  return source;
}

/** A destination and its source; `null`: no route, `undefined`: unknown. */
type Row = readonly [destination: string, source: string | null | undefined];

function sort(...rows: Row[]): string[] {
  const destinations = rows.map(([text, source]) => ({
    address: address(text),
    source: typeof source === "string" ? known(source) : source,
  }));
  const given = [...destinations];
  const sorted = sortDestinations(destinations);
  assertEquals(destinations, given, "the argument was changed");
  return sorted.map((destination) => destination.address.text);
}

/** Checks that `first` goes before `second`, whichever was given first. */
function assertBefore(first: Row, second: Row): void {
  const expected = [first[0], second[0]];
  assertEquals(sort(first, second), expected);
  assertEquals(sort(second, first), expected);
}

test("sortDestinations() avoids unusable destinations (A33, A.6 rule 1)", () => {
  // Against the precedence of rule 6.
  assertBefore(["192.0.2.1", "192.0.2.2"], ["2001:db8::1", null]);
  assertBefore(["2001:db8:f::1", "2001:db8::2"], ["2001:db8::1", null]);
  // The rules that need no source still order the unusable ones.
  assertBefore(["2001:db8::1", null], ["192.0.2.1", null]);
});

test("sortDestinations() prefers matching scope (A33, A.6 rule 2)", () => {
  // RFC 6724 section 10.2: IPv4 is only link-local here, then IPv6 is.
  assertBefore(
    ["2001:db8:1::1", "2001:db8:1::2"],
    ["198.51.100.121", "169.254.13.78"],
  );
  assertBefore(
    ["198.51.100.121", "198.51.100.117"],
    ["2001:db8:1::1", "fe80::1%eth0"],
  );
  // Private IPv4 is of global scope (RFC 6724 section 3.2).
  assertBefore(["8.8.8.8", "10.0.0.2"], ["2001:db8::1", "fe80::1%eth0"]);
});

test("sortDestinations() prefers matching label (A33, A.6 rule 5)", () => {
  // A.6's worked check: only a unique local address to get out with.
  assertBefore(["192.0.2.1", "192.0.2.2"], ["2606:4700::1", "fd00::2"]);
  // RFC 6724 section 10.2: 6to4 to 6to4.
  assertBefore(
    ["2002:c633:6401::1", "2002:c633:6401::2"],
    ["2001:db8:1::1", "2002:c633:6401::2"],
  );
  // Teredo is not for native destinations.
  assertBefore(["192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:0:1::1"]);
  // A unique local destination wins where only such a source exists.
  assertBefore(["fd00::1", "fd00::2"], ["2606:4700::1", "fd00::2"]);
});

test("sortDestinations() prefers higher precedence (A33, A.6 rule 6)", () => {
  // RFC 6724 section 10.2: native IPv6, then IPv4, also private; 6to4 after
  // native.
  assertBefore(["2001:db8:1::1", "2001:db8:1::2"], ["10.1.2.3", "10.1.2.4"]);
  assertBefore(
    ["2001:db8:1::1", "2001:db8:1::2"],
    ["2002:c633:6401::1", "2002:c633:6401::2"],
  );
  // The table from top to bottom: each destination is reached from its own
  // kind, so that neither scope nor label decides.
  const rows: Row[] = [
    ["::1", "::1"],
    ["2001:db8::1", "2001:db8::2"],
    ["192.0.2.1", "192.0.2.2"],
    ["2002:c000:201::1", "2002:c000:202::1"],
    ["2001:0:c000:201::1", "2001:0:c000:202::1"],
    ["fd00::1", "fd00::2"],
    ["3ffe::1", "3ffe::2"],
  ];
  const expected = rows.map(([destination]) => destination);
  assertEquals(sort(...rows), expected);
  assertEquals(sort(...rows.toReversed()), expected);
  // The last precedence belongs to three ranges.
  const site: Row = ["fec0::1", "fec0::2"];
  const compatible: Row = ["::c000:201", "::c000:202"];
  assertBefore(["fd00::1", "fd00::2"], site);
  assertBefore(["fd00::1", "fd00::2"], compatible);
  // Rules 8 and 9 order these.
  assertBefore(site, ["3ffe::1", "3ffe::2"]);
  assertBefore(["3ffe::1", "3ffe::2/64"], ["::c000:201", "::c000:202/32"]);
});

test("sortDestinations() prefers smaller scope (A33, A.6 rule 8)", () => {
  // RFC 6724 section 10.2.
  assertBefore(
    ["fe80::1%eth0", "fe80::2%eth0"],
    ["2001:db8:1::1", "2001:db8:1::2"],
  );
  assertBefore(["127.0.0.1", "127.0.0.1"], ["192.0.2.1", "192.0.2.2"]);
  assertBefore(["169.254.1.1", "169.254.1.2"], ["192.0.2.1", "192.0.2.2"]);
  // A multicast address says its scope: site-local, then global.
  assertBefore(["ff05::1", "fec0::2"], ["ff0e::1", "fec0::2"]);
});

test("sortDestinations() uses the longest matching prefix (A33, A.6 rule 9)", () => {
  // RFC 6724 section 10.2.
  assertBefore(
    ["2001:db8:1::1", "2001:db8:1::2"],
    ["2001:db8:3ffe::1", "2001:db8:3f44::2"],
  );
  // Bits beyond the source's prefix do not count: 64 of them unless told ...
  assertEquals(
    sort(["2001:db8::9", "2001:db8::2"], ["2001:db8::3", "2001:db8::2"]),
    ["2001:db8::9", "2001:db8::3"],
  );
  // ... more or fewer where the prefix is known.
  assertBefore(
    ["2001:db8::3", "2001:db8::2/128"],
    ["2001:db8::9", "2001:db8::2/128"],
  );
  assertEquals(
    sort(
      ["2001:db8:f::1", "2001:db8:1::2/32"],
      ["2001:db8:1::1", "2001:db8:1::2/32"],
    ),
    ["2001:db8:f::1", "2001:db8:1::1"],
  );
  // Not for IPv4: DNS may be balancing load.
  assertEquals(
    sort(["198.51.100.1", "192.0.2.2/24"], ["192.0.2.1", "192.0.2.2/24"]),
    ["198.51.100.1", "192.0.2.1"],
  );
});

test("sortDestinations() leaves ties in their order (A33, A.6 rule 10)", () => {
  const texts = ["203.0.113.9", "198.51.100.1", "192.0.2.1", "198.51.100.0"];
  const rows = texts.map((text): Row => [text, "192.0.2.2"]);
  assertEquals(sort(...rows), texts);
  assertEquals(sort(...rows.toReversed()), texts.toReversed());
  assertEquals(sort(), []);
});

test("sortDestinations() skips rules 1, 2, 5 and 9 for all when a source is unknown", () => {
  const unknown: Row = ["2001:db8:ffff::1", undefined];
  // One row per rule: without the unknown one they would be the other way
  // round.
  const rows: [first: Row, second: Row, rule: number][] = [
    [["2001:db8::1", null], ["192.0.2.1", "192.0.2.2"], 1],
    [["2001:db8::1", "fe80::1%eth0"], ["192.0.2.1", "192.0.2.2"], 2],
    [["2001:db8::1", "fd00::2"], ["192.0.2.1", "192.0.2.2"], 5],
    [["2001:db8:f::1", "2001:db8::2"], ["2001:db8::1", "2001:db8::2"], 9],
  ];
  for (const [first, second, rule] of rows) {
    const [a, b] = [first[0], second[0]];
    assertEquals(sort(first, second), [b, a], `rule ${rule} applies`);
    const sorted = sort(first, second, unknown);
    assertEquals(
      sorted.filter((text) => text !== unknown[0]),
      [a, b],
      `rule ${rule} is skipped`,
    );
  }
  // Rules 6, 8 and 10 stay.
  assertEquals(
    sort(
      ["192.0.2.1", undefined],
      ["2001:db8::1", undefined],
      ["127.0.0.1", undefined],
      ["fe80::1%eth0", undefined],
      ["2001:db8::2", undefined],
    ),
    ["fe80::1%eth0", "2001:db8::1", "2001:db8::2", "127.0.0.1", "192.0.2.1"],
  );
});

/** Addresses with what RFC 6724 says about them, written down by hand. */
const facts: Record<
  string,
  { family: 4 | 6; scope: number; precedence: number; label: number }
> = {
  "::1": { family: 6, scope: 2, precedence: 50, label: 0 },
  "fe80::1%1": { family: 6, scope: 2, precedence: 40, label: 1 },
  "febf::1%1": { family: 6, scope: 2, precedence: 40, label: 1 },
  "ff02::1%1": { family: 6, scope: 2, precedence: 40, label: 1 },
  "ff05::1": { family: 6, scope: 5, precedence: 40, label: 1 },
  "fff5::1": { family: 6, scope: 5, precedence: 40, label: 1 },
  "2001:db8::1": { family: 6, scope: 14, precedence: 40, label: 1 },
  "2001:db8:0:1::1": { family: 6, scope: 14, precedence: 40, label: 1 },
  "2606:4700::1": { family: 6, scope: 14, precedence: 40, label: 1 },
  "2001:1::1": { family: 6, scope: 14, precedence: 40, label: 1 },
  "::1:0:0:1": { family: 6, scope: 14, precedence: 40, label: 1 },
  "::1:c000:201": { family: 6, scope: 14, precedence: 40, label: 1 },
  "2003::1": { family: 6, scope: 14, precedence: 40, label: 1 },
  "3fff::1": { family: 6, scope: 14, precedence: 40, label: 1 },
  "3ffe:8000::1": { family: 6, scope: 14, precedence: 1, label: 12 },
  "2001::1": { family: 6, scope: 14, precedence: 5, label: 5 },
  "2002:c000:201::1": { family: 6, scope: 14, precedence: 30, label: 2 },
  "fc00::1": { family: 6, scope: 14, precedence: 3, label: 13 },
  "fdff:ffff::1": { family: 6, scope: 14, precedence: 3, label: 13 },
  "fec0::1": { family: 6, scope: 5, precedence: 1, label: 11 },
  "feff::1": { family: 6, scope: 5, precedence: 1, label: 11 },
  "3ffe::1": { family: 6, scope: 14, precedence: 1, label: 12 },
  "::2": { family: 6, scope: 14, precedence: 1, label: 3 },
  "::": { family: 6, scope: 14, precedence: 1, label: 3 },
  "::c000:201": { family: 6, scope: 14, precedence: 1, label: 3 },
  "127.0.0.1": { family: 4, scope: 2, precedence: 35, label: 4 },
  "127.255.0.1": { family: 4, scope: 2, precedence: 35, label: 4 },
  "126.0.0.1": { family: 4, scope: 14, precedence: 35, label: 4 },
  "169.254.0.1": { family: 4, scope: 2, precedence: 35, label: 4 },
  "169.254.128.1": { family: 4, scope: 2, precedence: 35, label: 4 },
  "169.255.0.1": { family: 4, scope: 14, precedence: 35, label: 4 },
  "10.0.0.1": { family: 4, scope: 14, precedence: 35, label: 4 },
  "192.168.0.1": { family: 4, scope: 14, precedence: 35, label: 4 },
  "192.0.2.1": { family: 4, scope: 14, precedence: 35, label: 4 },
};
const texts = Object.keys(facts);

/** The binary digits of an address, to count common ones. */
function digits(text: string): string {
  return Array.from(
    address(text).bytes,
    (byte) => byte.toString(2).padStart(8, "0"),
  ).join("");
}

/** A random destination with a source of its family, or none. */
interface Sample {
  readonly text: string;
  readonly source: string | null;
  readonly prefixLength: number;
}

const samples: fc.Arbitrary<Sample> = fc.constantFrom(...texts).chain(
  (text) => {
    const { family } = facts[text]!;
    const sources = texts.filter((other) => facts[other]!.family === family);
    return fc.record({
      text: fc.constant(text),
      source: fc.option(fc.constantFrom(...sources), { freq: 6 }),
      prefixLength: fc.constantFrom(...(family === 6 ? [0, 32, 64] : [24, 32])),
    });
  },
);

function destination(sample: Sample): Destination & { sample: Sample } {
  const { text, source, prefixLength } = sample;
  return {
    sample,
    address: address(text),
    source: source === null ? null : { address: address(source), prefixLength },
  };
}

/** RFC 6724 section 6 as it is written: two destinations, rule after rule. */
function preferred(a: Sample, b: Sample): "a" | "b" | "tie" {
  const [DA, DB] = [facts[a.text]!, facts[b.text]!];
  if (a.source !== null && b.source === null) return "a";
  if (a.source === null && b.source !== null) return "b";
  if (a.source !== null && b.source !== null) {
    const [SA, SB] = [facts[a.source]!, facts[b.source]!];
    for (const trait of ["scope", "label"] as const) {
      const [matchesA, matchesB] = [
        SA[trait] === DA[trait],
        SB[trait] ===
          DB[trait],
      ];
      if (matchesA && !matchesB) return "a";
      if (!matchesA && matchesB) return "b";
    }
  }
  if (DA.precedence !== DB.precedence) {
    return DA.precedence > DB.precedence ? "a" : "b";
  }
  if (DA.scope !== DB.scope) return DA.scope < DB.scope ? "a" : "b";
  if (DA.family === 6 && DB.family === 6) {
    const [lengthA, lengthB] = [commonDigits(a), commonDigits(b)];
    if (lengthA !== lengthB) return lengthA > lengthB ? "a" : "b";
  }
  return "tie";
}

function commonDigits({ text, source, prefixLength }: Sample): number {
  if (source === null) return 0;
  const [x, y] = [digits(text), digits(source)];
  const differing = [...x].findIndex((digit, i) => digit !== y[i]);
  return Math.min(differing === -1 ? x.length : differing, prefixLength);
}

test("sortDestinations() agrees with the RFC's rules taken pair by pair (A33)", () => {
  fc.assert(
    fc.property(fc.array(samples, { maxLength: 8 }), (list) => {
      const given = list.map(destination);
      const sorted = sortDestinations(given);
      assertStrictEquals(sorted.length, given.length);
      sorted.forEach((earlier, i) => {
        for (const later of sorted.slice(i + 1)) {
          const choice = preferred(earlier.sample, later.sample);
          const wasFirst = given.indexOf(earlier) < given.indexOf(later);
          assert(choice === "a" || choice === "tie" && wasFirst);
        }
      });
    }),
    { numRuns: 1000 },
  );
});

test("sortDestinations() orders the same destinations alike, however they came", () => {
  const withOrders = fc.uniqueArray(samples, {
    minLength: 2,
    maxLength: 6,
    // Ties keep the given order, so there must be none.
    comparator: (a, b) => preferred(a, b) === "tie",
  }).chain((list) =>
    fc.tuple(
      fc.constant(list),
      fc.shuffledSubarray(list, { minLength: list.length }),
    )
  );
  fc.assert(
    fc.property(withOrders, ([list, shuffled]) => {
      const order = (samples: Sample[]) =>
        sortDestinations(samples.map(destination)).map(({ sample }) => sample);
      assertEquals(order(shuffled), order(list));
    }),
    { numRuns: 500 },
  );
});

test("selectSource() picks by RFC 6724 section 5 (A.6)", () => {
  const rows: [
    destination: string,
    candidates: string[],
    expected: string,
  ][] = [
    // Section 10.1: appropriate scope, for unicast and multicast.
    ["2001:db8:1::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"],
    ["ff05::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"],
    ["fe80::1%eth0", ["2001:db8:1::1", "fe80::2%eth0"], "fe80::2%eth0"],
    // Rule 1: the address itself, against rule 8's cap.
    ["2001:db8::1", ["2001:db8::2", "2001:db8::1"], "2001:db8::1"],
    ["192.0.2.2", ["192.0.2.1", "192.0.2.2/24"], "192.0.2.2"],
    // Rule 2, against rules 6 and 8: the smallest scope that reaches, else
    // the largest.
    ["ff05::1", ["2001:db8::1", "fec0::2"], "fec0::2"],
    ["ff08::1", ["fec0::2", "2002::1"], "2002::1"],
    ["2001:db8::1", ["fec0::2"], "fec0::2"],
    ["169.254.0.1", ["168.0.0.1", "169.254.0.2/0"], "169.254.0.2"],
    // Rule 6, section 10.1: 6to4 to 6to4, native to native.
    [
      "2002:c633:6401::1",
      ["2001:db8:1::2", "2002:c633:6401::5"],
      "2002:c633:6401::5",
    ],
    ["2606:4700::1", ["fd00::2", "2001:db8::2"], "2001:db8::2"],
    ["fd00::1", ["2001:db8::2", "fd00:1::2"], "fd00:1::2"],
    // Rule 6 against rule 8: not out of a Teredo tunnel.
    ["2001:db8::1", ["2001:0:1::1", "2606:4700::2"], "2606:4700::2"],
    // Rule 8, section 10.1: the longest prefix, capped.
    ["2001:db8:1::1", ["2001:db8:3::2", "2001:db8:1::2"], "2001:db8:1::2"],
    ["2001:db8::1", ["2001:db8::8", "2001:db8::2"], "2001:db8::8"],
    ["192.0.2.9", ["198.51.100.1/24", "192.0.2.1/24"], "192.0.2.1"],
    // A tie goes to the first candidate.
    ["8.8.8.8", ["192.168.0.2/24", "192.168.1.2/24"], "192.168.0.2"],
    // Any global address means a default route, a unique local one too.
    ["2606:4700::1", ["fd00::2"], "fd00::2"],
    ["8.8.8.8", ["127.0.0.1", "10.0.0.2"], "10.0.0.2"],
    // The cloud's metadata service is reached over any IPv4 route.
    ["169.254.169.254", ["10.0.0.2"], "10.0.0.2"],
    // Loopback to loopback.
    ["127.0.0.2", ["192.0.2.1", "127.0.0.1"], "127.0.0.1"],
    ["::1", ["2001:db8::1", "fe80::1", "::1"], "::1"],
    // The zone picks the link; a candidate that has none may be on it.
    ["fe80::1%eth1", ["fe80::2%eth0", "fe80::3%eth1"], "fe80::3%eth1"],
    ["fe80::1%eth1", ["fe80::2%eth0", "fe80::3"], "fe80::3"],
  ];
  for (const [text, candidates, expected] of rows) {
    const source = selectSource(address(text), candidates.map(known));
    assertStrictEquals(source?.address.text, expected, text);
  }
});

test("selectSource() returns null where nothing reaches the destination (A.6 rule 1)", () => {
  const rows: [destination: string, candidates: string[]][] = [
    ["192.0.2.1", []],
    // No address of the family.
    ["2001:db8::1", ["192.0.2.1", "127.0.0.1"]],
    ["192.0.2.1", ["2001:db8::1", "::1"]],
    // No address beyond the link.
    ["2001:db8::1", ["fe80::1%eth0", "::1"]],
    ["192.0.2.1", ["127.0.0.1"]],
    ["192.0.2.1", ["169.254.0.1"]],
    // Loopback is reached from loopback, and nothing else is.
    ["127.0.0.1", ["192.0.2.1"]],
    ["::1", ["2001:db8::1"]],
    ["169.254.0.1", ["127.0.0.1"]],
    ["fe80::1%lo", ["::1"]],
    // A link-local address without a zone cannot be dialled.
    ["fe80::1", ["fe80::2%eth0", "fe80::2", "2001:db8::1"]],
    // Another link, or no link-local address.
    ["fe80::1%eth1", ["fe80::2%eth0"]],
    ["fe80::1%eth0", ["2001:db8::1"]],
  ];
  for (const [text, candidates] of rows) {
    const source = selectSource(address(text), candidates.map(known));
    assertStrictEquals(source, null, text);
  }
});

test("parseSource() reads what a source address lookup returned", () => {
  const v6 = address("2001:db8::1");
  const v4 = address("192.0.2.1");
  const rows: [Source, KnownSource | undefined][] = [
    // The usual prefix lengths.
    [{ address: "2001:DB8::1" }, { address: v6, prefixLength: 64 }],
    [{ address: "192.0.2.1" }, { address: v4, prefixLength: 32 }],
    [{ address: "::ffff:192.0.2.1" }, { address: v4, prefixLength: 32 }],
    [
      { address: "192.0.2.1", prefixLength: undefined },
      { address: v4, prefixLength: 32 },
    ],
    // The limits.
    ...[0, 48, 128].map((prefixLength): [Source, KnownSource] => [
      { address: "2001:db8::1", prefixLength },
      { address: v6, prefixLength },
    ]),
    ...[0, 24, 32].map((prefixLength): [Source, KnownSource] => [
      { address: "192.0.2.1", prefixLength },
      { address: v4, prefixLength },
    ]),
    [{ address: "2001:db8::1", prefixLength: 129 }, undefined],
    [{ address: "192.0.2.1", prefixLength: 33 }, undefined],
    [{ address: "192.0.2.1", prefixLength: -1 }, undefined],
    [{ address: "192.0.2.1", prefixLength: 1.5 }, undefined],
    [{ address: "192.0.2.1", prefixLength: NaN }, undefined],
    // No literal.
    [{ address: "" }, undefined],
    [{ address: "localhost" }, undefined],
    [{ address: "[2001:db8::1]" }, undefined],
    [{ address: "192.0.2.1/24" }, undefined],
  ];
  for (const [source, expected] of rows) {
    assertEquals(parseSource(source), expected, JSON.stringify(source));
  }
});

test("parseSource() keeps null apart from unknown, and from wrong types", () => {
  assertStrictEquals(parseSource(null), null);
  const rows: unknown[] = [
    undefined,
    "192.0.2.1",
    4,
    false,
    {},
    { address: null },
    [],
    {
      address: "192.0.2.1",
      prefixLength: "24",
    },
  ];
  for (const row of rows) {
    assertStrictEquals(parseSource(row as Source), undefined);
  }
});
