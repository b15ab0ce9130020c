/**
 * Refusing what callers must not give, in words that are the same everywhere:
 * `Cannot <action>: <name> must be <wanted>, got <value>`.
 *
 * A value of the wrong kind is a `TypeError`, a number out of range a
 * `RangeError`. What each option may be is in `options.ts`.
 *
 * @module
 */

/** The error for an argument of the wrong kind. */
export function invalid(
  action: string,
  name: string,
  wanted: string,
  value: unknown,
  Kind: new (message: string) => Error = TypeError,
): Error {
  return new Kind(
    `Cannot ${action}: ${name} must be ${wanted}, got ${show(value)}`,
  );
}

/**
 * Refuses what is no number (TypeError) and a number that is not right
 * (RangeError).
 */
export function checkNumber(
  action: string,
  name: string,
  value: number,
  wanted: string,
  isRight: (value: number) => boolean,
): void {
  const isNumber = typeof value === "number";
  if (isNumber && isRight(value)) return;
  const Kind = isNumber ? RangeError : TypeError;
  throw invalid(action, name, wanted, value, Kind);
}

/** Refuses a negative number, and NaN. */
export function checkNotNegative(
  action: string,
  name: string,
  value: number,
): void {
  checkNumber(action, name, value, "at least 0", (value) => value >= 0);
}

/** Refuses an optional function that cannot be called. */
export function checkFunction(
  action: string,
  name: string,
  value: unknown,
): void {
  const isRight = value === undefined || typeof value === "function";
  if (!isRight) throw invalid(action, name, "a function", value);
}

/** Refuses an optional object that lacks what it is for. */
export function checkMethod(
  action: string,
  name: string,
  value: unknown,
  wanted: string,
  method: string,
): void {
  if (value === undefined) return;
  const object = value as Record<string, unknown> | null;
  if (typeof object?.[method] === "function") return;
  throw invalid(action, name, wanted, value);
}

/** Refuses what has no members to read. */
export function checkObject(
  action: string,
  name: string,
  value: unknown,
): void {
  const isObject = typeof value === "object" && value !== null;
  if (!isObject) throw invalid(action, name, "an object", value);
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "function" ? "a function" : String(value);
}
