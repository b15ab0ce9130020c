/**
 * The system's clock: the one file that touches timers, beside the clock of
 * sockets that may let the process end (`entry/node/race_clock.ts`).
 *
 * `performance.now()` is monotonic, `Date.now()` is not. A timer that outlives
 * its wait keeps the process alive, so each can be cancelled.
 *
 * All three functions are kept as they are when the package is imported. A test
 * that fakes time does so later, for its own code, and the network does not
 * stand still with it: a race on faked timers would never start its second
 * attempt. What was faked before the import stays faked. Bundlers drop these
 * lines where nothing races, because none of them can have an effect.
 *
 * One fake gets through: `jest.useFakeTimers()` of Bun 1.4 stops the timers and
 * clocks below JavaScript, so a test there advances them or gives a clock.
 *
 * @module
 */

import type { Clock } from "../core/clock.ts";

/** 23 days in ms: what `setTimeout` takes, but 2^31 and more fire at once. */
export const LONGEST_TIMEOUT = 2e9;

const setTimer = setTimeout;
const clearTimer = clearTimeout;

/**
 * The clock everything uses unless it is given another. Longer waits than a
 * timer can be set for end early, and `signal` is not to be aborted before.
 */
export const systemClock: Clock = {
  now: /* @__PURE__ */ performance.now.bind(performance),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const timer = setTimer(resolve, Math.min(ms, LONGEST_TIMEOUT));
      signal?.addEventListener("abort", () => resolve(clearTimer(timer)));
    }),
};
