/**
 * What is bundled: it connects to the port it is given and prints what it reads.
 *
 * @module
 */

import { connect, staggeredRace } from "../../mod.ts";

// No import: nothing but the package is to be bundled.
const { process } = globalThis as unknown as {
  process: { readonly argv: readonly string[] };
};
const connection = await staggeredRace([
  (signal) =>
    connect({ hostname: "localhost", port: Number(process.argv[2]), signal }),
]);
console.log(await new Response(connection.readable).text());
await connection.closed;
