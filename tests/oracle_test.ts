/**
 * The engine against the oracle, in random worlds.
 *
 * Start times, winner, end and late successes have to be the same; `play()`
 * checks the sockets, timers and listeners of each world besides. The seed is
 * fixed, so a run can be repeated; set `SEED` to another number for other
 * worlds. A failure prints the seed and the world.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import {
  type DnsEvent,
  type Host,
  long,
  play,
  type SourceAnswer,
} from "./fake_network.ts";
import { runtimeName, test } from "./harness.ts";
import { predict, type Scenario } from "./oracle.ts";

/** How many worlds each test plays, and how many of them at the same time. */
const WORLDS_PER_TEST = 1000;
const AT_ONCE = 100;
const TESTS = 20;

const seed = Number(fromEnvironment("SEED") ?? 1);

function fromEnvironment(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    // Deno, without the permission to read the environment.
    return undefined;
  }
}

/** Chance, and nothing else: the same seed gives the same worlds. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e3779b1) >>> 0;
  }

  /** A number from 0 to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  integer(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /**
   * A duration below `most`, in steps of 2 ** -20 ms: sums of them are exact,
   * and no two instants coincide by accident.
   */
  time(most: number): number {
    const fraction = Math.floor(this.next() * 2 ** 20) / 2 ** 20;
    return Math.floor(this.next() * most) + fraction;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)] as T;
  }
}

function makeScenario(dice: Dice): Scenario {
  const six = addresses(dice, "6");
  const four = addresses(dice, "4");
  const hostname = dice.chance(0.9)
    ? "example.com"
    : dice.chance(0.5)
    ? "localhost"
    : `${dice.pick(["4", "6"])}.1`;
  const family = /^\d/.test(hostname) || dice.chance(0.8)
    ? undefined
    : dice.pick([4, 6] as const);
  const hosts = ["::1", "127.0.0.1", "4.1", "6.1", ...six, ...four]
    .map((address) => [address, makeHost(dice)] as const);
  return {
    hostname,
    family,
    hosts: Object.fromEntries(hosts),
    dns: makeDns(dice, six, four),
    sources: makeSources(dice, hosts.map(([address]) => address)),
    connectionAttemptDelay: dice.chance(0.5)
      ? 250
      : dice.chance(0.8)
      ? 10 + dice.time(400)
      : Infinity,
    resolutionDelay: dice.chance(0.5)
      ? 50
      : dice.pick([0, dice.time(300), Infinity]),
    preferredAddressFamilyCount: dice.pick([1, 1, 1, 2, 3]),
    abortAt: dice.chance(0.1) ? dice.time(1500) : 60_000 + dice.time(1000),
  };
}

function addresses(dice: Dice, family: "4" | "6"): string[] {
  if (dice.chance(0.1)) return [];
  const most = dice.chance(0.01) ? 45 : 6;
  return Array.from(
    { length: dice.integer(1, most) },
    (_, index) => `${family}.${index + 1}`,
  );
}

function makeHost(dice: Dice): Host {
  const isDeaf = dice.chance(0.35);
  const deaf = isDeaf ? { deaf: true } : {};
  const soon = () => dice.time(dice.pick([2, 20, 400, 3000]));
  const kind = dice.next();
  if (kind < 0.25) return { ...deaf };
  if (kind < 0.35) return { accept: soon(), ...deaf };
  if (kind < 0.6) return { refuse: soon(), ...deaf };
  if (kind < 0.75) {
    const code = dice.pick(["ENETUNREACH", "EADDRNOTAVAIL", "EHOSTUNREACH"]);
    return { refuse: dice.pick([0, 0.25, dice.time(2)]), code };
  }
  // A deaf handshake without end could not be closed by anybody.
  const tls = !isDeaf && dice.chance(0.2) ? Infinity : soon();
  const hold = dice.time(dice.pick([20, 500, 2000]));
  const tlsError = dice.chance(0.4) ? { tlsError: "ERR_TLS_CERT" } : {};
  return { accept: soon(), tls, hold, ...tlsError, ...deaf };
}

