/**
 * What happened, to which endpoint, when: the progress of one `connect()`.
 *
 * Events are told synchronously and in order. At the decision, in one turn:
 * the winner's `attempt-end`, an `attempt-end` for each attempt still running
 * in the order of their starts, then `end`. Only `discard` may follow it.
 *
 * @module
 */

import type { Answer, RecordType } from "./core/answer.ts";
import type { Endpoint } from "./core/endpoint.ts";

/**
 * Something that happened on the way to a connection. `time` and `startTime`
 * are `clock.now()` in milliseconds, `index` counts attempts from 0 in the
 * order of their starts. `endpoint` is `null` where the platform resolves by
 * itself.
 */
export type HappyEyeballsEvent =
  /** Questions were sent; never for literals and localhost. */
  | {
    type: "resolve-start";
    time: number;
    hostname: string;
    types: readonly RecordType[];
  }
  /** A question was answered; without addresses it has none. */
  | {
    type: "answer";
    time: number;
    recordType: RecordType;
    name: string;
    addresses: readonly string[];
    error?: unknown;
  }
  | {
    type: "attempt-start";
    time: number;
    index: number;
    endpoint: Endpoint | null;
    /** The platform resolves and dials by host name. */
    delegated?: true;
  }
  /** TCP is up, the TLS handshake begins. */
  | {
    type: "attempt-progress";
    time: number;
    index: number;
    endpoint: Endpoint | null;
    phase: "tls";
  }
  | {
    type: "attempt-end";
    time: number;
    index: number;
    endpoint: Endpoint | null;
    startTime: number;
    outcome: "won" | "failed" | "canceled";
    error?: unknown;
  }
  /** The decision; `index` is the winner's. */
  | {
    type: "end";
    time: number;
    outcome: "connected" | "failed" | "aborted";
    index?: number;
    error?: unknown;
  }
  /** A late success was disposed of; `error` is what that threw. */
  | { type: "discard"; time: number; index: number; error?: unknown };

/** Tells an event; what the listener throws changes nothing. */
export function emit(
  onEvent: ((event: HappyEyeballsEvent) => void) | undefined,
  event: HappyEyeballsEvent,
): void {
  try {
    onEvent?.(event);
  } catch {
    // Watching must not change what is watched.
  }
}

/** The event for an answer of a resolver about `hostname`. */
export function answerEvent(
  { type, name, addresses, error }: Answer,
  hostname: string,
  time: number,
): HappyEyeballsEvent {
  const event = {
    type: "answer" as const,
    time,
    recordType: type,
    name: name ?? hostname,
    addresses,
  };
  return error === undefined ? event : { ...event, error };
}
