/**
 * Which address to try first, and from where: RFC 6724.
 *
 * {@linkcode sortDestinations} is section 6, what `getaddrinfo` does to its
 * result; it is needed here because AAAA and A are looked up apart. It compares
 * the source address each destination would be reached from, which the runtime
 * tells. Where it cannot, {@linkcode selectSource} finds the source among the
 * addresses of the interfaces (section 5).
 *
 * Left out is what no runtime tells: deprecated, home and temporary addresses,
 * routes and encapsulation. The names are the RFC's.
 *
 * @module
 */

import {
  commonPrefixLength,
  type IpAddress,
  isLoopback,
  parseIpAddress,
} from "./ip_address.ts";

/** The local address that would be used towards a destination. */
export interface Source {
  /** An IP literal. */
  readonly address: string;
  /**
   * Length in bits of its on-link prefix; longer matches do not count (RFC
   * 6724 section 2.2). @default 64 for IPv6, 32 for IPv4
   */
  readonly prefixLength?: number | undefined;
}

/** A {@linkcode Source} that was read. */
export interface KnownSource {
  /** The local address. */
  readonly address: IpAddress;
  /** Length of its prefix in bits. */
  readonly prefixLength: number;
}

/** A destination address and Source(D), its source address. */
export interface Destination {
  /** The address to reach. */
  readonly address: IpAddress;
  /** `null`: there is no route; `undefined`: unknown. */
  readonly source: KnownSource | null | undefined;
}

/** The addresses that share the first `length` bits of `start`. */
interface Range {
  readonly start: IpAddress;
  readonly length: number;
}

/** What the policy table says about a range. */
interface Policy {
  readonly precedence: number;
  readonly label: number;
}

/** The policy table of RFC 6724 section 2.1, longest prefix first. */
const POLICY_TABLE: readonly (Range & Policy)[] = /* @__PURE__ */ ([
  ["::1", 128, 50, 0],
  // IPv4-compatible addresses, long deprecated.
  ["::", 96, 1, 3],
  // Teredo.
  ["2001::", 32, 5, 5],
  // 6to4.
  ["2002::", 16, 30, 2],
  // 6bone, given back.
  ["3ffe::", 16, 1, 12],
  // Site-local addresses, deprecated.
  ["fec0::", 10, 1, 11],
  // Unique local addresses.
  ["fc00::", 7, 3, 13],
  // All of IPv4; the RFC writes it ::ffff:0:0/96.
  ["0.0.0.0", 0, 35, 4],
] as const).map(([start, length, precedence, label]) => ({
  ...range(start, length),
  precedence,
  label,
}));

/** The table's last row, `::/0`. */
const OTHER_IPV6: Policy = { precedence: 40, label: 1 };

// Scopes are numbers that grow with the reach (RFC 4291 section 2.7).
const LINK_LOCAL = 0x2;
const SITE_LOCAL = 0x5;
const GLOBAL = 0xe;

/** The unicast ranges that are not global (RFC 6724 sections 3.1 and 3.2). */
const SCOPES: readonly (Range & { readonly scope: number })[] =
  /* @__PURE__ */ ([
    ["::1", 128, LINK_LOCAL],
    ["fe80::", 10, LINK_LOCAL],
    ["fec0::", 10, SITE_LOCAL],
    ["127.0.0.0", 8, LINK_LOCAL],
    ["169.254.0.0", 16, LINK_LOCAL],
  ] as const).map(([start, length, scope]) => ({
    ...range(start, length),
    scope,
  }));

/** IPv6 multicast, which carries its scope in the second byte. */
const MULTICAST = /* @__PURE__ */ range("ff00::", 8);

/**
 * Reads what a source address lookup returned. `null` stays `null`; what is
 * no IP literal, or has an impossible prefix length, is `undefined`: unknown.
 */
export function parseSource(
  source: Source | null | undefined,
): KnownSource | null | undefined {
  if (source === null) return null;
  // The value comes from the caller's code, so its type is only a promise.
  if (typeof source?.address !== "string") return undefined;
  const address = parseIpAddress(source.address);
  if (address === null) return undefined;
  const [bits, usual] = address.family === 6 ? [128, 64] : [32, 32];
  const prefixLength = source.prefixLength ?? usual;
  const possible = Number.isInteger(prefixLength) && prefixLength >= 0 &&
    prefixLength <= bits;
  return possible ? { address, prefixLength } : undefined;
}

/**
 * Sorts destinations by RFC 6724 section 6, best first; ties keep their order.
 *
 * Where any source is unknown, rules 1, 2, 5 and 9 are skipped for the whole
 * sort: comparing some pairs with them and others without gives no consistent
 * order.
 */
export function sortDestinations<T extends Destination>(
  destinations: readonly T[],
): T[] {
  const known = destinations.every(({ source }) => source !== undefined);
  // Destinations that are all without a source tie in the four rules.
  return sortByMerits(
    destinations,
    ({ address, source = null }) =>
      destinationMerits(address, known ? source : null),
  );
}

/**
 * Picks the source for `destination` among the addresses of the interfaces by
 * RFC 6724 section 5, `null` where none of them can reach it.
 *
 * An interface list knows no routes: a family with a global address is taken
 * to have a default route.
 */
