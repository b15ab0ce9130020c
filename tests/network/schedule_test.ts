/**
 * The oracle is held against schedules worked out by hand from RFC 8305.
 *
 * @module
 */

import { assertEquals } from "@std/assert";

import { test } from "../harness.ts";
import { type Fate, scenarios } from "./scenarios.ts";
import { schedule } from "./schedule.ts";
import { layOut, type Site } from "./world.ts";

/** Starts as `6.1@250` (the first IPv6 address at 250 ms), then the outcome. */
const byHand: Readonly<Record<string, string>> = {
  "healthy": "6.1@0 -> 6.1@0",
  "host has IPv4 only": "4.1@0 -> 4.1@0",
  // No route: the attempt is the last resort, so IPv6 is not even tried.
  "client has IPv4 only": "4.1@0 -> 4.1@0",
  "no route for IPv6": "4.1@0 -> 4.1@0",
  // RFC 6724 rule 5, decided when AAAA is there.
  "client's IPv6 is ULA only": "4.1@20 -> 4.1@20",
  "IPv6 black hole": "6.1@0 4.1@250 -> 4.1@250",
  "IPv6 refused": "6.1@0 4.1@10 -> 4.1@10",
  "IPv6 delayed 200 ms": "6.1@0 -> 6.1@200",
  "IPv6 delayed 300 ms": "6.1@0 4.1@250 -> 4.1@250",
  "both delayed 1000 ms": "6.1@0 4.1@250 -> 6.1@1000",
  "4 IPv6 black holes": "6.1@0 4.1@250 -> 4.1@250",
  "first IPv4 black hole, no IPv6": "4.1@0 4.2@250 -> 4.2@250",
  "IPv6 and first IPv4 black holes": "6.1@0 4.1@250 4.2@500 -> 4.2@500",
  "all 8 refused":
    "6.1@0 4.1@10 6.2@20 4.2@30 6.3@40 4.3@50 6.4@60 4.4@70 -> none@70",
  "all 4 black holes": "6.1@0 4.1@250 6.2@500 4.2@750 -> none@Infinity",
  // Within the Resolution Delay, and not.
  "AAAA delayed 40 ms": "6.1@40 -> 6.1@40",
  "AAAA delayed 100 ms": "4.1@50 -> 4.1@50",
  "AAAA never": "4.1@50 -> 4.1@50",
  "A never": "6.1@0 -> 6.1@0",
  // A52: not within 100 ms of the last start, then at once.
  "AAAA delayed 100 ms, IPv4 black hole": "4.1@50 6.1@150 -> 6.1@150",
  "AAAA delayed 400 ms, IPv4 black hole": "4.1@50 6.1@400 -> 6.1@400",
  "AAAA SERVFAIL": "4.1@0 -> 4.1@0",
  "both NXDOMAIN": " -> none@0",
  "TLS silent on IPv6": "6.1@0 4.1@250 -> 4.1@250",
};

for (const [name, expected] of Object.entries(byHand)) {
  test(`schedule() agrees with RFC 8305: ${name}`, () => {
    assertEquals(write(find(name)), expected);
  });
}

test("schedule() takes what chance made of a SYN", () => {
  const site = find("20 % of SYNs lost");
  const loseFirst = (address: string): Fate =>
    address === site.aaaa[0] ? { delay: 1003 } : "ok";
  assertEquals(write(site, loseFirst), "6.1@0 4.1@250 -> 4.1@250");
});

function find(name: string): Site {
  return layOut(scenarios).find(({ scenario }) => scenario.name === name)!;
}

function write(site: Site, chance?: (address: string) => Fate): string {
  const { starts, winner, end } = schedule(site, chance);
  const number = (address: string | undefined) =>
    address === undefined
      ? "none"
      : site.aaaa.includes(address)
      ? `6.${site.aaaa.indexOf(address) + 1}`
      : `4.${site.a.indexOf(address) + 1}`;
  const list = starts.map(({ address, time }) => `${number(address)}@${time}`);
  return `${list.join(" ")} -> ${number(winner)}@${end}`;
}
