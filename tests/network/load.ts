/**
 * Load: very many connects on each runtime, half of them to hosts that are
 * broken in one of ten ways, and nothing may be left of any of them.
 *
 * @module
 */

import { type RuntimeName, runtimes } from "./clients.ts";
import type { LoadPlan, LoadReport, Sample } from "./clients/load_client.ts";
import type { Scenario } from "./scenarios.ts";
import { CA, Testbed } from "./testbed.ts";
import { nameOf, TCP_PORT, TLS_PORT } from "./world.ts";

/** One host of the load, and how each connect to it has to end. */
interface LoadScenario extends Scenario {
  readonly outcome: string;
}

const PARALLEL = 64;
const POOL = 200;
const ROUND = 2000;
/** Megabytes. */
const HEAP_GROWTH = 10;
const MOST_OVERHEAD = 2;
/** Milliseconds for the servers to read the last FIN. */
const SETTLE = 1000;

const ok = { hosts: ["ok"] } as const;
const healthy = { aaaa: ok, a: ok, outcome: "connected" };
const dead = { hosts: ["black hole"] } as const;

/** Each is 5 % of the connects. */
const hosts: readonly LoadScenario[] = [
  ...Array.from(
    { length: 10 },
    (_, i) => ({ ...healthy, name: `healthy ${i}` }),
  ),
  { ...healthy, name: "IPv6 black hole", aaaa: dead },
  { ...healthy, name: "IPv6 refused", aaaa: { hosts: ["refused"] } },
  { ...healthy, name: "IPv6 unreachable", aaaa: { hosts: ["unreachable"] } },
  { ...healthy, name: "no route for IPv6", aaaa: { hosts: ["no route"] } },
  // Two winners within a millisecond.
  { ...healthy, name: "IPv6 delayed", aaaa: { hosts: [{ delay: 251 }] } },
  // Late winners.
  { ...healthy, name: "IPv6 late", aaaa: { hosts: [{ delay: 270 }] } },
  {
    ...healthy,
    name: "TLS silent on IPv6",
    tls: true,
    aaaa: { hosts: ["mute"] },
  },
  {
    name: "all refused",
    aaaa: { hosts: ["refused"] },
    a: { hosts: ["refused"] },
    outcome: "ECONNREFUSED",
  },
  {
    name: "NXDOMAIN",
    aaaa: { hosts: "NXDOMAIN" },
    a: { hosts: "NXDOMAIN" },
    outcome: "ENOTFOUND",
  },
  // The caller's signal ends it.
  {
    name: "dead",
    aaaa: dead,
    a: dead,
    patience: 1000,
    outcome: "TimeoutError",
  },
];

/**
 * Runs it on each runtime in turn; whether anything was wrong. `connects` is
 * rounded up so that each host gets the same share.
 */
export async function runLoad(
  connects: number,
  seed: number,
): Promise<boolean> {
  connects = Math.ceil(connects / hosts.length) * hosts.length;
  let failed = 0;
  const names = Object.keys(runtimes) as RuntimeName[];
  for (const runtime of names) {
    const faults = await runOn(runtime, connects, seed);
    for (const fault of faults) console.log(`FAIL ${runtime}: ${fault}`);
    if (faults.length > 0) failed++;
  }
  console.log(`${names.length - failed} passed, ${failed} failed`);
  return failed > 0;
}

