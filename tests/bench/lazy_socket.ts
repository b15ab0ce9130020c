/**
 * What a `LazySocket` costs: `deno run -A tests/bench/lazy_socket.ts`.
 *
 * Queries through `pg`, over its plain socket and over a `LazySocket`, taking
 * turns in one process, against a PostgreSQL server of Debian's package that is
 * started for this. With ssl, `pg` puts TLS on top of either; over a
 * `LazySocket` every runtime then has to pass records through its own streams.
 * There is no limit: how much of the time is the server's differs by machine.
 *
 * @module
 */

import { databases, start } from "../drivers/databases.ts";
import { install } from "../drivers/runtimes.ts";
import { type Service, services } from "../drivers/scene.ts";
import type { Measurement } from "./measure.ts";

/** How a runtime is told to show its garbage collector. */
const exposeGc = { Node: "--expose-gc", Bun: "--expose-gc" } as const;

const here = import.meta.dirname!;
const runtimes = await install();
const postgres = databases.find(({ services }) =>
  services.includes("postgres")
)!;
const port = freePort();
{
  const ports = Object.fromEntries(services.map((name) => [name, port]));
  await using _server = await start(
    postgres,
    ports as Record<Service, number>,
  );
  print("", "", "plain", "lazy", "ratio");
  for (const { name, command: [command, ...args] } of runtimes) {
    const gc = name === "Deno" ? "--v8-flags=--expose-gc" : exposeGc[name];
    const { success, stdout } = await new Deno.Command(command, {
      args: [...args, gc, `${here}/lazy_socket_queries.ts`, `${port}`],
      cwd: `${here}/../drivers`,
      stdin: "null",
      stderr: "inherit",
    }).output();
    if (!success) throw new Error(`Cannot bench: ${name} failed`);
    const results: Measurement[] = JSON.parse(new TextDecoder().decode(stdout));
    for (const { name: what, unit, raw, ours } of results) {
      const amount = (value: number) => `${value.toFixed(1)} ${unit}`;
      const ratio = (ours / raw).toFixed(2);
      print(name, what, amount(raw), amount(ours), ratio);
    }
  }
}
Deno.exit();

function print(
  runtime: string,
  name: string,
  ...numbers: [string, string, string]
): void {
  const [raw, ours, ratio] = numbers;
  const columns = [runtime.padEnd(4), name.padEnd(24)];
  columns.push(raw.padStart(12), ours.padStart(12), ratio.padStart(7));
  console.log(columns.join(" ").trimEnd());
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