function makeDns(
  dice: Dice,
  six: readonly string[],
  four: readonly string[],
): DnsEvent[] {
  const when = () => dice.time(dice.pick([5, 60, 400, 2000]));
  const events: DnsEvent[] = [];
  for (const _ of [1, 2].slice(0, dice.pick([1, 1, 1, 1, 2]))) {
    if (dice.chance(0.93)) events.push({ at: when(), AAAA: some(dice, six) });
    if (dice.chance(0.93)) events.push({ at: when(), A: some(dice, four) });
  }
  const end = dice.time(dice.pick([60, 400, 2500]));
  if (dice.chance(0.5)) events.push({ at: end, end: true });
  else if (dice.chance(0.2)) events.push({ at: end, throws: new Error("DNS") });
  return events.sort((a, b) => a.at - b.at);
}

function makeSources(
  dice: Dice,
  addresses: readonly string[],
): Record<string, number> {
  if (dice.chance(0.6)) return {};
  return Object.fromEntries(addresses.map((address) => {
    const delay = dice.pick([0, 0, 0, dice.time(15), dice.time(15), Infinity]);
    return [address, delay];
  }));
}

/** The system's side of these sources: all of them global, none on-link. */
function sourceAnswer([address, delay]: [string, number]): [
  string,
  SourceAnswer,
] {
  const isLoopback = address === "::1" || address.startsWith("127.");
  const source = {
    address: isLoopback ? address : long(`${address[0]}.200`),
  };
  if (delay === 0) return [address, source];
  return [
    address,
    delay === Infinity ? "never" : { after: delay, source },
  ];
}

function some(dice: Dice, addresses: readonly string[]): readonly string[] {
  if (dice.chance(0.8)) return addresses;
  return addresses.filter(() => dice.chance(0.7));
}

async function compare(scenario: Scenario, name: string): Promise<void> {
  const { hosts, dns, hostname, sources: delays, ...options } = scenario;
  const sources = Object.fromEntries(Object.entries(delays).map(sourceAnswer));
  const expected = predict(scenario, runtimeName !== "bun");
  try {
    const { starts, end, events } = await play({ hosts, dns, sources }, {
      ...options,
      hostname: long(hostname),
    });
    const discards = events.filter(({ type }) => type === "discard").length;
    assertEquals({ starts, end, discards }, { ...expected });
  } catch (error) {
    throw new Error(`${name}: ${show(scenario)}`, { cause: error });
  }
}

function show(scenario: Scenario): string {
  return JSON.stringify(
    scenario,
    (_, value) => value === Infinity ? "Infinity" : value,
  );
}

for (let part = 0; part < TESTS; part++) {
  test(`happyEyeballs() does what the oracle says, part ${part + 1} of ${TESTS}`, async () => {
    const dice = new Dice(seed * TESTS + part);
    for (let done = 0; done < WORLDS_PER_TEST; done += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => {
        const name = `SEED=${seed}, part ${part + 1}, world ${done + index}`;
        return compare(makeScenario(dice), name);
      }));
    }
  });
}

test("the random worlds hold what they are there for", () => {
  const dice = new Dice(seed);
  const scenarios = Array.from({ length: 2000 }, () => makeScenario(dice));
  const predictions = scenarios.map((it) => predict(it, true));
  const share = (matches: (index: number) => boolean) =>
    scenarios.filter((_, index) => matches(index)).length / scenarios.length;
  const ends = (text: RegExp) =>
    share((index) => text.test(predictions[index]?.end ?? ""));
  assert(ends(/^[46:1]/) > 0.3, "winners");
  assert(ends(/^failed/) > 0.1, "failures");
  assert(ends(/^aborted/) > 0.1, "aborts");
  assert(
    share((it) => (predictions[it]?.discards ?? 0) > 0) > 0.02,
    "discards",
  );
  assert(
    share((it) => (predictions[it]?.starts.split(" ").length ?? 0) > 3) > 0.1,
    "long races",
  );
});
