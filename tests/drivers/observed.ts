/**
 * `./node` for the examples: the same, but at the end of the process
 * it tells, as JSON on standard error, the addresses each connect attempted
 * and how it ended. So an example whose hook is never called does not pass.
 *
 * @module
 */

import type net from "node:net";
import process from "node:process";

import * as door from "../../src/entry/node.ts";
import type { HappyEyeballsEvent } from "../../src/events.ts";

/** What happened in all connects. */
export interface Observed {
  readonly attempted: string[];
  readonly ended: string[];
  looked: number;
}

const observed: Observed = { attempted: [], ended: [], looked: 0 };
process.on("exit", () => console.error(JSON.stringify(observed)));

function onEvent(event: HappyEyeballsEvent): void {
  if (event.type === "attempt-start") {
    observed.attempted.push(event.endpoint!.address);
  }
  if (event.type === "end") observed.ended.push(event.outcome);
}

/** As in `./node`. */
export const connectNode: typeof door.connectNode = ((
  options: Parameters<typeof door.connectNode>[0],
) => door.connectNode({ ...options, onEvent })) as never;

/** As in `./node`. */
export function createConnection(
  this: unknown,
  options: door.CreateConnectionOptions,
  callback?: door.CreateConnectionCallback,
): net.Socket {
  const watched = { ...options, onEvent };
  return door.createConnection.call(this, watched, callback);
}

/** As in `./node`. */
export function connector(options: door.ConnectorOptions = {}): door.Connector {
  return door.connector({ ...options, onEvent });
}

/** As in `./node`. */
export class LazySocket extends door.LazySocket {
  /** With our listener. */
  constructor(options: door.LazySocketOptions = {}) {
    super({ ...options, onEvent });
  }
}

/** As in `./node`. */
export function lookup(...args: Parameters<typeof door.lookup>): void {
  observed.looked++;
  door.lookup(...args);
}
