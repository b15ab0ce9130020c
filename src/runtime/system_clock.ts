/**
 * The system's clock: the one file that touches timers.
 *
 * `performance.now()` is monotonic, `Date.now()` is not. A timer that outlives
 * its wait keeps the process alive, so each can be cancelled.
 *
 * @module
 */

import type { CallbackClock } from "../core/clock.ts";

/** 23 days in ms: what `setTimeout` takes, but 2^31 and more fire at once. */
const LONGEST_TIMEOUT = 2e9;

/** The clock everything uses unless it is given another. */
export const systemClock: CallbackClock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_TIMEOUT));
    return () => clearTimeout(timer);
  },
};
