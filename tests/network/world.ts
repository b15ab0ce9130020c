/**
 * Where everything is: each scenario gets a name and addresses of its own.
 *
 * So nothing has to be switched between scenarios, several clients can run at
 * once, and a packet in the log tells by its address which scenario it
 * belongs to. All addresses are from the documentation ranges (RFC 3849, RFC
 * 5737, RFC 9637), and the clients' own from there or from ULA space.
 *
 * The prefixes are chosen so that RFC 6724 leaves the order alone where the
 * scenario is about something else: all IPv6 servers share the same number of
 * bits with a client, and no IPv4 server is in a client's network.
 *
 * @module
 */

import type { Fate, Profile, Records, Scenario } from "./scenarios.ts";

/** The port where TCP is accepted and nothing said. */
export const TCP_PORT = 80;
/** The port with TLS. */
export const TLS_PORT = 443;
/** The addresses of the DNS server. */
export const DNS_SERVERS = { 4: "203.0.113.53", 6: "2001:db8:53::53" } as const;
/** What the server namespace takes for its own. */
export const SERVER_NETWORKS = {
  4: ["192.0.2.0/24", "198.51.100.0/24"],
  6: ["2001:db8::/33"],
} as const;
/** Where the clients have no route to. */
export const UNROUTED: string = "3fff::/20";

/** A scenario with its place in the world. */
export interface Site {
  readonly scenario: Scenario;
  /** The name without its first part, which is free: `<anything>-s7.he.test`. */
  readonly label: string;
  /** In the order of `scenario.aaaa.hosts`. */
  readonly aaaa: readonly string[];
  /** In the order of `scenario.a.hosts`. */
  readonly a: readonly string[];
}

/** One line of the DNS server's zone. */
export interface Zone {
  readonly records: Records;
  readonly addresses: readonly string[];
}

/** The zone by label, then by record type. */
export type Zones = Readonly<Record<string, { AAAA: Zone; A: Zone }>>;

/** Gives each scenario its addresses. */
export function layOut(scenarios: readonly Scenario[]): Site[] {
  let nextIPv4 = 0;
  return scenarios.map((scenario, index) => {
    const { aaaa, a } = scenario;
    const number = index + 1;
    return {
      scenario,
      label: `s${number}`,
      aaaa: fates(aaaa).map((fate, host) =>
        `${fate === "no route" ? "3fff" : "2001:db8"}:${number.toString(16)}::${
          (host + 1).toString(16)
        }`
      ),
      a: fates(a).map(() => ipv4Server(nextIPv4++)),
    };
  });
}

/** A fresh name of a site; no cache can have heard of it. */
export function nameOf(site: Site, run: string): string {
  return `${run}-${site.label}.he.test`;
}

/** The label of a name, `undefined` where it is none of ours. */
export function labelOf(name: string): string | undefined {
  return /-(\w+)\.he\.test$/.exec(name)?.[1];
}

/** What the DNS server has to know. */
export function zonesOf(sites: readonly Site[]): Zones {
  return Object.fromEntries(sites.map((site) => [site.label, {
    AAAA: { records: site.scenario.aaaa, addresses: site.aaaa },
    A: { records: site.scenario.a, addresses: site.a },
  }]));
}

/** What the link has to know. */
export function fatesOf(sites: readonly Site[]): Record<string, Fate> {
  const result: Record<string, Fate> = Object.fromEntries(
    Object.values(DNS_SERVERS).map((address) => [address, "ok"]),
  );
  for (const { scenario, aaaa, a } of sites) {
    aaaa.forEach((address, i) => result[address] = fates(scenario.aaaa)[i]!);
    a.forEach((address, i) => result[address] = fates(scenario.a)[i]!);
  }
  return result;
}

/** The hosts of records that are an answer with addresses. */
export function fates({ hosts }: Records): readonly Fate[] {
  return typeof hosts === "string" ? [] : hosts;
}

/** A client's addresses; `slot` tells clients that run at the same time apart. */
export function clientAddresses(profile: Profile, slot: number): string[] {
  const order = ["dual", "ipv4", "ipv6", "ula"].indexOf(profile);
  const number = 1 + 4 * slot + order;
  const ipv4 = `203.0.113.${100 + number}`;
  const ipv6 = (prefix: string) => `${prefix}:${number.toString(16)}::2`;
  return {
    dual: [ipv6("2001:db8:ffff"), ipv4],
    ipv4: [ipv4],
    ipv6: [ipv6("2001:db8:ffff")],
    ula: [ipv6("fd00:db8:ffff"), ipv4],
  }[profile];
}

function ipv4Server(index: number): string {
  const perNetwork = 250;
  const network = ["192.0.2", "198.51.100"][Math.floor(index / perNetwork)];
  if (!network) throw new RangeError("Cannot lay out: no IPv4 address is left");
  return `${network}.${1 + index % perNetwork}`;
}
