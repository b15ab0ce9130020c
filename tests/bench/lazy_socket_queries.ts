/**
 * `pg` over a plain socket and over a `LazySocket`, on the runtime at hand:
 * `lazy_socket_queries.ts PORT` prints a list of measurements as JSON.
 *
 * @module
 */

import process from "node:process";

import { LazySocket } from "../../src/entry/node.ts";
import { certificate } from "../certs/read.ts";
import { npm } from "../drivers/scene.ts";
import { type Measure, measure, type Measurement } from "./measure.ts";

/** Bytes of a large result or parameter. */
const LARGE = 16 * 2 ** 20;
/** Queries of each client in one turn. */
const QUERIES = 100;
/**
 * Clients that query at the same time. One alone measures how soon the system
 * wakes the other side, which depends on the cores the two happen to be on.
 */
const CLIENTS = 8;

const { default: pg } = await npm("pg");
const port = Number(process.argv[2]);

/** Connected clients; with `stream` they make their sockets by that. */
async function connectAll(
  stream: (() => LazySocket) | undefined,
  ssl: unknown,
): Promise<(typeof pg.Client)[]> {
  const config = { host: "localhost", port, user: "postgres", stream, ssl };
  const clients = Array.from(
    { length: CLIENTS },
    () => new pg.Client(config),
  );
  await Promise.all(clients.map((client) => client.connect()));
  return clients;
}

/** Milliseconds that `run` takes. */
async function time(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

const large = "x".repeat(LARGE);
const measures: Record<
  string,
  {
    readonly unit: string;
    readonly turns: number;
    readonly of: (clients: (typeof pg.Client)[]) => Measure;
  }
> = {
  "query": {
    unit: "µs",
    turns: 7,
    of: (clients) => async () => {
      const milliseconds = await time(() =>
        Promise.all(clients.map(async (client) => {
          for (let index = 0; index < QUERIES; index++) {
            await client.query("select $1::int", [index]);
          }
        }))
      );
      return milliseconds / (QUERIES * CLIENTS) * 1000;
    },
  },
  "16 MiB down": {
    unit: "ms",
    turns: 3,
    of: ([client]) => () =>
      time(() => client.query(`select repeat('x', ${LARGE})`)),
  },
  "16 MiB up": {
    unit: "ms",
    turns: 3,
    of: ([client]) => () =>
      time(() => client.query("select length($1)", [large])),
  },
};

const results: Measurement[] = [];
for (const ssl of [false, { ca: certificate("ca") }]) {
  const plain = await connectAll(undefined, ssl);
  const lazy = await connectAll(() => new LazySocket(), ssl);
  for (const [name, { unit, turns, of }] of Object.entries(measures)) {
    results.push(
      await measure({
        name: ssl ? `${name}, ssl` : name,
        unit,
        raw: of(plain),
        ours: of(lazy),
        turns,
        warmUp: turns,
      }),
    );
  }
  await Promise.all([...plain, ...lazy].map((client) => client.end()));
}
console.log(JSON.stringify(results));
