/**
 * Drivers made for Workers, unmodified: what each has to do over `./sockets`.
 *
 * The drivers come as arguments, because it is the bundler of `run.ts` that
 * finds them: their builds for Workers, with `cloudflare:sockets` replaced by
 * `./sockets`. The same runs on Node, Deno, Bun and in workerd.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";

import { SocketError } from "../../src/entry/sockets.ts";

/** Where PostgreSQL is; nobody listens at `refused`. */
export interface Place {
  readonly port: number;
  readonly refused: number;
}

/** A case by its name; resolves when it has passed. */
export type Cases = Readonly<Record<string, (place: Place) => Promise<void>>>;

const hostname = "localhost";
const isEncrypted =
  "select ssl, 41 + 1 as sum from pg_stat_ssl where pid = pg_backend_pid()";

// deno-lint-ignore no-explicit-any -- the drivers' types are not installed
type Driver = any;

/** postgres.js in its build `cf`. */
export function postgresCases(postgres: Driver): Cases {
  const open = (port: number, options = {}) =>
    postgres({ host: hostname, port, user: "postgres", max: 1, ...options });
  return {
    "postgres/cf": async ({ port }) => {
      const sql = open(port);
      const rows = await sql.unsafe(isEncrypted);
      assertEquals([...rows], [{ ssl: false, sum: 42 }]);
      await sql.end();
    },
    "postgres/cf, STARTTLS": async ({ port }) => {
      const sql = open(port, { ssl: "require" });
      const rows = await sql.unsafe(isEncrypted);
      assertEquals([...rows], [{ ssl: true, sum: 42 }]);
      await sql.end();
    },
    "postgres/cf, a megabyte each way": async ({ port }) => {
      const sql = open(port);
      const text = "0123456789abcdef".repeat(65_536);
      const [row] = await sql`select ${text}::text as text`;
      assert(row.text === text);
      await sql.end();
    },
    "postgres/cf, nobody listens": async ({ refused }) => {
      const sql = open(refused);
      const queries = [sql`select 1`, sql`select 2`];
      for (const query of queries) await refuses(query, refused);
      await sql.end();
    },
  };
}

/** `pg`, which takes its sockets from `pg-cloudflare` in a Worker. */
export function pgCases(pg: Driver): Cases {
  const open = (port: number, options = {}) =>
    new pg.Client({ host: hostname, port, user: "postgres", ...options });
  return {
    "pg": async ({ port }) => {
      const client = open(port);
      await client.connect();
      const { rows } = await client.query(isEncrypted);
      assertEquals(rows, [{ ssl: false, sum: 42 }]);
      await client.end();
    },
    "pg, STARTTLS": async ({ port }) => {
      const client = open(port, { ssl: true });
      await client.connect();
      const { rows } = await client.query(isEncrypted);
      assertEquals(rows, [{ ssl: true, sum: 42 }]);
      await client.end();
    },
    "pg, Pool": async ({ port }) => {
      const pool = new pg.Pool({ host: hostname, port, user: "postgres" });
      const results = await Promise.all(
        [1, 2, 3].map((number) => pool.query("select $1::int as n", [number])),
      );
      assertEquals(results.map(({ rows }) => rows[0].n), [1, 2, 3]);
      await pool.end();
    },
    "pg, nobody listens": async ({ refused }) => {
      const client = open(refused);
      client.on("error", () => {});
      await refuses(client.connect(), refused);
    },
  };
}

/** The error is ours, and says what happened. */
async function refuses(query: Promise<unknown>, port: number): Promise<void> {
  const error = await assertRejects(() => query, SocketError);
  const { code, message } = error as SocketError;
  assertEquals(code, "ECONNREFUSED");
  const said = `SocketError: Cannot connect to "localhost" port ${port}: `;
  assert(message.startsWith(said) && message.includes("ECONNREFUSED"), message);
}

/**
 * Runs cases and prints `[name, milliseconds, "ok" or what went wrong]` for
 * each, as JSON.
 */
export async function runCases(cases: Cases, place: Place): Promise<void> {
  for (const [name, run] of Object.entries(cases)) {
    const start = Date.now();
    let outcome = "ok";
    try {
      await run(place);
    } catch (error) {
      outcome = (error as Error).stack ?? String(error);
    }
    console.log(JSON.stringify([name, Date.now() - start, outcome]));
  }
}
