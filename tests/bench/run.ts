/**
 * The benches on every runtime: `deno task bench`.
 *
 * Starts one server in a process of its own, runs `bench.ts` on Deno, Bun and
 * Node against it, one after another, and prints one table. Ends with status 1
 * when a limit is exceeded. Limits are for medians on a machine that is not
 * busy otherwise; the tests have no limits in time, they are here only.
 *
 * @module
 */

import { binary, type BinaryName, newestNode } from "../runtimes/binaries.ts";
import type { Measurement } from "./measure.ts";
import type { Server } from "./sockets.ts";

/** How many bytes the benches of streams move at a time. */
const TRANSFER = 64 * 2 ** 20;

const here = import.meta.dirname!;
const certificates = `${here}/../certs`;

const node = await find(newestNode);
const bun = await find("bun");

const runtimes: Record<string, readonly [string, ...string[]]> = {
  Deno: [Deno.execPath(), "run", "-A", "--v8-flags=--expose-gc"],
  Bun: [bun, "--expose-gc"],
  Node: [node, "--expose-gc"],
};

const serverProcess = new Deno.Command(node, {
  args: [
    `${here}/server.ts`,
    JSON.stringify({
      cert: `${certificates}/server.pem`,
      key: `${certificates}/server_key.pem`,
      transfer: TRANSFER,
    }),
  ],
  stdin: "piped",
  stdout: "piped",
}).spawn();
const server: Server = {
  ports: JSON.parse(await firstLine(serverProcess.stdout)),
  transfer: TRANSFER,
  serverName: "example.test",
};

let isOver = false;
console.log(row("", "", "raw", "ours", "ratio", "limit"));
for (const [runtime, command] of Object.entries(runtimes)) {
  for (const result of await bench(command)) {
    isOver ||= exceeds(result);
    console.log(describe(runtime, result));
  }
}
await serverProcess.stdin.close();
await serverProcess.status;
Deno.exit(isOver ? 1 : 0);

/** Runs `bench.ts` in a process that trusts the server's root like any other. */
async function bench(
  [command, ...args]: readonly [string, ...string[]],
): Promise<Measurement[]> {
  const root = `${certificates}/ca.pem`;
  const { success, stdout } = await new Deno.Command(command, {
    args: [...args, `${here}/bench.ts`, JSON.stringify(server)],
    env: { NODE_EXTRA_CA_CERTS: root, DENO_CERT: root },
    stdin: "null",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot bench: ${command} failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

function exceeds({ raw, ours, limit }: Measurement): boolean {
  if (!limit) return false;
  return ours > ("ratio" in limit ? limit.ratio * raw : limit.value);
}

function describe(runtime: string, result: Measurement): string {
  const { name, unit, raw, ours, limit } = result;
  const amount = (value: number) =>
    `${value.toFixed(value < 100 ? 1 : 0)} ${unit}`;
  const most = !limit
    ? ""
    : "ratio" in limit
    ? limit.ratio.toFixed(2)
    : amount(limit.value);
  const verdict = limit && (exceeds(result) ? "OVER" : "ok");
  const ratio = raw > 0 ? (ours / raw).toFixed(2) : "";
  return row(runtime, name, amount(raw), amount(ours), ratio, most, verdict);
}

function row(
  runtime: string,
  name: string,
  ...[raw, ours, ratio, limit, verdict = ""]: (string | undefined)[]
): string {
  const numbers = [raw, ours].map((text) => text!.padStart(14));
  return [
    runtime.padEnd(4),
    name.padEnd(33),
    ...numbers,
    ratio!.padStart(7),
    limit!.padStart(9),
    verdict,
  ].join(" ").trimEnd();
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("\n")) break;
  }
  return text;
}

/** The test command fetches them. */
async function find(name: BinaryName): Promise<string> {
  const path = await binary(name);
  if (path) return path;
  throw new Error(`Cannot bench: no ${name}; run \`deno task test\` first`);
}
