/**
 * What happened, to which endpoint, when: the progress of one `connect()`.
 *
 * Events are told synchronously and in order. At the decision, in one turn:
 * the winner's `attempt-end`, an `attempt-end` for each attempt still running
 * in the order of their starts, then `end`. Only `discard` may follow it.
 *
 * @module
 */

import type { RecordType } from "./core/answer.ts";
import type { Endpoint } from "./core/endpoint.ts";

/**
 * Something that happened on the way to a connection. `hostname` and `port` are
 * those that the caller gave, so that one listener may serve many connects.
 * `time` and `startTime` are `clock.now()` in milliseconds, `index` counts
 * attempts from 0 in the order of their starts. `endpoint` is `null` where the
 * platform resolves by itself.
 */
export type HappyEyeballsEvent =
  & { time: number; hostname: string; port: number }
  & (
    /** Questions were sent; never for literals and localhost. */
    | { type: "resolve-start"; types: readonly RecordType[] }
    /** A question was answered; without addresses it has none. */
    | {
      type: "answer";
      recordType: RecordType;
      name: string;
      addresses: readonly string[];
      error?: unknown;
    }
    | {
      type: "attempt-start";
      index: number;
      endpoint: Endpoint | null;
      /** The platform resolves and dials by host name. */
      delegated?: true;
    }
    /** TCP is up, the TLS handshake begins. */
    | {
      type: "attempt-progress";
      index: number;
      endpoint: Endpoint | null;
      phase: "tls";
    }
    | {
      type: "attempt-end";
      index: number;
      endpoint: Endpoint | null;
      startTime: number;
      outcome: "won" | "failed" | "canceled";
      error?: unknown;
    }
    /** The decision; `index` and `endpoint` are the winner's. */
    | {
      type: "end";
      outcome: "connected" | "failed" | "aborted";
      index?: number;
      endpoint?: Endpoint | null;
      error?: unknown;
    }
    /** A late success was disposed of; `error` is what that threw. */
    | { type: "discard"; index: number; error?: unknown }
  );

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
