/**
 * The full test command: `deno task test [part ...]`.
 *
 * The suite has to hold on four runtimes, and the package has to type-check
 * and publish, so there are many commands to run; each is a part here, run in
 * the order of {@linkcode parts} and summed up in one line. A part tells what it
 * is doing when that takes long, and nothing more unless it fails. Only Deno
 * and npm need to be installed: what else is needed is an npm package, fetched
 * on first use (`binaries.ts`).
 *
 * Left out: running parts side by side. Some tests count the sockets of the
 * machine.
 *
 * @module
 */

import { globSync } from "node:fs";

import { binary, type BinaryName, install, modules } from "./binaries.ts";
import { installPackage } from "./packed.ts";
import { Crash, Failure, killAll, run, type RunOptions } from "./child.ts";

/** The text of what was found, for the summary line; throws when it fails. */
type Part = () => Promise<string>;

/** A part that cannot run on this machine; the message says why. */
class Skip extends Error {}

const root = `${import.meta.dirname}/../..`;

const parts: Record<string, Part> = {
  format: () => quietly(deno("fmt", "--check")),
  lint: () => quietly(deno("lint")),
  types: () => quietly(deno("check")),
  deno: testOnDeno,
  jsr: testOnJsr,
  bun: testOnBun,
  node20: () => testOnNode("node20"),
  node24: () => testOnNode("node24"),
  node26: () => testOnNode("node26"),
  smoke: () => testProgram("tests/smoke/run.ts"),
  consumer: checkConsumer,
  bundles: () => testProgram("tests/bundles/run.ts"),
  workerd: () => testProgram("tests/workerd/run.ts"),
  network: () => testProgram("tests/network/run.ts", "--fast"),
  drivers: () => testProgram("tests/drivers/run.ts"),
  bytes: () => testProgram("tests/bytes/run.ts", "--sample"),
  suites: () => testProgram("tests/suites/run.ts"),
  docs: async () => quietly(deno("doc", "--lint", ...await entryPoints())),
  publish: () => quietly(deno("publish", "--dry-run", "--allow-dirty")),
};

/** How often a part that takes long says what it is doing, in milliseconds. */
const SIGN_OF_LIFE = 15_000;

/** The last line that a program of the present part has printed. */
let lastLine = "";
/** Whether it was said which runtimes there are. */
let isInstalled = false;

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // What runs is not in the terminal's process group.
  Deno.addSignalListener(signal, () => {
    killAll();
    Deno.exit(130);
  });
}
await main(Deno.args.length > 0 ? Deno.args : Object.keys(parts));

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length > 0) {
    console.error(`No such part: ${unknown.join(", ")}`);
    console.error(`There are: ${Object.keys(parts).join(", ")}`);
    Deno.exit(2);
  }
  const start = performance.now();
  const count = { PASS: 0, FAIL: 0, SKIP: 0 };
  for (const name of names) count[await runPart(name, parts[name]!)]++;
  const skipped = count.SKIP > 0 ? `, ${count.SKIP} skipped` : "";
  console.log(`${secondsSince(start)} s in all`);
  console.log(`${count.PASS} passed, ${count.FAIL} failed${skipped}`);
  Deno.exit(count.FAIL > 0 ? 1 : 0);
}

/** Runs one part and prints its line, after its output if it failed. */
async function runPart(
  name: string,
  part: Part,
): Promise<"PASS" | "FAIL" | "SKIP"> {
  const start = performance.now();
  const line = (outcome: string, text: string) => {
    const seconds = secondsSince(start).padStart(5);
    const columns = [outcome, name.padEnd(8), `${seconds} s`, text];
    console.log(columns.join("  ").trimEnd());
  };
  lastLine = "";
  const signs = setInterval(() => line("....", lastLine), SIGN_OF_LIFE);
  try {
    line("PASS", await part());
    return "PASS";
  } catch (error) {
    if (error instanceof Skip) {
      line("SKIP", error.message);
      return "SKIP";
    }
    console.log(error instanceof Failure ? error.message : error);
    line("FAIL", "");
    return "FAIL";
  } finally {
    clearInterval(signs);
  }
}

function secondsSince(start: number): string {
  return ((performance.now() - start) / 1000).toFixed(1);
}

/** The suite with sanitizers, the examples in the docs, and coverage. */
async function testOnDeno(): Promise<string> {
  const coverage = await Deno.makeTempDir();
  try {
    const output = await deno(
      ...["test", "-P", "--doc", `--coverage=${coverage}`],
      "--coverage-raw-data-only",
    );
    const tests = passed(output, /\| (\d+) passed/g);
    return `${tests}, ${await coreBranches(coverage)}`;
  } finally {
    await Deno.remove(coverage, { recursive: true });
  }
}

/** Every branch in `src/core/` must have been taken. */
async function coreBranches(coverage: string): Promise<string> {
  const table = await deno("coverage", coverage, "--include=/src/core/");
  const percent = /^\| All files +\| +([\d.]+)/m.exec(table)?.[1];
  const text = `${percent} % of the branches in src/core`;
  if (percent !== "100.0") throw new Failure(`${table}\nOnly ${text}`);
  return text;
}

