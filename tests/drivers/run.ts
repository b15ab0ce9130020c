/**
 * Real clients against real servers while IPv6 is dead:
 * `deno run -A tests/drivers/run.ts [client ...] [examples]`.
 *
 * Every server listens on 127.0.0.1, and `[::1]` on the same port is a black
 * hole. Each client runs on Node, Bun and Deno, in a process of its own, and
 * has to do a round trip with two attempts, the second after the attempt
 * delay; to give a useful error where nobody listens; and to end by itself.
 * Then the examples of README are run the same way.
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
  towards,
  trust,
  verdict,
} from "./snippets.ts";
import { startWorld, type World } from "./world.ts";

/** What a client needs, beside HTTP and SMTP. */
const clients: Record<string, Service | undefined> = {
  http: undefined,
  http2: undefined,
  undici: undefined,
  ws: undefined,
  pg: "postgres",
  postgres: "postgres",
  ioredis: "redis",
  mysql2: "mysql",
  nodemailer: undefined,
  mqtt: "mqtt",
};

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
  await using world = await startWorld(runtimes[0]!.command[0]);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, async () => {
      await world[Symbol.asyncDispose]();
      Deno.exit(1);
    });
  }
  const isWanted = (name: string) => names.length === 0 || names.includes(name);
  for (const [client, service] of Object.entries(clients)) {
    if (!isWanted(client)) continue;
    const reason = service && world.missing.get(service);
    if (reason) print("SKIP", "", client, "", reason);
    else await runClient(client, runtimes, world);
  }
  if (isWanted("examples")) await runExamples(runtimes, world);
}

/** Runs a client on all runtimes at the same time. */
async function runClient(
  client: string,
  runtimes: readonly Runtime[],
  { ports }: World,
): Promise<void> {
  const results = await Promise.all(
    runtimes.map((runtime) =>
      execute(runtime, [`${here}/client.ts`, client, JSON.stringify(ports)])
    ),
  );
  for (const [index, { stdout, failure }] of results.entries()) {
    const { name } = runtimes[index]!;
    for (const line of stdout.split("\n").filter((line) => line)) {
      const { name: what, connected = [], error }: Outcome = JSON.parse(line);
      const times = connected.map((time) => `${time.toFixed(0)} ms`).join(", ");
      print(error ? "FAIL" : "PASS", name, client, what, error ?? times);
    }
    if (failure) print("FAIL", name, client, "process", failure);
  }
}

/** Checks the examples of README, then runs each on all runtimes. */
async function runExamples(
  runtimes: readonly Runtime[],
  { ports, missing }: World,
): Promise<void> {
  const snippets = await readSnippets();
  await using folder = await makeFolder();
  const { dir } = folder;
  const problem = await checkTypes(snippets, dir, runtimes[0]!.command[0]);
  print(problem ? "FAIL" : "PASS", "", "example", "types", problem ?? "");
  for (const snippet of snippets) {
    const { name, service } = snippet;
    const reason = missing.get(service);
    if (reason) {
      print("SKIP", "", "example", name, reason);
      continue;
    }
    const problems = await Promise.all(runtimes.map(async (runtime) => {
      const file = `${dir}/${runtime.name}.ts`;
      await Deno.writeTextFile(file, towards(snippet, ports, runtime.name));
      const { stdout, stderr, failure } = await execute(runtime, [file], trust);
      return failure ?? verdict(snippet, stdout, stderr);
    }));
    for (const [index, problem] of problems.entries()) {
      const outcome = problem ? "FAIL" : "PASS";
      print(outcome, runtimes[index]!.name, "example", name, problem ?? "");
    }
  }
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

function print(
  outcome: keyof typeof count,
  ...[runtime, client, what, text]: [string, string, string, string]
): void {
  count[outcome]++;
  const columns = [runtime.padEnd(4), client.padEnd(10), what.padEnd(18), text];
  console.log([outcome, ...columns].join("  ").trimEnd());
}
