/**
 * Errors that undici takes for its own, made without it: it tells them apart by
 * a `code`, and its classes by registered symbols.
 *
 * @module
 */

import { type AttemptFailure, ConnectError } from "../../errors.ts";
import type { HappyEyeballsEvent } from "../../events.ts";

/** Gives an error the marks of undici's error of that code. */
export function asUndiciError<E extends Error>(error: E, code: string): E {
  const marks = ["undici.error.UND_ERR", `undici.error.${code}`];
  for (const mark of marks) {
    Object.defineProperty(error, Symbol.for(mark), { value: true });
  }
  return Object.assign(error, { code });
}

/** Where a connect went that took too long, and what happened to it. */
export interface LateConnect {
  readonly hostname: string;
  readonly port: number;
  /** What was allowed, in milliseconds. */
  readonly timeout: number;
  /** The events so far. */
  readonly events: readonly HappyEyeballsEvent[];
  /** When the time was up. */
  readonly now: number;
}

/** undici's `ConnectTimeoutError`, its cause a {@linkcode ConnectError}. */
export function connectTimeoutError(late: LateConnect): Error {
  const { hostname, port, timeout } = late;
  const attempts = attemptsOf(late);
  const addresses = attempts.flatMap(({ endpoint }) =>
    endpoint ? [`${endpoint.address}:${endpoint.port}`] : []
  );
  const where = addresses.length > 0
    ? `attempted addresses: ${addresses.join(", ")}`
    : `attempted address: ${hostname}:${port}`;
  const error = new Error(
    `Connect Timeout Error (${where}, timeout: ${timeout}ms)`,
    { cause: causeOf(late, attempts) },
  );
  error.name = "ConnectTimeoutError";
  return asUndiciError(error, "UND_ERR_CONNECT_TIMEOUT");
}

/** Those that failed, and those that time has run out for. */
function attemptsOf({ events, now }: LateConnect): AttemptFailure[] {
  const attempts: AttemptFailure[] = [];
  for (const event of events) {
    if (event.type === "attempt-start") {
      const { index, endpoint, time: startTime } = event;
      const error = Object.assign(new Error("It did not answer in time"), {
        code: "ETIMEDOUT",
      });
      const duration = now - startTime;
      attempts[index] = { index, endpoint, startTime, duration, error };
    } else if (event.type === "attempt-end" && event.outcome === "failed") {
      const { index, endpoint, startTime, time, error } = event;
      const duration = time - startTime;
      attempts[index] = { index, endpoint, startTime, duration, error };
    }
  }
  return attempts;
}

/** Nothing where nothing is known: no answer and no attempt. */
function causeOf(
  { hostname, port, events }: LateConnect,
  attempts: readonly AttemptFailure[],
): ConnectError | undefined {
  const answers = events.flatMap((event) =>
    event.type === "answer"
      ? [{
        type: event.recordType,
        name: event.name,
        addresses: event.addresses,
        error: event.error,
      }]
      : []
  );
  if (attempts.length + answers.length === 0) return undefined;
  return new ConnectError({ hostname, port, attempts, answers, refusals: [] });
}