/** The suite on the real `@std` packages instead of the stand-ins. */
async function testOnJsr(): Promise<string> {
  const registry = Deno.env.get("JSR_URL") ?? "https://jsr.io/";
  const isReachable = await fetch(new URL("@std/assert/meta.json", registry), {
    signal: AbortSignal.timeout(5_000),
  }).then((response) => response.body?.cancel().then(() => response.ok))
    .catch(() => false);
  if (!isReachable) throw new Skip(`${registry} cannot be reached`);
  const output = await deno("test", "-P", "--config=tests/jsr.json", "tests/");
  return passed(output, /\| (\d+) passed/g);
}

async function testOnBun(): Promise<string> {
  const bun = await runtime("bun");
  const files = portableTests().map((file) => `./${file}`);
  // It has to be imported before what it counts; Bun imports a module once.
  const alone = "./tests/load_test.ts";
  const together = files.filter((file) => file !== alone);
  let output = "";
  for (const each of [together, [alone]]) {
    output += await step(bun, ["test", "--timeout=30000", ...each]);
  }
  return `${passed(output, /^ (\d+) pass$/gm)}, ${await version(bun)}`;
}

/**
 * Each file in a process of its own, as `node --test` has it; but that waits
 * for a process that hangs, and is silent about what failed in it. A process
 * that crashes ends the part, and tests that fail do when all have run.
 */
async function testOnNode(name: BinaryName): Promise<string> {
  const node = await runtime(name);
  const files = portableTests();
  const failures: string[] = [];
  let output = "";
  for (const file of files) {
    lastLine = file;
    try {
      output += await run(node, [
        "--import=./tests/runtimes/node_loader.mjs",
        "--test-reporter=./tests/runtimes/node_reporter.mjs",
        file,
      ], { cwd: root });
    } catch (error) {
      if (!(error instanceof Failure) || error instanceof Crash) throw error;
      failures.push(error.message);
    }
  }
  if (failures.length > 0) throw new Failure(failures.join("\n\n"));
  return `${passed(output, /^(\d+) passed, 0 failed$/gm)}, ${await version(
    node,
  )}`;
}

/** A program that prints `N passed, N failed`, or `SKIP: ` and why. */
async function testProgram(...args: string[]): Promise<string> {
  await prepare();
  const output = await deno("run", "-A", ...args);
  const obstacle = /^SKIP: (.+)$/m.exec(output)?.[1];
  if (obstacle) throw new Skip(obstacle);
  const skipped = /, (\d+ skipped)$/m.exec(output)?.[1];
  const text = passed(output, /^(\d+) passed, 0 failed/gm);
  return skipped ? `${text}, ${skipped}` : text;
}

/** The tests for every runtime; `*_deno_test.ts` are for Deno alone. */
function portableTests(): string[] {
  return globSync("tests/**/*_test.ts", {
    cwd: root,
    exclude: [
      "tests/runtimes/node_modules",
      "tests/runtimes/binaries",
      "tests/**/*_deno_test.ts",
    ],
  }).sort();
}

/**
 * What an npm user's compiler makes of the package: it is packed as JSR packs
 * it for npm, installed and used with the strictest options.
 */
async function checkConsumer(): Promise<string> {
  await prepare();
  const dir = await Deno.makeTempDir();
  try {
    await installPackage(dir);
    await compile(dir, "consumer.ts", ["ES2022", "DOM"]);
    await compile(dir, "using.ts", ["ES2022", "ESNext.Disposable", "DOM"]);
    return "";
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function compile(dir: string, file: string, lib: string[]) {
  await Deno.copyFile(`${root}/tests/types/${file}`, `${dir}/${file}`);
  const compilerOptions = {
    lib,
    types: [],
    target: "es2022",
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
  };
  await Deno.writeTextFile(
    `${dir}/tsconfig.json`,
    JSON.stringify({ compilerOptions, files: [file] }),
  );
  const tsc = `${modules}/typescript/bin/tsc`;
  await step(await runtime("node20"), [tsc, "--project", dir]);
}

async function entryPoints(): Promise<string[]> {
  const config = JSON.parse(await Deno.readTextFile(`${root}/deno.json`));
  return Object.values(config.exports);
}

/** Fetches what is needed beside Deno, and says which runtimes there are. */
async function prepare(): Promise<void> {
  if (isInstalled) return;
  console.log(await install());
  isInstalled = true;
}

/** The path of a runtime's binary. */
async function runtime(name: BinaryName): Promise<string> {
  await prepare();
  const path = await binary(name);
  if (path) return path;
  const { os, arch } = Deno.build;
  throw new Skip(`npm has no ${name} for ${os}-${arch}`);
}

async function version(command: string): Promise<string> {
  return (await step(command, ["--version"])).trim();
}

function deno(...args: string[]): Promise<string> {
  return step(Deno.execPath(), args);
}

/** Runs a program, whose last line shows if it takes long. */
function step(
  command: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<string> {
  const onLine = (line: string) => void (lastLine = line);
  return run(command, args, { cwd: root, onLine, ...options });
}

async function quietly(output: Promise<string>): Promise<string> {
  await output;
  return "";
}

/** How many tests passed, in all; a run without any proves nothing and fails. */
function passed(output: string, pattern: RegExp): string {
  const counts = [...output.matchAll(pattern)].map(([, text]) => Number(text));
  const sum = counts.reduce((sum, count) => sum + count, 0);
  if (sum === 0) throw new Failure(`${output}\nNo test ran`);
  return `${sum} tests`;
}