export function selectSource(
  destination: IpAddress,
  candidates: readonly KnownSource[],
): KnownSource | null {
  const [best = null] = sortByMerits(
    candidates.filter(({ address }) => canReach(destination, address)),
    (source) => sourceMerits(source, destination),
  );
  return best;
}

/** Section 6: one number per rule, the larger one preferred. */
function destinationMerits(
  destination: IpAddress,
  source: KnownSource | null,
): number[] {
  const matches = (trait: (address: IpAddress) => number) =>
    source !== null && trait(source.address) === trait(destination);
  return [
    // Rule 1, avoid unusable destinations: no source means no route.
    Number(source !== null),
    // Rule 2, prefer matching scope: a source that reaches just as far as the
    // destination, no farther and no less.
    Number(matches(scopeOf)),
    // Rule 3, avoid deprecated sources, is left out: no runtime tells which
    // addresses are deprecated.
    // Rule 4, prefer home addresses, is left out: no runtime tells about
    // Mobile IPv6.
    // Rule 5, prefer matching label: a 6to4 or unique local source is for
    // destinations of its own kind, and rarely gets out to others.
    Number(matches(labelOf)),
    // Rule 6, prefer higher precedence: the policy table's own preference.
    policyOf(destination).precedence,
    // Rule 7, prefer native transport, is left out: no runtime tells which
    // interface is a tunnel, and the table ranks 6to4 and Teredo low already.
    // Rule 8, prefer smaller scope: near beats far.
    -scopeOf(destination),
    // Rule 9, use the longest matching prefix: near in the routing hierarchy.
    // Not for IPv4, where it says little and defeats the load balancing of
    // DNS. It may not compare across families, and never does: no IPv6 range
    // has the precedence of IPv4, so rule 6 has parted them. That keeps the
    // order consistent.
    source !== null && destination.family === 6
      ? matchingPrefixLength(source, destination)
      : 0,
    // Rule 10, leave the order unchanged: the sort is stable.
  ];
}

/** Section 5: one number per rule, the larger one preferred. */
function sourceMerits(source: KnownSource, destination: IpAddress): number[] {
  const scope = scopeOf(source.address);
  const { address } = source;
  return [
    // Rule 1, prefer the same address: the host talks to itself.
    Number(
      commonPrefixLength(address.bytes, destination.bytes) ===
        8 * address.bytes.length,
    ),
    // Rule 2, prefer appropriate scope: the smallest that reaches as far as
    // the destination. Those that reach less far come last; among them the
    // larger one, but only site-local ones are left by canReach().
    scope >= scopeOf(destination) ? GLOBAL - scope : -1,
    // Rules 3, 4, 5, 5.5 and 7 are left out: an interface list tells neither
    // deprecated, home and temporary addresses nor the outgoing interface.
    // Rule 6, prefer matching label.
    Number(labelOf(address) === labelOf(destination)),
    // Rule 8, use the longest matching prefix.
    matchingPrefixLength(source, destination),
  ];
}

/** Whether a packet could go out: section 4, as far as it shows without routes. */
function canReach(destination: IpAddress, source: IpAddress): boolean {
  if (source.family !== destination.family) return false;
  if (isLoopback(source) || isLoopback(destination)) {
    return isLoopback(source) && isLoopback(destination);
  }
  const onlyLink = scopeOf(source) <= LINK_LOCAL;
  if (scopeOf(destination) > LINK_LOCAL) return !onlyLink;
  // In IPv4 any route will do: clouds keep their metadata at 169.254.169.254.
  if (destination.family === 4) return true;
  // Without a zone the system cannot tell the link and refuses to connect.
  const sameLink = source.zone === "" || source.zone === destination.zone;
  return onlyLink && destination.zone !== "" && sameLink;
}

function policyOf(address: IpAddress): Policy {
  return POLICY_TABLE.find((row) => contains(row, address)) ?? OTHER_IPV6;
}

function labelOf(address: IpAddress): number {
  return policyOf(address).label;
}

/** The scope of a unicast address, or the one a multicast address carries. */
function scopeOf(address: IpAddress): number {
  if (contains(MULTICAST, address)) return address.bytes[1]! & 0xf;
  return SCOPES.find((row) => contains(row, address))?.scope ?? GLOBAL;
}

/** CommonPrefixLen(S, D) of section 2.2: bits beyond S's prefix do not count. */
function matchingPrefixLength(
  { address, prefixLength }: KnownSource,
  destination: IpAddress,
): number {
  const common = commonPrefixLength(address.bytes, destination.bytes);
  return Math.min(common, prefixLength);
}

function range(start: string, length: number): Range {
  // The ranges are the literals of this file, and a wrong one fails at once.
  return { start: parseIpAddress(start)!, length };
}

function contains(
  { start, length }: Range,
  { family, bytes }: IpAddress,
): boolean {
  return start.family === family &&
    commonPrefixLength(start.bytes, bytes) >= length;
}

/** Sorts by the first merit that differs, larger first; stable. */
function sortByMerits<T>(
  items: readonly T[],
  meritsOf: (item: T) => readonly number[],
): T[] {
  return items
    .map((item) => ({ item, merits: meritsOf(item) }))
    .sort((a, b) => compareMerits(a.merits, b.merits))
    .map(({ item }) => item);
}

function compareMerits(a: readonly number[], b: readonly number[]): number {
  const differing = a.findIndex((merit, rule) => merit !== b[rule]);
  return differing === -1 ? 0 : b[differing]! - a[differing]!;
}
