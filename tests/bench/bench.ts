/**
 * The benches of one runtime: what `connect()`, its streams and
 * `staggeredRace()` cost beside what the platform has built in. Prints one
 * line of JSON, which `run.ts` makes a table of.
 *
 *     node --expose-gc bench.ts '<Server as JSON>'
 *
 * @module
 */

import process from "node:process";

import { measure, type Measurement } from "./measure.ts";
import { raceCases } from "./races.ts";
import { type Server, socketCases } from "./sockets.ts";
import { deno, node } from "./subjects.ts";

const server: Server = JSON.parse(process.argv[2]!);
const cases = [
  ..."Deno" in globalThis
    ? socketCases(deno, server)
    : socketCases(node, server),
  ...[10, 1000, 10_000].flatMap(raceCases),
];
const results: Measurement[] = [];
for (const each of cases) results.push(await measure(each));
console.log(JSON.stringify(results));
process.exit();
