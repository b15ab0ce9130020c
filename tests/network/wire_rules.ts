/**
 * What the wire must show of a run of ours, as sentences about what it did not.
 *
 * Three severities. Losers that live on are wrong in any run. A machine that is
 * away for a moment can change who is first, and hold a SYN back on its way
 * from the program to the wire so that the next one follows too soon: another
 * order, another outcome or a short distance is wrong in most of the runs. What
 * came too late is wrong as their median, on a machine that is not busy.
 *
 * @module
 */

import type { Run } from "./measure.ts";
import { type Schedule, schedule, type Start } from "./schedule.ts";
import type { Fate } from "./scenarios.ts";
import type { Attempt } from "./wire_log.ts";

/** Milliseconds by which clocks that count whole ones can seem early. */
const EARLY = 3;
/** Losers are closed within this. */
export const LOSERS_TIME = 50;

/** What a first start waits for, by its length. */
const FIRST_DELAYS: Readonly<Record<number, string>> = {
  50: "Resolution Delay",
};
/** What lies between two starts, by its length. */
const DELAYS: Readonly<Record<number, string>> = {
  10: "absolute minimum",
  100: "Minimum Connection Attempt Delay",
  250: "Connection Attempt Delay",
};

/** A delay that was to be kept, and what became of it. */
export interface Delay {
  /** What it is, such as `"attempt 2"`. */
  readonly name: string;
  readonly expected: number;
  readonly actual: number;
}

/** The schedule of a run, with what chance made of its SYNs. */
export function scheduleOf({ site, attempts }: Run): Schedule {
  return schedule(site, (address, fate) => {
    if (typeof fate !== "object" || !("loss" in fate)) return fate;
    const attempt = attempts.find((attempt) => attempt.address === address);
    return attempt ? fateByChance(attempt.syns) : "ok";
  });
}

/** A lost SYN is one that comes late: when it is sent again. */
function fateByChance(syns: Attempt["syns"]): Fate {
  const arrived = syns.find(({ lost }) => !lost);
  return arrived ? { delay: arrived.time - syns[0]!.time } : "black hole";
}

/** How a run departed from the schedule, which may be the machine's doing. */
export function departures(run: Run): string[] {
  const expected = scheduleOf(run);
  const delays = delaysOf(run, expected);
  return [
    ...checkOutcome(run, expected),
    ...checkOrder(run, expected),
    ...delays.filter(({ expected, actual }) => actual < expected - EARLY)
      .map(({ name, expected, actual }) =>
        `${name} was early: ${actual.toFixed(1)} of ${expected} ms`
      ),
  ];
}

/**
 * The delays that the standard names, as seen on the wire: from the first
 * address to the first SYN, then from SYN to SYN. Starts that wait for an
 * answer are not among them.
 */
export function delaysOf(
  run: Run,
  { starts, firstAddress }: Schedule,
): Delay[] {
  const answer = run.answers.find(({ type }) =>
    (type === "AAAA" ? run.site.aaaa : run.site.a).length > 0
  );
  const planned = [firstAddress];
  const seen = [answer?.time];
  const { attempts } = run;
  const onWire = starts.filter(({ isRouted }) => isRouted);
  for (const { address, time } of onWire) {
    const syn = attempts.find((attempt) => attempt.address === address)
      ?.syns[0];
    planned.push(time);
    seen.push(syn?.time);
  }
  return onWire.flatMap((_, index) => {
    const expected = planned[index + 1]! - planned[index]!;
    const actual = seen[index + 1]! - seen[index]!;
    const names = index === 0 ? FIRST_DELAYS : DELAYS;
    const name = names[expected];
    if (!name || Number.isNaN(actual)) return [];
    return [{ name: `${name} (attempt ${index + 1})`, expected, actual }];
  });
}

function checkOutcome(
  { result, site }: Run,
  { winner, end }: Schedule,
): string[] {
  const found = result.address ?? (result.hung ? "hung" : "failed");
  const expected = winner ?? (end === Infinity ? "hung" : "failed");
  const isHarmless = winner !== undefined && found === winner;
  if (isHarmless || found === expected) {
    return result.ms < Math.min(end, site.scenario.patience ?? end) - EARLY
      ? [`outcome after ${result.ms.toFixed(1)} ms is before ${end} ms`]
      : [];
  }
  const why = result.error ? ` (${result.error})` : "";
  return [`outcome is ${found}${why}, not ${expected}`];
}

function checkOrder(
  { attempts, site, result }: Run,
  { starts }: Schedule,
): string[] {
  const patience = site.scenario.patience ?? Infinity;
  const expected = starts.filter(({ isRouted, time }) =>
    isRouted && time < patience
  ).map(({ address }: Start) => address).join(" ");
  const found = attempts.map(({ address }) => address).join(" ");
  const late = attempts.filter(({ syns }) =>
    syns[0]!.time > result.start + result.ms + EARLY
  );
  return [
    ...(found === expected ? [] : [`SYNs go to ${found}, not to ${expected}`]),
    ...late.map(({ address }) => `SYN to ${address} after the outcome`),
  ];
}

/** What is wrong with a run, whatever the machine was busy with. */
export function violations(run: Run): string[] {
  if (keepsHandshakes(run)) return [];
  const { result, site } = run;
  const end = result.start + result.ms;
  // What Deno keeps of other scenarios is not this one's.
  const addresses = [...site.aaaa, ...site.a];
  return [
    ...(result.others ?? []).filter((socket) =>
      addresses.some((address) => socket.endsWith(` ${address}`))
    ).map((socket) => `${LOSERS_TIME} ms after the outcome there is ${socket}`),
    ...losersOf(run).flatMap(({ address, syns, synAck, closed }) => [
      ...(syns.some(({ time }) => time > end + LOSERS_TIME)
        ? [`SYN to the loser ${address} sent again`]
        : []),
      ...(synAck !== undefined && closed === undefined
        ? [`connection to the loser ${address} not closed`]
        : []),
    ]),
  ];
}

/** How long each late winner stayed open, in milliseconds. */
export function closingTimes(run: Run): number[] {
  if (keepsHandshakes(run)) return [];
  const end = run.result.start + run.result.ms;
  return losersOf(run).flatMap(({ synAck, closed }) =>
    synAck === undefined || closed === undefined
      ? []
      : closed - Math.max(synAck, end)
  );
}

/**
 * Deno does not close the descriptor of a TLS handshake that is given up before
 * its peer does (D4); nothing in userland can.
 */
function keepsHandshakes({ site, client }: Run): boolean {
  return site.scenario.tls === true && client.runtime === "Deno";
}

function losersOf({ attempts, result }: Run): readonly Attempt[] {
  const winner = attempts.findLast(({ address, synAck }) =>
    address === result.address && synAck !== undefined
  );
  return attempts.filter((attempt) => attempt !== winner);
}
