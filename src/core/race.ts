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

import { checkNotNegative } from "./check.ts";
import type { CallbackClock } from "./clock.ts";

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
  readonly clock: CallbackClock;
  readonly signal: AbortSignal | undefined;
  /** Disposes of what a loser delivered after the decision. */
  readonly discard: (value: T) => unknown;
  /**
   * Makes the race's error when every attempt failed, of their errors in start
   * order and that of the source.
   */
  readonly failure: (
    errors: unknown[],
    source?: { readonly cause: unknown },
  ) => unknown;
  readonly onEvent: ((event: RaceEvent, item?: A) => void) | undefined;
}

/** A race under way. */
export interface Race<T> {
  /** The winner's value, or why there is none. */
  readonly result: Promise<T>;

  /**
   * Ends the newest attempt's head start early, `minimum` milliseconds after
   * it began at the earliest. A hold still counts.
   */
  wake(minimum: number): void;

  /** Ends the race with `error`, whatever is still running. */
  fail(error: unknown): void;
}

type End = Extract<RaceEvent, { type: "end" }>;
type Outcome = Extract<RaceEvent, { type: "attempt-end" }>["outcome"];

/** An event before it has its time. */
type Untimed<E = RaceEvent> = E extends RaceEvent ? Omit<E, "time"> : never;

/**
 * How many attempts in a row may start in one turn of the event loop. A source
 * without end whose attempts all fail at once would otherwise keep timers, and
 * with them every abort, from ever being heard.
 */
const STARTS_PER_TURN = 1000;

/**
 * Starts a race. Its steps are functions inside of one, not methods of a class:
 * that is 1.5 KB less to send to a browser, whose minifier can shorten no member.
 */
