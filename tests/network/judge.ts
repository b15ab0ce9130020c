/**
 * What the numbers have to be, and which of them are not.
 *
 * @module
 */

import type { Run } from "./measure.ts";
import { breaksPace, delaysOf, scheduleOf, violations } from "./wire_rules.ts";

/** All runs of one client through one scenario. */
export type Cell = readonly [Run, ...Run[]];

/** Milliseconds that a machine may take beside the schedule. */
const OVERHEAD = 5;
/** Milliseconds more for each attempt before the last. */
const OVERHEAD_PER_ATTEMPT = 2;
/** How exact Resolution Delay and Connection Attempt Delay have to be, in milliseconds. */
const DELAY_TOLERANCE = 5;

/** Fewer have no median. */
const LEAST_SAMPLES = 3;

/** What is wrong with one cell in any run, without looking at upper bounds. */
export function findViolations(cell: Cell): string[] {
  return [...new Set(cell.flatMap(violations))];
}

/** What is wrong with our cells as medians, on a machine that is not busy. */
export function findDelays(cell: Cell, others: readonly Cell[]): string[] {
  return [
    ...checkTime(cell, others),
    ...checkDelays(cell),
    ...others.filter((other) => isSlower(cell, other)).map((other) =>
      `${other[0].client.name} takes ${medianTime(other)!.toFixed(1)} ms`
    ),
  ];
}

/** The median time to an outcome; `undefined` where a run had none. */
export function medianTime(cell: Cell): number | undefined {
  if (cell.some(({ result }) => result.hung)) return undefined;
  return median(cell.map(({ result }) => result.ms));
}

/** Whether a client was fast by going ahead of the standard. */
export function isShortcut(cell: Cell): boolean {
  return cell.filter(breaksPace).length > cell.length / 2;
}

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
    const allowed = OVERHEAD + OVERHEAD_PER_ATTEMPT * (starts.length - 1);
    return run.result.ms - end - allowed;
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
    return Math.abs(error) > DELAY_TOLERANCE
      ? [`${name} is ${error.toFixed(1)} ms off its time`]
      : [];
  });
}

/** Whether a client that keeps the standard is faster than `cell`. */
function isSlower(cell: Cell, other: Cell): boolean {
  if (other[0].client.runtime || other[0].site !== cell[0].site) return false;
  if (!isConnected(cell) || !isConnected(other) || isShortcut(other)) {
    return false;
  }
  return medianTime(cell)! > medianTime(other)! + OVERHEAD;
}

function isConnected(cell: Cell): boolean {
  return cell.every(({ result }) => result.address !== undefined);
}
