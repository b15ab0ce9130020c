/**
 * Is the testbed itself exact? A handshake that is held back by N milliseconds
 * has to take N more than one that is not, within 2, as a client sees it with
 * its runtime's own `connect`.
 *
 * @module
 */

import { type Client, findClients } from "./clients.ts";
import type { Job } from "./clients/job.ts";
import { median } from "./judge.ts";
import { REST, runJobs } from "./measure.ts";
import type { Testbed } from "./testbed.ts";
import { type Site, TCP_PORT } from "./world.ts";

/** Milliseconds. */
const TOLERANCE = 2;
const RUNS = 7;

/** What is not exact. */
export async function checkAccuracy(testbed: Testbed): Promise<string[]> {
  const [client] = await findClients(
    testbed.folder,
    (name) => name === "Deno.connect",
  );
  const atOnce = await handshakeTime(testbed, client!, testbed.warmUp);
  const errors = new Map<number, number>();
  for (const site of testbed.sites) {
    const [fate] = site.scenario.aaaa.hosts;
    if (typeof fate !== "object" || !("delay" in fate)) continue;
    const time = await handshakeTime(testbed, client!, site);
    errors.set(fate.delay, time - atOnce - fate.delay);
  }
  const list = [...errors].map(([delay, error]) =>
    `${delay} ms by ${error.toFixed(2)}`
  );
  console.log(
    `A handshake takes ${atOnce.toFixed(2)} ms; held back, it is off: ` +
      list.join(", "),
  );
  return [...errors].filter(([, error]) => Math.abs(error) > TOLERANCE)
    .map(([delay]) => `the link does not hold ${delay} ms back exactly`);
}

async function handshakeTime(
  testbed: Testbed,
  client: Client,
  { aaaa }: Site,
): Promise<number> {
  const job: Job = {
    host: aaaa[0]!,
    port: TCP_PORT,
    ca: null,
    patience: 5000,
    rest: REST,
  };
  const jobs = Array<Job>(1 + RUNS).fill(job);
  const results = await runJobs(testbed, client, "dual", 0, jobs);
  return median(results.slice(1).map(({ ms }) => ms));
}
