/**
 * workerd, and drivers made for it: `deno run -A tests/workerd/run.ts`.
 *
 * First the tests that run in workerd itself, then the drivers' builds for
 * Workers on Node, Bun and Deno, with `./sockets` in the place of
 * `cloudflare:sockets`. Bundles are made as `wrangler` makes them, by esbuild.
 * PostgreSQL is a real one; `[::1]` on its port is a black hole, so each
 * connect takes two attempts where the platform does not race by itself.
 *
 * It needs Linux. Prints a line for each test, and at the end `N passed, N
 * failed`; the status is 1 if any failed.
 *
 * @module
 */

import { databases, Missing, start } from "../drivers/databases.ts";
import { install } from "../drivers/runtimes.ts";
import { modules, workerd } from "../runtimes/binaries.ts";

const here = import.meta.dirname!;
const root = `${here}/../..`;
/** Where the drivers are found. */
const drivers = `${here}/../drivers`;
const decoder = new TextDecoder();

/** A program and its first arguments. */
type Command = readonly [string, ...string[]];

/** Where PostgreSQL is, and a port at which nobody listens. */
interface Place {
  readonly port: number;
  readonly refused: number;
}

const count = { PASS: 0, FAIL: 0, SKIP: 0 };
if (Deno.build.os === "linux") await main();
else print("SKIP", "workerd", "the black hole needs Linux");
const skipped = count.SKIP > 0 ? `, ${count.SKIP} skipped` : "";
console.log(`${count.PASS} passed, ${count.FAIL} failed${skipped}`);
Deno.exit(count.FAIL > 0 ? 1 : 0);

async function main(): Promise<void> {
  const runtimes = await install();
  const node = runtimes[0]!.command;
  await using stack = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const place = await startPostgres(node, stack);

  await testInWorkerd(node, dir, place, stack);
  if (!place) return;
  await bundle(node, `${dir}/builds.mjs`, buildsEntry(place), [
    "--platform=node",
    // What is CommonJS in them wants Node's own modules.
    '--banner:js=import { createRequire } from "node:module";' +
    "const require = createRequire(import.meta.url);",
    `--alias:cloudflare:sockets=${root}/src/entry/sockets.ts`,
  ]);
  for (const { name, command } of runtimes) {
    await testBuilds(name, command, `${dir}/builds.mjs`);
  }
}

/** The suite in workerd, with a driver that has a build for it. */
async function testInWorkerd(
  node: Command,
  dir: string,
  place: Place | undefined,
  stack: AsyncDisposableStack,
): Promise<void> {
  const entry = place
    ? `import postgres from "postgres";
      import { postgresCases } from "../workerd/builds.ts";
      import { defineCases } from "../workerd/worker.ts";
      defineCases(postgresCases(postgres), ${JSON.stringify(place)});
      export { default } from "../workerd/worker.ts";`
    : `export { default } from "../workerd/worker.ts";`;
  await bundle(node, `${dir}/worker.js`, entry, [
    "--external:node:*",
    `--alias:cloudflare:sockets=${root}/src/entry/sockets.ts`,
  ]);
  const oldEntry = `export { default } from "../workerd/old_worker.ts";`;
  await bundle(node, `${dir}/old.js`, oldEntry, []);
  await Deno.copyFile(`${here}/config.capnp`, `${dir}/config.capnp`);
  await Deno.copyFile(`${here}/../certs/ca.pem`, `${dir}/ca.pem`);
  const host = await startHost(node, stack);
  const { stdout, stderr, code } = await new Deno.Command(await workerd(), {
    args: ["test", `${dir}/config.capnp`],
    env: { HOST: host },
    stdin: "null",
  }).output();
  const output = decoder.decode(stdout) + decoder.decode(stderr);
  const outcomes = [...output.matchAll(/^RESULT (.*)$/gm)]
    .map(([, line]) => JSON.parse(line!));
  for (const [name, time, outcome] of outcomes) {
    const isOk = outcome === "ok";
    print(isOk ? "PASS" : "FAIL", "workerd", name, isOk ? time : outcome);
  }
  if (code === 0 && outcomes.length > 0) return;
  print("FAIL", "workerd", "exit code", `${code}\n${output}`);
}

