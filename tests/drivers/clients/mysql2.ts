/** `mysql2`. @module */

import { deepEqual, match, rejects } from "node:assert/strict";

import { LazySocket } from "../../../src/entry/node.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: mysql } = await npm("mysql2/promise");

function config({ hostname, watch }: Scene, port: number) {
  return {
    host: hostname,
    port,
    user: "test",
    password: "test",
    stream: streamOf(watch),
  };
}

/** A connection says where to by its `config`. */
function streamOf(watch: Scene["watch"]) {
  return ({ config }: { config: { host: string; port: number } }) =>
    new LazySocket({
      hostname: config.host,
      port: config.port,
      onEvent: watch().onEvent,
    });
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "connection"(scene) {
    const connection = await mysql.createConnection(
      config(scene, scene.ports.mysql),
    );
    const [rows] = await connection.execute("select ? + 1 as sum", [1]);
    deepEqual(rows.map(({ sum }: { sum: unknown }) => Number(sum)), [2]);
    await connection.end();
  },

  async "connection, ssl"(scene) {
    const connection = await mysql.createConnection({
      ...config(scene, scene.ports.mysql),
      ssl: { ca: scene.ca, verifyIdentity: true },
    });
    const [rows] = await connection.query("show status like 'ssl_cipher'");
    match(rows[0].Value, /^TLS/);
    await connection.end();
  },
};

/** A connection to where nobody listens. */
export function failure(scene: Scene): Promise<unknown> {
  return mysql.createConnection(config(scene, scene.refused))
    .catch((error: unknown) => error);
}

/** A connection that gives up. */
export async function abort(
  { hostname, ports }: Scene,
  watched: Watched,
): Promise<"mysql"> {
  const connection = mysql.createConnection({
    host: hostname,
    port: ports.mysql,
    connectTimeout: 50,
    stream: streamOf(() => watched),
  });
  await rejects(connection, { code: "ETIMEDOUT" });
  return "mysql";
}
