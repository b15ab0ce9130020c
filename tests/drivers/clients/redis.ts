/** `redis` (node-redis). @module */

import { equal } from "node:assert/strict";

import { type Case, npm, type Scene } from "../scene.ts";

const { createClient } = await npm("redis");

/** Its sockets are Node's; they ask ours for addresses. */
export const hook = "lookup";

function clientOf(
  { hostname, lookup }: Scene,
  port: number,
  more: Record<string, unknown> = {},
): typeof createClient {
  return createClient({
    socket: { host: hostname, port, lookup, reconnectStrategy: false, ...more },
  });
}

async function roundTrip(
  redis: typeof createClient,
  key: string,
): Promise<void> {
  await redis.connect();
  await redis.set(key, "hello");
  equal(await redis.get(key), "hello");
  await redis.close();
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "redis:"(scene) {
    await roundTrip(clientOf(scene, scene.ports.redis), "node-redis");
  },

  async "rediss:"(scene) {
    const tls = { tls: true, ca: scene.ca };
    await roundTrip(clientOf(scene, scene.ports.rediss, tls), "node-rediss");
  },
};

/** What `connect()` rejects with. */
export async function failure(scene: Scene): Promise<unknown> {
  return await failureOf(clientOf(scene, scene.refused));
}

/** A connection that gives up. */
export async function abort(scene: Scene): Promise<"redis"> {
  const redis = clientOf(scene, scene.ports.redis, { connectTimeout: 50 });
  const error = await failureOf(redis);
  equal((error as Error).constructor.name, "ConnectionTimeoutError");
  return "redis";
}

async function failureOf(redis: typeof createClient): Promise<unknown> {
  // Without a listener its event would end the process.
  redis.on("error", () => {});
  return await redis.connect().catch((error: unknown) => error);
}
