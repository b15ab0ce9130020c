/**
 * What RFC 8305 and its successor (HEv3) want a client to do in a scenario,
 * with the defaults of this project.
 *
 * An oracle of its own: it shares no code with `src/` and knows the whole
 * future of a scenario, so it is a loop over instants instead of waits. Times
 * are in milliseconds from the call, on a machine that needs no time for
 * anything itself. What chance decides is taken from the log.
 *
 * @module
 */

import type { Fate } from "./scenarios.ts";
import { fates, type Site } from "./world.ts";

/** What should happen. */
export interface Schedule {
  /** The attempts in their order, as far as they begin before the outcome. */
  readonly starts: readonly Start[];
  /** When the first address was known, from where the Resolution Delay runs. */
  readonly firstAddress: number;
  /** When there is an outcome; `Infinity` where there never is one. */
  readonly end: number;
  /** The address connected to; `undefined` where all fails. */
  readonly winner: string | undefined;
}

/** One attempt. */
export interface Start {
  readonly address: string;
  readonly family: Family;
  readonly time: number;
  /** Whether there is a route, so that the attempt shows on the wire. */
  readonly isRouted: boolean;
  /** Instants; `Infinity` for never. */
  readonly success: number;
  readonly failure: number;
}

type Family = 4 | 6;

interface Host {
  readonly address: string;
  readonly family: Family;
  readonly fate: Fate;
  readonly isRouted: boolean;
  /** When its answer came. */
  readonly known: number;
}

/** RFC 8305 section 8. */
const RESOLUTION_DELAY = 50;
/** RFC 8305 section 8. */
export const CONNECTION_ATTEMPT_DELAY = 250;
/** RFC 8305 section 5: the absolute minimum, also after a failure. */
export const LEAST_DISTANCE = 10;
/** RFC 8305 section 8; a late IPv6 answer keeps this distance (HEv3 section 5). */
export const MINIMUM_CONNECTION_ATTEMPT_DELAY = 100;

/** Replaces the fate of an address by what chance made of it. */
export type Chance = (address: string, fate: Fate) => Fate;

/** The schedule of a scenario. */
export function schedule(
  site: Site,
  chance: Chance = (_, fate) => fate,
): Schedule {
  const world = new World(site, chance);
  const starts: Start[] = [];
  for (;;) {
    const start = world.nextStart(starts);
    const end = Math.min(...starts.map(({ success }) => success));
    if (end <= (start?.time ?? Infinity) && end < Infinity) {
      const winner = starts.find(({ success }) => success === end)!.address;
      return { starts, firstAddress: world.firstAddress, end, winner };
    }
    if (!start) break;
    starts.push(start);
  }
  const end = Math.max(
    ...starts.map(({ failure }) => failure),
    ...world.answers.values(),
  );
  return { starts, firstAddress: world.firstAddress, end, winner: undefined };
}

/** A scenario as a client sees it, with its future. */
class World {
  /** When each family is answered, with addresses or without. */
  readonly answers: ReadonlyMap<Family, number>;
  readonly firstAddress: number;
  readonly #hosts: readonly Host[];
  readonly #ipv4First: boolean;
  readonly #preferred: Family;

  constructor({ scenario, aaaa, a }: Site, chance: Chance) {
    const { profile = "dual" } = scenario;
    const answer = (records: typeof scenario.a) =>
      records.hosts === "silence" ? Infinity : records.delay ?? 0;
    this.answers = new Map([[6, answer(scenario.aaaa)], [
      4,
      answer(scenario.a),
    ]]);
    const host = (family: Family, address: string, fate: Fate): Host => ({
      address,
      family,
      fate: chance(address, fate),
      isRouted: fate !== "no route" &&
        profile !== (family === 6 ? "ipv4" : "ipv6"),
      known: this.answers.get(family)!,
    });
    this.#hosts = [
      ...aaaa.map((text, i) => host(6, text, fates(scenario.aaaa)[i]!)),
      ...a.map((text, i) => host(4, text, fates(scenario.a)[i]!)),
    ];
    this.firstAddress = Math.min(...this.#hosts.map(({ known }) => known));
    // RFC 6724 rule 5: a ULA source does not match the label of the servers.
    this.#ipv4First = profile === "ula";
    const isUnrouted = (family: Family) =>
      this.#hosts.every((host) => host.family !== family || !host.isRouted);
    // A20; where IPv6 is not even answered there is nothing to tell it by.
    this.#preferred = aaaa.length > 0 && isUnrouted(6) && !isUnrouted(4)
      ? 4
      : 6;
  }

