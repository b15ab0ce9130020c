/**
 * Several ways to one goal, started one after another, the first success wins.
 *
 * Starting all at once wastes work; starting each only when the one before has
 * failed makes a single dead way cost its whole timeout. So the next attempt
 * starts when the newest one has failed, or when it has had a head start and
 * is still not done. Nobody is stopped because another one began. At the first
 * success the others are aborted, and whatever they deliver afterwards is
 * discarded, once each.
 *
 * The source of attempts is pulled lazily, one item at a time, so it can still
 * change its mind about what comes next. This file is callbacks rather than
 * async functions because each promise, controller and timer shows in the
 * price of a connection; the decision is one synchronous step.
 *
 * @module
 */

import { callAfter, type Clock } from "./clock.ts";

/** What an attempt can tell the race that runs it. */
export interface AttemptControl {
  /** The attempt's place in the order of starts, from 0. */
  readonly index: number;

  /**
   * Holds the next start back until at least `ms` milliseconds from now,
   * because this attempt has made progress. Never moves it earlier, and ends
   * with this attempt; the newest attempt's failure still starts the next one
   * at once.
   *
   * @throws {RangeError} when `ms` is negative or NaN.
   */
  holdNext(ms: number): void;
}

/** Something that happened in a race. `time` is in the clock's milliseconds. */
export type RaceEvent =
  | { type: "attempt-start"; time: number; index: number }
  | {
    type: "attempt-end";
    time: number;
    index: number;
    startTime: number;
    outcome: "won" | "failed" | "canceled";
    error?: unknown;
  }
  | {
    type: "end";
    time: number;
    outcome: "connected" | "failed" | "aborted";
    index?: number;
    error?: unknown;
  }
  | { type: "discard"; time: number; index: number; error?: unknown };

/** An attempt that failed; instants and durations in milliseconds. */
export interface FailedAttempt<A> {
  readonly index: number;
  readonly item: A;
  readonly startTime: number;
  readonly duration: number;
  readonly error: unknown;
}

/** Where a race gets its attempts from: an iterator, synchronous or not. */
export interface RaceSource<A> {
  next(): IteratorResult<A, unknown> | PromiseLike<IteratorResult<A, unknown>>;
  /** Called once at the decision, unless the source is exhausted or threw. */
  return?(): unknown;
  /** Whether it is already known that nothing more will come. */
  ended?(): boolean;
}

/** All that a race is made of. */
export interface RacePlan<A, T> {
  readonly source: RaceSource<A>;
  readonly attempt: (
    item: A,
    signal: AbortSignal,
    control: AttemptControl,
  ) => T | PromiseLike<T>;
  /** Milliseconds from the start of attempt `index` to the next start. */
  readonly delay: (index: number) => number;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** Disposes of what a loser delivered after the decision. */
  readonly discard: (value: T) => unknown;
  /** Makes the race's error when every attempt failed, in start order. */
  readonly failure: (
    attempts: FailedAttempt<A>[],
    source?: { readonly error: unknown },
  ) => unknown;
  readonly onEvent: ((event: RaceEvent, item?: A) => void) | undefined;
}

interface RunningAttempt<A> {
  readonly index: number;
  readonly item: A;
  readonly startTime: number;
  readonly controller: AbortController;
}

/**
 * How many attempts in a row may start in one turn of the event loop. A source
 * without end whose attempts all fail at once would otherwise keep timers, and
 * with them every abort, from ever being heard.
 */
const STARTS_PER_TURN = 1000;

/** One race under way: begins with its construction, ends with `result`. */
export class Race<A, T> {
  /** The winner's value, or why there is none. */
  readonly result: Promise<T>;

  readonly #plan: RacePlan<A, T>;
  #resolve!: (value: T) => void;
  #reject!: (error: unknown) => void;
  #decided = false;

  readonly #running = new Map<number, RunningAttempt<A>>();
  readonly #failed: FailedAttempt<A>[] = [];
  /** How many have started; the newest attempt's index is one less. */
  #started = 0;
  #startsThisTurn = 0;

  #pulling = false;
  #exhausted = false;
  #sourceError: { readonly error: unknown } | undefined;

