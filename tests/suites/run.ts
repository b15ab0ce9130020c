/**
 * Sockets of ours beside the platform's own, case by case:
 * `deno run -A tests/suites/run.ts [--node=BIN ...] [--bun=BIN] [text ...]`.
 *
 * Each case runs on each runtime with the platform's own socket and with each
 * door of ours, and what a program sees has to be equal, unless
 * `differences.ts` says why it is not. The behaviours are those of Node's own
 * tests of client sockets, each in words of our own. A text picks the cases
 * whose name contains it; `--node` and `--bun` name binaries in the place of
 * those of the test command, and the others are then left out.
 *
 * A case that ends its process ends nothing but itself: the process says
 * beforehand what it is about, and another one goes on from there. Prints a
 * line for each difference, and at the end `N passed, N failed`.
 *
 * @module
 */

import { install } from "../bytes/runtimes.ts";
import { cases } from "./cases.ts";
import { reasonFor, type RuntimeName } from "./differences.ts";
import { type DoorName, doorNames, noEnd } from "./scene.ts";

interface Runtime {
  readonly kind: RuntimeName;
  /** With the version. */
  readonly label: string;
  readonly command: readonly string[];
}

/** One run of a case. */
interface Run {
  readonly index: number;
  readonly door: DoorName;
}

/** What each door's run of each case logged. */
type Logs = ReadonlyMap<number, ReadonlyMap<DoorName, readonly string[]>>;

const here = import.meta.dirname!;
const root = `${here}/../..`;
/** What a binary that is named takes before the file to run. */
const options: Readonly<Record<string, readonly string[]>> = {
  node: ["--import=./tests/runtimes/node_loader.mjs"],
  bun: [],
  deno: ["run", "-A", "--no-check"],
};
/** Milliseconds that a process may say nothing. */
const patience = 15_000;
const ended = "the process ended: ";
const count = { passed: 0, failed: 0, differ: 0, skipped: 0 };

await main();

async function main(): Promise<void> {
  const texts = Deno.args.filter((arg) => !arg.startsWith("--"));
  const runs = cases.flatMap(({ name, from, doors = doorNames }, index) =>
    texts.length === 0 || texts.some((text) => `${from} ${name}`.includes(text))
      ? doorNames.filter((door) => doors.includes(door))
        .map((door) => ({ index, door }))
      : []
  );
  const queue = await findRuntimes();
  const work = async () => {
    for (let runtime; (runtime = queue.shift());) {
      judge(runtime, await collect(runtime, runs));
    }
  };
  // They wait more than they work.
  await Promise.all([work(), work(), work()]);
  const { passed, failed, differ, skipped } = count;
  console.log(
    `${passed} passed, ${failed} failed, ${skipped} skipped, ${differ} differ`,
  );
  Deno.exit(count.failed > 0 ? 1 : 0);
}

/** The runtimes of the test command, or those that are named. */
async function findRuntimes(): Promise<Runtime[]> {
  const named = Deno.args.flatMap((arg) => {
    const [, name, binary] = /^--(node|bun|deno)=(.*)$/.exec(arg) ?? [];
    return name ? [{ name, command: [binary!, ...options[name]!] }] : [];
  });
  const found = named.length > 0 ? named : await install();
  return await Promise.all(found.map(async ({ name, command }) => {
    const { stdout } = await new Deno.Command(command[0]!, {
      args: ["--version"],
    }).output();
    const version = /\d[\d.]*/.exec(new TextDecoder().decode(stdout))![0];
    const kind = (["Node", "Bun", "Deno"] as const)
      .find((kind) => name.toLowerCase().startsWith(kind.toLowerCase()))!;
    return { kind, label: `${kind} ${version}`, command };
  }));
}

/** Runs them one by one, with a new process where one ends too soon. */
async function collect(
  { command: [binary, ...args] }: Runtime,
  runs: readonly Run[],
): Promise<Logs> {
  const logs = new Map<number, Map<DoorName, readonly string[]>>();
  const note = ({ index, door }: Run, lines: readonly string[]) => {
    const ofCase = logs.get(index) ?? new Map<DoorName, readonly string[]>();
    logs.set(index, ofCase.set(door, lines));
  };
  for (let next = 0; next < runs.length;) {
    const rest = runs.slice(next).map(({ index, door }) => [index, door]);
    const child = new Deno.Command(binary!, {
      args: [...args, `${here}/child.ts`, JSON.stringify(rest)],
      cwd: root,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const stderr = new Response(child.stderr).text();
    for await (const said of linesOf(child)) {
      if (!said.lines) continue;
      note(said, said.lines);
      next++;
    }
    const { code, signal } = await child.status;
    if (next === runs.length) break;
    const run = runs[next++]!;
    note(run, [`${ended}${signal ?? `exit code ${code}`}`]);
    const last = (await stderr).trim().split("\n").slice(-12);
    if (run.door !== "platform") console.error(last.join("\n"));
  }
  return logs;
}

/** What a child says, which is killed when it falls silent. */
async function* linesOf(
  child: Deno.ChildProcess,
): AsyncGenerator<Run & { lines?: string[] }> {
  const kill = () => child.kill("SIGKILL");
  let timer = setTimeout(kill, patience);
  let text = "";
  for await (
    const chunk of child.stdout.pipeThrough(new TextDecoderStream())
  ) {
    clearTimeout(timer);
    timer = setTimeout(kill, patience);
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      // What the runtime prints by itself is not for us.
      if (line.startsWith("{")) yield JSON.parse(line);
    }
  }
  clearTimeout(timer);
}

/** Compares each door of ours with the platform, and prints what differs. */
function judge({ kind, label }: Runtime, logs: Logs): void {
  for (const [index, byDoor] of logs) {
    const { name, from } = cases[index]!;
    const expected = byDoor.get("platform")!;
    if (expected.at(-1) === noEnd) {
      count.skipped++;
      console.log(`SKIP  ${label}  the platform's own has no end: ${name}`);
      continue;
    }
    for (const [door, actual] of byDoor) {
      if (door === "platform") continue;
      const reason = reasonFor(name, kind, door);
      const isEqual = expected[0]?.startsWith(ended)
        // Nothing to be like: it is enough to survive.
        ? !actual[0]?.startsWith(ended)
        : expected.join("\n") === actual.join("\n");
      if (isEqual && !reason) count.passed++;
      else if (!isEqual && reason) count.differ++;
      else {
        count.failed++;
        console.log(`FAIL  ${label}  ${door}  ${name}  (${from})`);
        if (isEqual) console.log("      is equal now, and yet in the table");
        else for (const line of diff(expected, actual)) console.log(line);
      }
    }
  }
}

/** Both logs in one: `-` is the platform's, `+` is ours. */
function diff(one: readonly string[], other: readonly string[]): string[] {
  const line = (mark: string, text: string) => `      ${mark} ${text}`;
  const [first, ...rest] = one;
  if (first === undefined) return other.map((text) => line("+", text));
  const at = other.indexOf(first);
  if (at < 0) return [line("-", first), ...diff(rest, other)];
  return [
    ...other.slice(0, at).map((text) => line("+", text)),
    line(" ", first),
    ...diff(rest, other.slice(at + 1)),
  ];
}
