/**
 * That no program can hold the test command up: each case is a child that
 * crashes, hangs or leaves something behind.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";

import { turn } from "../fake_clock.ts";
import { test } from "../harness.ts";
import { Crash, Failure, run, type RunOptions } from "./child.ts";

/** Longer than any test may take. */
const FOR_EVER = 600;

function shell(script: string, options?: RunOptions): Promise<string> {
  return run("sh", ["-c", script], options);
}

/** Whether a process is there that has not ended. */
async function isAlive(pid: string): Promise<boolean> {
  if (Deno.build.os !== "linux") return false;
  try {
    await shell(`grep -q '^State:.[^XZ]' /proc/${pid}/status`);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when a process has ended; the test hangs if it never does. */
async function ended(pid: string): Promise<void> {
  while (await isAlive(pid)) await turn();
}

test("run() returns what was printed on both streams", async () => {
  assertEquals(await shell("echo two >&2; echo one"), "one\ntwo\n");
});

test("run() passes on the directory and the environment", async () => {
  const options = { cwd: "/", env: { WHO: "me" } };
  assertEquals(await shell('echo "$WHO in $(pwd)"', options), "me in /\n");
});

test("run() tells each last line as it comes", async () => {
  const lines: string[] = [];
  await shell("echo one; echo two", {
    onLine: (line) => void lines.push(line),
  });
  assertEquals(lines.at(-1), "two");
});

test("run() fails with all the output of a program that fails", async () => {
  const script =
    "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; exit 3";
  const error = await assertRejects(() => shell(script), Failure);
  assert(!(error instanceof Crash));
  assertMatch(error.message, /^line 0\n[^]*line 99\n[^]*exit code 3$/);
});

test("run() ends with a program that crashes, and shows its last lines", async () => {
  const script =
    "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; kill -SEGV $$";
  const error = await assertRejects(() => shell(script), Crash);
  assertMatch(error.message, /^line 40\n[^]*line 99\n[^]*SIGSEGV$/);
});

test("run() ends with a program whose child holds the pipe", async () => {
  const script = `sleep ${FOR_EVER} & echo $!`;
  const pid = await shell(script);
  await ended(pid.trim());
});

test("run() ends with a program that crashes while its child holds the pipe", async () => {
  const script = `sleep ${FOR_EVER} & kill -ABRT $$`;
  const error = await assertRejects(() => shell(script), Crash);
  assertMatch(error.message, /SIGABRT$/);
});

test("run() ends though a process out of its reach holds the pipe", async () => {
  if (Deno.build.os !== "linux") return;
  const pid = await shell(`
    name=$(mktemp -u)
    mkfifo $name
    setsid sh -c "echo \\$\\$ > $name; exec sleep ${FOR_EVER}" &
    read pid < $name
    rm $name
    echo $pid`);
  assert(await isAlive(pid.trim()));
  // It is the test's own to end.
  Deno.kill(Number(pid), "SIGKILL");
});

test("run() kills a program that is silent, and what it started", async () => {
  const script = `sleep ${FOR_EVER} & echo $!; sleep ${FOR_EVER}`;
  const error = await assertRejects(
    () => shell(script, { silence: 500 }),
    Crash,
  );
  const [, pid] = /^(\d+)\n[^]*printed nothing for 0\.5 s$/.exec(
    error.message,
  )!;
  await ended(pid!);
});

test("run() kills the program when its signal aborts", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const error = await assertRejects(() =>
    shell(`echo; sleep ${FOR_EVER}`, {
      signal: controller.signal,
      onLine: () => controller.abort(reason),
    })
  );
  assertEquals(error, reason);
});