  /** When the newest attempt's head start is over. */
  #due = Infinity;
  /** Until when each running attempt wants the next start held back. */
  readonly #holds = new Map<number, number>();
  /** The one timer: when it looks for a start that is due, and how to end it. */
  #alarm: { readonly time: number; readonly cancel: () => void } | undefined;

  constructor(plan: RacePlan<A, T>) {
    this.#plan = plan;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (plan.signal?.aborted) {
      this.#abort();
    } else {
      plan.signal?.addEventListener("abort", this.#abort);
      this.#pull();
    }
  }

  /**
   * Ends the newest attempt's head start early, `minimum` milliseconds after
   * it began at the earliest. A hold still counts, and so does a head start
   * without end.
   */
  wake(minimum: number): void {
    const newest = this.#running.get(this.#started - 1);
    if (!newest || this.#due === Infinity) return;
    this.#due = Math.min(this.#due, newest.startTime + minimum);
    this.#reschedule();
  }

  /** Ends the race with `error`, whatever is still running. */
  fail(error: unknown): void {
    if (this.#decided) return;
    this.#decide();
    this.#cancelRunning();
    this.#emit({ type: "end", time: this.#now(), outcome: "failed", error });
    this.#reject(error);
  }

  #pull(): void {
    if (this.#decided || this.#pulling || this.#exhausted) return;
    this.#pulling = true;
    try {
      const step = this.#plan.source.next();
      if ("then" in step) Promise.resolve(step).then(this.#pulled, this.#broke);
      else this.#pulled(step);
    } catch (error) {
      this.#broke(error);
    }
  }

  readonly #pulled = (step: IteratorResult<A, unknown>): void => {
    this.#pulling = false;
    if (this.#decided) return;
    try {
      if (!step.done) return this.#start(step.value);
    } catch (error) {
      return this.#broke(error);
    }
    this.#exhaust();
  };

  readonly #broke = (error: unknown): void => {
    this.#pulling = false;
    this.#sourceError = { error };
    this.#exhaust();
  };

  #exhaust(): void {
    this.#exhausted = true;
    this.#clearAlarm();
    this.#failIfNothingIsLeft();
  }

  #start(item: A): void {
    const index = this.#started;
    let delay: number;
    try {
      delay = this.#plan.delay(index);
    } catch (error) {
      return this.fail(error);
    }
    const attempt = {
      index,
      item,
      startTime: this.#now(),
      controller: new AbortController(),
    };
    this.#started++;
    this.#running.set(index, attempt);
    this.#holds.clear();
    this.#due = attempt.startTime + delay;
    this.#emit({ type: "attempt-start", time: attempt.startTime, index }, item);
    // A listener may have aborted the race while it heard of this start.
    if (this.#decided) return;
    this.#setAlarm();
    this.#run(attempt);
  }

  /** Whatever the attempt does, it is heard a microtask later: no recursion. */
  #run(attempt: RunningAttempt<A>): void {
    const { index, item, controller } = attempt;
    const control: AttemptControl = {
      index,
      holdNext: (ms) => this.#holdNext(index, ms),
    };
    let outcome: Promise<T>;
    try {
      outcome = Promise.resolve(
        this.#plan.attempt(item, controller.signal, control),
      );
    } catch (error) {
      outcome = Promise.reject(error);
    }
    outcome.then(
      (value) => this.#onValue(attempt, value),
      (error) => this.#onError(attempt, error),
    );
  }

  #onValue(attempt: RunningAttempt<A>, value: T): void {
    if (this.#plan.signal?.aborted) this.#abort();
    if (!this.#running.delete(attempt.index)) {
      return this.#discard(attempt, value);
    }
    this.#decide();
    this.#emitEnd(attempt, "won");
    this.#cancelRunning();
    const { index } = attempt;
    this.#emit({ type: "end", time: this.#now(), outcome: "connected", index });
    this.#resolve(value);
  }

