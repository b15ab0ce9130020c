/** `postgres` (postgres.js). @module */

import { deepEqual, ok, rejects } from "node:assert/strict";
import { setImmediate } from "node:timers";

import { LazySocket } from "../../../src/entry/node.ts";
import type { HappyEyeballsEvent } from "../../../src/events.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: postgres } = await npm("postgres");

/** What postgres.js calls `socket` with: all hosts, not which of them. */
interface Targets {
  readonly host: readonly string[];
  readonly port: readonly number[];
}

/**
 * Takes the next host once the last socket is gone, as postgres.js does where
 * the sockets are its own.
 */
function socketFor(
  watch: Scene["watch"],
  timeout: number,
): (targets: Targets) => LazySocket {
  let last: LazySocket | undefined;
  let index = 0;
  return ({ host, port }) => {
    if (last?.destroyed) index = (index + 1) % host.length;
    const { onEvent } = watch();
    const signal = AbortSignal.timeout(timeout);
    const socket = new LazySocket({ hostname: host[index], signal, onEvent });
    const target = { port: port[index] };
    // A socket that fails before postgres.js has written leaves it waiting for
    // a `setImmediate` that it has cleared.
    setImmediate(() => socket.connect(target));
    return last = socket;
  };
}

function connect(
  { hostname, watch }: Pick<Scene, "hostname" | "watch">,
  port: number,
  more: Record<string, unknown> = {},
) {
  return postgres({
    host: hostname,
    port,
    user: "postgres",
    max: 1,
    socket: socketFor(watch, 10_000),
    ...more,
  });
}

/** Queries by a pool whose first host is down reach the second. */
async function failOver(
  { hostname, ports, ca, watch }: Scene,
  [host, port]: readonly [host: string, port: number],
  timeout = 10_000,
): Promise<void> {
  const tries: Watched["events"][] = [];
  const listen = () => {
    const events: Watched["events"] = [];
    tries.push(events);
    return {
      events,
      onEvent: (event: HappyEyeballsEvent) => void events.push(event),
    };
  };
  const sql = postgres({
    host: [host, hostname],
    port: [port, ports.postgres],
    user: "postgres",
    max: 2,
    ssl: { ca },
    socket: socketFor(listen, timeout),
  });
  const results = await Promise.all(
    [1, 2, 3].map((number) => sql`select ${number}::int as number`),
  );
  deepEqual(results.map(([{ number }]) => number), [1, 2, 3]);
  await sql.end();
  const isConnected = (events: Watched["events"]) =>
    events.some((event) =>
      event.type === "end" && event.outcome === "connected"
    );
  ok(!isConnected(tries[0]!));
  for (const events of tries.filter(isConnected)) {
    const { onEvent } = watch();
    events.forEach(onEvent);
  }
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

  async "hosts, one refuses"(scene) {
    await failOver(scene, [scene.hostname, scene.refused]);
  },

  async "hosts, one refuses at once"(scene) {
    // An address on which no server listens.
    await failOver(scene, ["127.0.0.2", scene.ports.postgres]);
  },

  async "hosts, one is silent"(scene) {
    await failOver(scene, ["::1", scene.ports.postgres], 500);
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
  deepEqual(
    errors.map(({ code }) => code),
    ["ECONNREFUSED", "ECONNREFUSED"],
  );
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
