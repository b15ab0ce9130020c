/**
 * Lets Node run the tests from their TypeScript source:
 * `node --import ./tests/runtimes/node_loader.mjs --test tests/x_test.ts`.
 *
 * Node does not read `deno.json`, so bare names are mapped here: `@std/*` to
 * the stand-ins in `tests/std`, other packages to this folder's
 * `node_modules`. Before Node 24, which strips types and knows `using`,
 * TypeScript does both. The source is not type-checked; `deno check` does
 * that.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import module from "node:module";
import process from "node:process";
import { isMainThread } from "node:worker_threads";

const stdUrl = new URL("../std/", import.meta.url);
const require = module.createRequire(import.meta.url);
const isNative = Number.parseInt(process.versions.node) >= 24;

// Node 20 has asynchronous hooks only, which it runs in a thread of their own
// by importing this module there; newer versions call the same functions
// directly.
if (isNative) module.registerHooks({ resolve });
else if (isMainThread) module.register(import.meta.url);

/** Maps the bare names the tests import. */
export function resolve(specifier, context, next) {
  const std = /^@std\/([^/]+)(?:\/(.+))?$/.exec(specifier);
  if (std) return next(new URL(`${std[1]}/${std[2] ?? "mod"}.ts`, stdUrl).href);
  const isOurs = context.parentURL?.endsWith(".ts") &&
    /^[@\w]/.test(specifier) && !/^\w+:/.test(specifier);
  return isOurs
    ? next(specifier, { ...context, parentURL: import.meta.url })
    : next(specifier, context);
}

/** Makes JavaScript of the tests and of what they test. */
export async function load(url, context, next) {
  if (!/^file:[^?]*\.ts(?:\?|$)/.test(url)) return next(url, context);
  const { transform } = require("esbuild");
  const { code } = await transform(await readFile(new URL(url), "utf8"), {
    loader: "ts",
    target: "node20",
    sourcemap: "inline",
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  });
  return { format: "module", source: code, shortCircuit: true };
}
