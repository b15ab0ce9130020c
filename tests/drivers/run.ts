/**
 * Real clients against real servers while IPv6 is dead:
 * `deno run -A tests/drivers/run.ts [client ...] [examples]`.
 *
 * Every server listens on 127.0.0.1, and `[::1]` on the same port is a black
 * hole. Each client runs on Node, Bun and Deno, in a process of its own, and
 * has to do a round trip with two attempts, the second after the attempt
 * delay; to give a useful error where nobody listens; and to end by itself.
 * Then the examples of `.github/drivers.md` are run the same way.
 *
 * It needs Linux. The clients are fetched from npm on first use, the servers
 * are Debian's packages (`databases.ts`). Prints a line for each case, and at
 * the end `N passed, N failed`; the status is 1 if any failed.
 *
 * @module
 */

import type { Outcome } from "./client.ts";
import { install, type Runtime } from "./runtimes.ts";
import type { Service } from "./scene.ts";
import {
  checkTypes,
  makeFolder,
  readSnippets,
  type Snippet,
  towards,
  trust,
  verdict,
} from "./snippets.ts";
import { startWorld, type World } from "./world.ts";

/** The clients, each with a service of the server it needs. */
const clients: Record<string, Service> = {
  http: "http",
  http2: "h2",
  undici: "http",
  got: "http",
  axios: "http",
  "node-fetch": "http",
  superagent: "http",
  ws: "http",
  pg: "postgres",
  postgres: "postgres",
  ioredis: "redis",
  redis: "redis",
  mysql2: "mysql",
  nodemailer: "smtp",
  mqtt: "mqtt",
  kafkajs: "kafka",
  mongodb: "mongodb",
  amqplib: "amqp",
};

/** How many clients or examples run at a time, each on all runtimes. */
const WORKERS = 3;

/** Something to run, and the server that must take connections before. */
interface Task {
  readonly name: [client: string, what: string];
  readonly service?: Service;
  run(): Promise<readonly Line[]>;
}

/** A line of the output. */
type Line = [
  outcome: keyof typeof count,
  runtime: string,
  client: string,
  what: string,
  text: string,
];

const here = import.meta.dirname!;
const count = { PASS: 0, FAIL: 0, SKIP: 0 };

if (Deno.build.os !== "linux") {
  console.log("SKIP: the black hole needs Linux");
  Deno.exit();
}
await main(Deno.args);
const skipped = count.SKIP > 0 ? `, ${count.SKIP} skipped` : "";
console.log(`${count.PASS} passed, ${count.FAIL} failed${skipped}`);
Deno.exit(count.FAIL > 0 ? 1 : 0);

async function main(names: readonly string[]): Promise<void> {
  const runtimes = await install();
  await using stack = new AsyncDisposableStack();
  const world = stack.use(await startWorld(runtimes[0]!.command[0]));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, async () => {
      await world[Symbol.asyncDispose]();
      Deno.exit(1);
    });
  }
  const isWanted = (name: string) => names.length === 0 || names.includes(name);
  const tasks = Object.entries(clients)
    .filter(([client]) => isWanted(client))
    .map(([client, service]): Task => ({
      name: [client, ""],
      service,
      run: () => runClient(client, runtimes, world),
    }));
  if (isWanted("examples")) {
    const snippets = await readSnippets();
    const { dir } = stack.use(await makeFolder());
    const run = () => checkExamples(snippets, dir, runtimes);
    tasks.push({ name: ["example", "types"], run });
    tasks.push(...snippets.map((snippet): Task => ({
      name: ["example", snippet.name],
      service: snippet.service,
      run: () => runExample(snippet, dir, runtimes, world),
    })));
  }
  await runAll(tasks, world);
}

/** Runs some tasks at a time, in their order; the servers start at once. */
async function runAll(tasks: readonly Task[], world: World): Promise<void> {
  const isReady = new Map(tasks.map(({ service }) => {
    const ready = service && world.ready(service);
    // Heard of when its turn comes.
    ready?.catch(() => {});
    return [service, ready];
  }));
  const queue = tasks.values();
  await Promise.all(Array.from({ length: WORKERS }, async () => {
    for (const { name, service, run } of queue) {
      const reason = await isReady.get(service);
      const lines = reason
        ? [["SKIP", "", ...name, reason] as Line]
        : await run();
      for (const line of lines) print(...line);
    }
  }));
}

/** Runs a client on all runtimes at the same time. */
async function runClient(
  client: string,
  runtimes: readonly Runtime[],
  { ports }: World,
): Promise<Line[]> {
  const results = await Promise.all(
    runtimes.map((runtime) =>
      execute(runtime, [`${here}/client.ts`, client, JSON.stringify(ports)])
    ),
  );
  return results.flatMap(({ stdout, failure }, index) => {
    const { name } = runtimes[index]!;
    const outcomes = stdout.split("\n").filter((line) => line);
    const lines = outcomes.map((line): Line => {
      const { name: what, connected = [], error }: Outcome = JSON.parse(line);
      const times = connected.map((time) => `${time.toFixed(0)} ms`).join(", ");
      return [error ? "FAIL" : "PASS", name, client, what, error ?? times];
    });
    if (failure) lines.push(["FAIL", name, client, "process", failure]);
    return lines;
  });
}

/** Checks the types of all examples. */
async function checkExamples(
  snippets: readonly Snippet[],
  dir: string,
  runtimes: readonly Runtime[],
): Promise<Line[]> {
  const problem = await checkTypes(snippets, dir, runtimes[0]!.command[0]);
  return [[problem ? "FAIL" : "PASS", "", "example", "types", problem ?? ""]];
}

/** Runs an example on all runtimes at the same time. */
async function runExample(
  snippet: Snippet,
  dir: string,
  runtimes: readonly Runtime[],
  { ports }: World,
): Promise<Line[]> {
  const { name } = snippet;
  return await Promise.all(runtimes.map(async (runtime): Promise<Line> => {
    const file = `${dir}/${name.replaceAll(/\W/g, "_")}_${runtime.name}.ts`;
    await Deno.writeTextFile(file, towards(snippet, ports, runtime.name));
    const { stdout, stderr, failure } = await execute(runtime, [file], trust);
    const problem = failure ?? verdict(snippet, stdout, stderr);
    const outcome = problem ? "FAIL" : "PASS";
    return [outcome, runtime.name, "example", name, problem ?? ""];
  }));
}

/** What a program printed, and why it failed if it did. */
async function execute(
  { command: [command, ...args] }: Runtime,
  [file, ...rest]: readonly [string, ...string[]],
  env: Record<string, string> = {},
): Promise<{ stdout: string; stderr: string; failure: string | undefined }> {
  const output = await new Deno.Command(command, {
    args: [...args, file, ...rest],
    cwd: file.slice(0, file.lastIndexOf("/")),
    env,
    stdin: "null",
    // Something that was left behind keeps it alive.
    signal: AbortSignal.timeout(60_000),
  }).output();
  const { success, code, signal } = output;
  const stdout = new TextDecoder().decode(output.stdout);
  const stderr = new TextDecoder().decode(output.stderr);
  const how = signal ?? `exit code ${code}`;
  return { stdout, stderr, failure: success ? undefined : `${how}\n${stderr}` };
}

function print(...[outcome, runtime, client, what, text]: Line): void {
  count[outcome]++;
  const columns = [runtime.padEnd(4), client.padEnd(10), what.padEnd(18), text];
  console.log([outcome, ...columns].join("  ").trimEnd());
}
