/** `got`, which lives by the events of its sockets. @module */

import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";

import type { Answer, ResolverOptions } from "../../../src/core/answer.ts";
import type { CreateConnectionOptions } from "../../../src/entry/node.ts";
import { CONNECTION_ATTEMPT_DELAY } from "../../../src/options.ts";
import { agentFor } from "../agent.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: got } = await npm("got");

/** What has a timeout of its own. */
type Phase =
  | "lookup"
  | "connect"
  | "secureConnect"
  | "socket"
  | "send"
  | "response"
  | "read"
  | "request";

type OwnOption = "onEvent" | "resolver" | "connectionAttemptDelay";

function clientOf(
  { ca }: Pick<Scene, "ca">,
  options: Pick<CreateConnectionOptions, OwnOption>,
): typeof got {
  const all = { ca, onEvent: undefined, ...options };
  return got.extend({
    agent: { http: agentFor(http, all), https: agentFor(https, all) },
    https: { certificateAuthority: ca },
    retry: { limit: 0 },
  });
}

function watchedClient(scene: Scene): typeof got {
  const { onEvent } = scene.watch();
  return clientOf(scene, { onEvent });
}

async function echo(client: typeof got, url: string): Promise<void> {
  equal(await client.post(url, { body: "hello" }).text(), "hello");
}

const urlOf = ({ hostname, ports }: Scene, protocol: "http" | "https") =>
  `${protocol}://${hostname}:${ports[protocol]}`;

/** The timeout of a phase does not fire while all is well, and else does. */
function timeout(
  phase: Phase,
  request: (scene: Scene, client: typeof got) => Promise<unknown>,
  { ample = 10_000, connectionAttemptDelay = CONNECTION_ATTEMPT_DELAY } = {},
): Case {
  return async (scene) => {
    const { onEvent } = scene.watch();
    const client = clientOf(scene, { onEvent, connectionAttemptDelay });
    const patient = client.extend({ timeout: { [phase]: ample } });
    await echo(patient, urlOf(scene, "https"));
    const hasty = clientOf(scene, { resolver: never }).extend({
      timeout: { [phase]: 100 },
    });
    await rejects(request(scene, hasty), {
      name: "TimeoutError",
      code: "ETIMEDOUT",
      event: phase,
    });
  };
}

const soon = ({ computedValue }: { computedValue: number }) =>
  computedValue && 1;

/** A resolver without an answer; its timer keeps the process, got's do not. */
// deno-lint-ignore require-yield -- there is none
async function* never(
  _hostname: string,
  { signal }: ResolverOptions,
): AsyncGenerator<Answer> {
  await setTimeout(60_000, undefined, { signal });
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "http"(scene) {
    await echo(watchedClient(scene), urlOf(scene, "http"));
  },

  async "https"(scene) {
    await echo(watchedClient(scene), urlOf(scene, "https"));
  },

  // Ample for the lookup, but not for the whole connect.
  "timeout lookup": timeout(
    "lookup",
    (_scene, client) => client("http://silent.example"),
    { ample: 900, connectionAttemptDelay: 1000 },
  ),

  "timeout connect": timeout(
    "connect",
    (scene, client) => client(urlOf(scene, "http")),
  ),

  "timeout secureConnect": timeout(
    "secureConnect",
    async ({ hostname }, client) => {
      const server = net.createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as net.AddressInfo;
      try {
        // What fires if the phase never begins.
        const timeout = { request: 5000 };
        await client(`https://${hostname}:${port}`, { timeout });
      } finally {
        server.close();
      }
    },
  ),

  "timeout socket": timeout(
    "socket",
    (scene, client) => client(`${urlOf(scene, "http")}/silent`),
  ),

  "timeout send": timeout(
    "send",
    (scene, client) =>
      client.post(`${urlOf(scene, "http")}/silent`, {
        body: new Readable({ read() {} }),
      }),
  ),

  "timeout response": timeout(
    "response",
    (scene, client) => client(`${urlOf(scene, "http")}/silent`),
  ),

  "timeout read": timeout(
    "read",
    (scene, client) => client(`${urlOf(scene, "http")}/unfinished`),
  ),

  "timeout request": timeout(
    "request",
    (scene, client) => client(`${urlOf(scene, "http")}/silent`),
  ),

  async "retry"(scene) {
    await echo(watchedClient(scene), urlOf(scene, "http"));
    const retried: unknown[] = [];
    const client = clientOf(scene, {}).extend({
      retry: { limit: 2, calculateDelay: soon },
      hooks: {
        beforeRetry: [({ code }: NodeJS.ErrnoException) => {
          retried.push(code);
        }],
      },
    });
    const url = `http://${scene.hostname}:${scene.refused}`;
    await rejects(client(url), { code: "ECONNREFUSED" });
    deepEqual(retried, ["ECONNREFUSED", "ECONNREFUSED"]);
  },

  async "timings"(scene) {
    const client = watchedClient(scene);
    const { timings } = await client.post(urlOf(scene, "https"), {
      body: "hello",
    });
    const { start, socket, lookup, connect, secureConnect, upload } = timings;
    const { response, end, phases } = timings;
    const times = [start, socket, lookup, connect, secureConnect, upload];
    times.push(response, end);
    ok(times.every((time) => Number.isFinite(time)), `${times}`);
    deepEqual(times.toSorted((a, b) => a - b), times);
    deepEqual(
      Object.entries(phases).filter(([, time]) => !(time as number >= 0)),
      [],
    );
  },
};

/** A request to where nobody listens. */
export function failure(scene: Scene): Promise<unknown> {
  const client = watchedClient(scene);
  return client(`http://${scene.hostname}:${scene.refused}`)
    .catch((error: unknown) => error);
}

/** A request that is aborted. */
export async function abort(
  scene: Scene,
  { onEvent }: Watched,
  hasBegun: Promise<void>,
): Promise<"http"> {
  const controller = new AbortController();
  const { signal } = controller;
  const request = clientOf(scene, { onEvent })(urlOf(scene, "http"), {
    signal,
  });
  const failed = rejects(request, { name: "AbortError" });
  await hasBegun;
  controller.abort();
  await failed;
  return "http";
}
