/**
 * Connects very many times through `connect()`, good hosts and broken ones,
 * and counts what is left of it.
 *
 *     <deno|bun|node> load_client.ts plan.json
 *
 * Prints a `LoadReport`, then holds its pool of idle connections until there
 * is a line on standard input, uses and closes them, and prints how many of
 * them still worked.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";

import { connect, type Connection, staticResolver } from "../../../mod.ts";
import { listLiveSockets } from "./socket_table.ts";

/** What to do. */
export interface LoadPlan {
  readonly connects: number;
  /** How many at a time. */
  readonly parallel: number;
  /** How many connections to hold all the while. */
  readonly pool: number;
  /** Each gets the same share. */
  readonly hosts: readonly LoadHost[];
  /** Connects per round of the comparison with the raw primitive. */
  readonly round: number;
  readonly tcpPort: number;
  readonly tlsPort: number;
  readonly ca: string;
}

/** A host of the plan. */
export interface LoadHost {
  /** What is put behind a word of its own to make a fresh name. */
  readonly suffix: string;
  readonly tls: boolean;
  /** Milliseconds until the caller's signal, where it has one. */
  readonly patience: number | null;
  /** IPv6 then IPv4, of healthy hosts. */
  readonly addresses: readonly string[] | null;
}

/** What a process holds at a moment. */
export interface Sample {
  readonly descriptors: number;
  /** Timers that are set. */
  readonly timers: number;
  /** Megabytes, after collecting garbage but for samples under load. */
  readonly heap: number;
  /** Sockets by state and address, most first. */
  readonly sockets: Readonly<Record<string, number>>;
}

/** What it was like. */
export interface LoadReport {
  readonly before: Sample;
  readonly during: readonly Sample[];
  readonly after: Sample;
  /** How each host's connects ended, in the order of the plan. */
  readonly outcomes: readonly Readonly<Record<string, number>>[];
  readonly seconds: number;
  /** Milliseconds for a round: medians. */
  readonly raw: number;
  readonly ours: number;
}

const ROUNDS = 7;
const WARM_UPS = 2;
/** Long enough for a closed socket to be forgotten by the runtime. */
const SETTLE = 500;

const { setTimeout: systemSetTimeout } = globalThis;
/** Tells how many timers are set; counted from after the comparison. */
let timers: () => number;
const plan: LoadPlan = JSON.parse(readFileSync(process.argv[2]!, "utf8"));
const ca = readFileSync(plan.ca, "utf8");

await main();

async function main(): Promise<void> {
  const { raw, ours } = await compare();
  timers = countTimers();
  await soak("warmup", plan.connects / 20, () => {});
  const pool = await openPool();
  const before = await settledSample();
  const during: Sample[] = [];
  const start = performance.now();
  const outcomes = await soak("load", plan.connects, (done) => {
    if (done % (plan.connects / 10) === 0) during.push(sample());
  });
  const seconds = (performance.now() - start) / 1000;
  const after = await settledSample();
  const report: LoadReport = {
    before,
    during,
    after,
    outcomes,
    seconds,
    raw,
    ours,
  };
  console.log(JSON.stringify(report));
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const worked = await Promise.all(pool.map(usePooled));
  console.log(worked.filter(Boolean).length);
  process.exit();
}

/** Connects to one host after the other, `parallel` at a time. */
async function soak(
  word: string,
  connects: number,
  onDone: (done: number) => void,
): Promise<Record<string, number>[]> {
  const outcomes = plan.hosts.map((): Record<string, number> => ({}));
  let next = 0;
  let done = 0;
  async function work(): Promise<void> {
    while (next < connects) {
      const number = next++;
      const index = number % plan.hosts.length;
      const outcome = await connectOnce(
        plan.hosts[index]!,
        `${word}${number}`,
      );
      outcomes[index]![outcome] = (outcomes[index]![outcome] ?? 0) + 1;
      onDone(++done);
    }
  }
  await Promise.all(Array.from({ length: plan.parallel }, work));
  return outcomes;
}

async function connectOnce(host: LoadHost, word: string): Promise<string> {
  let connection: Connection;
  try {
    connection = await open(host, word);
  } catch (error) {
    const { name, code } = error as { name: string; code?: unknown };
    return typeof code === "string" ? code : name;
  }
  try {
    await connection.close();
    return "connected";
  } catch (error) {
    return `closed with ${error}`;
  }
}