  /** The start after `starts`, if nothing connects before; `undefined` for none. */
  nextStart(starts: readonly Start[]): Start | undefined {
    const last = starts.at(-1);
    const instants = [
      0,
      ...this.answers.values(),
      this.firstAddress + RESOLUTION_DELAY,
      ...(last
        ? [
          last.failure,
          last.time + LEAST_DISTANCE,
          last.time + MINIMUM_CONNECTION_ATTEMPT_DELAY,
          last.time + CONNECTION_ATTEMPT_DELAY,
        ]
        : []),
    ].filter((time) => time < Infinity && time >= (last?.time ?? 0));
    const time = instants.sort((a, b) => a - b)
      .find((now) => this.#mayStart(starts, now));
    if (time === undefined) return undefined;
    return begin(this.#fresh(starts, time)[0]!, time);
  }

  #mayStart(starts: readonly Start[], now: number): boolean {
    const [next] = this.#fresh(starts, now);
    return next !== undefined && this.#isResolved(now) &&
      this.#isPaced(starts, next, now);
  }

  /** A13 and A14. */
  #isResolved(now: number): boolean {
    return this.answers.get(this.#preferred)! <= now ||
      this.firstAddress + RESOLUTION_DELAY <= now;
  }

  #isPaced(starts: readonly Start[], next: Host, now: number): boolean {
    const last = starts.at(-1);
    if (!last) return true;
    // What never left the machine is no load on the network (A54).
    if (!last.isRouted) return true;
    if (now < last.time + LEAST_DISTANCE) return false;
    return last.failure <= now ||
      now >= last.time + CONNECTION_ATTEMPT_DELAY ||
      (now >= last.time + MINIMUM_CONNECTION_ATTEMPT_DELAY &&
        this.#isLate(starts, next));
  }

  /** A52: an answer of the preferred family, while only the other is tried. */
  #isLate(starts: readonly Start[], next: Host): boolean {
    return next.family === this.#preferred &&
      next.known > starts.at(-1)!.time &&
      starts.every(({ family, failure }) =>
        family !== this.#preferred || failure <= next.known
      );
  }

  /** What is known and was not tried, best first. */
  #fresh(starts: readonly Start[], now: number): Host[] {
    const known = this.#hosts.filter((host) => host.known <= now);
    const tried = new Set(starts.map(({ address }) => address));
    return this.#order(known).filter(({ address }) => !tried.has(address));
  }

  /** RFC 6724, then RFC 8305 section 4. */
  #order(hosts: readonly Host[]): Host[] {
    const lead: Family = this.#ipv4First ? 4 : 6;
    const badness = ({ isRouted, family }: Host) =>
      (isRouted ? 0 : 2) + (family === lead ? 0 : 1);
    const sorted = hosts.toSorted((a, b) => badness(a) - badness(b));
    const first = sorted.filter(({ family }) => family === sorted[0]!.family);
    const second = sorted.filter(({ family }) => family !== sorted[0]!.family);
    const length = Math.max(first.length, second.length);
    return Array.from({ length }, (_, i) => [first[i], second[i]])
      .flat().filter((host) => host !== undefined);
  }
}

function begin({ address, family, fate, isRouted }: Host, time: number): Start {
  const fails = !isRouted || fate === "refused" || fate === "unreachable";
  const connects = fate === "ok" ||
    (typeof fate === "object" && "delay" in fate);
  const duration = typeof fate === "object" && "delay" in fate ? fate.delay : 0;
  return {
    address,
    family,
    time,
    isRouted,
    success: connects && !fails ? time + duration : Infinity,
    failure: fails ? time : Infinity,
  };
}
