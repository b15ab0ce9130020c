/**
 * `concurrentResolver()`: a resolver from any function that looks up one
 * address family.
 *
 * All lookups begin at once, in the order of the types asked for (RFC 8305
 * section 3), and each answer is told as soon as it is there. A lookup that
 * fails is a negative answer with its error; the other family is not touched.
 *
 * @module
 */

import type { Answer, RecordType, Resolver } from "../core/answer.ts";
import type { Family } from "../core/endpoint.ts";

/**
 * Makes a resolver of `lookup`, which tells the addresses of a name in one
 * family, as IP literals.
 *
 * ```ts
 * import { concurrentResolver } from "@stagger/happy-eyeballs";
 *
 * const resolver = concurrentResolver((hostname, family) =>
 *   family === 6 ? ["2001:db8::1"] : ["192.0.2.1"]
 * );
 * ```
 *
 * `signal` aborts when the answers are no longer needed; the iteration then
 * ends at once, also where a lookup goes on.
 */
export function concurrentResolver(
  lookup: (
    hostname: string,
    family: Family,
    signal: AbortSignal,
  ) => readonly string[] | PromiseLike<readonly string[]>,
): Resolver {
  async function answer(
    hostname: string,
    type: RecordType,
    signal: AbortSignal,
  ): Promise<Answer> {
    try {
      const addresses = await lookup(hostname, type === "A" ? 4 : 6, signal);
      return { type, addresses };
    } catch (error) {
      return { type, addresses: [], error };
    }
  }

  return async function* (hostname, { types, signal }) {
    const pending = new Map(
      types.map((type) => [type, answer(hostname, type, signal)]),
    );
    const { promise: aborted, stop } = whenAborted(signal);
    try {
      while (pending.size > 0) {
        const next = await Promise.race([...pending.values(), aborted]);
        if (!next) return;
        pending.delete(next.type);
        yield next;
      }
    } finally {
      stop();
    }
  };
}

/** A promise for the abort of `signal`, and a way to stop listening. */
function whenAborted(
  signal: AbortSignal,
): { promise: Promise<void>; stop: () => void } {
  let stop = () => {};
  const promise = new Promise<void>((resolve) => {
    const listener = () => resolve();
    if (signal.aborted) resolve();
    signal.addEventListener("abort", listener);
    stop = () => signal.removeEventListener("abort", listener);
  });
  return { promise, stop };
}