function open(
  { suffix, tls, patience }: LoadHost,
  word: string,
): Promise<Connection> {
  return connect({
    hostname: `${word}${suffix}`,
    port: tls ? plan.tlsPort : plan.tcpPort,
    tls: tls && { caCerts: [ca] },
    ...(patience !== null && { signal: AbortSignal.timeout(patience) }),
  });
}

function openPool(): Promise<Connection[]> {
  const healthy = plan.hosts.filter(({ addresses }) => addresses);
  return Promise.all(
    Array.from(
      { length: plan.pool },
      (_, i) => open(healthy[i % healthy.length]!, `pool${i}`),
    ),
  );
}

/** Whether the server still answers. */
async function usePooled(connection: Connection): Promise<boolean> {
  try {
    const writer = connection.writable.getWriter();
    await writer.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    writer.releaseLock();
    const reader = connection.readable.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    await connection.close();
    return value !== undefined;
  } catch {
    return false;
  }
}

/** What a connect costs here and with the platform's own call, by turns. */
async function compare(): Promise<{ raw: number; ours: number }> {
  const addresses = plan.hosts.flatMap(({ addresses }) =>
    addresses ? [addresses] : []
  );
  const raw: number[] = [];
  const ours: number[] = [];
  for (let round = -WARM_UPS; round < ROUNDS; round++) {
    const pairs = Array.from(
      { length: plan.round },
      (_, i) => addresses[i % addresses.length]!,
    );
    const times = [
      await timeRound(pairs, dialRaw),
      await timeRound(pairs, dialOurs),
    ];
    if (round < 0) continue;
    raw.push(times[0]!);
    ours.push(times[1]!);
  }
  return { raw: median(raw), ours: median(ours) };
}

async function timeRound(
  pairs: readonly (readonly string[])[],
  dial: (pair: readonly string[]) => Promise<unknown>,
): Promise<number> {
  const start = performance.now();
  const queue = pairs.values();
  await Promise.all(Array.from({ length: plan.parallel }, async () => {
    for (const pair of queue) await dial(pair);
  }));
  const took = performance.now() - start;
  // What is left of closing must not slow the next round down.
  await new Promise((resolve) => systemSetTimeout(resolve, SETTLE));
  return took;
}

async function dialRaw([address]: readonly string[]): Promise<void> {
  if ("Deno" in globalThis) {
    const options = { hostname: address!, port: plan.tcpPort };
    (await Deno.connect(options)).close();
    return;
  }
  await new Promise<void>((resolve, reject) => {
    const socket = net.connect({
      host: address!,
      port: plan.tcpPort,
      autoSelectFamily: false,
    });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
  });
}

async function dialOurs(addresses: readonly string[]): Promise<void> {
  const connection = await connect({
    hostname: "raw.he.test",
    port: plan.tcpPort,
    resolver: staticResolver(addresses),
  });
  connection.close().catch(() => {});
}

async function settledSample(): Promise<Sample> {
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => systemSetTimeout(resolve, SETTLE));
    collectGarbage();
  }
  return sample();
}

function sample(): Sample {
  const sockets: Record<string, number> = {};
  for (const { state, remoteAddress } of listLiveSockets()) {
    const key = `${state} ${remoteAddress}`;
    sockets[key] = (sockets[key] ?? 0) + 1;
  }
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    timers: timers(),
    heap: process.memoryUsage().heapUsed / 2 ** 20,
    sockets,
  };
}

function collectGarbage(): void {
  const { gc, Bun } = globalThis as unknown as {
    gc?: () => void;
    Bun?: { gc(force: boolean): void };
  };
  if (Bun) Bun.gc(true);
  else gc!();
}

/** Counts the timers that are set, by standing in for the globals. */
function countTimers(): () => number {
  const live = new Set<unknown>();
  const { setTimeout, clearTimeout } = globalThis;
  const counting = (run: () => void, ms: number) => {
    const timer = setTimeout(() => {
      live.delete(timer);
      run();
    }, ms);
    live.add(timer);
    return timer;
  };
  Object.assign(globalThis, {
    setTimeout: counting,
    clearTimeout(timer: number) {
      live.delete(timer);
      clearTimeout(timer);
    },
  });
  return () => live.size;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
