/**
 * Whether every byte arrives, as it was and in order:
 * `deno task bytes [--sample] [--mib=N] [--seed=N] [runtime ...]`.
 *
 * For each runtime and door, in plain text and over TLS, 200 MB go each way,
 * spread over 8 connections at once, in chunks of random sizes, through default
 * and BYOB readers, beside a TLS connection of the platform's own. Both ends
 * hash what they send and what they get. `--sample` moves 4 MiB instead, for
 * the tests. The runtimes are those of the test command.
 *
 * Prints the seed, a line for each case, and at the end `N passed, N failed`;
 * the status is 1 if any failed.
 *
 * @module
 */

import { parseArgs } from "node:util";

import type { Outcome, Task } from "./client.ts";
import { install, type Runtime } from "./runtimes.ts";

const MEBIBYTE = 2 ** 20;
/** Milliseconds without a line of output until a runtime is given up. */
const PATIENCE = 120_000;

const here = import.meta.dirname!;
const certificates = `${here}/../certs`;

const { values: options, positionals: wanted } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    sample: { type: "boolean" },
    mib: { type: "string" },
    seed: { type: "string" },
  },
});
const size = Number(options.mib ?? (options.sample ? 4 : 200)) * MEBIBYTE;
const seed = Number(options.seed ?? Math.floor(Math.random() * 2 ** 32));
const isWanted = (name: string) => wanted.length === 0 || wanted.includes(name);
const count = { PASS: 0, FAIL: 0, SKIP: 0 };

console.log(`seed ${seed}`);
await main();
const skipped = count.SKIP > 0 ? `, ${count.SKIP} skipped` : "";
console.log(`${count.PASS} passed, ${count.FAIL} failed${skipped}`);
Deno.exit(count.FAIL > 0 || count.PASS === 0 ? 1 : 0);

async function main(): Promise<void> {
  const runtimes = await install();
  const node = runtimes.find(({ name }) => name.startsWith("Node"))!;
  const identity = {
    cert: `${certificates}/server.pem`,
    key: `${certificates}/server_key.pem`,
  };
  const server = spawn(node, "server.ts", identity);
  const lines = linesOf(server);
  const ports = JSON.parse((await lines.next()).value!);
  for (const runtime of runtimes.filter(({ name }) => isWanted(name))) {
    await test(runtime, { ports, size, seed });
  }
  await server.stdin.close();
  await server.status;
}

async function test(runtime: Runtime, task: Task): Promise<void> {
  const child = spawn(runtime, "client.ts", task);
  const kill = () => child.kill("SIGKILL");
  let timer = setTimeout(kill, PATIENCE);
  for await (const line of linesOf(child)) {
    clearTimeout(timer);
    timer = setTimeout(kill, PATIENCE);
    report(runtime.name, JSON.parse(line));
  }
  const { success, code, signal } = await child.status;
  clearTimeout(timer);
  if (success) return;
  print("FAIL", runtime.name, `process: ${signal ?? `exit code ${code}`}`);
}

/** A program of ours, that trusts the server's root like any other. */
function spawn(
  { command: [command, ...args] }: Runtime,
  program: string,
  argument: unknown,
): Deno.ChildProcess {
  const root = `${certificates}/ca.pem`;
  return new Deno.Command(command, {
    args: [...args, `${here}/${program}`, JSON.stringify(argument)],
    env: { NODE_EXTRA_CA_CERTS: root, DENO_CERT: root },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

async function* linesOf(
  { stdout }: Deno.ChildProcess,
): AsyncGenerator<string> {
  let text = "";
  for await (const part of stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    yield* lines;
  }
}

function report(
  runtime: string,
  { door, isTls, time, error, skipped }: Outcome,
): void {
  const outcome = error ? "FAIL" : skipped ? "SKIP" : "PASS";
  const text = error ?? skipped ?? `${time.toFixed(0)} ms`;
  print(
    outcome,
    runtime,
    `${door.padEnd(23)}  ${isTls ? "TLS" : "TCP"}  ${text}`,
  );
}

function print(
  outcome: keyof typeof count,
  runtime: string,
  text: string,
): void {
  count[outcome]++;
  console.log(`${outcome}  ${runtime.padEnd(7)}  ${text}`);
}
