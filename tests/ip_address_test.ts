/**
 * IP literals. Two programs of other people judge beside the tables: `isIP` of
 * `node:net` says what a literal is, the URL parser how IPv6 is written.
 *
 * @module
 */

import { isIP } from "node:net";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import * as fc from "fast-check";
import {
  commonPrefixLength,
  type IpAddress,
  isLoopback,
  parseIpAddress,
} from "../src/core/ip_address.ts";
import { runtimeName, test } from "./harness.ts";

function parse(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert(address !== null, `${text} was refused`);
  return address;
}

test("parseIpAddress() writes every spelling in one form (hazard 38)", () => {
  const rows: [text: string, canonical: string][] = [
    ["192.0.2.1", "192.0.2.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    // Capitals and leading zeros go.
    ["2001:0DB8:0000:0000:0000:0000:0000:00Ab", "2001:db8::ab"],
    // The longest run of zeros is the one to go (RFC 5952 section 4.2.3) ...
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["1:0:0:0:2:0:0:3", "1::2:0:0:3"],
    // ... the first one of two.
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    // A single zero stays, also where "::" stood for it (section 4.2.2).
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    // Zeros inside of a group are no run.
    ["10:0:0:20:1:1:1:100", "10::20:1:1:1:100"],
    // A dotted quad at the end is hexadecimal in disguise.
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"],
    // IPv4-compatible is IPv6.
    ["::192.0.2.1", "::c000:201"],
    // IPv4-mapped is IPv4, however it is written.
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::FFFF:c000:0201", "192.0.2.1"],
    ["0:0:0:0:0:ffff:127.0.0.1", "127.0.0.1"],
    // Nearly mapped is IPv6.
    ["::fffe:192.0.2.1", "::fffe:c000:201"],
    ["::1:ffff:192.0.2.1", "::1:ffff:c000:201"],
    // A zone id stays as it is, on any address.
    ["FE80::1%Eth0", "fe80::1%Eth0"],
    ["fe80::1%2", "fe80::1%2"],
    ["fe80::192.0.2.1%br-lan_1.100~x", "fe80::c000:201%br-lan_1.100~x"],
    ["::1%lo", "::1%lo"],
    ["2001:db8::1%eth0", "2001:db8::1%eth0"],
  ];
  for (const [text, canonical] of rows) {
    assertStrictEquals(parse(text).text, canonical, text);
  }
});

test("parseIpAddress() tells family, bytes and zone", () => {
  const rows: IpAddress[] = [
    {
      family: 4,
      bytes: [192, 0, 2, 1],
      zone: "",
      text: "192.0.2.1",
    },
    {
      family: 6,
      // deno-fmt-ignore
      bytes: [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34],
      zone: "eth0",
      text: "fe80::1234%eth0",
    },
  ];
  for (const row of rows) assertEquals(parseIpAddress(row.text), row);
  const mapped = parse("::ffff:192.0.2.1");
  assertEquals(mapped, parse("192.0.2.1"));
});

test("parseIpAddress() refuses what programs read differently", () => {
  const rows = [
    "",
    " ",
    "example.com",
    // Too few and too many parts, empty parts.
    "127.1",
    "2130706433",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.",
    "1..2.3",
    "1.2.3.4.",
    // A part out of range, octal, hexadecimal, signed, padded.
    "1.2.3.256",
    "1.2.3.1000",
    "01.2.3.4",
    "1.2.3.00",
    "0x7f.0.0.1",
    "+1.2.3.4",
    "1.2.3.4 ",
    "1.2.3.4\n",
    "1.2.3.1e1",
    // Digits of other scripts.
    "１.2.3.4",
    "١.2.3.4",
    // An IPv4 address has no zone, nor has a mapped one: some systems would
    // dial the IPv4 address, past a guard that takes it for IPv6.
    "1.2.3.4%eth0",
    "::ffff:1.2.3.4%eth0",
    "::ffff:7f00:1%1",
    // Too few and too many groups.
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:1.2.3.4",
    "1:2:3:4:5:1.2.3.4",
    // "::" stands for one group at least, and there is one "::" at most.
    "1:2:3:4::5:6:7:8",
    "1::2::3",
    ":::",
    "::1::",
    // Single colons at the ends.
    ":",
    ":1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8:",
    ":1::2",
    "1::2:",
    // Groups that are not one to four hexadecimal digits.
    "12345::",
    "::g",
    "::+1",
    ":: 1",
    "::1 ",
    "::0x1",
    // A dotted quad anywhere but at the end, or a bad one there.
    "1.2.3.4::",
    "::1.2.3.4:5",
    "::1.2.3",
    "::1.2.3.256",
    "::01.2.3.4",
    "::a1.2.3.4",
    // Empty and odd zones, brackets, a port, a prefix length.
    "fe80::1%",
    "fe80::1% ",
    "fe80::1%eth 0",
    "fe80::1%eth0%eth1",
    "fe80::1%eth0/64",
    "fe80::1%eth0\0",
    "fe80::1%eth0\n",
    "fe80::1%é",
    "%eth0",
    "[::1]",
    "::1/128",
    "[::1]:80",
    "1.2.3.4:80",
  ];
  for (const text of rows) assertStrictEquals(parseIpAddress(text), null, text);
});

/** Literals, and texts that are a few keystrokes away from one. */
const nearLiterals: fc.Arbitrary<string> = fc.tuple(
  fc.oneof(fc.ipV4(), fc.ipV4Extended(), fc.ipV6(), fc.constant("::")),
  fc.array(
    fc.record({
      at: fc.nat({ max: 40 }),
      remove: fc.nat({ max: 2 }),
      insert: fc.constantFrom("", "", ":", "::", ".", "0", "255", "f", "G"),
    }),
    { maxLength: 2 },
  ),
).map(([literal, edits]) =>
  edits.reduce(
    (text, { at, remove, insert }) =>
      text.slice(0, at) + insert + text.slice(at + remove),
    literal,
  )
);

test("parseIpAddress() agrees with isIP() of node:net on what a literal is", () => {
  fc.assert(
    fc.property(nearLiterals, (text) => {
      const address = parseIpAddress(text);
      const family = isIP(text);
      assertStrictEquals(address !== null, family !== 0);
      if (family !== 4) return;
      assertStrictEquals(address?.family, 4);
      assertStrictEquals(address?.text, text);
    }),
    { numRuns: 3000 },
  );
});

test("parseIpAddress() agrees with new URL() on how IPv6 is written", () => {
  const literals = nearLiterals.filter((text) =>
    isIP(text) === 6 &&
    // Bun 1.4.5 has no URL for some literals with a dotted quad, such as
    // "1::2:3:4:192.0.2.1".
    !(runtimeName === "bun" && text.includes("."))
  );
  fc.assert(
    fc.property(literals, (text) => {
      const address = parse(text);
      const { hostname } = new URL(`http://[${text}]/`);
      const mapped = /^\[::ffff:[\da-f]+:[\da-f]+\]$/.test(hostname);
      assertStrictEquals(address.family, mapped ? 4 : 6);
      if (!mapped) assertStrictEquals(`[${address.text}]`, hostname);
    }),
    { numRuns: 1000 },
  );
});

test("parseIpAddress() reads its own text as the same address", () => {
  const zones = fc.constantFrom("", "%eth0");
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), zones, (literal, zone) => {
      const address = parseIpAddress(literal + zone);
      if (address !== null) {
        assertEquals(parseIpAddress(address.text), address);
      } else {
        // Only IPv4 and mapped addresses do not take a zone.
        assertStrictEquals(zone, "%eth0");
        assertStrictEquals(parse(literal).family, 4);
      }
    }),
    { numRuns: 1000 },
  );
});

