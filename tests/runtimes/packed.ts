/**
 * The package as npm users get it from JSR: JavaScript beside its types.
 *
 * @module
 */

import { npm } from "./binaries.ts";
import { run } from "./child.ts";

/** Packs the package, and installs it in a directory of its own. */
export async function installPackage(dir: string): Promise<void> {
  const tarball = `${dir}/package.tgz`;
  const pack = ["pack", "--allow-dirty", `--output=${tarball}`];
  await run(Deno.execPath(), pack, { cwd: `${import.meta.dirname}/../..` });
  await npm(dir, "init", "--yes", "--init-type=module");
  await npm(dir, "install", "--offline", tarball);
}