export function startRace<A, T>({
  source,
  attempt,
  delay,
  clock,
  signal,
  discard,
  failure,
  onEvent,
}: RacePlan<A, T>): Race<T> {
  /** How to cancel each attempt that is under way. */
  const running = new Set<(reason?: unknown) => void>();
  /** Until when each of them wants the next start held back. */
  const holds = new Map<(reason?: unknown) => void, number>();
  const errors: unknown[] = [];
  let sourceError: { readonly cause: unknown } | undefined;
  let started = 0;
  let startsThisTurn = 0;
  /** Whether to pull the source: it may have more, and no pull is under way. */
  let isIdle = true;
  let isExhausted = false;
  let isDecided = false;
  /** When the newest attempt started, and when its head start is over. */
  let newestTime = 0;
  let due = Infinity;
  /** When the one timer looks for a start that is due, and how to end it. */
  let alarmTime = Infinity;
  let cancelAlarm: (() => void) | undefined;
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const result = new Promise<T>((...settle) => [resolve, reject] = settle);

  if (signal?.aborted) {
    onAbort();
  } else {
    signal?.addEventListener("abort", onAbort);
    pull();
  }
  return { result, wake, fail };

  function pull(): void {
    if (!isIdle) return;
    isIdle = false;
    try {
      const step = source.next();
      if ("then" in step) Promise.resolve(step).then(onStep).catch(onThrow);
      else onStep(step);
    } catch (error) {
      onThrow(error);
    }
  }

  function onStep(step: IteratorResult<A, unknown>): void {
    if (isDecided) return;
    if (step.done) exhaust();
    else start(step.value);
  }

  function onThrow(cause: unknown): void {
    sourceError = { cause };
    exhaust();
  }

  function exhaust(): void {
    isExhausted = true;
    clearAlarm();
    failIfNothingIsLeft();
  }

  /** The life of one attempt. */
  function start(item: A): void {
    const index = started;
    const startTime = newestTime = clock.now();
    try {
      due = startTime + delay(index);
    } catch (error) {
      return fail(error);
    }
    started++;
    isIdle = true;
    holds.clear();
    const controller = new AbortController();
    const emitEnd = (outcome: Outcome, failure?: { error: unknown }) =>
      emit(
        { type: "attempt-end", index, startTime, outcome, ...failure },
        item,
      );
    const cancel = (reason?: unknown) => {
      emitEnd("canceled");
      controller.abort(reason);
    };
    running.add(cancel);
    emit({ type: "attempt-start", index }, item, startTime);
    // A listener may have aborted the race while it heard of this start.
    if (isDecided) return;
    setAlarm();

    const holdNext = (ms: number) => {
      checkNotNegative("hold the next attempt back", "ms", ms);
      if (!running.has(cancel)) return;
      const until = clock.now() + ms;
      holds.set(cancel, Math.max(until, holds.get(cancel) ?? until));
      setAlarm();
    };
    // Whatever it does is heard a microtask later: no recursion.
    let outcome: Promise<T>;
    try {
      const { signal } = controller;
      outcome = Promise.resolve(attempt(item, signal, { index, holdNext }));
    } catch (error) {
      outcome = Promise.reject(error);
    }
    outcome.then((value) => {
      if (signal?.aborted) onAbort();
      if (!running.delete(cancel)) return discardLate(index, item, value);
      resolve(value);
      decide({ outcome: "connected", index }, emitEnd);
    }, (error) => {
      if (!running.delete(cancel)) return;
      errors[index] = error;
      emitEnd("failed", { error });
      if (index === started - 1) startNextAtOnce();
      else if (holds.delete(cancel)) startOrWait();
      failIfNothingIsLeft();
    });
  }

  function startNextAtOnce(): void {
    if (++startsThisTurn < STARTS_PER_TURN) return pull();
    holds.clear();
    due = clock.now();
    setAlarm();
  }

  function wake(minimum: number): void {
    due = Math.min(due, newestTime + minimum);
    startOrWait();
  }

  /** After a change that may have moved the next start to an earlier time. */
  function startOrWait(): void {
    if (nextStart() <= clock.now()) pull();
    else setAlarm();
  }

  function nextStart(): number {
    return Math.max(due, ...holds.values());
  }

  /**
   * Sees to it that the next start is not missed. Each start moves it to a
   * later time, so a timer that is already running is left alone: it looks
   * again when it fires.
   */
  function setAlarm(): void {
    const time = nextStart();
    if (!isIdle || alarmTime <= time || source.ended?.()) return;
    clearAlarm();
    alarmTime = time;
    cancelAlarm = clock.after(Math.max(0, time - clock.now()), () => {
      alarmTime = Infinity;
      startsThisTurn = 0;
      startOrWait();
    });
  }

  function clearAlarm(): void {
    cancelAlarm?.();
    alarmTime = Infinity;
  }

  function failIfNothingIsLeft(): void {
    if (isExhausted && !running.size) fail(failure(errors, sourceError));
  }

  function fail(error: unknown): void {
    reject(error);
    decide({ outcome: "failed", error });
  }

  function onAbort(): void {
    const error: unknown = signal!.reason;
    reject(error);
    decide({ outcome: "aborted", error }, undefined, error);
  }

  /** From here on nothing starts, and the race holds no timer or listener. */
  function decide(
    end: Pick<End, "outcome" | "index" | "error">,
    emitEnd?: (outcome: Outcome) => void,
    reason?: unknown,
  ): void {
    if (isDecided) return;
    isDecided = true;
    isIdle = false;
    clearAlarm();
    signal?.removeEventListener("abort", onAbort);
    try {
      // An async generator queues return() behind a pending next(), which may
      // never settle: it is told, not waited for.
      if (!isExhausted) Promise.resolve(source.return?.()).catch(() => {});
    } catch {
      // The source's trouble with stopping changes nothing about the result.
    }
    emitEnd?.("won");
    for (const cancel of running) {
      running.delete(cancel);
      cancel(reason);
    }
    emit({ type: "end", ...end });
  }

  /** A success after the decision: disposed of once, heard only as an event. */
  function discardLate(index: number, item: A, value: T): void {
    const emitDiscard = (failure?: { error: unknown }) =>
      emit({ type: "discard", index, ...failure }, item);
    new Promise((resolve) => resolve(discard(value)))
      .then(() => emitDiscard(), (error) => emitDiscard({ error }));
  }

  function emit(event: Untimed, item?: A, time: number = clock.now()): void {
    try {
      onEvent?.({ ...event, time }, item);
    } catch {
      // Watching must not change what is watched.
    }
  }
}
