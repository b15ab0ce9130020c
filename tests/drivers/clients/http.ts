/** `http.Agent` and `https.Agent`. @module */

import { equal } from "node:assert/strict";
import http from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";

import { agentFor } from "../agent.ts";
import { type Case, errorOf, type Scene, type Watched } from "../scene.ts";

const body = "x".repeat(100_000);

/** Posts on two requests after another, which share the agent's socket. */
async function echo(request: () => http.ClientRequest): Promise<void> {
  for (let times = 0; times < 2; times++) {
    const answer = await new Promise<http.IncomingMessage>(
      (resolve, reject) => {
        request().on("response", resolve).on("error", reject).end(body);
      },
    );
    equal(await text(answer), body);
  }
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "http.Agent"({ hostname, ports, watch }) {
    const { onEvent } = watch();
    const agent = agentFor(http, { keepAlive: true, onEvent });
    const target = { hostname, port: ports.http, method: "POST", agent };
    await echo(() => http.request(target));
    agent.destroy();
  },

  async "https.Agent"({ hostname, ports, ca, watch }) {
    const { onEvent } = watch();
    const agent = agentFor(https, { keepAlive: true, ca, onEvent });
    const target = { hostname, port: ports.https, method: "POST", agent };
    await echo(() => https.request(target));
    agent.destroy();
  },
};

/** A request to where nobody listens. */
export function failure({ hostname, refused, watch }: Scene): Promise<unknown> {
  const { onEvent } = watch();
  const agent = agentFor(http, { onEvent });
  return errorOf(http.get({ hostname, port: refused, agent }));
}

/** A request by an agent that would keep its socket. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
  hasBegun: Promise<void>,
): Promise<"http"> {
  const controller = new AbortController();
  const { signal } = controller;
  const agent = agentFor(http, { keepAlive: true, onEvent });
  const request = http.get({ hostname, port: ports.http, agent, signal });
  const failed = errorOf(request);
  await hasBegun;
  controller.abort();
  equal((await failed as Error).name, "AbortError");
  return "http";
}