test("parseIpAddress() never throws, and lets nothing odd through", () => {
  const odd = fc.constantFrom(..."\0\n %/[]:.0aZé１");
  fc.assert(
    fc.property(
      fc.constantFrom("", "1", "::", "fe80::1%", "1.2.3."),
      fc.string({ unit: odd, maxLength: 6 }),
      (start, end) => {
        const address = parseIpAddress(start + end);
        if (address === null) return;
        assertMatch(address.text, /^[\da-f:.]+(?:%[\w.~-]+)?$/);
      },
    ),
    { numRuns: 1000 },
  );
});

test("isLoopback() knows 127.0.0.0/8 and ::1", () => {
  const rows: [text: string, expected: boolean][] = [
    ["127.0.0.1", true],
    ["127.255.255.255", true],
    ["::1", true],
    // The zone does not lead elsewhere.
    ["::1%lo", true],
    ["::ffff:127.0.0.1", true],
    ["126.255.255.255", false],
    ["128.0.0.0", false],
    ["0.0.0.0", false],
    ["::", false],
    ["::2", false],
    ["1::1", false],
    // IPv4-compatible 127.0.0.1 is not routed to this host.
    ["::127.0.0.1", false],
  ];
  for (const [text, expected] of rows) {
    assertStrictEquals(isLoopback(parse(text)), expected, text);
  }
});

test("commonPrefixLength() counts bits, up to the shorter address", () => {
  const rows: [a: string, b: string, bits: number][] = [
    ["::", "::", 128],
    ["::", "::1", 127],
    ["::", "8000::", 0],
    ["2001:db8::", "2001:db9::", 31],
    ["2001:db8:1::1", "2001:db8:2::1", 46],
    ["192.0.2.1", "192.0.2.1", 32],
    ["192.0.2.1", "192.0.2.2", 30],
    ["0.0.0.0", "128.0.0.0", 0],
    ["32.1.13.184", "2001:db8::1", 32],
  ];
  for (const [a, b, bits] of rows) {
    const [x, y] = [parse(a).bytes, parse(b).bytes];
    assertStrictEquals(commonPrefixLength(x, y), bits, `${a} ${b}`);
    assertStrictEquals(commonPrefixLength(y, x), bits, `${b} ${a}`);
  }
});

test("commonPrefixLength() agrees with a comparison digit by digit", () => {
  const digits = (bytes: readonly number[]) =>
    Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const address = fc.array(fc.nat({ max: 255 }), {
    minLength: 16,
    maxLength: 16,
  });
  fc.assert(
    fc.property(address, fc.nat({ max: 127 }), (a, bit) => {
      const b = a.slice();
      b[bit >> 3]! ^= 0x80 >> (bit & 7);
      const [x, y] = [digits(a), digits(b)];
      const differing = [...x].findIndex((digit, i) => digit !== y[i]);
      assertStrictEquals(commonPrefixLength(a, b), differing);
    }),
  );
});
