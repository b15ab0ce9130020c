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
 * change its mind about what comes next. The decision is one synchronous step,
 * and promises are few, because each shows in the price of a connection.
 *
 * @module
 */

import { checkAtLeast } from "./check.ts";
import type { Clock } from "./clock.ts";

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
  readonly clock: Clock;
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
  readonly value: Promise<T>;

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
  /** When the race looks again at the latest, and what ends its waits. */
  let alarmTime = Infinity;
  let waits: AbortController | undefined;
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const winner = new Promise<T>((...settle) => [resolve, reject] = settle);

  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  proceed();
  return {
    value: winner,
    wake(time) {
      due = Math.min(due, time);
      proceed();
    },
    fail,
  };

  /** Does what is next, if anything: the end, a start, or a wait for it. */
  function proceed(): void {
    if (isExhausted && !running.size) fail(failure(errors, sourceError));
    if (!isIdle) return;
    const now = clock.now();
    const time = running.has(newest!)
      ? Math.max(due, ...running.values())
      : now;
    if (time > now) waitUntil(time);
    else pull();
  }

  /**
   * Looks again at `time`, or before. Each start moves that to a later time, so
   * a wait that is under way is left alone.
   */
  function waitUntil(time: number): void {
    if (alarmTime <= time) return;
    alarmTime = time;
    waits ??= new AbortController();
    clock.sleep(Math.max(0, time - clock.now()), waits.signal).then(() => {
      if (alarmTime !== time) return;
      alarmTime = Infinity;
      proceed();
    });
  }

  function endWaits(): void {
    alarmTime = -Infinity;
    waits?.abort(null);
  }

  async function pull(): Promise<void> {
    isIdle = false;
    try {
      let step = source.next();
      if ("then" in step) step = await step;
      if (isDecided) return;
      if (!step.done) return start(step.value);
    } catch (cause) {
      sourceError = { cause };
    }
    isExhausted = true;
    endWaits();
    proceed();
  }

  /** The life of one attempt. */
  function start(item: A): void {
    const index = started++;
    const startTime = clock.now();
    try {
      due = startTime + delay(index);
    } catch (error) {
      return fail(error);
    }
    isIdle = true;
    // A start ends all holds.
    for (const [other] of running) running.set(other, startTime);
    const controller = new AbortController();
    const emitEnd = (outcome: Outcome, failure?: Failure) =>
      emit({ type: "attempt-end", index, startTime, outcome, ...failure });
    const cancel = newest = (reason?: unknown) => {
      emitEnd("canceled");
      controller.abort(reason);
    };
    const holdNext = (ms: number) => {
      const until = clock.now() + checkAtLeast("race: holdNext", ms);
      if (!running.has(cancel)) return;
      running.set(cancel, Math.max(until, running.get(cancel)!));
    };
    running.set(cancel, startTime);
    emit({ type: "attempt-start", index, time: startTime });
    // A listener may have aborted the race while it heard of this start.
    if (isDecided) return;
    waitUntil(due);

    // Whatever it does is heard a microtask later, so nothing recurses.
    settled(() => attempt(item, controller.signal, { index, holdNext })).then(
      (value) => {
        if (signal?.aborted) onAbort();
        if (running.delete(cancel)) {
          resolve(value);
          return decide({ outcome: "connected", index }, emitEnd);
        }
        // Too late: disposed of once, heard only as an event.
        settled(() => discard(value)).then(
          () => emit({ type: "discard", index }),
          (error) => emit({ type: "discard", index, error }),
        );
      },
      (error) => {
        if (!running.delete(cancel)) return;
        errors[index] = error;
        emitEnd("failed", { error });
        if (isExhausted || started % STARTS_PER_TURN) proceed();
        else waitUntil(startTime);
      },
    );
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
    endWaits();
    signal?.removeEventListener("abort", onAbort);
    // An async generator queues return() behind a pending next(), which may
    // never settle: it is told, not waited for, and its trouble is its own.
    settled(() => isExhausted || source.return?.()).catch(() => {});
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

/** What `action` returns or throws, as a promise. */
function settled<T>(action: () => T | PromiseLike<T>): Promise<T> {
  try {
    return Promise.resolve(action());
  } catch (error) {
    return Promise.reject(error);
  }
}
