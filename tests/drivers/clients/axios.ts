/** `axios`. @module */

import { equal, rejects } from "node:assert/strict";
import http from "node:http";
import https from "node:https";

import { agentFor } from "../agent.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: axios } = await npm("axios");

function clientOf({ ca }: Scene, { onEvent }: Watched): typeof axios {
  return axios.create({
    adapter: "http",
    httpAgent: agentFor(http, { onEvent }),
    httpsAgent: agentFor(https, { ca, onEvent }),
  });
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "http"(scene) {
    const url = `http://${scene.hostname}:${scene.ports.http}`;
    const { data } = await clientOf(scene, scene.watch()).post(url, "hello");
    equal(data, "hello");
  },

  async "https"(scene) {
    const url = `https://${scene.hostname}:${scene.ports.https}`;
    const { data } = await clientOf(scene, scene.watch()).post(url, "hello");
    equal(data, "hello");
  },

  async "timeout"(scene) {
    const url = `http://${scene.hostname}:${scene.ports.http}`;
    const client = clientOf(scene, scene.watch());
    await client.post(url, "hello", { timeout: 10_000 });
    const hasty = clientOf(scene, { events: [], onEvent: () => {} });
    const silent = hasty.get(`${url}/silent`, { timeout: 100 });
    await rejects(silent, { code: "ECONNABORTED" });
  },
};

/** A request to where nobody listens. */
export function failure(scene: Scene): Promise<unknown> {
  return clientOf(scene, scene.watch())
    .get(`http://${scene.hostname}:${scene.refused}`)
    .catch((error: unknown) => error);
}

/** A request that is aborted. */
export async function abort(
  scene: Scene,
  watched: Watched,
  hasBegun: Promise<void>,
): Promise<"http"> {
  const controller = new AbortController();
  const { signal } = controller;
  const url = `http://${scene.hostname}:${scene.ports.http}`;
  const request = clientOf(scene, watched).get(url, { signal });
  const failed = rejects(request, { code: "ERR_CANCELED" });
  await hasBegun;
  controller.abort();
  await failed;
  return "http";
}
