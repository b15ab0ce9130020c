/**
 * Which hostnames are literals, localhost or names, and which are refused.
 *
 * @module
 */

import { assert, assertStrictEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { parseHostname, tlsName } from "../src/hostname.ts";
import { test } from "./harness.ts";

/** A host in one line. */
function parse(hostname: unknown): string {
  const host = parseHostname(hostname);
  return host.kind === "literal"
    ? `literal ${host.address.text}`
    : `${host.kind} ${host.name}`;
}

test("parseHostname() tells literals, localhost and names apart", () => {
  const rows: [hostname: string, expected: string][] = [
    ["192.0.2.1", "literal 192.0.2.1"],
    ["::1", "literal ::1"],
    ["[::1]", "literal ::1"],
    ["[2001:DB8::0:1]", "literal 2001:db8::1"],
    ["fe80::1%eth0", "literal fe80::1%eth0"],
    ["[fe80::1%eth0]", "literal fe80::1%eth0"],
    // Mapped addresses are what they are dialled as.
    ["::ffff:127.0.0.1", "literal 127.0.0.1"],
    ["[::ffff:7f00:1]", "literal 127.0.0.1"],
    // Any case, a trailing dot or not, and all names below.
    ["localhost", "localhost localhost"],
    ["LocalHost.", "localhost localhost."],
    ["a.b.LOCALHOST", "localhost a.b.localhost"],
    ["a.localhost.", "localhost a.localhost."],
    // Full-width letters are letters.
    ["ｌｏｃａｌｈｏｓｔ", "localhost localhost"],
    // Not localhost.
    ["notlocalhost", "name notlocalhost"],
    ["localhost.example", "name localhost.example"],
    // Lower case; the trailing dot is kept for DNS.
    ["Example.COM", "name example.com"],
    ["example.com.", "name example.com."],
    ["host", "name host"],
    // DNS service names have underscores; any other letter is DNS's business.
    ["_443._tcp.example.com", "name _443._tcp.example.com"],
    ["-a-.example", "name -a-.example"],
    // Already converted names pass as they are, right or wrong.
    ["xn--mnchen-3ya.test", "name xn--mnchen-3ya.test"],
    ["XN--0.test", "name xn--0.test"],
    // Internationalised names are converted.
    ["münchen.test", "name xn--mnchen-3ya.test"],
    ["MÜNCHEN.test.", "name xn--mnchen-3ya.test."],
    // An ideographic full stop separates labels, also at the end.
    ["münchen。test。", "name xn--mnchen-3ya.test."],
    // Numbers everywhere but in the last label.
    ["1.2.3.4.example", "name 1.2.3.4.example"],
    ["127.0.0.1.nip.io", "name 127.0.0.1.nip.io"],
    // Labels that begin like numbers.
    ["host.0xg", "name host.0xg"],
    ["1e3", "name 1e3"],
    ["1-2", "name 1-2"],
  ];
  for (const [hostname, expected] of rows) {
    assertStrictEquals(parse(hostname), expected, hostname);
  }
});

test("parseHostname() refuses what platforms read differently (hazard 35)", () => {
  const character = "has a bad character";
  const label = "has an empty label";
  const number = "ends in a number but is no IP address";
  const ascii = "has no ASCII form";
  const rows: [hostname: string, problem: string][] = [
    ["", "is empty"],
    [" ", character],
    ["example.com ", character],
    ["\texample.com", character],
    ["a\nb", character],
    ["example.com\r\nx", character],
    ["a\0", character],
    ["a\x7f", character],
    // C1 controls are no part of a name either.
    ["a\x85b", character],
    // What the URL parser would cut off or decode.
    ["http://x", character],
    ["x/y", character],
    ["a\\b", character],
    ["example.com:80", character],
    ["evil.com#.good.com", character],
    ["evil.com?.good.com", character],
    ["a@evil.com", character],
    ["ex%61mple.com", character],
    ["127.0.0.1%00.example.com", character],
    ["a<b", character],
    ["a>b", character],
    ["a^b", character],
    ["a|b", character],
    ["a`b", character],
    ["a{b", character],
    ["a}b", character],
    // The same where there is something to convert.
    ["evil.com#.gööd.com", character],
    ["ü@evil.com", character],
    ["ex%61mple.ü", character],
    // Brackets that do not match, or hold no IPv6 address.
    ["[::1", character],
    ["::1]", character],
    ["x::1]", character],
    ["[::1x", character],
    ["[]", character],
    ["[[::1]]", character],
    ["[::1]:80", character],
    ["[127.0.0.1]", character],
    ["[example.com]", character],
    // IPv6 that is none; IPv4 with a zone.
    ["1::2::3", character],
    ["fe80::1%", character],
    ["fe80::1%eth 0", character],
    ["1.2.3.4%eth0", character],
    ["::ffff:127.0.0.1%1", character],
    // Empty labels.
    [".", label],
    ["..", label],
    [".a", label],
    ["a..b", label],
    ["a..", label],
    ["ü..test", label],
    // The forms that inet_aton() reads.
    ["127.1", number],
    ["2130706433", number],
    ["0", number],
    ["017700000001", number],
    ["0x7f000001", number],
    ["0x7f.1", number],
    ["127.0.0.0x1", number],
    ["0X7F", number],
    // Hexadecimal without a digit is zero for the URL parser.
    ["a.0x", number],
    // Dotted quads that are not strict.
    ["01.2.3.4", number],
    ["1.2.3.256", number],
    ["1.2.3", number],
    ["1.2.3.4.5", number],
    // A quad with the dot of a name: getaddrinfo asks DNS for it, URL does not.
    ["127.0.0.1.", number],
    ["127.1.", number],
    // A name that would need a numeric top-level domain.
    ["example.42", number],
    // Full-width digits become ordinary ones, and then a whole address.
    ["１２７.0.0.1", number],
    ["127。0。0。1", number],
    ["２１３０７０６４３３", number],
    ["０x7f.1", number],
    // Other full-width characters come back as well.
    ["｛a｝", character],
    // What conversion itself refuses: URL syntax in disguise, lone
    // surrogates, a broken xn-- label, nothing left.
    ["a／b", ascii],
    ["℀.test", ascii],
    ["a\ud800", ascii],
    ["xn--ü.test", ascii],
    ["\u00ad", ascii],
    // An ideographic full stop alone.
    ["。", label],
  ];
  for (const [hostname, problem] of rows) {
    const message = `Cannot connect: hostname ${problem}: ` +
      JSON.stringify(hostname);
    const error = assertThrows(() => parseHostname(hostname), TypeError);
    assertStrictEquals(error.message, message);
  }
});

test("parseHostname() refuses what is not a string", () => {
  const rows: [hostname: unknown, type: string][] = [
    [undefined, "undefined"],
    [null, "object"],
    [2130706433, "number"],
    [["localhost"], "object"],
    [new String("localhost"), "object"],
    [Symbol("localhost"), "symbol"],
  ];
  for (const [hostname, type] of rows) {
    const error = assertThrows(() => parseHostname(hostname), TypeError);
    const message = `Cannot connect: hostname is not a string: ${type}`;
    assertStrictEquals(error.message, message);
  }
});

test("parseHostname() keeps to the limits of DNS", () => {
  const label = "a".repeat(63);
  const name = [label, label, label, "b".repeat(61)].join(".");
  const problem = (hostname: string) =>
    assertThrows(() => parseHostname(hostname), TypeError).message
      .slice("Cannot connect: hostname ".length).split(":")[0];
  const labelOver = "has a label over 63 octets";
  const nameOver = "is over 253 octets";

  assertStrictEquals(name.length, 253);
  assertStrictEquals(parse(name), `name ${name}`);
  // The trailing dot does not count.
  assertStrictEquals(parse(`${name}.`), `name ${name}.`);
  assertStrictEquals(problem(`${name}b`), nameOver);
  assertStrictEquals(problem(`a.${name}`), nameOver);
  assertStrictEquals(parse(label), `name ${label}`);
  assertStrictEquals(problem(`${label}a.example`), labelOver);

  // What counts is the converted name: "xn--" and the letters' code.
  assertStrictEquals(parse(`${"a".repeat(55)}ü`).length, "name ".length + 63);
  assertStrictEquals(problem(`${"a".repeat(56)}ü`), labelOver);
  const international = Array(30).fill("üüüü").join(".");
  assert(international.length < 253);
  assertStrictEquals(problem(international), nameOver);
  // Too long to be worth a conversion.
  assertStrictEquals(problem("ü".repeat(255)), nameOver);
});

test("parseHostname() keeps the converter's error as cause", () => {
  const error = assertThrows(() => parseHostname("a／b"), TypeError);
  assert(error.cause instanceof TypeError);
  const other = assertThrows(() => parseHostname("a/b"), TypeError);
  assertStrictEquals("cause" in other, false);
});

/** Texts close to what people and attackers write. */
const hostnames: fc.Arbitrary<string> = fc.oneof(
  fc.array(
    // deno-fmt-ignore
    fc.constantFrom(
      "a", "B", "localhost", "127", "0x7f", "1", "0", ".", ".", ".", "-", "_",
      "ü", "ß", "１", "。", "\u00ad", "[", "]", ":", "::", "%", "@", "#", "xn--",
    ),
    { maxLength: 8 },
  ).map((parts) => parts.join("")),
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.domain(),
  fc.ipV4Extended(),
  fc.ipV6().map((literal) => `[${literal}]`),
);

test("parseHostname() accepts its own result as the same host", () => {
  fc.assert(
    fc.property(hostnames, (hostname) => {
      const host = attempt(hostname);
      if (host === null) return;
      assertStrictEquals(parse(host.slice(host.indexOf(" ") + 1)), host);
    }),
    { numRuns: 3000 },
  );
});

test("parseHostname() never calls a name what a URL takes for an address", () => {
  fc.assert(
    fc.property(hostnames, (hostname) => {
      const [kind, name] = attempt(hostname)?.split(" ") ?? [];
      if (name === undefined || kind === "literal") return;
      assert(/^[\x21-\x7e]+$/.test(name), "not printable ASCII");
      const url = `http://${name}/`;
      // The URL parser checks xn-- labels, which this does not.
      if (URL.canParse(url)) assertStrictEquals(new URL(url).hostname, name);
      else assert(name.includes("xn--"), `URL refuses ${name}`);
    }),
    { numRuns: 3000 },
  );
});

/** The host in one line, `null` where it is refused as it should be. */
function attempt(hostname: string): string | null {
  try {
    return parse(hostname);
  } catch (error) {
    assert(error instanceof TypeError);
    assert(error.message.startsWith("Cannot connect: hostname "));
    return null;
  }
}

test("tlsName() strips one trailing dot", () => {
  const rows: [name: string, expected: string][] = [
    ["example.com", "example.com"],
    ["example.com.", "example.com"],
    ["localhost.", "localhost"],
    ["", ""],
  ];
  for (const [name, expected] of rows) {
    assertStrictEquals(tlsName(name), expected);
  }
});
