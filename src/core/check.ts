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
  const got = typeof value === "string" ? JSON.stringify(value) : show(value);
  throw new Kind(`Cannot ${subject} must be ${wanted}, got ${got}`);
}

/** The names of all options, in the members of an object. */
export type Names<Options> = Readonly<Record<keyof Options, unknown>>;

/**
 * Refuses names that no option has: one that is misspelt would be without
 * effect, in silence. The error tells the most similar of those there are.
 */
export function checkNames(
  action: string,
  names: readonly string[],
  known: object,
): void {
  for (const name of names) {
    if (Object.hasOwn(known, name)) continue;
    // The pairs of letters in common, less half the difference in length.
    const likeness = (other: string) =>
      [...name].reduce(
        (sum, _, i) => sum + +other.includes(name.slice(i, i + 2)),
        -Math.abs(other.length - name.length) / 2,
      );
    const nearest = Object.keys(known)
      .reduce((a, b) => likeness(b) > likeness(a) ? b : a);
    throw new TypeError(
      `Cannot ${action}: there is no option ${name}; did you mean ${nearest}?`,
    );
  }
}

/** What an error says, whatever was thrown: its message, code or name. */
export function messageOf(error: unknown): string {
  const { message, code, name } = Object(error) as Record<string, unknown>;
  return show(message || code || name || error);
}

/** Never throws, as some objects do that are made a string. */
function show(value: unknown): string {
  return isObject(value) || isFunction(value) ? typeof value : String(value);
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
