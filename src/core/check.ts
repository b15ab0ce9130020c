/**
 * Refusing what callers must not give, in words that are the same everywhere:
 * `Cannot <subject> must be <wanted>, got <value>`. A subject is what is being
 * done and the argument, such as `connect: port`.
 *
 * A value of the wrong kind is a `TypeError`, a number out of range a
 * `RangeError`. What each option may be is in `options.ts`.
 *
 * @module
 */

/** Whether it can be called. */
export const isFunction = (
  value: unknown,
): value is (...args: never[]) => unknown => typeof value === "function";

/** Whether it has members, and is no function. */
export const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null;

/** Refuses `value` unless it `isRight`, with an error of `Kind`. */
export function check(
  subject: string,
  wanted: string,
  value: unknown,
  isRight: boolean,
  Kind: new (message: string) => Error = TypeError,
): asserts isRight {
  if (isRight) return;
  throw new Kind(
    `Cannot ${subject} must be ${wanted}, got ${
      typeof value === "string"
        ? JSON.stringify(value)
        : isObject(value) || isFunction(value)
        ? typeof value
        : String(value)
    }`,
  );
}

/**
 * Refuses what is no number (TypeError), and NaN and a number below `least`
 * (RangeError); returns any other.
 */
export function checkAtLeast(
  subject: string,
  value: number,
  least = 0,
): number {
  const isNumber = typeof value === "number";
  check(
    subject,
    `at least ${least}`,
    value,
    isNumber && value >= least,
    isNumber ? RangeError : TypeError,
  );
  return value;
}

/** Refuses an optional value that lacks the function it is for. */
export function checkOptional(
  subject: string,
  wanted: string,
  value: unknown,
  use: unknown,
): void {
  check(subject, wanted, value, value === undefined || isFunction(use));
}
