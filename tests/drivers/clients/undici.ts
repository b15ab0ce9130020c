/** undici's `fetch` through a dispatcher. @module */

import { equal } from "node:assert/strict";

import {
  createConnection,
  type CreateConnectionCallback,
  type CreateConnectionOptions,
} from "../../../src/entry/node.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { Agent, fetch } = await npm("undici/index.js");

/** Makes its options anew for each connection. */
function dispatcher(more: () => CreateConnectionOptions) {
  return new Agent({
    connect: (
      options: CreateConnectionOptions,
      callback: CreateConnectionCallback,
    ) => createConnection({ ...options, ...more() }, callback),
  });
}

async function echo(
  url: string,
  more: () => CreateConnectionOptions,
): Promise<void> {
  const agent = dispatcher(more);
  for (let times = 0; times < 2; times++) {
    const response = await fetch(url, {
      method: "POST",
      body: "hello",
      dispatcher: agent,
    });
    equal(await response.text(), "hello");
  }
  await agent.close();
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "http"({ hostname, ports, watch }) {
    await echo(`http://${hostname}:${ports.http}`, () => {
      const { onEvent } = watch();
      return { onEvent };
    });
  },

  async "https"({ hostname, ports, ca, watch }) {
    await echo(`https://${hostname}:${ports.https}`, () => {
      const { onEvent } = watch();
      return { ca, onEvent };
    });
  },
};

/** What `fetch` rejects with has ours as its cause. */
export async function failure(
  { hostname, refused, watch }: Scene,
): Promise<unknown> {
  const { onEvent } = watch();
  const agent = dispatcher(() => ({ onEvent }));
  const url = `http://${hostname}:${refused}`;
  const error = await fetch(url, { dispatcher: agent })
    .catch((error: unknown) => error);
  await agent.close();
  return error.cause;
}

/** The request is aborted; the connection is the dispatcher's. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
  hasBegun: Promise<void>,
): Promise<"http"> {
  const controller = new AbortController();
  const { signal } = controller;
  const agent = dispatcher(() => ({ onEvent, signal }));
  const url = `http://${hostname}:${ports.http}`;
  const failed = fetch(url, { dispatcher: agent, signal })
    .catch((error: unknown) => error);
  await hasBegun;
  controller.abort();
  equal((await failed).name, "AbortError");
  await agent.destroy();
  return "http";
}
