/**
 * The system's clock: the one file that touches timers.
 *
 * `performance.now()` is monotonic, `Date.now()` is not. A timer that outlives
 * its wait keeps the process alive, so each can be cancelled.
 *
 * @module
 */

import type { CallbackClock } from "../core/clock.ts";

/** The longest delay `setTimeout` takes, in ms; longer ones fire at once. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** The clock everything uses unless it is given another. */
export const systemClock: CallbackClock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_TIMEOUT));
    return () => clearTimeout(timer);
  },
};
