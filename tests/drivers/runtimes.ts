/**
 * The runtimes the clients run on, and what npm has to provide for that.
 *
 * Node and Bun are the newest of the test command (`../runtimes`).
 *
 * @module
 */

import {
  binary,
  install as installRuntimes,
  newestNode,
  npmInstall,
} from "../runtimes/binaries.ts";

/** A runtime, and the command that runs a file on it. */
export interface Runtime {
  readonly name: "Node" | "Bun" | "Deno";
  readonly command: readonly [string, ...string[]];
}

/** Fetches what is not there yet; returns the runtimes, Node first. */
export async function install(): Promise<readonly Runtime[]> {
  await installRuntimes();
  await npmInstall(import.meta.dirname!);
  const [node, bun] = await Promise.all([binary(newestNode), binary("bun")]);
  if (!node || !bun) throw new Error("npm has no runtimes for this platform");
  return [
    { name: "Node", command: [node] },
    { name: "Bun", command: [bun] },
    {
      name: "Deno",
      command: [
        Deno.execPath(),
        ...["run", "--allow-all", "--no-check", "--node-modules-dir=manual"],
      ],
    },
  ];
}
