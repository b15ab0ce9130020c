/** `postgres` (postgres.js). @module */

import { deepEqual, rejects } from "node:assert/strict";

import { LazySocket } from "../../../src/entry/node.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: postgres } = await npm("postgres");

function connect(
  { hostname, watch }: Pick<Scene, "hostname" | "watch">,
  port: number,
  more: Record<string, unknown> = {},
) {
  return postgres({
    host: hostname,
    port,
    ...more,
    user: "postgres",
    max: 1,
    socket: ({ host, port }: { host: string[]; port: number[] }) =>
      new LazySocket({
        hostname: host[0],
        port: port[0],
        onEvent: watch().onEvent,
      }),
  });
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "query"(scene) {
    const sql = connect(scene, scene.ports.postgres);
    deepEqual([...await sql`select 1 + 1 as sum`], [{ sum: 2 }]);
    await sql.end();
  },

  async "query, ssl"(scene) {
    const sql = connect(scene, scene.ports.postgres, {
      ssl: { ca: scene.ca },
    });
    const rows = await sql`
      select ssl from pg_stat_ssl where pid = pg_backend_pid()`;
    deepEqual([...rows], [{ ssl: true }]);
    await sql.end();
  },
};

/** Queries must reject, also one that waits for the connection, not hang. */
export async function failure(scene: Scene): Promise<unknown> {
  const sql = connect(scene, scene.refused);
  const errors = await Promise.all(
    [sql`select 1`, sql`select 2`].map((query) =>
      query.catch((error: unknown) => error)
    ),
  );
  await sql.end();
  deepEqual(errors.map(({ name }) => name), ["ConnectError", "ConnectError"]);
  return errors[1];
}

/** A query that gives up. */
export async function abort(
  scene: Scene,
  watched: Watched,
): Promise<"postgres"> {
  const { hostname, ports } = scene;
  const watch = () => watched;
  const sql = connect({ hostname, watch }, ports.postgres, {
    connect_timeout: 0.05,
  });
  await rejects(sql`select 1`, { code: "CONNECT_TIMEOUT" });
  await sql.end();
  return "postgres";
}
