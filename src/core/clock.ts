/**
 * Time as the scheduler sees it: one instant to read, one way to wait.
 *
 * Everything in `core/` gets its clock as an argument, so a test can replace
 * hours of waiting by exact virtual instants. The system's own clock is
 * `runtime/system_clock.ts`.
 *
 * @module
 */

/** A source of monotonic time. */
export interface Clock {
  /** Milliseconds since an arbitrary instant; never goes backwards. */
  now(): number;

  /**
   * Resolves after `ms` milliseconds, or at once when `signal` aborts. Never
   * rejects. `ms` may be `Infinity`: then only the signal ends the wait.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Calls `callback` after `ms` milliseconds, unless the result is called. */
export function after(
  clock: Clock,
  ms: number,
  callback: () => void,
): () => void {
  const end = new AbortController();
  clock.sleep(ms, end.signal).then(() => end.signal.aborted || callback());
  // With any reason of its own, abort() makes no exception with a stack.
  return () => end.abort(null);
}
