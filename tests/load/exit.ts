/**
 * A process that connects, closes and has nothing more to do: it must end by
 * itself. Its waits are a day long, so a timer that was left behind keeps it
 * alive for longer than anybody waits for it.
 *
 *     deno run -A exit.ts <port of a server> <port that refuses>
 *
 * @module
 */

import process from "node:process";

import { connect, staticResolver } from "../../mod.ts";

const DAY = 86_400_000;

const [port, refusedPort] = process.argv.slice(2).map(Number);
const delays = { connectionAttemptDelay: DAY, resolutionDelay: DAY };
// The second address is never needed, but waits for its turn.
const resolver = staticResolver(["127.0.0.1", "127.0.0.2"]);

const literal = await connect({
  hostname: "127.0.0.1",
  port: port!,
  ...delays,
});
await literal.close();

const named = await connect({
  hostname: "example.test",
  port: port!,
  resolver,
  ...delays,
});
await named.close();

const error = await connect({
  hostname: "127.0.0.1",
  port: refusedPort!,
  ...delays,
}).catch((error: unknown) => error);
console.log((error as { code?: unknown }).code);
