/**
 * The runtimes whose bytes are counted: those of the test command's suite.
 *
 * @module
 */

import {
  binary,
  type BinaryName,
  install as installBinaries,
} from "../runtimes/binaries.ts";

/** A runtime, and the command that runs a file on it. */
export interface Runtime {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}

/** Node 20 reads no TypeScript without it. */
const loader = `--import=${import.meta.dirname}/../runtimes/node_loader.mjs`;

const binaries: Readonly<Record<string, BinaryName>> = {
  "Node 20": "node20",
  "Node 24": "node24",
  "Node 26": "node26",
  Bun: "bun",
};

/** Fetches what is not there yet; returns them, Node first, Deno last. */
export async function install(): Promise<Runtime[]> {
  await installBinaries();
  const runtimes: Runtime[] = [];
  for (const [name, binaryName] of Object.entries(binaries)) {
    const path = await binary(binaryName);
    if (!path) throw new Error(`npm has no ${name} for this platform`);
    const options = name === "Bun" ? [] : [loader];
    runtimes.push({ name, command: [path, ...options] });
  }
  const deno = [Deno.execPath(), "run", "--allow-all", "--no-check"] as const;
  return [...runtimes, { name: "Deno", command: deno }];
}
