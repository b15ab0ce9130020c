/**
 * The clock of a race for one socket: what `unref()` of the socket lets go has
 * to include the timers, or a process would wait for the next attempt.
 *
 * @module
 */

import timers from "node:timers";

import type { Clock } from "../../core/clock.ts";
import { LONGEST_TIMEOUT, systemClock } from "../../runtime/system_clock.ts";

// As those of the system's clock, they stay what they were at the import.
const { setTimeout: setTimer, clearTimeout: clearTimer } = timers;

/** The system's clock, with timers that keep the process alive or do not. */
export class RaceClock implements Clock {
  readonly now: () => number = systemClock.now;
  readonly #timers = new Set<NodeJS.Timeout>();
  #isRef = true;

  /** Waits as that of the system does. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimer(timer);
        this.#timers.delete(timer);
        resolve();
      };
      const timer = setTimer(end, Math.min(ms, LONGEST_TIMEOUT));
      this.#timers.add(timer);
      if (!this.#isRef) timer.unref();
      signal?.addEventListener("abort", end);
    });
  }

  /** Whether waits keep the process alive. */
  setRef(isRef: boolean): void {
    this.#isRef = isRef;
    for (const timer of this.#timers) {
      if (isRef) timer.ref();
      else timer.unref();
    }
  }
}
