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

// Before anything that keeps a timer.
import { CountedTimers } from "../../counted_timers.ts";

import { connect, type Connection, staticResolver } from "../../../mod.ts";
import { listLiveSockets } from "./socket_table.ts";

/** What to do. */
export interface LoadPlan {
  /** What to do one after the other. */
  readonly phases: readonly LoadPhase[];
  /** How many connects at a time. */
  readonly parallel: number;
  /** How many connections to hold all the while. */
  readonly pool: number;
  /** Connects per round of the comparison with the raw primitive. */
  readonly round: number;
  readonly tcpPort: number;
  readonly tlsPort: number;
  readonly ca: string;
}

/** A part of the load. */
export interface LoadPhase {
  readonly connects: number;
  /** Each gets the same share. */
  readonly hosts: readonly LoadHost[];
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
  /** TCP sockets that are open or opening. */
  readonly sockets: number;
  /** Timers that are set. */
  readonly timers: number;
  /** Megabytes, after collecting garbage but for samples under load. */
  readonly heap: number;
  /** How many of the sockets are connected, by the server's address. */
  readonly connected: Readonly<Record<string, number>>;
}

/** What it was like. */
export interface LoadReport {
  /** In the order of the plan. */
  readonly phases: readonly PhaseReport[];
  /** Milliseconds for a round: medians. */
  readonly raw: number;
  readonly ours: number;
  /** How many connections were handed over, by all that connects here. */
  readonly handedOver: number;
}

/** What a phase was like. */
export interface PhaseReport {
  readonly before: Sample;
  readonly during: readonly Sample[];
  readonly after: Sample;
  /** How each host's connects ended, in the order of the plan. */
  readonly outcomes: readonly Readonly<Record<string, number>>[];
  readonly seconds: number;
}

const ROUNDS = 11;
const WARM_UPS = 2;
/** Connects per host before anything is counted. */
const LEAST_WARM_UPS = 50;
/** Long enough for a closed socket to be forgotten by the runtime. */
const SETTLE = 500;

const { setTimeout: systemSetTimeout } = globalThis;
let handedOver = 0;
/** Counted from after the comparison. */
let timers: CountedTimers;
const plan: LoadPlan = JSON.parse(readFileSync(process.argv[2]!, "utf8"));
const ca = readFileSync(plan.ca, "utf8");

await main();

async function main(): Promise<void> {
  const { raw, ours } = await compare();
  timers = new CountedTimers();
  for (const { hosts, connects } of plan.phases) {
    const warmUps = Math.max(connects / 20, LEAST_WARM_UPS * hosts.length);
    await soak(hosts, "warmup", warmUps, () => {});
  }
  const pool = await openPool();
  const phases: PhaseReport[] = [];
  for (const phase of plan.phases) phases.push(await run(phase));
  const report: LoadReport = { phases, raw, ours, handedOver };
  console.log(JSON.stringify(report));
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const worked = await Promise.all(pool.map(usePooled));
  console.log(worked.filter(Boolean).length);
  process.exit();
}

async function run({ hosts, connects }: LoadPhase): Promise<PhaseReport> {
  const before = await settledSample();
  const during: Sample[] = [];
  const start = performance.now();
  const outcomes = await soak(hosts, "load", connects, (done) => {
    if (done % Math.ceil(connects / 10) === 0) during.push(sample());
  });
  const seconds = (performance.now() - start) / 1000;
  return { before, during, after: await settledSample(), outcomes, seconds };
}

