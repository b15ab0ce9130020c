/**
 * Offline stand-in for the part of `jsr:@std/assert` that this suite uses.
 *
 * Where JSR cannot be reached the tests still have to run, so `deno.json`
 * links this package in its place, and Bun and Node always use it. Each
 * function is a thin adapter over `node:assert` with the signature of the
 * original; the full test command also runs the suite on the original, where
 * JSR answers.
 *
 * @module
 */

import nodeAssert from "node:assert/strict";

// deno-lint-ignore no-explicit-any
type AbstractClass<T> = abstract new (...args: any[]) => T;
// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) nodeAssert.fail(msg || "The value is not truthy");
}

/** Fails unless the two values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    nodeAssert.deepStrictEqual(actual, expected);
  } catch (error) {
    // Given a message, `node:assert` would not show the difference.
    if (msg) (error as Error).message = `${msg}\n${(error as Error).message}`;
    throw error;
  }
}

/** Fails if the two values are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  nodeAssert.notDeepStrictEqual(actual, expected, msg);
}

/** Fails unless the two values are the same by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  nodeAssert.strictEqual(actual, expected, msg);
}

/** Fails unless `expected` matches somewhere in `actual`. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  nodeAssert.match(actual, expected, msg);
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (!actual.includes(expected)) {
    nodeAssert.fail(msg ?? `"${actual}" does not include "${expected}"`);
  }
}

/** Fails unless `actual` is an instance of `expectedType`. */
export function assertInstanceOf<T extends AbstractClass<unknown>>(
  actual: unknown,
  expectedType: T,
  msg = "",
): asserts actual is InstanceType<T> {
  if (!(actual instanceof expectedType)) {
    nodeAssert.fail(msg || `${actual} is not a ${expectedType.name}`);
  }
}

/** Fails unless `fn` throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Fails unless `fn` throws an `ErrorClass`; returns what it threw. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  classOrMsg?: ErrorClass<Error> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  try {
    fn();
  } catch (error) {
    return checkThrown(error, classOrMsg, msgIncludes, msg);
  }
  const [, text] = expectation(classOrMsg, msg);
  nodeAssert.fail(text ?? "The function did not throw");
}

/** Fails unless the promise `fn` returns rejects; resolves to the reason. */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/** Fails unless it rejects with an `ErrorClass`; resolves to the reason. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: ErrorClass<Error> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  let pending: PromiseLike<unknown> | undefined;
  try {
    pending = fn();
    await pending;
  } catch (error) {
    // The original calls a synchronous throw a failed assertion, too.
    if (pending === undefined) {
      nodeAssert.fail(`The function threw and did not reject: ${error}`);
    }
    return checkThrown(error, classOrMsg, msgIncludes, msg);
  }
  const [, text] = expectation(classOrMsg, msg);
  nodeAssert.fail(text ?? "The promise did not reject");
}

/** Tells the overloads apart: the class if given, and the message. */
function expectation(
  classOrMsg: ErrorClass<Error> | string | undefined,
  msg: string | undefined,
): [ErrorClass<Error> | undefined, string | undefined] {
  return typeof classOrMsg === "string"
    ? [undefined, classOrMsg]
    : [classOrMsg, msg];
}

/** Returns `error` if it is what was expected; fails otherwise. */
function checkThrown(
  error: unknown,
  classOrMsg: ErrorClass<Error> | string | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
): unknown {
  const [errorClass, text] = expectation(classOrMsg, msg);
  if (errorClass === undefined) return error;
  assertInstanceOf(error, errorClass, text);
  if (msgIncludes) assertStringIncludes(error.message, msgIncludes, text);
  return error;
}