  #onError(attempt: RunningAttempt<A>, error: unknown): void {
    const { index, item, startTime } = attempt;
    if (!this.#running.delete(index)) return;
    const duration = this.#now() - startTime;
    this.#failed.push({ index, item, startTime, duration, error });
    this.#emitEnd(attempt, "failed", error);
    if (index === this.#started - 1) this.#startNextAtOnce();
    else if (this.#holds.delete(index)) this.#reschedule();
    this.#failIfNothingIsLeft();
  }

  #startNextAtOnce(): void {
    if (++this.#startsThisTurn < STARTS_PER_TURN) return this.#pull();
    this.#holds.clear();
    this.#due = this.#now();
    this.#setAlarm();
  }

  #holdNext(index: number, ms: number): void {
    if (!(ms >= 0)) {
      throw new RangeError(
        `Cannot hold the next attempt back: ms must be at least 0, got ${ms}`,
      );
    }
    if (!this.#running.has(index)) return;
    const until = this.#now() + ms;
    this.#holds.set(index, Math.max(until, this.#holds.get(index) ?? until));
    this.#setAlarm();
  }

  /** After a change that may have moved the next start to an earlier time. */
  #reschedule(): void {
    if (this.#nextStart() <= this.#now()) this.#pull();
    else this.#setAlarm();
  }

  #nextStart(): number {
    return Math.max(this.#due, ...this.#holds.values());
  }

  /**
   * Sees to it that the next start is not missed. Each start moves it to a
   * later time, so a timer that is already running is left alone: it looks
   * again when it fires.
   */
  #setAlarm(): void {
    const time = this.#nextStart();
    if (this.#decided || this.#pulling || this.#exhausted) return;
    if (this.#alarm && this.#alarm.time <= time) return;
    this.#clearAlarm();
    if (time === Infinity || this.#plan.source.ended?.()) return;
    const wait = Math.max(0, time - this.#now());
    const cancel = callAfter(this.#plan.clock, wait, () => {
      this.#alarm = undefined;
      this.#startsThisTurn = 0;
      this.#reschedule();
    });
    this.#alarm = { time, cancel };
  }

  #clearAlarm(): void {
    this.#alarm?.cancel();
    this.#alarm = undefined;
  }

  readonly #abort = (): void => {
    if (this.#decided) return;
    const error: unknown = this.#plan.signal?.reason;
    this.#decide();
    this.#cancelRunning(error);
    this.#emit({ type: "end", time: this.#now(), outcome: "aborted", error });
    this.#reject(error);
  };

  #failIfNothingIsLeft(): void {
    if (this.#decided || !this.#exhausted || this.#running.size > 0) return;
    this.#failed.sort((a, b) => a.index - b.index);
    this.fail(this.#plan.failure(this.#failed, this.#sourceError));
  }

  /** From here on nothing starts, and the race holds no timer or listener. */
  #decide(): void {
    this.#decided = true;
    this.#clearAlarm();
    this.#plan.signal?.removeEventListener("abort", this.#abort);
    if (this.#exhausted) return;
    try {
      // An async generator queues return() behind a pending next(), which may
      // never settle: it is told, not waited for.
      Promise.resolve(this.#plan.source.return?.()).catch(() => {});
    } catch {
      // The source's trouble with stopping changes nothing about the result.
    }
  }

  #cancelRunning(reason?: unknown): void {
    for (const attempt of this.#running.values()) {
      this.#running.delete(attempt.index);
      this.#emitEnd(attempt, "canceled");
      attempt.controller.abort(reason);
    }
  }

  /** A success after the decision: disposed of once, heard only as an event. */
  #discard({ index, item }: RunningAttempt<A>, value: T): void {
    let disposal: Promise<unknown>;
    try {
      disposal = Promise.resolve(this.#plan.discard(value));
    } catch (error) {
      disposal = Promise.reject(error);
    }
    disposal.then(
      () => this.#emit({ type: "discard", time: this.#now(), index }, item),
      (error) =>
        this.#emit({ type: "discard", time: this.#now(), index, error }, item),
    );
  }

  #emitEnd(
    { index, item, startTime }: RunningAttempt<A>,
    outcome: "won" | "failed" | "canceled",
    error?: unknown,
  ): void {
    if (!this.#plan.onEvent) return;
    const end = { index, startTime, outcome, time: this.#now() };
    this.#emit(
      outcome === "failed"
        ? { type: "attempt-end", ...end, error }
        : { type: "attempt-end", ...end },
      item,
    );
  }

  #emit(event: RaceEvent, item?: A): void {
    try {
      this.#plan.onEvent?.(event, item);
    } catch {
      // Watching must not change what is watched.
    }
  }

  #now(): number {
    return this.#plan.clock.now();
  }
}
