/**
 * IP literals: read strictly, written in one canonical form.
 *
 * Two spellings of one address must compare equal, or it would be attempted
 * twice and slip past a veto. So every literal is parsed to bytes and written
 * again: IPv6 as RFC 5952 has it, IPv4 as a dotted quad, and an IPv4-mapped
 * IPv6 address as the IPv4 address the kernel would dial. The lax IPv4 forms
 * of `inet_aton` (`127.1`, `0x7f.1`, leading zeros) are left out: programs
 * disagree about what they mean.
 *
 * @module
 */

import type { Family } from "./endpoint.ts";

/** A parsed IP literal. */
export interface IpAddress {
  /** The address family. */
  readonly family: Family;
  /** 4 or 16 bytes in network order. */
  readonly bytes: Uint8Array;
  /** The zone id (RFC 4007) without its `%`, as written; empty when none. */
  readonly zone: string;
  /** RFC 5952 text with `%zone` appended for IPv6, a dotted quad for IPv4. */
  readonly text: string;
}

const OCTET = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const QUAD = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`);
const HEX_GROUP = /^[\da-f]{1,4}$/i;

/** What RFC 6874 lets a zone id hold unescaped; covers interface names. */
const ZONE = /^[\w.~-]+$/;

/** `::ffff:0:0/96`, without the IPv4 address. */
const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/** `::1` */
const LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

/**
 * Reads an IP literal, `null` where `text` is none. Never throws.
 *
 * IPv4 takes four decimal parts without leading zeros. IPv6 takes every form
 * of RFC 4291 section 2.2 without brackets, and a zone id, on any address:
 * what a zone means is the system's business. An IPv4-mapped address becomes
 * IPv4; with a zone it is refused, because IPv4 has no zones.
 */
export function parseIpAddress(text: string): IpAddress | null {
  const quad = parseQuad(text);
  if (quad !== null) return ipv4(quad, text);
  const percent = text.indexOf("%");
  const end = percent === -1 ? text.length : percent;
  const zone = text.slice(end + 1);
  if (percent !== -1 && !ZONE.test(zone)) return null;
  const bytes = parseIpv6(text.slice(0, end));
  if (bytes === null) return null;
  if (commonPrefixLength(bytes, MAPPED) < 96) return ipv6(bytes, zone);
  const mapped = bytes.slice(12);
  return zone === "" ? ipv4(mapped, mapped.join(".")) : null;
}

/** Tells whether an address is in `127.0.0.0/8` or is `::1`. */
export function isLoopback({ family, bytes }: IpAddress): boolean {
  return family === 4
    ? bytes[0] === 127
    : commonPrefixLength(bytes, LOOPBACK) === 128;
}

/**
 * Counts the leading bits that two addresses share, at most those of the
 * shorter one (CommonPrefixLen of RFC 6724 section 2.2, without its cap).
 */
export function commonPrefixLength(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! ^ b[i]!;
    if (difference !== 0) return 8 * i + Math.clz32(difference) - 24;
  }
  return 8 * length;
}

function ipv4(bytes: Uint8Array, text: string): IpAddress {
  return { family: 4, bytes, zone: "", text };
}

function ipv6(bytes: Uint8Array, zone: string): IpAddress {
  const address = compress(hexGroups(bytes));
  const text = zone === "" ? address : `${address}%${zone}`;
  return { family: 6, bytes, zone, text };
}

function parseQuad(text: string): Uint8Array | null {
  const match = QUAD.exec(text);
  if (match === null) return null;
  const [, a, b, c, d] = match;
  return Uint8Array.of(Number(a), Number(b), Number(c), Number(d));
}

function parseIpv6(text: string): Uint8Array | null {
  const hex = withoutQuad(text);
  const gap = hex.indexOf("::");
  const head = splitGroups(gap === -1 ? hex : hex.slice(0, gap));
  const tail = splitGroups(gap === -1 ? "" : hex.slice(gap + 2));
  const missing = 8 - head.length - tail.length;
  if (gap === -1 ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...Array<string>(missing).fill("0"), ...tail];
  // A second "::" shows here as an empty group.
  if (!groups.every((group) => HEX_GROUP.test(group))) return null;
  const values = groups.map((group) => parseInt(group, 16));
  return new Uint8Array(values.flatMap((value) => [value >> 8, value & 255]));
}

/** Rewrites a dotted quad at the end as two hexadecimal groups. */
function withoutQuad(text: string): string {
  const start = text.lastIndexOf(":") + 1;
  const quad = parseQuad(text.slice(start));
  return quad === null ? text : text.slice(0, start) + hexGroups(quad);
}

function splitGroups(text: string): string[] {
  return text === "" ? [] : text.split(":");
}

function hexGroups(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer);
  const groups = Array.from(
    { length: bytes.length / 2 },
    (_, i) => view.getUint16(2 * i).toString(16),
  );
  return groups.join(":");
}

/** Puts `::` for the first of the longest runs of zeros (RFC 5952, 4.2). */
function compress(groups: string): string {
  const runs = [...groups.matchAll(/\b0(?::0)+\b/g)];
  const [run] = runs.sort((a, b) => b[0].length - a[0].length);
  if (run === undefined) return groups;
  const before = groups.slice(0, run.index);
  const after = groups.slice(run.index + run[0].length);
  return `${before}::${after}`.replace(/:{3,}/, "::");
}
