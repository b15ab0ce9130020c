/**
 * What the numbers have to be, and which of them are not.
 *
 * @module
 */

import type { Run } from "./measure.ts";
import { type Deviation, DEVIATIONS, deviationsOf } from "./deviations.ts";
import {
  closingTimes,
  delaysOf,
  departures,
  LOSERS_TIME,
  scheduleOf,
  violations,
} from "./wire_rules.ts";

/** All runs of one client through one scenario. */
export type Cell = readonly [Run, ...Run[]];

/** Milliseconds that a machine may take beside the schedule. */
const OVERHEAD = 5;
/** Milliseconds more for each attempt before the last. */
const OVERHEAD_PER_ATTEMPT = 2;
/** How exact Resolution Delay and Connection Attempt Delay have to be, in milliseconds. */
const DELAY_TOLERANCE = 5;

/** Milliseconds by which they may seem to be too short. */
const EARLY = 1;
/** Fewer have no median. */
const LEAST_SAMPLES = 3;

/** What is wrong with one cell, without looking at upper bounds. */
export function findViolations(cell: Cell): string[] {
  const departed = cell.map(departures).filter(({ length }) => length > 0);
  const isUsual = departed.length > cell.length / 2;
  return [
    ...new Set([
      ...(isUsual ? departed.flat() : []),
      ...cell.flatMap(violations),
    ]),
  ];
}

/** What is wrong with our cells as medians, on a machine that is not busy. */
export function findDelays(cell: Cell, others: readonly Cell[]): string[] {
  return [
    ...checkTime(cell, others),
    ...checkDelays(cell),
    ...checkClosing(cell),
    ...checkPeers(cell, others),
  ];
}

/** The median time to an outcome; `undefined` where a run had none. */
export function medianTime(cell: Cell): number | undefined {
  if (cell.some(({ result }) => result.hung)) return undefined;
  return median(cell.map(({ result }) => result.ms));
}

/** How a client departs from the standard in most of its runs. */
export function usualDeviations(cell: Cell): Deviation[] {
  const all = cell.flatMap(deviationsOf);
  return DEVIATIONS.filter((deviation) =>
    all.filter((each) => each === deviation).length > cell.length / 2
  );
}

/** The middle one, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The schedule is met; what TLS itself costs is taken from the healthy case. */
function checkTime(cell: Cell, others: readonly Cell[]): string[] {
  const excess = cell.map((run) => {
    const { end, starts } = scheduleOf(run);
    if (run.result.hung || end === Infinity) return 0;
    return run.result.ms - end - allowance(starts);
  });
  const late = median(excess) - handshakeTime(cell, others);
  return late > 0 ? [`the median is ${late.toFixed(1)} ms too late`] : [];
}

function handshakeTime(
  [{ site, client }]: Cell,
  others: readonly Cell[],
): number {
  if (!site.scenario.tls) return 0;
  const healthy = others.find(([run]) =>
    run.client === client && run.site.scenario.name === "TLS, healthy"
  );
  return healthy ? medianTime(healthy) ?? 0 : 0;
}

function checkDelays(cell: Cell): string[] {
  const delays = cell.flatMap((run) => delaysOf(run, scheduleOf(run)));
  const byName = Map.groupBy(delays, ({ name }) => name);
  return [...byName].flatMap(([name, delays]) => {
    // Where chance decides, some attempts are rare.
    if (delays.length < LEAST_SAMPLES) return [];
    const error = median(
      delays.map(({ actual, expected }) => actual - expected),
    );
    return error > DELAY_TOLERANCE || error < -EARLY
      ? [`${name} is ${error.toFixed(1)} ms off its time`]
      : [];
  });
}

function checkClosing(cell: Cell): string[] {
  const times = cell.flatMap(closingTimes);
  const time = times.length > 0 ? median(times) : 0;
  return time > LOSERS_TIME
    ? [`late winners are open for ${time.toFixed(1)} ms`]
    : [];
}

function checkPeers(cell: Cell, others: readonly Cell[]): string[] {
  const faster = others.filter((other) => isSlower(cell, other))
    .map((other) =>
      `${other[0].client.name} (${medianTime(other)!.toFixed(1)} ms)`
    );
  if (faster.length === 0) return [];
  const own = medianTime(cell)!.toFixed(1);
  return [`${own} ms is slower than ${faster.join(", ")}`];
}

/** Whether a client that keeps the standard is faster than `cell`. */
function isSlower(cell: Cell, other: Cell): boolean {
  if (other[0].client.runtime || other[0].site !== cell[0].site) return false;
  if (!isConnected(cell) || !isConnected(other)) return false;
  if (usualDeviations(other).length > 0) return false;
  const { starts } = scheduleOf(cell[0]);
  return medianTime(cell)! > medianTime(other)! + allowance(starts);
}

/** Milliseconds that may be spent on these attempts beside the schedule. */
export function allowance(starts: readonly unknown[]): number {
  return OVERHEAD + OVERHEAD_PER_ATTEMPT * Math.max(0, starts.length - 1);
}

function isConnected(cell: Cell): boolean {
  return cell.every(({ result }) => result.address !== undefined);
}
