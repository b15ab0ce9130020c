/**
 * `staggeredRace()`: the scheduler of this library for any other job that has
 * several ways to one goal, such as mirrors, replicas or proxies.
 *
 * The race itself is `core/race.ts`. This file gives it a public shape: it
 * checks the arguments, turns any iterable into a source, and fills in the
 * system's clock.
 *
 * @module
 */

import {
  checkFunction,
  checkMethod,
  checkNotNegative,
  checkObject,
  invalid,
} from "./core/check.ts";
import { callbackClock, type Clock } from "./core/clock.ts";
import {
  type AttemptControl,
  type RaceEvent,
  type RaceSource,
  startRace,
} from "./core/race.ts";
import { systemClock } from "./runtime/system_clock.ts";

/**
 * One way to the goal. `signal` aborts when the attempt is no longer wanted;
 * the winner's never does.
 */
export type RaceAttempt<T = unknown> = (
  signal: AbortSignal,
  control: AttemptControl,
) => T | PromiseLike<T>;

/** Options of {@linkcode staggeredRace}. */
export interface RaceOptions<T> {
  /**
   * Milliseconds from the start of an attempt to the next start while it is
   * neither done nor failed; or a function that tells it for the attempt of
   * that index. `0` starts them back to back, `Infinity` strictly one after
   * another.
   *
   * @default 250 (RFC 8305 section 8, Connection Attempt Delay)
   */
  delay?: number | ((index: number) => number) | undefined;
  /** Aborts the whole race; it then rejects with `signal.reason` itself. */
  signal?: AbortSignal | undefined;
  /**
   * Disposes of what a loser delivered after the decision, called once each.
   *
   * @default the value's own `Symbol.asyncDispose` or `Symbol.dispose`
   */
  onDiscard?: ((value: T) => unknown) | undefined;
  /** Hears synchronously of each start and end; what it throws is ignored. */
  onEvent?: ((event: RaceEvent) => void) | undefined;
  /** What time is measured by, for tests. @default the system's clock */
  clock?: Clock | undefined;
}

/**
 * Starts attempts one after another and returns the first success.
 *
 * The first attempt starts at once. The next one is pulled from `attempts` and
 * started when the newest has failed, or when `delay` milliseconds have passed
 * since it started. At the first success all others are aborted, and the
 * result is returned without waiting for them.
 *
 * ```ts
 * import { staggeredRace } from "@stagger/happy-eyeballs";
 *
 * const text = await staggeredRace([
 *   (signal) => new Promise<string>((_, reject) => {
 *     signal.onabort = () => reject(signal.reason);
 *   }),
 *   () => "the second mirror",
 * ], { delay: 20 });
 * console.log(text); // the second mirror
 * ```
 *
 * @throws {AggregateError} when every attempt failed: `errors` in start order;
 * an error of the source itself comes last and is the `cause`.
 * @throws {TypeError | RangeError} when an argument is wrong, before anything
 * starts, or when `delay` returns such a value.
 */
export function staggeredRace<T extends readonly unknown[] | []>(
  attempts: { readonly [K in keyof T]: RaceAttempt<T[K]> },
  options?: RaceOptions<Awaited<T[number]>>,
): Promise<Awaited<T[number]>>;
/**
 * Starts attempts one after another and returns the first success.
 *
 * The same for attempts that come from an iterable or async iterable, which is
 * pulled only when the next start is due.
 */
export function staggeredRace<A extends RaceAttempt>(
  attempts: Iterable<A> | AsyncIterable<A>,
  options?: RaceOptions<Awaited<ReturnType<A>>>,
): Promise<Awaited<ReturnType<A>>>;
export async function staggeredRace<T>(
  attempts: Iterable<RaceAttempt<T>> | AsyncIterable<RaceAttempt<T>>,
  options: RaceOptions<T> = {},
): Promise<T> {
  const source = iterate(attempts);
  checkObject("race", "options", options);
  const { delay = 250, signal, onDiscard, onEvent, clock } = options;
  if (typeof delay !== "function") checkNotNegative("race", "delay", delay);
  checkMethod("race", "signal", signal, "an AbortSignal", "throwIfAborted");
  checkFunction("race", "onDiscard", onDiscard);
  checkFunction("race", "onEvent", onEvent);
  checkMethod("race", "clock", clock, "a Clock", "sleep");

  return await startRace<RaceAttempt<T>, T>({
    source,
    attempt: (run, signal, control) => run(signal, control),
    delay(index) {
      if (typeof delay !== "function") return delay;
      const ms = delay(index);
      checkNotNegative("race", "delay", ms);
      return ms;
    },
    clock: clock ? callbackClock(clock) : systemClock,
    signal,
    discard: onDiscard ?? dispose,
    failure(errors, source) {
      if (source) errors.push(source.cause);
      const message = "Cannot race: every attempt failed";
      return new AggregateError(errors, message, source);
    },
    onEvent,
  }).result;
}

/** An iterable as a source; its iterator is made at the first pull. */
function iterate<A>(items: Iterable<A> | AsyncIterable<A>): RaceSource<A> {
  const iterable = items as Partial<Iterable<A> & AsyncIterable<A>> | null;
  const open: (() => RaceSource<A>) | undefined =
    iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator];
  if (typeof open !== "function") {
    throw invalid("race", "attempts", "an iterable or async iterable", items);
  }
  let iterator: RaceSource<A> | undefined;
  return {
    next: () => (iterator ??= open.call(items)).next(),
    return: () => iterator?.return?.(),
  };
}

/** Disposes of a value that nobody wants, where it says how. */
export function dispose(value: unknown): unknown {
  const resource = value as Partial<AsyncDisposable & Disposable> | null;
  const dispose = resource?.[Symbol.asyncDispose] ??
    resource?.[Symbol.dispose];
  return dispose?.call(resource);
}
