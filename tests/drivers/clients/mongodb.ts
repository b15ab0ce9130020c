/** `mongodb`. @module */

import { deepEqual, equal } from "node:assert/strict";

import { type Case, npm, type Scene } from "../scene.ts";

const { MongoClient } = await npm("mongodb");

/** Its sockets are Node's; they ask ours for addresses. */
export const hook = "lookup";

function clientOf(
  { hostname, lookup }: Scene,
  port: number,
  more: Record<string, unknown> = {},
): typeof MongoClient {
  const options = { directConnection: true, lookup, ...more };
  return new MongoClient(`mongodb://${hostname}:${port}`, options);
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "ping"(scene) {
    const client = clientOf(scene, scene.ports.mongodb);
    deepEqual(await client.db().command({ ping: 1 }), { ok: 1 });
    await client.close();
  },
};

/** What `connect()` rejects with, once it gives up to look for a server. */
export async function failure(scene: Scene): Promise<unknown> {
  const more = { serverSelectionTimeoutMS: 1000 };
  return await failureOf(clientOf(scene, scene.refused, more));
}

/** A connection that gives up. */
export async function abort(scene: Scene): Promise<"mongodb"> {
  const more = { connectTimeoutMS: 50, serverSelectionTimeoutMS: 50 };
  const error = await failureOf(clientOf(scene, scene.ports.mongodb, more));
  equal((error as Error).name, "MongoServerSelectionError");
  return "mongodb";
}

async function failureOf(client: typeof MongoClient): Promise<unknown> {
  const error = await client.connect().catch((error: unknown) => error);
  await client.close();
  return error;
}
