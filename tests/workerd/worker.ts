/**
 * Runs the registered tests in workerd: `workerd test` calls `test()`. Prints
 * `RESULT` and `[name, milliseconds, "ok" or what went wrong]` for each, as
 * JSON.
 *
 * @module
 */

import { registered, test, type TestFunction, timeout } from "../harness.ts";
import type { Cases, Place } from "./builds.ts";
import { omissions } from "./conformance.ts";
import { useHost } from "./world.ts";

import "./adapter.ts";
import "../staggered_race_test.ts";
import "../happy_eyeballs_test.ts";

/** Rejections that nobody handled, since the last test. */
const unhandled: unknown[] = [];
addEventListener("unhandledrejection", (event) => {
  unhandled.push((event as PromiseRejectionEvent).reason);
});

/** Makes tests of the cases of a driver. */
export function defineCases(cases: Cases, place: Place): void {
  for (const [name, run] of Object.entries(cases)) {
    test(`${name} in workerd`, () => run(place));
  }
}

async function runAll(
  _controller: unknown,
  { HOST }: { readonly HOST: string },
): Promise<void> {
  useHost(HOST);
  const left = new Set(Object.values(omissions).flat());
  const tests = registered.filter(({ name }) =>
    !left.delete(name.replace("workerd: ", ""))
  );
  if (left.size > 0) throw new Error(`No such tests: ${[...left].join()}`);
  for (const { name, fn } of tests) {
    const start = Date.now();
    let outcome = "ok";
    try {
      await withTimeout(fn);
    } catch (error) {
      outcome = (error as Error)?.stack ?? String(error);
    }
    const result = [name, Date.now() - start, outcome];
    console.log(`RESULT ${JSON.stringify(result)}`);
  }
}

async function withTimeout(fn: TestFunction): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("it takes too long")), timeout);
  });
  try {
    await Promise.race([fn(), late]);
    // Rejections count as unhandled when the microtasks are done.
    await new Promise((resolve) => setTimeout(resolve));
    if (unhandled.length > 0) throw unhandled[0];
  } finally {
    clearTimeout(timer);
    unhandled.length = 0;
  }
}

/** What workerd calls. */
const handlers: { readonly test: typeof runAll } = { test: runAll };
export default handlers;
