/**
 * Runs one client through scenarios and collects its results and the wire's.
 *
 * @module
 */

import type { Client } from "./clients.ts";
import type { Job, Result } from "./clients/job.ts";
import { PATIENCE, type Profile } from "./scenarios.ts";
import { CA, type Testbed } from "./testbed.ts";
import { type Attempt, attemptsOf, type WireEvent } from "./wire_log.ts";
import {
  clientAddresses,
  nameOf,
  type Site,
  TCP_PORT,
  TLS_PORT,
} from "./world.ts";

/** One connection of one client. */
export interface Run {
  readonly client: Client;
  readonly site: Site;
  /** The name it connected to, which no other run has. */
  readonly host: string;
  readonly result: Result;
  /** What the client did on the wire, in order. */
  readonly attempts: readonly Attempt[];
  /** The answers it got from DNS, in order. */
  readonly answers: readonly WireEvent[];
}

/** A run before the log was read. */
type Report = Pick<Run, "site" | "host" | "result">;

/** A scenario's lookups that outlive it hold up the next ones for this long. */
const LONG_LOOKUP = 1000;
/** Milliseconds between two connections of one process. */
export const REST = 20;

/** How far apart the clocks of two processes may be, in milliseconds. */
const CLOCK_TOLERANCE = 2;

/** How often to do what. */
export interface Repetition {
  /** Times per scenario. */
  readonly runs: number;
  /** Connections of each process that nobody looks at. */
  readonly warmUps: number;
}

/** Sends a client through each scenario. */
export async function measure(
  testbed: Testbed,
  client: Client,
  slot: number,
  sites: readonly Site[],
  { runs, warmUps }: Repetition,
): Promise<Run[]> {
  const reports: Report[] = [];
  for (const batch of batches(sites, runs)) {
    const warm = Array<Site>(warmUps).fill(testbed.warmUp);
    const all = await runBatch(testbed, client, slot, [...warm, ...batch]);
    reports.push(...all.slice(warmUps));
  }
  return addLog(client, slot, reports, testbed.readLog());
}

/**
 * What runs in one process: all scenarios for one kind of machine, but for
 * those whose lookups linger in a thread pool; these have a process per run.
 */
function batches(sites: readonly Site[], runs: number): Site[][] {
  const shared: Partial<Record<Profile, Site[]>> = {};
  const lone: Site[][] = [];
  // What disturbs the machine for a while must not meet all runs of a scenario.
  for (const site of Array<readonly Site[]>(runs).fill(sites).flat()) {
    const { profile = "dual" } = site.scenario;
    if (longestLookup(site) >= LONG_LOOKUP) lone.push([site]);
    else (shared[profile] ??= []).push(site);
  }
  return [...Object.values(shared), ...lone];
}

/** Milliseconds until the last answer. */
export function longestLookup({ scenario: { aaaa, a } }: Site): number {
  return Math.max(
    ...[aaaa, a].map(({ hosts, delay = 0 }) =>
      hosts === "silence" ? Infinity : delay
    ),
  );
}

let batchCount = 0;

async function runBatch(
  testbed: Testbed,
  client: Client,
  slot: number,
  sites: readonly Site[],
): Promise<Report[]> {
  const number = ++batchCount;
  const jobs = sites.map((site, index): Job => ({
    host: nameOf(site, `b${number}r${index}`),
    port: site.scenario.tls ? TLS_PORT : TCP_PORT,
    ca: site.scenario.tls ? CA : null,
    patience: site.scenario.patience ?? PATIENCE,
    rest: Math.min(LONG_LOOKUP, Math.max(REST, longestLookup(site))),
  }));
  const { profile = "dual" } = sites.at(-1)!.scenario;
  const results = await runJobs(testbed, client, profile, slot, jobs);
  return results.map((result, index) => ({
    site: sites[index]!,
    host: jobs[index]!.host,
    result,
  }));
}

/** Has a client do its jobs on one of the machines. */
export async function runJobs(
  testbed: Testbed,
  client: Client,
  profile: Profile,
  slot: number,
  jobs: readonly Job[],
): Promise<Result[]> {
  const file = `${testbed.folder}/${profile}${slot}-jobs.json`;
  await Deno.writeTextFile(file, JSON.stringify(jobs));
  const namespace = testbed.namespace(profile, slot);
  const child = testbed.spawn(namespace, [...client.command, file]);
  const lines = await readLines(child.stdout, jobs.length);
  await end(child);
  if (lines.length < jobs.length) {
    const { host } = jobs[lines.length]!;
    throw new Error(`${client.name} ended before it was done with ${host}`);
  }
  return lines.map((line) => JSON.parse(line));
}

/** Ends a client that is done: an abandoned lookup can hold it up for seconds. */
async function end(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
  await child.status;
}

async function readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  count: number,
): Promise<string[]> {
  let text = "";
  const lines = () => text.split("\n").slice(0, -1);
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (lines().length >= count) break;
  }
  return lines();
}

/**
 * Adds what the log has of each run: answers by the name, which is the run's
 * alone; attempts by the addresses, which are the site's and the machine's
 * alone, each to the latest run that had begun.
 */
function addLog(
  client: Client,
  slot: number,
  reports: readonly Report[],
  log: readonly WireEvent[],
): Run[] {
  const answers = Map.groupBy(
    log.filter(({ kind }) => kind === "answer"),
    ({ name }) => name!,
  );
  const bySite = Map.groupBy(reports, ({ site }) => site);
  const attempts = attemptsOf(log);
  return [...bySite].flatMap(([{ aaaa, a, scenario }, reports]) => {
    const addresses = new Set([...aaaa, ...a]);
    const local = clientAddresses(scenario.profile ?? "dual", slot);
    const own = attempts.filter(({ address, syns }) =>
      addresses.has(address) && local.includes(syns[0]!.client)
    );
    return reports.map((report, index) => {
      const isOf = (time: number, { start } = reports[index]!.result) =>
        time >= start - CLOCK_TOLERANCE &&
        !(time >= reports[index + 1]?.result.start! - CLOCK_TOLERANCE);
      return {
        client,
        ...report,
        answers: answers.get(report.host) ?? [],
        attempts: own.filter(({ syns }) => isOf(syns[0]!.time)),
      };
    });
  });
}
