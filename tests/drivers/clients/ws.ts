/** `ws`. @module */

import { equal, match } from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";

import { agentFor } from "../agent.ts";
import { type Case, errorOf, npm, type Scene, type Watched } from "../scene.ts";

const { WebSocket } = await npm("ws");

async function echo(url: string, agent: http.Agent): Promise<void> {
  const socket = new WebSocket(url, { agent });
  await once(socket, "open");
  socket.send("hello");
  const [message] = await once(socket, "message");
  equal(String(message), "hello");
  socket.close();
  await once(socket, "close");
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "ws:"({ hostname, ports, watch }) {
    const { onEvent } = watch();
    await echo(`ws://${hostname}:${ports.http}`, agentFor(http, { onEvent }));
  },

  async "wss:"({ hostname, ports, ca, watch }) {
    const { onEvent } = watch();
    const agent = agentFor(https, { ca, onEvent });
    await echo(`wss://${hostname}:${ports.https}`, agent);
  },
};

/** A WebSocket to where nobody listens. */
export function failure({ hostname, refused, watch }: Scene): Promise<unknown> {
  const { onEvent } = watch();
  const agent = agentFor(http, { onEvent });
  return errorOf(new WebSocket(`ws://${hostname}:${refused}`, { agent }));
}

/** A WebSocket that gives up. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
): Promise<"http"> {
  const agent = agentFor(http, { onEvent });
  const url = `ws://${hostname}:${ports.http}`;
  const socket = new WebSocket(url, { agent, handshakeTimeout: 50 });
  match((await errorOf(socket) as Error).message, /timed out/);
  return "http";
}
