/**
 * The system's clock: the one file that touches timers.
 *
 * `performance.now()` is monotonic, `Date.now()` is not. A timer that outlives
 * its wait keeps the process alive, and a listener that does keeps its owner
 * from being collected, so each removes the other.
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
    const end = performance.now() + ms;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const arm = (left: number) => {
      timer = left > LONGEST_TIMEOUT
        ? setTimeout(() => arm(end - performance.now()), LONGEST_TIMEOUT)
        : setTimeout(callback, left);
    };
    if (ms < Infinity) arm(ms);
    return () => clearTimeout(timer);
  },

  sleep(ms, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const wake = () => {
        cancel();
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const cancel = systemClock.after(ms, wake);
      signal?.addEventListener("abort", wake);
    });
  },
};
