/** `ioredis`. @module */

import { equal } from "node:assert/strict";

import { LazySocket, type LazySocketOptions } from "../../../src/entry/node.ts";
import { type Case, errorOf, npm, type Scene, type Watched } from "../scene.ts";

const { AbstractConnector, Redis } = await npm("ioredis");

/** ioredis makes its connector by itself, so the options are in a closure. */
function connectorFor(options: LazySocketOptions) {
  return class extends AbstractConnector {
    constructor({ disconnectTimeout }: { disconnectTimeout: number }) {
      super(disconnectTimeout);
    }

    connect() {
      this.connecting = true;
      this.stream = new LazySocket(options).connect();
      return Promise.resolve(this.stream);
    }
  };
}

async function roundTrip(redis: typeof Redis, key: string): Promise<void> {
  await redis.set(key, "hello");
  equal(await redis.get(key), "hello");
  await redis.quit();
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "redis:"({ hostname, ports, watch }) {
    const { onEvent } = watch();
    const Connector = connectorFor({ hostname, port: ports.redis, onEvent });
    await roundTrip(new Redis({ Connector }), "plain");
  },

  async "rediss:"({ hostname, ports, ca, watch }) {
    const { onEvent } = watch();
    const tls = { caCerts: [ca] };
    const Connector = connectorFor({
      hostname,
      port: ports.rediss,
      tls,
      onEvent,
    });
    // `tls` tells ioredis which event to wait for.
    await roundTrip(new Redis({ Connector, tls: {} }), "secure");
  },
};

/** Its `error` event; commands are rejected with the number of retries. */
export async function failure(
  { hostname, refused, watch }: Scene,
): Promise<unknown> {
  const { onEvent } = watch();
  const Connector = connectorFor({ hostname, port: refused, onEvent });
  const redis = new Redis({ Connector, retryStrategy: null });
  return await errorOf(redis);
}

/** A connection that gives up. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
): Promise<"redis"> {
  const Connector = connectorFor({ hostname, port: ports.redis, onEvent });
  const redis = new Redis({
    Connector,
    connectTimeout: 50,
    retryStrategy: null,
  });
  const error = await errorOf(redis) as NodeJS.ErrnoException;
  equal(error.code, "ETIMEDOUT");
  return "redis";
}
