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
  readonly bytes: readonly number[];
  /** The zone id (RFC 4007) without its `%`, as written; empty when none. */
  readonly zone: string;
  /** RFC 5952 text with `%zone` appended for IPv6, a dotted quad for IPv4. */
  readonly text: string;
}

/** Four octets, each with a dot behind it or the end. */
const QUAD = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const HEX_GROUP = /^[\da-f]{1,4}$/i;

/** What RFC 6874 lets a zone id hold unescaped; covers interface names. */
const ZONE = /^[\w.~-]+$/;

/** `::ffff:0:0/96`, without the IPv4 address. */
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** `::1` */
const LOOPBACK = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

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
export function commonPrefixLength(
  a: readonly number[],
  b: readonly number[],
): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! ^ b[i]!;
    if (difference !== 0) return 8 * i + Math.clz32(difference) - 24;
  }
  return 8 * length;
}

function ipv4(bytes: readonly number[], text: string): IpAddress {
  return { family: 4, bytes, zone: "", text };
}

function ipv6(bytes: readonly number[], zone: string): IpAddress {
  const address = formatIpv6(bytes);
  const text = zone === "" ? address : `${address}%${zone}`;
  return { family: 6, bytes, zone, text };
}

function parseQuad(text: string): number[] | null {
  return QUAD.test(text) ? text.split(".").map(Number) : null;
}

function parseIpv6(text: string): number[] | null {
  const gap = text.indexOf("::");
  if (gap === -1) {
    const bytes = parseGroups(text, true);
    return bytes?.length === 16 ? bytes : null;
  }
  const head = parseGroups(text.slice(0, gap), false);
  const tail = parseGroups(text.slice(gap + 2), true);
  if (!head || !tail || head.length + tail.length > 14) return null;
  while (head.length + tail.length < 16) head.push(0);
  head.push(...tail);
  return head;
}

/** Reads groups to bytes; the last one may be a dotted quad at the end. */
function parseGroups(text: string, isEnd: boolean): number[] | null {
  const bytes: number[] = [];
  if (text === "") return bytes;
  const groups = text.split(":");
  const quad = isEnd ? parseQuad(groups[groups.length - 1]!) : null;
  if (quad) groups.pop();
  for (const group of groups) {
    if (!HEX_GROUP.test(group)) return null;
    const value = parseInt(group, 16);
    bytes.push(value >> 8, value & 255);
  }
  if (quad) bytes.push(...quad);
  return bytes;
}

/** Puts `::` for the first of the longest runs of zeros (RFC 5952, 4.2). */
function formatIpv6(bytes: readonly number[]): string {
  const groups: string[] = [];
  let zeros = 0;
  let gap = { end: 0, length: 1 };
  for (let i = 0; i < 16; i += 2) {
    const group = bytes[i]! << 8 | bytes[i + 1]!;
    groups.push(group.toString(16));
    zeros = group === 0 ? zeros + 1 : 0;
    if (zeros > gap.length) gap = { end: groups.length, length: zeros };
  }
  if (gap.length < 2) return groups.join(":");
  const before = groups.slice(0, gap.end - gap.length).join(":");
  return `${before}::${groups.slice(gap.end).join(":")}`;
}
