/** The agent by which HTTP clients get our sockets. @module */

import type http from "node:http";
import type https from "node:https";

import { createConnection } from "../../src/entry/node.ts";

/** An agent of `node:http` or `node:https`. */
export function agentFor(
  { Agent }: typeof http | typeof https,
  options: https.AgentOptions & { onEvent: unknown },
): http.Agent {
  return Object.assign(new Agent(options), { createConnection });
}
