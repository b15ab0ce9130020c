/**
 * One `test()` for every runtime.
 *
 * Deno's own runner is used on Deno, because only it can tell that a test
 * left an operation or a resource behind; Bun and Node share `node:test`.
 * workerd has no runner: `workerd/worker.ts` runs what was registered. Left out:
 * hooks, steps and skipping. A test that only makes sense on Deno is in a file
 * named `*_deno_test.ts`, which the other runtimes are not given.
 *
 * @module
 */

/** What a test runs; it fails when it throws or rejects. */
export type TestFunction = () => void | Promise<void>;

type Register = (name: string, fn: TestFunction) => void;

/** The runtime the tests run on. */
export const runtimeName: "deno" | "bun" | "node" | "workerd" =
  "Deno" in globalThis
    ? "deno"
    : "Bun" in globalThis
    ? "bun"
    : "WebSocketPair" in globalThis
    ? "workerd"
    : "node";

/** Milliseconds; a test that hangs fails by its name, not the whole run. */
export const timeout = 30_000;

/** The tests so far, where there is no runner to register them with. */
export const registered: {
  readonly name: string;
  readonly fn: TestFunction;
}[] = [];

/** Registers a test with the runner of the runtime at hand. */
export const test: Register = runtimeName === "deno"
  ? registerOnDeno
  : runtimeName === "workerd"
  ? (name, fn) => void registered.push({ name, fn })
  : await nodeTest();

function registerOnDeno(name: string, fn: TestFunction): void {
  Deno.test({ name, fn, timeout, sanitizeOps: true, sanitizeResources: true });
}

async function nodeTest(): Promise<Register> {
  const { test } = await import("node:test");
  return (name, fn) => void test(name, { timeout }, () => fn());
}
