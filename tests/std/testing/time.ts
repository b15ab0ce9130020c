/**
 * Offline stand-in for the part of `jsr:@std/testing/time` that this suite
 * uses, see `tests/std/assert/mod.ts` for why: virtual `setTimeout`,
 * `clearTimeout` and `Date.now`. Left out: intervals, the `Date` constructor
 * and the synchronous ticks.
 *
 * @module
 */

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** Replaces the global timers by virtual ones until it is restored. */
export class FakeTime {
  readonly start: number;
  #now: number;
  #lastId = 0;
  readonly #timers = new Map<number, Timer>();
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    now: Date.now,
  };

  /** Virtual time begins at `start`, or at the real time. */
  constructor(start?: number | string | Date | null) {
    this.start = start == null ? Date.now() : new Date(start).getTime();
    this.#now = this.start;
    Object.assign(globalThis, {
      setTimeout: this.#setTimeout,
      clearTimeout: (id: number) => void this.#timers.delete(id),
    });
    Date.now = () => this.#now;
  }

  #setTimeout = (
    callback: (...args: unknown[]) => void,
    ms = 0,
    ...args: unknown[]
  ): number => {
    this.#timers.set(++this.#lastId, {
      at: this.#now + Math.max(0, ms),
      run: () => callback(...args),
    });
    return this.#lastId;
  };

  /** The virtual time in milliseconds since the epoch. */
  get now(): number {
    return this.#now;
  }

  /** Lets what is ready to run, run: microtasks and one turn of the loop. */
  async runMicrotasks(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#real.setTimeout.call(globalThis, resolve, 0);
    });
  }

  /** Moves time by `ms`; due timers run in order, promises settle between. */
  async tickAsync(ms = 0): Promise<void> {
    const end = this.#now + ms;
    await this.runMicrotasks();
    for (let due = this.#due(end); due; due = this.#due(end)) {
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].run();
      await this.runMicrotasks();
    }
    this.#now = end;
  }

  /** The earliest timer up to `end`; of equals, the one set first. */
  #due(end: number): [number, Timer] | undefined {
    let first: [number, Timer] | undefined;
    for (const entry of this.#timers) {
      if (entry[1].at > end) continue;
      if (!first || entry[1].at < first[1].at) first = entry;
    }
    return first;
  }

  /** Puts the real timers back. */
  restore(): void {
    globalThis.setTimeout = this.#real.setTimeout;
    globalThis.clearTimeout = this.#real.clearTimeout;
    Date.now = this.#real.now;
  }

  /** Same as {@linkcode FakeTime.restore}. */
  [Symbol.dispose](): void {
    this.restore();
  }
}