async function runOn(
  runtime: RuntimeName,
  connects: number,
  seed: number,
): Promise<string[]> {
  await using testbed = await Testbed.create({
    scenarios: hosts,
    slots: 1,
    seed,
    logs: false,
  });
  const file = `${testbed.folder}/load.json`;
  await Deno.writeTextFile(file, JSON.stringify(makePlan(testbed, connects)));
  const script = new URL("clients/load_client.ts", import.meta.url).pathname;
  const child = testbed.spawn(testbed.namespace("dual", 0), [
    ...runtimes[runtime],
    script,
    file,
  ]);
  const lines = readLines(child.stdout);
  const report: LoadReport = JSON.parse(await next(lines));
  await new Promise((resolve) => setTimeout(resolve, SETTLE));
  const servers = await testbed.countConnections();
  await child.stdin.getWriter().write(new TextEncoder().encode("\n"));
  const working = Number(await next(lines));
  await child.status;

  const mute = testbed.sites.find(({ scenario }) => scenario.tls)!.aaaa[0];
  const unclosedOf = ({ sockets }: Sample) =>
    sockets[`ESTABLISHED ${mute}`] ?? 0;
  const unclosed = unclosedOf(report.after);
  print(runtime, connects, report, servers, unclosed);
  // Deno keeps the descriptor of a TLS handshake that was given up until its
  // peer closes (D4): counted, and not held against us.
  const excused = runtime === "Deno" ? unclosed - unclosedOf(report.before) : 0;
  return [
    ...checkOutcomes(report, connects),
    ...checkLeaks(report, excused),
    ...expectEqual(
      "connections open at the servers",
      servers.open,
      POOL + (runtime === "Deno" ? unclosed : 0),
    ),
    ...expectEqual("pooled connections that work", working, POOL),
    ...(report.ours > MOST_OVERHEAD * report.raw
      ? [`overhead is ${(report.ours / report.raw).toFixed(2)}`]
      : []),
  ];
}

function makePlan({ sites }: Testbed, connects: number): LoadPlan {
  return {
    connects,
    parallel: PARALLEL,
    pool: POOL,
    round: Math.min(ROUND, connects),
    tcpPort: TCP_PORT,
    tlsPort: TLS_PORT,
    ca: CA,
    hosts: sites.map((site) => ({
      suffix: nameOf(site, ""),
      tls: site.scenario.tls ?? false,
      patience: site.scenario.patience ?? null,
      addresses: site.scenario.name.startsWith("healthy")
        ? [...site.aaaa, ...site.a]
        : null,
    })),
  };
}

function checkOutcomes({ outcomes }: LoadReport, connects: number): string[] {
  const share = connects / hosts.length;
  return hosts.flatMap(({ name, outcome }, index) => {
    const found = JSON.stringify(outcomes[index]);
    const expected = JSON.stringify({ [outcome]: share });
    return expectEqual(name, found, expected);
  });
}

function checkLeaks(
  { before, during, after }: LoadReport,
  excused: number,
): string[] {
  return [
    ...expectEqual(
      "descriptors",
      after.descriptors,
      before.descriptors + excused,
    ),
    ...expectEqual("timers", after.timers, before.timers),
    // Otherwise the count proves nothing.
    ...(during.some(({ timers }) => timers > 0)
      ? []
      : ["no timer was counted"]),
    ...(after.heap - before.heap > HEAP_GROWTH
      ? [`the heap grew by ${(after.heap - before.heap).toFixed(1)} MB`]
      : []),
  ];
}

function expectEqual<T>(what: string, found: T, expected: T): string[] {
  return found === expected ? [] : [`${what}: ${found}, not ${expected}`];
}

function print(
  runtime: string,
  connects: number,
  { before, during, after, seconds, raw, ours }: LoadReport,
  { accepted, open }: { accepted: number; open: number },
  unclosed: number,
): void {
  const peak = (key: "descriptors" | "timers" | "heap") =>
    Math.max(...during.map((sample) => sample[key]));
  const three = (key: "descriptors" | "timers" | "heap") =>
    [before[key], peak(key), after[key]].map((n) => Math.round(n)).join(" / ");
  console.log(
    `${runtime}: ${connects} connects in ${
      seconds.toFixed(0)
    } s; before / most / after: ` +
      `descriptors ${three("descriptors")}, timers ${three("timers")}, heap ${
        three("heap")
      } MB; servers accepted ${accepted}, open ${open}; TLS handshakes not closed ${unclosed}; ` +
      `${ours.toFixed(0)} ms for a round, ${
        raw.toFixed(0)
      } with the raw connect`,
  );
}

async function next(lines: AsyncIterator<string>): Promise<string> {
  const { value, done } = await lines.next();
  if (done) throw new Error("The client ended early");
  return value;
}

async function* readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, void> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