/** The drivers' builds on one runtime, which trusts the tests' authority. */
async function testBuilds(
  name: string,
  [command, ...args]: Command,
  program: string,
): Promise<void> {
  const ca = `${here}/../certs/ca.pem`;
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [...args, program],
    cwd: drivers,
    env: { NODE_EXTRA_CA_CERTS: ca, DENO_CERT: ca },
    stdin: "null",
    // Something that was left behind keeps it alive.
    signal: AbortSignal.timeout(60_000),
  }).output();
  const lines = decoder.decode(stdout).split("\n").filter((line) => line);
  for (const line of lines) {
    const [what, time, outcome] = JSON.parse(line);
    const isOk = outcome === "ok";
    print(isOk ? "PASS" : "FAIL", name, what, isOk ? time : outcome);
  }
  if (success && lines.length > 0) return;
  print("FAIL", name, "process", decoder.decode(stderr));
}

function buildsEntry(place: Place): string {
  return `import postgres from "postgres";
    import pg from "pg";
    import { pgCases, postgresCases, runCases } from "../workerd/builds.ts";
    const cases = { ...postgresCases(postgres), ...pgCases(pg) };
    await runCases(cases, ${JSON.stringify(place)});`;
}

/** As `wrangler` bundles a Worker; bare names are found by the drivers. */
async function bundle(
  [node]: Command,
  outfile: string,
  entry: string,
  options: readonly string[],
): Promise<void> {
  const child = new Deno.Command(node, {
    args: [
      ...[`${modules}/esbuild/bin/esbuild`, "--bundle", "--format=esm"],
      ...["--loader=ts", "--target=es2022", "--log-level=warning"],
      ...["--conditions=workerd,worker,browser", `--outfile=${outfile}`],
      '--define:navigator.userAgent="Cloudflare-Workers"',
      `--tsconfig=${here}/../tsconfig.json`,
      ...options,
    ],
    cwd: drivers,
    stdin: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(entry));
  await writer.close();
  const { success, stderr } = await child.output();
  if (!success) throw new Error(decoder.decode(stderr));
}

/** PostgreSQL, unless its package is missing. */
async function startPostgres(
  node: Command,
  stack: AsyncDisposableStack,
): Promise<Place | undefined> {
  const database = databases.find(({ services }) =>
    services.includes("postgres")
  )!;
  const [port, refused] = await blackHoles(node, stack);
  try {
    const ports = { postgres: port } as Parameters<typeof start>[1];
    stack.use(await start(database, ports));
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    print("SKIP", "PostgreSQL", error.message);
    return undefined;
  }
  return { port: port!, refused: refused! };
}

/**
 * Two ports that are free on 127.0.0.1. On `[::1]` the first is a black hole,
 * and the second refuses.
 */
async function blackHoles(
  node: Command,
  stack: AsyncDisposableStack,
): Promise<number[]> {
  const [port] = JSON.parse(
    await firstLine(spawn(stack, node, `${drivers}/black_hole.ts`, "1")),
  );
  for (let times = 0; times < 2; times++) {
    stack.use(await Deno.connect({ hostname: "::1", port }));
  }
  using listener = Deno.listen({ hostname: "::", port: 0 });
  return [port, (listener.addr as Deno.NetAddr).port];
}

/** The servers of the tests in workerd; returns their address. */
function startHost(
  node: Command,
  stack: AsyncDisposableStack,
): Promise<string> {
  const loader = `--import=${here}/../runtimes/node_loader.mjs`;
  return firstLine(spawn(stack, node, loader, `${here}/host.ts`));
}

/** Starts a program of ours, which is killed when all is over. */
function spawn(
  stack: AsyncDisposableStack,
  [command]: Command,
  ...args: string[]
): Deno.ChildProcess {
  const child = new Deno.Command(command, {
    args,
    stdin: "null",
    stdout: "piped",
  }).spawn();
  stack.defer(async () => {
    child.kill("SIGKILL");
    await child.status;
  });
  return child;
}

async function firstLine({ stdout }: Deno.ChildProcess): Promise<string> {
  let text = "";
  for await (const part of stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("\n")) break;
  }
  return text.split("\n")[0]!;
}

function print(
  outcome: keyof typeof count,
  where: string,
  what: string,
  more: number | string = "",
): void {
  count[outcome]++;
  const text = typeof more === "number" ? `${more} ms` : more;
  const columns = [outcome, where.padEnd(8), what.padEnd(32), text];
  console.log(columns.join("  ").trimEnd());
}
