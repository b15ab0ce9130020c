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
 * change its mind about what comes next. The decision is one synchronous step.
 *
 * @module
 */

import { checkAtLeast } from "./check.ts";
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
}

/** All that a race is made of. */
export interface RacePlan<A, T> {
  readonly source: RaceSource<A>;
  readonly attempt: (
    item: A,
    signal: AbortSignal,
    control: AttemptControl,
  ) => T | PromiseLike<T>;
  /** Milliseconds from the start of attempt `index` to the next; may throw. */
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
  readonly onEvent: ((event: RaceEvent) => void) | undefined;
}

/** A race under way. */
export interface Race<T> {
  /** The winner's value, or why there is none. */
  readonly result: Promise<T>;

  /** Ends the newest attempt's head start at `time`. A hold still counts. */
  wake(time: number): void;

  /** Ends the race with `error`, whatever is still running. */
  fail(error: unknown): void;
}

/** What happened to an attempt before the decision, or by it. */
export type AttemptEvent = Extract<
  RaceEvent,
  { type: "attempt-start" | "attempt-end" }
>;

type End = Extract<RaceEvent, { type: "end" }>;
type Outcome = Extract<RaceEvent, { type: "attempt-end" }>["outcome"];

/** An event that need not have its time yet. */
type Untimed<E = RaceEvent> = E extends RaceEvent
  ? Omit<E, "time"> & { time?: number }
  : never;

type Cancel = (reason?: unknown) => void;

/** Why something failed; an error may be `undefined`. */
interface Failure {
  readonly error: unknown;
}

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
  /** How to cancel each attempt under way: until when it holds the next back. */
  const running = new Map<Cancel, number>();
  let newest: Cancel | undefined;
  const errors: unknown[] = [];
  let sourceError: { readonly cause: unknown } | undefined;
  let started = 0;
  /** Whether to pull the source: it may have more, and no pull is under way. */
  let isIdle = true;
  let isExhausted = false;
  let isDecided = false;
  /** When the head start of the newest attempt is over, unless it has failed. */
  let due = Infinity;
  /** When the one timer looks for a start that is due, and how to end it. */
  let alarmTime = Infinity;
  let cancelAlarm: (() => void) | undefined;
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const result = new Promise<T>((...settle) => [resolve, reject] = settle);

  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  proceed(true);
  return {
    result,
    wake(time) {
      due = Math.min(due, time);
      proceed();
    },
    fail,
  };

  /** Does what is next, if anything: the end, a start, or a wait for it. */
  async function proceed(
    mayStart: boolean = started % STARTS_PER_TURN > 0,
  ): Promise<void> {
    if (isExhausted && !running.size) fail(failure(errors, sourceError));
    if (!isIdle) return;
    const now = clock.now();
    const time = running.has(newest!)
      ? Math.max(now, due, ...running.values())
      : now;
    if (mayStart && time === now) {
      isIdle = false;
      try {
        let step = source.next();
        if ("then" in step) step = await step;
        if (isDecided) return;
        if (!step.done) return start(step.value).catch(fail);
      } catch (cause) {
        sourceError = { cause };
      }
      isExhausted = true;
      cancelAlarm?.();
      proceed();
    } else if (time < alarmTime) {
      // Each start moves this to a later time, so a timer that is already
      // running is left alone: it looks again when it fires.
      cancelAlarm?.();
      alarmTime = time;
      cancelAlarm = clock.after(time - now, () => {
        alarmTime = Infinity;
        proceed(true);
      });
    }
  }

  /** The life of one attempt. */
  async function start(item: A): Promise<void> {
    const index = started++;
    const startTime = clock.now();
    due = startTime + delay(index);
    isIdle = true;
    for (const [other] of running) running.set(other, startTime);
    const controller = new AbortController();
    const emitEnd = (outcome: Outcome, failure?: Failure) =>
      emit({ type: "attempt-end", index, startTime, outcome, ...failure });
    const cancel = newest = (reason?: unknown) => {
      emitEnd("canceled");
      controller.abort(reason);
    };
    const holdNext = (ms: number) => {
      const until = clock.now() + checkAtLeast("race", "holdNext", 0, ms);
      if (!running.has(cancel)) return;
      running.set(cancel, Math.max(until, running.get(cancel)!));
    };
    running.set(cancel, startTime);
    emit({ type: "attempt-start", index, time: startTime });
    // A listener may have aborted the race while it heard of this start.
    if (isDecided) return;
    proceed(false);

    // Whatever it does is heard a microtask later, so nothing recurses.
    let value!: T;
    const fault = await failureOf(async () =>
      value = await attempt(item, controller.signal, { index, holdNext })
    );
    if (signal?.aborted) onAbort();
    if (running.delete(cancel)) {
      if (!fault) {
        resolve(value);
        return decide({ outcome: "connected", index }, emitEnd);
      }
      errors[index] = fault.error;
      emitEnd("failed", fault);
      proceed();
    } else if (!fault) {
      // Too late: disposed of once, heard only as an event.
      emit({
        type: "discard",
        index,
        ...await failureOf(() => discard(value)),
      });
    }
  }

  function onAbort(): void {
    fail(signal!.reason, "aborted");
  }

  function fail(error: unknown, outcome: End["outcome"] = "failed"): void {
    reject(error);
    decide({ outcome, error });
  }

  /** From here on nothing starts, and the race holds no timer or listener. */
  function decide(
    end: Pick<End, "outcome" | "index" | "error">,
    emitEnd?: (outcome: Outcome) => void,
  ): void {
    if (isDecided) return;
    isDecided = true;
    isIdle = false;
    cancelAlarm?.();
    signal?.removeEventListener("abort", onAbort);
    // An async generator queues return() behind a pending next(), which may
    // never settle: it is told, not waited for, and its trouble is its own.
    failureOf(() => isExhausted || source.return?.());
    emitEnd?.("won");
    for (const [cancel] of running) {
      running.delete(cancel);
      cancel(end.error);
    }
    emit({ type: "end", ...end });
  }

  function emit(event: Untimed): void {
    try {
      onEvent?.({ time: clock.now(), ...event } as RaceEvent);
    } catch {
      // Watching must not change what is watched.
    }
  }
}

/** Runs `action`, at once, and tells what it throws or rejects with. */
async function failureOf(action: () => unknown): Promise<Failure | undefined> {
  try {
    await action();
  } catch (error) {
    return { error };
  }
}
