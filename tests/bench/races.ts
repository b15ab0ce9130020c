/**
 * What `staggeredRace()` costs where every attempt fails at once, in time and
 * in heap, beside `Promise.any`.
 *
 * @module
 */

import process from "node:process";

import { staggeredRace } from "../../mod.ts";
import type { Case } from "./measure.ts";

/** Starts an attempt that has already failed. */
type Attempt = () => Promise<never>;
type RunRace = (attempts: readonly Attempt[]) => Promise<unknown>;

const failure = new Error("An attempt failed");
const { gc } = globalThis as unknown as { gc(): void };

const raw: RunRace = (attempts) =>
  Promise.any(attempts.map((attempt) => attempt()));
const ours: RunRace = (attempts) => staggeredRace(attempts);

/** The cases of a race of `count` attempts. */
export function raceCases(count: number): Case[] {
  const name = `race of ${count.toLocaleString("en")}`;
  return [{
    name: `${name} that fail at once`,
    unit: "µs",
    turns: 3,
    warmUp: 3,
    raw: () => raceTime(raw, count),
    ours: () => raceTime(ours, count),
  }, {
    name: `${name}, heap`,
    unit: "MB",
    turns: 1,
    warmUp: 1,
    ...count === 10_000 ? { limit: { value: 20 } } : {},
    raw: () => raceHeap(raw, count),
    ours: () => raceHeap(ours, count),
  }];
}

/** Microseconds per race. */
async function raceTime(race: RunRace, count: number): Promise<number> {
  const attempts = Array<Attempt>(count).fill(() => Promise.reject(failure));
  const races = 10_000 / count;
  const start = performance.now();
  for (let i = 0; i < races; i++) await expectFailure(race(attempts), count);
  return (performance.now() - start) * 1000 / races;
}

/** Megabytes by which the heap grows until the race is over, with its garbage. */
async function raceHeap(race: RunRace, count: number): Promise<number> {
  gc();
  const before = heapSize();
  let most = before;
  const attempts = Array.from({ length: count }, (_, i): Attempt => () => {
    if (i % 500 === 499) most = Math.max(most, heapSize());
    return Promise.reject(failure);
  });
  await expectFailure(race(attempts), count);
  return (Math.max(most, heapSize()) - before) / 1e6;
}

async function expectFailure(
  race: Promise<unknown>,
  count: number,
): Promise<void> {
  const error = await race.catch((error: AggregateError) => error);
  if ((error as AggregateError).errors?.length === count) return;
  throw new Error("The race did not end as it should", { cause: error });
}

/** Bun's number is that of the last collection, so there it has no garbage. */
function heapSize(): number {
  if ("Bun" in globalThis) gc();
  return process.memoryUsage().heapUsed;
}
