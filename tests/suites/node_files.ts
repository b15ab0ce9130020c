/**
 * Node's own test files with sockets of ours under all that connects:
 * `deno task node-tests --suite=DIR [--node=BIN] [--preload=FILE] [name ...]`.
 *
 * `DIR` is a checkout of nodejs/node at v26.12, of which `test/` is enough, and
 * `BIN` that version of Node. `node_files.txt` lists the files about client
 * sockets, agents, HTTP and TLS that pass there without us. Each runs in a
 * process of its own with `preload.ts`; what fails is run once more with it and
 * once without, so that a file which fails by itself is not ours. A name picks
 * the files that contain it.
 *
 * The difference has to be that of `node_differences.ts`, exactly: a file that
 * passes again is taken off the list. Other options: `--preload=FILE` is
 * required in the place of `preload.ts`, `--jobs=N` and `--seconds=N` (3 files
 * at once, 20 s each), `--verbose` for all that a failing file printed.
 *
 * Prints a line for each file that differs, and at the end `N passed, N
 * failed`. Not a part of the test command, because Node's tests are not ours
 * to ship.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";

import { nodeDifferences } from "./node_differences.ts";

/** What became of one file. */
interface Outcome {
  readonly isPassed: boolean;
  /** Exit code, signal or timeout. */
  readonly how: string;
  readonly output: string;
}

interface Settings {
  readonly suite: string;
  readonly node: string;
  readonly preload: string;
  /** Where the children put their files. */
  readonly scratch: string;
  readonly jobs: number;
  readonly seconds: number;
  readonly isVerbose: boolean;
}

const here = import.meta.dirname!;

await main();

async function main(): Promise<void> {
  const { options, names } = parse(Deno.args);
  if (!options.suite) {
    console.error("Which? --suite=DIR, a checkout of nodejs/node v26.12");
    Deno.exit(2);
  }
  const scratch = await Deno.makeTempDir();
  const node = options.node ?? "node";
  const settings: Settings = {
    suite: options.suite,
    node,
    preload: options.preload ?? await bundle(node, scratch),
    scratch,
    jobs: Number(options.jobs ?? 3),
    seconds: Number(options.seconds ?? 20),
    isVerbose: "verbose" in options,
  };
  try {
    const isFine = await compare(await choose(names), settings);
    Deno.exitCode = isFine ? 0 : 1;
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

function parse(args: readonly string[]) {
  const options: Record<string, string> = {};
  const names: string[] = [];
  for (const arg of args) {
    const [, name, value] = /^--(\w+)=?(.*)$/.exec(arg) ?? [];
    if (name) options[name] = value!;
    else names.push(arg);
  }
  return { options, names };
}

/** The files that are listed, or those of them that a name is part of. */
async function choose(names: readonly string[]): Promise<string[]> {
  const list = await Deno.readTextFile(`${here}/node_files.txt`);
  const files = list.trim().split("\n");
  if (names.length === 0) return files;
  return files.filter((file) => names.some((name) => file.includes(name)));
}

/** Makes one CommonJS file of the preload and the package. */
async function bundle(node: string, dir: string): Promise<string> {
  const file = `${dir}/preload.cjs`;
  const modules = `${here}/../runtimes/node_modules`;
  const banner = await Deno.readTextFile(`${here}/keep_platform.cjs`);
  const { success, stderr } = await new Deno.Command(node, {
    args: [
      ...[`${modules}/esbuild/bin/esbuild`, `${here}/preload.ts`],
      ...["--bundle", "--format=cjs", "--platform=node", "--target=node20"],
      ...["--log-level=warning", `--outfile=${file}`, `--banner:js=${banner}`],
    ],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return file;
}

/** Whether exactly those files fail that may. */
async function compare(
  files: readonly string[],
  settings: Settings,
): Promise<boolean> {
  const first = await failuresOf(files, settings, settings.preload);
  const again = await failuresOf([...first.keys()], settings, settings.preload);
  const alone = await failuresOf([...again.keys()], settings);
  const differing = new Set(again.keys()).difference(new Set(alone.keys()));
  let failed = 0;
  const fail = (file: string, text: string) => {
    failed++;
    print("FAIL", file, text);
  };
  for (const [file, outcome] of first) {
    if (!again.has(file)) print("ONCE", file, describe(outcome, settings));
    else if (alone.has(file)) print("SKIP", file, "fails without us too");
    else if (!(file in nodeDifferences)) {
      fail(file, describe(again.get(file)!, settings));
    } else print("DIFF", file, nodeDifferences[file]!);
  }
  for (const file of files) {
    if (file in nodeDifferences && !differing.has(file)) {
      fail(file, "passes now: take it off the list of differences");
    }
  }
  const passed = files.length - differing.size;
  console.log(
    `${passed} passed, ${failed} failed, ${differing.size} differ`,
  );
  return failed === 0;
}

function print(outcome: string, file: string, text: string): void {
  console.log(`${outcome}  ${file}  ${text}`);
}

/** Runs the files side by side; returns those that failed, in order. */
async function failuresOf(
  files: readonly string[],
  settings: Settings,
  preload?: string,
): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  let next = 0;
  const work = async (_: unknown, index: number) => {
    // Files with the same number would use the same ports.
    const id = String(index + 1);
    while (next < files.length) {
      const file = files[next++]!;
      outcomes.set(file, await runFile(file, id, settings, preload));
      if (next % 100 === 0) console.error(`${next} of ${files.length}`);
    }
  };
  await Promise.all(Array.from({ length: settings.jobs }, work));
  return new Map(
    files.map((file) => [file, outcomes.get(file)!] as const)
      .filter(([, { isPassed }]) => !isPassed),
  );
}

/** Runs one file in a process group of its own, and ends what it left. */
async function runFile(
  file: string,
  id: string,
  { suite, node, scratch, seconds }: Settings,
  preload?: string,
): Promise<Outcome> {
  const path = `${suite}/test/parallel/${file}`;
  const dir = `${scratch}/${id}`;
  await Deno.mkdir(dir, { recursive: true });
  const child = spawn(node, [
    ...flagsOf(await Deno.readTextFile(path)),
    ...preload ? ["--require", preload] : [],
    path,
  ], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...Deno.env.toObject(),
      NODE_TEST_DIR: dir,
      TEST_SERIAL_ID: id,
      TEST_THREAD_ID: id,
    },
  });
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (text) => output += text);
  }
  const how = await ended(child, seconds);
  return { isPassed: how === "exit code 0", how, output };
}

