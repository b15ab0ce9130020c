/** `ioredis`. @module */

import { equal } from "node:assert/strict";

import { LazySocket, type LazySocketOptions } from "../../../src/entry/node.ts";
import { type Case, errorOf, npm, type Scene, type Watched } from "../scene.ts";

const { AbstractConnector, Redis } = await npm("ioredis");

/** Where to, which the connector is given. */
interface Target {
  readonly host: string;
  readonly port: number;
  readonly disconnectTimeout: number;
}

/** ioredis makes its connector by itself, so our options are in a closure. */
function connectorFor(options: LazySocketOptions) {
  return class extends AbstractConnector {
    readonly #target: Target;

    constructor(target: Target) {
      super(target.disconnectTimeout);
      this.#target = target;
    }

    connect() {
      this.connecting = true;
      const { host, port } = this.#target;
      const target = { hostname: host, port };
      this.stream = new LazySocket({ ...options, ...target }).connect();
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
    const Connector = connectorFor({ onEvent });
    const target = { host: hostname, port: ports.redis };
    await roundTrip(new Redis({ ...target, Connector }), "plain");
  },

  async "rediss:"({ hostname, ports, ca, watch }) {
    const { onEvent } = watch();
    const Connector = connectorFor({ tls: { caCerts: [ca] }, onEvent });
    const target = { host: hostname, port: ports.rediss };
    // `tls` tells ioredis which event to wait for.
    await roundTrip(new Redis({ ...target, Connector, tls: {} }), "secure");
  },
};

/** Its `error` event; commands are rejected with the number of retries. */
export async function failure(
  { hostname, refused, watch }: Scene,
): Promise<unknown> {
  const { onEvent } = watch();
  const redis = new Redis({
    host: hostname,
    port: refused,
    Connector: connectorFor({ onEvent }),
    retryStrategy: null,
  });
  return await errorOf(redis);
}

/** A connection that gives up. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
): Promise<"redis"> {
  const redis = new Redis({
    host: hostname,
    port: ports.redis,
    Connector: connectorFor({ onEvent }),
    connectTimeout: 50,
    retryStrategy: null,
  });
  const error = await errorOf(redis) as NodeJS.ErrnoException;
  equal(error.code, "ETIMEDOUT");
  return "redis";
}
