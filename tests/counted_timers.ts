/**
 * The timers that code makes by the globals, counted.
 *
 * The system's clock keeps the globals that it finds when it is imported, so
 * this module has to be imported before it. The globals stay wrapped: each
 * count is that of a `CountedTimers` between its making and its end.
 *
 * @module
 */

const { setTimeout, clearTimeout } = globalThis;
const counters = new Set<CountedTimers>();

const start = (run: () => void, ms?: number) => {
  const timer = setTimeout(() => {
    for (const counter of counters) counter.running.delete(timer);
    run();
  }, ms);
  for (const counter of counters) {
    counter.made++;
    counter.running.add(timer);
  }
  return timer;
};

globalThis.setTimeout = start as typeof globalThis.setTimeout;
globalThis.clearTimeout = (timer) => {
  for (const counter of counters) counter.running.delete(timer);
  clearTimeout(timer);
};

/** Counts from its making until it is disposed of. */
export class CountedTimers implements Disposable {
  /** How many were made. */
  made = 0;
  /** Those that have neither fired nor been cleared. */
  readonly running: Set<unknown> = new Set();

  constructor() {
    counters.add(this);
  }

  [Symbol.dispose](): void {
    counters.delete(this);
  }
}
