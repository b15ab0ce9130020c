/** `superagent`. @module */

import { equal, rejects } from "node:assert/strict";
import http from "node:http";
import https from "node:https";

import { agentFor } from "../agent.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: superagent } = await npm("superagent");

async function echo(url: string, agent: http.Agent): Promise<void> {
  const { text } = await superagent.post(url).agent(agent)
    .type("text/plain").buffer(true).send("hello");
  equal(text, "hello");
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "http"({ hostname, ports, watch }) {
    const { onEvent } = watch();
    await echo(
      `http://${hostname}:${ports.http}`,
      agentFor(http, { onEvent }),
    );
  },

  async "https"({ hostname, ports, ca, watch }) {
    const { onEvent } = watch();
    await echo(
      `https://${hostname}:${ports.https}`,
      agentFor(https, { ca, onEvent }),
    );
  },
};

/** A request to where nobody listens. */
export async function failure(
  { hostname, refused, watch }: Scene,
): Promise<unknown> {
  const { onEvent } = watch();
  const agent = agentFor(http, { onEvent });
  return await superagent.get(`http://${hostname}:${refused}`).agent(agent)
    .catch((error: unknown) => error);
}

/** A request that gives up. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
): Promise<"http"> {
  const agent = agentFor(http, { onEvent });
  const request = superagent.get(`http://${hostname}:${ports.http}`)
    .agent(agent).timeout({ deadline: 50 });
  await rejects(request, { code: "ECONNABORTED" });
  return "http";
}
