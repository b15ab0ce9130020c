/** `node-fetch`, by a path because Bun has its own under the name. @module */

import { equal, rejects } from "node:assert/strict";
import http from "node:http";
import https from "node:https";

import { agentFor } from "../agent.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: fetch } = await npm("node-fetch/src/index.js");

async function echo(url: string, agent: http.Agent): Promise<void> {
  const response = await fetch(url, { method: "POST", body: "hello", agent });
  equal(await response.text(), "hello");
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

/** Its `FetchError` takes the code and drops the error. */
export const keeps = "code";

/** A request to where nobody listens. */
export function failure({ hostname, refused, watch }: Scene): Promise<unknown> {
  const { onEvent } = watch();
  const agent = agentFor(http, { onEvent });
  return fetch(`http://${hostname}:${refused}`, { agent })
    .catch((error: unknown) => error);
}

/** A request that is aborted. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
  hasBegun: Promise<void>,
): Promise<"http"> {
  const controller = new AbortController();
  const { signal } = controller;
  const agent = agentFor(http, { onEvent });
  const request = fetch(`http://${hostname}:${ports.http}`, { agent, signal });
  const failed = rejects(request, { name: "AbortError" });
  await hasBegun;
  controller.abort();
  await failed;
  return "http";
}
