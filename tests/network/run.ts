/**
 * The network testbed: `deno task network [option ...]`, as root on Linux.
 *
 * Clients connect through networks that are broken in one way each, ours and
 * the others side by side; what they do is held against the schedule that
 * RFC 8305 has for it, by time and by the packets on the wire. Nothing leaves
 * the network namespaces this makes.
 *
 *     (none)            every client, every scenario, 5 times; medians judged
 *     --report          the same, written to .github/network.md and .svg
 *     --fast            ours only, once, without upper bounds on time
 *     --load=N          N connects per runtime in parallel instead
 *     --runs=N --only=<scenario> --clients=<client> --seed=N
 *                       fewer or more; patterns are regular expressions
 *
 * How it is made: `scenarios.ts` is data, `world.ts` gives it addresses,
 * `testbed.ts` builds it from `link.ts` and `servers.ts`, `measure.ts` runs
 * `clients/` in it, `schedule.ts` says what is right, `wire_rules.ts` and
 * `judge.ts` compare, `report.ts` writes it down.
 *
 * @module
 */

import { checkAccuracy } from "./accuracy.ts";
import { type Client, findClients } from "./clients.ts";
import { type Cell, findDelays, findViolations } from "./judge.ts";
import { runLoad } from "./load.ts";
import { measure, type Repetition, type Run } from "./measure.ts";
import { writeReport } from "./report.ts";
import { scenarios } from "./scenarios.ts";
import { Testbed } from "./testbed.ts";

const options = readOptions(Deno.args);

/** How many clients run at the same time; more would disturb each other. */
const SLOTS = 3;

await main();

async function main(): Promise<void> {
  const obstacle = await Testbed.obstacle();
  if (obstacle) return console.log(`SKIP: ${obstacle}`);
  const load = options.get("load");
  const failed = load === undefined
    ? await runScenarios()
    : await runLoad(Number(load), seed());
  Deno.exit(failed ? 1 : 0);
}

async function runScenarios(): Promise<boolean> {
  const isFast = options.has("fast");
  await using testbed = await Testbed.create({
    scenarios,
    slots: SLOTS,
    seed: seed(),
  });
  const faults = isFast ? [] : await checkAccuracy(testbed);
  const clients = await chooseClients(testbed, isFast);
  const cells = await measureAll(testbed, clients, {
    runs: Number(options.get("runs") ?? (isFast ? 1 : 5)),
    warmUps: isFast ? 1 : 10,
  });
  const ours = cells.filter(([run]) => run.client.runtime);
  let passed = 0;
  for (const cell of ours) {
    const [{ client, site }] = cell;
    const found = findViolations(cell);
    if (!isFast) found.push(...findDelays(cell, cells));
    if (found.length === 0) passed++;
    for (const fault of found) {
      faults.push(`${site.scenario.name}, ${client.name}: ${fault}`);
    }
  }
  for (const fault of faults) console.log(`FAIL ${fault}`);
  if (options.has("report")) await writeReport(cells);
  console.log(`${passed} passed, ${ours.length - passed} failed`);
  return faults.length > 0;
}

async function chooseClients(
  testbed: Testbed,
  isFast: boolean,
): Promise<Client[]> {
  const wanted = new RegExp(options.get("clients") ?? "");
  const clients = await findClients(testbed.folder);
  return clients.filter(({ name, runtime }) =>
    wanted.test(name) && (!isFast || runtime)
  );
}

/** Sends every client through every scenario, a few clients at a time. */
async function measureAll(
  testbed: Testbed,
  clients: readonly Client[],
  repetition: Repetition,
): Promise<Cell[]> {
  const only = new RegExp(options.get("only") ?? "");
  const sites = testbed.sites.filter(({ scenario }) =>
    only.test(scenario.name)
  );
  const queue = clients.values();
  const results = new Map<Client, Run[]>(clients.map((client) => [client, []]));
  await Promise.all(Array.from({ length: SLOTS }, async (_, slot) => {
    for (const client of queue) {
      console.log(`${client.name} ...`);
      results.set(
        client,
        await measure(testbed, client, slot, sites, repetition),
      );
    }
  }));
  return [...results.values()].flatMap((runs) =>
    [...Map.groupBy(runs, ({ site }) => site).values()] as unknown as Cell[]
  );
}

function seed(): number {
  return Number(options.get("seed") ?? 8305);
}

/** `--name=value` and `--name`. */
function readOptions(args: readonly string[]): Map<string, string> {
  return new Map(args.map((arg) => {
    const [, name, value = ""] = /^--(\w+)(?:=(.*))?$/.exec(arg) ?? [];
    if (!name) throw new Error(`Cannot read the option ${arg}`);
    return [name, value];
  }));
}
