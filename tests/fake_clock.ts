/**
 * Virtual time for tests: hours pass in an instant, and every instant is exact.
 *
 * Whenever nothing can run any more, time jumps to the next timer. "Nothing can
 * run" means that one turn of the macrotask queue has passed: `setImmediate`
 * comes after every microtask on all three runtimes (a MessageChannel came too
 * early on Deno). Timers of the same instant fire one by one in the order they
 * were set, with such a turn between them, as on a real event loop.
 *
 * There are two kinds of timers. Sleeps belong to the code under test and are
 * counted by `pending`, so that a timer left behind is seen. What is scheduled
 * by `at()` belongs to the world of the test: a peer that answers later.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { Clock } from "../src/core/clock.ts";

/** How many timers may fire at one instant before time is called stuck. */
const LONGEST_INSTANT = 50_000;

interface Timer {
  readonly time: number;
  readonly fire: () => void;
}

/** A clock that stands still until everything waits for it. */
export class FakeClock implements Clock {
  /** Every duration that `sleep()` was asked for, in order. */
  readonly sleeps: number[] = [];
  #now = 0;
  #timers: Timer[] = [];
  #sleeping = 0;
  #firedNow = 0;

  /** Milliseconds since this clock was made. */
  now(): number {
    return this.#now;
  }

  /** How many sleeps are under way. */
  get pending(): number {
    return this.#sleeping;
  }

  /**
   * Resolves after `ms` virtual milliseconds, or when `signal` aborts.
   *
   * @throws {RangeError} when `ms` is negative or NaN: real timers would fire
   * at once and hide the mistake.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (!(ms >= 0)) throw new RangeError(`Cannot sleep: ${ms} ms`);
    this.sleeps.push(ms);
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#sleeping++;
      const wake = () => {
        cancel();
        signal?.removeEventListener("abort", wake);
        this.#sleeping--;
        resolve();
      };
      const cancel = this.at(this.#now + ms, wake);
      signal?.addEventListener("abort", wake);
    });
  }

  /** Runs `action` at `time`, which is not in the past; returns the cancel. */
  at(time: number, action: () => void): () => void {
    if (!(time >= this.#now)) {
      throw new RangeError(`Cannot go back from ${this.#now} to ${time}`);
    }
    const timer: Timer = { time, fire: action };
    let index = this.#timers.length;
    while (index > 0 && (this.#timers[index - 1] as Timer).time > time) index--;
    this.#timers.splice(index, 0, timer);
    return () => {
      const at = this.#timers.indexOf(timer);
      if (at >= 0) this.#timers.splice(at, 1);
    };
  }

  /**
   * Lets time pass until `promise` settles, and settles like it.
   *
   * @throws {Error} when it cannot settle any more, because no timer is left.
   */
  async run<T>(promise: PromiseLike<T>): Promise<T> {
    let settled = false;
    const settle = () => {
      settled = true;
    };
    promise.then(settle, settle);
    for (;;) {
      await turn();
      if (settled) return await promise;
      if (!this.#jump()) {
        throw new Error(
          `deadlock at t=${this.#now}: nothing is scheduled, ` +
            `${this.#sleeping} endless sleeps`,
        );
      }
    }
  }

  /** Lets time pass until no finite timer is left, or until `time`. */
  async finish(time: number = Infinity): Promise<void> {
    await turn();
    while (this.#jump(time)) await turn();
    if (time < Infinity) this.#now = Math.max(this.#now, time);
  }

  /** The program is busy, or the computer asleep: time passes, nothing runs. */
  stall(ms: number): void {
    this.#now += ms;
  }

  /** Goes to the next timer and fires it; false when there is none. */
  #jump(until = Infinity): boolean {
    const next = this.#timers[0];
    if (next === undefined || next.time === Infinity || next.time > until) {
      return false;
    }
    this.#firedNow = next.time <= this.#now ? this.#firedNow + 1 : 0;
    if (this.#firedNow > LONGEST_INSTANT) {
      throw new Error(`time is stuck at t=${this.#now}: timers set timers`);
    }
    this.#timers.shift();
    this.#now = Math.max(this.#now, next.time);
    next.fire();
    return true;
  }
}

/** One turn of the macrotask queue: every microtask has run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
