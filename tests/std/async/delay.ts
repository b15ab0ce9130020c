/** The part of `jsr:@std/async/delay` this suite uses. @module */

/** Options of {@linkcode delay}. */
export interface DelayOptions {
  /** Ends the wait by a rejection with its reason. */
  signal?: AbortSignal;
}

/** Resolves after `ms` milliseconds of real time. */
export function delay(ms: number, options: DelayOptions = {}): Promise<void> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(id);
      reject(signal?.reason);
    };
    const id = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
