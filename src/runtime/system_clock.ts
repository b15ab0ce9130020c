/**
 * The system's clock: the one file that touches timers.
 *
 * `performance.now()` is monotonic, `Date.now()` is not. A timer that outlives
 * its wait keeps the process alive, so each can be cancelled.
 *
 * @module
 */

import type { Clock } from "../core/clock.ts";

/** 23 days in ms: what `setTimeout` takes, but 2^31 and more fire at once. */
const LONGEST_TIMEOUT = 2e9;

/**
 * The clock everything uses unless it is given another. Longer waits than a
 * timer can be set for end early, and `signal` is not to be aborted before.
 */
export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, LONGEST_TIMEOUT));
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    }),
};
