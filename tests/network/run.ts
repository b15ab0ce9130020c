/**
 * The network testbed: `deno task network [option ...]`, as root on Linux.
 *
 * Clients connect through networks that are broken in one way each, ours and
 * the others side by side; what they do is held against the schedule that
 * RFC 8305 has for it, by time and by the packets on the wire. Nothing leaves
 * the network namespaces this makes.
 *
 *     (none)            every client, every scenario, 5 times; medians judged
 *     --report          the same, written to .github/network.md and .svg;
 *                       --report=<folder> writes elsewhere
 *     --fast            ours only, once, without upper bounds on time
 *     --load=N          N connects per runtime in parallel instead
 *                       (with --report, written to .github/network.md)
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
import {
  type Client,
  findClients,
  type RuntimeName,
  runtimes,
} from "./clients.ts";
import { type Cell, findDelays, findViolations } from "./judge.ts";
import { runLoad } from "./load.ts";
import { measure, type Repetition, type Run } from "./measure.ts";
import { loadTable, writeLoadReport, writeReport } from "./report.ts";
import { scenarios } from "./scenarios.ts";
import { Testbed } from "./testbed.ts";

const options = readOptions(Deno.args);
const clientPattern = new RegExp(options.get("clients") ?? "");

/** How many clients run at the same time; more would disturb each other. */
const SLOTS = 2;

await main();

async function main(): Promise<void> {
  const obstacle = await Testbed.obstacle();
  if (obstacle) return console.log(`SKIP: ${obstacle}`);
  const failed = options.has("load") ? await load() : await runScenarios();
  Deno.exit(failed ? 1 : 0);
}

async function load(): Promise<boolean> {
  const names = Object.keys(runtimes) as RuntimeName[];
  const wanted = names.filter((name) => clientPattern.test(name));
  const results = await runLoad(wanted, Number(options.get("load")), seed());
  for (const line of loadTable(results)) console.log(line);
  if (options.has("report")) await writeLoadReport(results, folder());
  const failed = results.filter(({ faults }) => faults.length > 0).length;
  console.log(`${results.length - failed} passed, ${failed} failed`);
  return failed > 0;
}

async function runScenarios(): Promise<boolean> {
  const isFast = options.has("fast");
  await using testbed = await Testbed.create({
    scenarios,
    slots: SLOTS,
    seed: seed(),
  });
  const faults = isFast ? [] : await checkAccuracy(testbed);
  const clients = await findClients(
    testbed.folder,
    (name) => clientPattern.test(name) && (!isFast || name.startsWith("ours")),
  );
  const cells = await measureAll(testbed, clients, {
    runs: Number(options.get("runs") ?? (isFast ? 1 : 5)),
    warmUps: isFast ? 1 : 20,
  });
  const ours = cells.filter(([run]) => run.client.runtime);
  if (isFast) await lookAgain(testbed, ours);
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
  if (options.has("report")) await writeReport(cells, folder());
  const skipped = sayMissing(clients);
  console.log(
    `${passed} passed, ${ours.length - passed} failed` +
      (skipped > 0 ? `, ${skipped} skipped` : ""),
  );
  return faults.length > 0;
}

/** Says on which runtimes nothing was measured, and how many they are. */
function sayMissing(clients: readonly Client[]): number {
  const missing = Object.keys(runtimes).filter((name) =>
    clientPattern.test(`ours on ${name}`) &&
    !clients.some(({ runtime }) => runtime === name)
  );
  for (const name of missing) console.log(`SKIP: ${name} is not installed`);
  return missing.length;
}

/** Measures what seems wrong twice more: most of the runs have to be. */
async function lookAgain(testbed: Testbed, cells: Cell[]): Promise<void> {
  const twice = { runs: 2, warmUps: 1 };
  for (const [index, cell] of cells.entries()) {
    if (findViolations(cell).length === 0) continue;
    const [{ client, site }] = cell;
    const runs = await measure(testbed, client, 0, [site], twice);
    cells[index] = [...cell, ...runs];
  }
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

/** Where reports go. */
function folder(): string {
  return options.get("report") ||
    new URL("../../.github", import.meta.url).pathname;
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
