/**
 * Programs in a process of their own, on the runtime at hand: for what a
 * process can do only once, such as to import a module, and for what it cannot
 * give up and get back, such as a permission.
 *
 * @module
 */

import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { runtimeName } from "./harness.ts";

/** What came of a program. */
export interface Result {
  /** The exit status; -1 where a signal ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The path of a file that is named as from this folder. */
export function path(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Node finds packages by names of ours with it. */
const loader = `--import=${
  new URL("runtimes/node_loader.mjs", import.meta.url).href
}`;

/** How the runtime at hand is called, its own flags being `flags`. */
function command(flags: readonly string[]): readonly string[] {
  if (runtimeName === "deno") return ["run", "--no-prompt", ...flags];
  // Before version 24 Node does not read TypeScript.
  const isOldNode = runtimeName === "node" &&
    Number.parseInt(process.versions.node) < 24;
  return isOldNode ? [loader, ...flags] : flags;
}

/** Runs a program, its path relative to this folder, to its end. */
export function runProgram(
  program: string,
  args: readonly string[],
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [...command(flags), path(program), ...args],
      { env: { ...process.env, ...env } },
      (_error, stdout, stderr) =>
        resolve({ status: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** What a program wrote to its standard output; rejects when it failed. */
export async function run(
  program: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const flags = { deno: ["-A"], node: [loader], bun: [], workerd: [] };
  const result = await runProgram(program, [], flags[runtimeName], env);
  const { status, stdout, stderr } = result;
  if (status === 0) return stdout;
  throw new Error(`${program}: status ${status}\n${stdout}\n${stderr}`);
}