/** The flags that a test names in its first lines. */
function flagsOf(source: string): string[] {
  return [...source.matchAll(/^\/\/ Flags:(.*)$/gm)]
    .flatMap(([, flags]) => flags!.trim().split(/\s+/));
}

/** How a child ended. */
function ended(child: ChildProcess, seconds: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      kill(child);
    }, seconds * 1000);
    child.on("error", reject);
    child.on("exit", () => {
      clearTimeout(timer);
      // What it started and left behind holds its pipes open.
      kill(child);
    });
    child.on("close", (code, signal) => {
      if (isLate) resolve(`no end after ${seconds} s`);
      else resolve(signal ?? `exit code ${code}`);
    });
  });
}

function kill({ pid }: ChildProcess): void {
  try {
    Deno.kill(-pid!, "SIGKILL");
  } catch {
    // All of it is gone.
  }
}

/** The first error that a file printed, and where it is in the file. */
function describe(
  { how, output }: Outcome,
  { isVerbose, suite }: Settings,
): string {
  if (isVerbose) return `${how}\n${output}`;
  const lines = output.split("\n").map((line) => line.trim());
  const isError = /^(Uncaught |\[?\w*Error\b|Mismatched|FATAL|Assertion)/;
  const start = lines.findIndex((line) => isError.test(line));
  const what = start < 0
    ? lines.filter((line) => line).slice(-3)
    : lines.slice(start).filter((line) => line && !line.startsWith("at "))
      .slice(0, 6);
  const places = lines.filter((line) => line.startsWith("at "));
  const where = places.find((line) => line.includes("/test/parallel/"));
  return [how, ...what, where?.replaceAll(`${suite}/test/parallel/`, "")]
    .filter((text) => text).join("\n      ");
}
