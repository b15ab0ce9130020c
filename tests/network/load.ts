/**
 * Load: very many connects on each runtime, half of them to hosts that are
 * broken in one of ten ways, and nothing may be left of any of them.
 *
 * @module
 */

import { type RuntimeName, runtimes } from "./clients.ts";
import type {
  LoadPlan,
  LoadReport,
  PhaseReport,
  Sample,
} from "./clients/load_client.ts";
import type { Scenario } from "./scenarios.ts";
import { CA, Testbed } from "./testbed.ts";
import { nameOf, type Site, TCP_PORT, TLS_PORT } from "./world.ts";

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

/** Counted apart, because Deno cannot let go of these (see `runOn`). */
const tlsHosts: readonly LoadScenario[] = [{
  ...healthy,
  name: "TLS silent on IPv6",
  tls: true,
  aaaa: { hosts: ["mute"] },
}];

/** Each is 5 % of the connects, as is the one with TLS. */
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

/** What the load was like on one runtime. */
export interface LoadResult {
  readonly runtime: RuntimeName;
  readonly connects: number;
  /** The part without TLS, then the one with it. */
  readonly phases: readonly PhaseReport[];
  readonly accepted: number;
  readonly handedOver: number;
  /** TLS handshakes that were given up and that Deno keeps (see `judge`). */
  readonly unclosed: number;
  /** Times the raw connect. */
  readonly overhead: number;
  /** What is wrong. */
  readonly faults: readonly string[];
}

/**
 * Runs it on one runtime after the other. `connects` is rounded up so that
 * each host gets the same share.
 */
export async function runLoad(
  names: readonly RuntimeName[],
  connects: number,
  seed: number,
): Promise<LoadResult[]> {
  const share = Math.ceil(connects / (hosts.length + tlsHosts.length));
  const results: LoadResult[] = [];
  for (const runtime of names) {
    console.log(`${runtime} ...`);
    const result = await runOn(runtime, share, seed);
    for (const fault of result.faults) console.log(`FAIL ${runtime}: ${fault}`);
    results.push(result);
  }
  return results;
}

async function runOn(
  runtime: RuntimeName,
  share: number,
  seed: number,
): Promise<LoadResult> {
  await using testbed = await Testbed.create({
    scenarios: [...hosts, ...tlsHosts],
    slots: 1,
    seed,
    logs: false,
  });
  const plan = makePlan(testbed, share);
  const observed = await runClient(testbed, runtime, plan);
  const { report, servers } = observed;
  const mute = testbed.sites.at(-1)!.aaaa[0]!;
  const unclosedOf = ({ connected }: Sample) => connected[mute] ?? 0;
  const [, tls] = report.phases as [PhaseReport, PhaseReport];
  return {
    runtime,
    connects: share * testbed.sites.length,
    phases: report.phases,
    accepted: servers.accepted,
    handedOver: report.handedOver,
    unclosed: unclosedOf(tls.after),
    overhead: report.ours / report.raw,
    faults: judge(runtime, share, observed, unclosedOf),
  };
}

/**
 * What is wrong. Deno keeps a TLS handshake that was given up, with its
 * descriptor, until the peer closes (D4): these are counted apart, and must be
 * all there is.
 */
function judge(
  runtime: RuntimeName,
  share: number,
  { report, servers, working }: Awaited<ReturnType<typeof runClient>>,
  unclosedOf: (sample: Sample) => number,
): string[] {
  const [mixed, tls] = report.phases as [PhaseReport, PhaseReport];
  const kept = (sample: Sample) => runtime === "Deno" ? unclosedOf(sample) : 0;
  const lost = report.handedOver - servers.accepted;
  const growth = tls.after.heap - mixed.before.heap;
  return [
    ...checkOutcomes(hosts, mixed, share),
    ...checkOutcomes(tlsHosts, tls, share),
    ...checkLeaks(mixed, 0),
    ...checkLeaks(tls, kept(tls.after) - kept(tls.before)),
    ...(growth > HEAP_GROWTH
      ? [`the heap grew by ${growth.toFixed(1)} MB`]
      : []),
    ...(lost > 0 ? [`${lost} connections that no server accepted`] : []),
    ...expectEqual(
      "connections open at the servers",
      servers.open,
      POOL + kept(tls.after),
    ),
    ...expectEqual("pooled connections that work", working, POOL),
    ...(report.ours > MOST_OVERHEAD * report.raw
      ? [`overhead is ${(report.ours / report.raw).toFixed(2)}`]
      : []),
  ];
}

async function runClient(
  testbed: Testbed,
  runtime: RuntimeName,
  plan: LoadPlan,
) {
  const file = `${testbed.folder}/load.json`;
  await Deno.writeTextFile(file, JSON.stringify(plan));
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
  return { report, servers, working };
}

function makePlan({ sites }: Testbed, share: number): LoadPlan {
  const phase = (sites: readonly Site[]) => ({
    connects: share * sites.length,
    hosts: sites.map((site) => ({
      suffix: nameOf(site, ""),
      tls: site.scenario.tls ?? false,
      patience: site.scenario.patience ?? null,
      addresses: site.scenario.name.startsWith("healthy")
        ? [...site.aaaa, ...site.a]
        : null,
    })),
  });
  return {
    phases: [
      phase(sites.slice(0, hosts.length)),
      phase(sites.slice(hosts.length)),
    ],
    parallel: PARALLEL,
    pool: POOL,
    round: ROUND,
    tcpPort: TCP_PORT,
    tlsPort: TLS_PORT,
    ca: CA,
  };
}

function checkOutcomes(
  scenarios: readonly LoadScenario[],
  { outcomes }: PhaseReport,
  share: number,
): string[] {
  return scenarios.flatMap(({ name, outcome }, index) => {
    const found = JSON.stringify(outcomes[index]);
    const expected = JSON.stringify({ [outcome]: share });
    return expectEqual(name, found, expected);
  });
}

/** `kept` descriptors and sockets are accounted for elsewhere. */
function checkLeaks(
  { before, during, after }: PhaseReport,
  kept: number,
): string[] {
  return [
    ...expectEqual("descriptors", after.descriptors, before.descriptors + kept),
    ...expectEqual("sockets", after.sockets, before.sockets + kept),
    ...expectEqual("timers", after.timers, before.timers),
    // Otherwise the count proves nothing.
    ...(during.some(({ timers }) => timers > 0)
      ? []
      : ["no timer was counted"]),
  ];
}

function expectEqual<T>(what: string, found: T, expected: T): string[] {
  return found === expected ? [] : [`${what}: ${found}, not ${expected}`];
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