/** Connects to one host after the other, `parallel` at a time. */
async function soak(
  hosts: readonly LoadHost[],
  word: string,
  connects: number,
  onDone: (done: number) => void,
): Promise<Record<string, number>[]> {
  const outcomes = hosts.map((): Record<string, number> => ({}));
  let next = 0;
  let done = 0;
  async function work(): Promise<void> {
    while (next < connects) {
      const number = next++;
      const index = number % hosts.length;
      const outcome = await connectOnce(hosts[index]!, `${word}${number}`);
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
    handedOver++;
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

async function openPool(): Promise<Connection[]> {
  const healthy = healthyHosts();
  const pool = await Promise.all(
    Array.from(
      { length: plan.pool },
      (_, i) => open(healthy[i % healthy.length]!, `pool${i}`),
    ),
  );
  handedOver += pool.length;
  return pool;
}

function healthyHosts(): LoadHost[] {
  return plan.phases.flatMap(({ hosts }) => hosts)
    .filter(({ addresses }) => addresses);
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
  const addresses = healthyHosts().map(({ addresses }) => addresses!);
  const raw: number[] = [];
  const ours: number[] = [];
  for (let round = -WARM_UPS; round < ROUNDS; round++) {
    const pairs = Array.from(
      { length: plan.round },
      (_, i) => addresses[i % addresses.length]!,
    );
    const times = { raw: 0, ours: 0 };
    const dials = [["raw", dialRaw], ["ours", dialOurs]] as const;
    // Neither is always the one that finds the other's leavings.
    const order = round % 2 === 0 ? dials : dials.toReversed();
    for (const [name, dial] of order) {
      times[name] = await timeRound(pairs, dial);
    }
    if (round < 0) continue;
    raw.push(times.raw);
    ours.push(times.ours);
  }
  return { raw: median(raw), ours: median(ours) };
}

async function timeRound(
  pairs: readonly (readonly string[])[],
  dial: Dial,
): Promise<number> {
  const start = performance.now();
  const queue = pairs.values();
  await Promise.all(Array.from({ length: plan.parallel }, async () => {
    for (const pair of queue) {
      const { signal } = new AbortController();
      const close = await dial(pair, signal);
      handedOver++;
      close();
    }
  }));
  const took = performance.now() - start;
  // What is left of closing must not slow the next round down.
  await new Promise((resolve) => systemSetTimeout(resolve, SETTLE));
  return took;
}

/** Connects to addresses of one host; what it gives closes at once. */
type Dial = (
  addresses: readonly string[],
  signal: AbortSignal,
) => Promise<() => void>;

/** The platform's own, to the first address, so that it can be cancelled. */
async function dialRaw(
  [hostname]: readonly string[],
  signal: AbortSignal,
): Promise<() => void> {
  const options = { hostname: hostname!, port: plan.tcpPort, signal };
  if (!("Deno" in globalThis)) return await dialNode(options);
  const connection = await Deno.connect(options);
  return () => connection.close();
}

function dialNode({ hostname, port, signal }: {
  readonly hostname: string;
  readonly port: number;
  readonly signal: AbortSignal;
}): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({
      host: hostname,
      port,
      autoSelectFamily: false,
    });
    const cancel = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", cancel);
    socket.once("error", reject);
    socket.once("connect", () => {
      signal.removeEventListener("abort", cancel);
      resolve(() => socket.destroy());
    });
  });
}

async function dialOurs(
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<() => void> {
  const connection = await connect({
    hostname: "raw.he.test",
    port: plan.tcpPort,
    resolver: staticResolver(addresses),
    signal,
  });
  return () => void connection.close("dropped");
}

async function settledSample(): Promise<Sample> {
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => systemSetTimeout(resolve, SETTLE));
    collectGarbage();
  }
  return sample();
}

function sample(): Sample {
  // Before the long tables are read, whose text is garbage.
  const heap = process.memoryUsage().heapUsed / 2 ** 20;
  const sockets = listLiveSockets();
  const connected: Record<string, number> = {};
  for (const { state, remoteAddress } of sockets) {
    if (state !== "ESTABLISHED") continue;
    connected[remoteAddress] = (connected[remoteAddress] ?? 0) + 1;
  }
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    sockets: sockets.length,
    timers: timers.running.size,
    heap,
    connected,
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

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
