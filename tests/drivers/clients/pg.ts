/** `pg`. @module */

import { deepEqual, rejects } from "node:assert/strict";

import { LazySocket } from "../../../src/entry/node.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: pg } = await npm("pg");

function config({ hostname, ports, watch }: Scene) {
  return {
    host: hostname,
    port: ports.postgres,
    user: "postgres",
    stream: () => new LazySocket({ onEvent: watch().onEvent }),
  };
}

const isSecure =
  "select ssl, $1::int as number from pg_stat_ssl where pid = pg_backend_pid()";

/** The cases. */
export const cases: Record<string, Case> = {
  async "Client"(scene) {
    const client = new pg.Client(config(scene));
    await client.connect();
    const { rows } = await client.query(isSecure, [1]);
    deepEqual(rows, [{ ssl: false, number: 1 }]);
    await client.end();
  },

  async "Client, ssl"(scene) {
    const ssl = { ca: scene.ca };
    const client = new pg.Client({ ...config(scene), ssl });
    await client.connect();
    const { rows } = await client.query(isSecure, [1]);
    deepEqual(rows, [{ ssl: true, number: 1 }]);
    await client.end();
  },

  async "Pool"(scene) {
    const pool = new pg.Pool({ ...config(scene), max: 2 });
    const results = await Promise.all(
      [1, 2, 3, 4].map((number) => pool.query(isSecure, [number])),
    );
    const numbers = results.map(({ rows }) => rows[0].number);
    deepEqual(numbers, [1, 2, 3, 4]);
    await pool.end();
  },

  async "Pool, ssl"(scene) {
    const ssl = { ca: scene.ca };
    const pool = new pg.Pool({ ...config(scene), ssl });
    const { rows } = await pool.query(isSecure, [1]);
    deepEqual(rows, [{ ssl: true, number: 1 }]);
    await pool.end();
  },
};

/** A client of a server that is not there. */
export function failure(scene: Scene): Promise<unknown> {
  const client = new pg.Client({ ...config(scene), port: scene.refused });
  return client.connect().catch((error: unknown) => error);
}

/** A client that gives up. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
): Promise<"postgres"> {
  const client = new pg.Client({
    host: hostname,
    port: ports.postgres,
    connectionTimeoutMillis: 50,
    stream: () => new LazySocket({ onEvent }),
  });
  await rejects(client.connect(), /timeout expired/);
  return "postgres";
}
