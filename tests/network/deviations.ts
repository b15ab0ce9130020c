/**
 * Where a client departs from RFC 8305, as seen on the wire: why it can be
 * faster than the schedule, or has to be slower.
 *
 * @module
 */

import { longestLookup, type Run } from "./measure.ts";
import {
  CONNECTION_ATTEMPT_DELAY,
  LEAST_DISTANCE,
  MINIMUM_CONNECTION_ATTEMPT_DELAY,
  schedule,
} from "./schedule.ts";
import type { Attempt } from "./wire_log.ts";

/** A way to depart from the standard, by the mark it has in the report. */
export type Deviation = "†" | "‡" | "°" | "§";

/** What the marks mean. */
export const MEANINGS: Readonly<Record<Deviation, string>> = {
  "†": "attempts less than 250 ms apart while the first is unanswered, or " +
    "less than 10 ms after a failure (section 5)",
  "‡": "IPv4 first where IPv6 was known and has a route (section 4)",
  "°": "waits for both answers where one is enough (section 3)",
  "§": "dials IPv4 in another order than DNS gave (RFC 6724, rule 10)",
};

/** All marks. */
export const DEVIATIONS = Object.keys(MEANINGS) as readonly Deviation[];

/** For clients that count in coarse steps. */
const TOLERANCE = 5;

/** How a client departs from the standard in one run. */
export function deviationsOf(run: Run): Deviation[] {
  const found = {
    "†": isHasty(run),
    "‡": isIPv4First(run),
    "°": waits(run),
    "§": isReordered(run),
  };
  return DEVIATIONS.filter((deviation) => found[deviation]);
}

function isHasty(run: Run): boolean {
  return run.attempts.some((attempt, index) => {
    const next = run.attempts[index + 1];
    return next !== undefined &&
      startOf(next) - startOf(attempt) <
        leastDistance(run, attempt, next) - TOLERANCE;
  });
}

function leastDistance(run: Run, attempt: Attempt, next: Attempt): number {
  if (attempt.refused! <= startOf(next)) return LEAST_DISTANCE;
  // A late IPv6 answer ends the wait early (HEv3 section 5).
  const isLate = run.site.aaaa.includes(next.address) &&
    answerOf(run, "AAAA") > startOf(attempt);
  return isLate ? MINIMUM_CONNECTION_ATTEMPT_DELAY : CONNECTION_ATTEMPT_DELAY;
}

function isIPv4First(run: Run): boolean {
  const [first] = run.attempts;
  if (!first || !run.site.a.includes(first.address)) return false;
  const wouldBe = schedule(withoutDelays(run.site)).starts[0];
  return wouldBe?.family === 6 && answerOf(run, "AAAA") <= startOf(first);
}

function waits({ site, attempts, result }: Run): boolean {
  const planned = schedule(site).starts[0];
  if (!planned?.isRouted || longestLookup(site) <= planned.time) return false;
  const first = attempts[0] ? startOf(attempts[0]) : Infinity;
  return first - result.start > planned.time + 2 * TOLERANCE;
}

function isReordered({ site, attempts }: Run): boolean {
  const addresses = [...new Set(attempts.map(({ address }) => address))];
  const places = addresses.map((address) => site.a.indexOf(address))
    .filter((place) => place >= 0);
  return places.some((place, index) => place !== index);
}

/** The site with all answers at once, so that only the order counts. */
function withoutDelays(site: Run["site"]): Run["site"] {
  const { aaaa, a } = site.scenario;
  return {
    ...site,
    scenario: {
      ...site.scenario,
      aaaa: { hosts: aaaa.hosts },
      a: { hosts: a.hosts },
    },
  };
}

/** When the last answer of a type came; `Infinity` where none did. */
function answerOf({ answers }: Run, type: "AAAA" | "A"): number {
  return answers.findLast((answer) => answer.type === type)?.time ?? Infinity;
}

function startOf({ syns }: Attempt): number {
  return syns[0]!.time;
}
