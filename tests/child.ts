/**
 * A program of the tests in a process of its own, on the runtime at hand: for
 * what only a process can be told at its start, or ends by.
 *
 * @module
 */

import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { runtimeName } from "./harness.ts";

/** The path of a file that is named as from `tests/`. */
export function path(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** What the program wrote to its standard output; rejects when it failed. */
export function run(
  program: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const args = runtimeName === "deno"
    ? ["run", "-A", "--no-prompt", path(program)]
    : runtimeName === "node"
    ? [`--import=${path("runtimes/node_loader.mjs")}`, path(program)]
    : [path(program)];
  const options = { env: { ...process.env, ...env } };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
      else resolve(stdout);
    });
  });
}
