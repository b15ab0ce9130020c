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
  check,
  checkAtLeast,
  checkNames,
  checkOptional,
  isFunction,
  isObject,
  messageOf,
  type Names,
} from "./core/check.ts";
import type { Clock } from "./core/clock.ts";
import {
  type AttemptControl,
  type RaceEvent,
  type RaceSource,
  startRace,
} from "./core/race.ts";
import { systemClock } from "./runtime/system_clock.ts";

/** How many errors the message of a lost race tells, and in how many letters. */
const MOST_TOLD = 64;
const MOST_LETTERS = 1000;

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
  /**
   * What time is measured by, for tests.
   *
   * @default the system's clock, with the timers and the `performance.now` that
   * were there when the package was imported: fakes installed later do not
   * reach it, those installed before do
   */
  clock?: Clock | undefined;
}

const OPTIONS: Names<RaceOptions<unknown>> = {
  delay: 1,
  signal: 1,
  onDiscard: 1,
  onEvent: 1,
  clock: 1,
};

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
  attempts: Partial<
    AsyncIterable<RaceAttempt<T>> & Iterable<RaceAttempt<T>>
  >,
  options: RaceOptions<T> = {},
): Promise<T> {
  const open: (() => RaceSource<RaceAttempt<T>>) | undefined =
    attempts?.[Symbol.asyncIterator] ?? attempts?.[Symbol.iterator];
  check("race: attempts", "an iterable", attempts, isFunction(open));
  check("race: options", "an object", options, isObject(options));
  checkNames("race", Object.keys(options), OPTIONS);
  const {
    delay = 250,
    signal,
    onDiscard = dispose,
    onEvent,
    clock = systemClock,
  } = options;
  const delayOf = (index: number) =>
    checkAtLeast("race: delay", isFunction(delay) ? delay(index) : delay);
  if (!isFunction(delay)) delayOf(0);
  checkOptional(
    "race: signal",
    "an AbortSignal",
    signal,
    signal?.throwIfAborted,
  );
  checkOptional("race: onDiscard", "a function", onDiscard, onDiscard);
  checkOptional("race: onEvent", "a function", onEvent, onEvent);
  checkOptional("race: clock", "a Clock", clock, clock?.sleep);

  return await startRace<RaceAttempt<T>, T>({
    source: open.call(attempts),
    attempt: (run, signal, control) => run(signal, control),
    delay: delayOf,
    clock,
    signal,
    discard: onDiscard,
    failure(errors, source) {
      if (source) errors.push(source.cause);
      const messages = errors.slice(0, MOST_TOLD).map(messageOf);
      const what = errors.length > 0
        ? `all attempts failed: ${messages.join(", ").slice(0, MOST_LETTERS)}`
        : "there are no attempts";
      return new AggregateError(errors, `Cannot race: ${what}`, source);
    },
    onEvent,
  }).value;
}

type MaybeDisposable = Partial<AsyncDisposable & Disposable> | null | undefined;

/** Disposes of a value that nobody wants, where it says how. */
export function dispose(value: unknown): unknown {
  return ((value as MaybeDisposable)?.[Symbol.asyncDispose] ??
    (value as MaybeDisposable)?.[Symbol.dispose])?.call(value as object);
}
