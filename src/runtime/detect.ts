/**
 * Which platform this is, and its adapter.
 *
 * Every platform with sockets has a `process` by now, and workerd even gives it
 * a Node version, so the order matters: what is only itself comes first, Node
 * last. The adapters are imported statically: a module behind an `import()` is
 * kept whole by bundlers, with everything it shares with the rest, even where
 * nobody connects. In return none of them may do anything when it is loaded.
 *
 * @module
 */

import { runtime as bun } from "./bun.ts";
import { runtime as deno } from "./deno.ts";
import { runtime as node } from "./node.ts";
import type { Runtime } from "./runtime.ts";
import { runtime as workerd } from "./workerd.ts";

/** A platform there is an adapter for. */
export type RuntimeName = Runtime["name"];

/** The globals that tell the platforms apart. */
export interface PlatformGlobals {
  readonly Deno?: { readonly version?: { readonly deno?: string } } | undefined;
  readonly Bun?: { readonly version?: string } | undefined;
  readonly WebSocketPair?: unknown;
  readonly navigator?: { readonly userAgent?: string } | undefined;
  readonly process?:
    | { readonly versions?: { readonly node?: string } }
    | undefined;
}

const adapters: Record<RuntimeName, Runtime> = { deno, bun, node, workerd };

/**
 * The oldest versions that will do. Of a major version that is not here, those
 * after the last one will, and the others will not: they lack what is used, or
 * were never tried. workerd tells no version.
 */
const OLDEST: Readonly<
  Record<RuntimeName, readonly (readonly [major: number, minor: number])[]>
> = {
  bun: [[1, 2]],
  deno: [[2, 0]],
  node: [[20, 16], [22, 3]],
  workerd: [],
};

/** The platform's name; `undefined` where there is no adapter for it. */
export function runtimeName(
  globals: PlatformGlobals = globalThis as PlatformGlobals,
): RuntimeName | undefined {
  if (globals.Deno) return "deno";
  if (globals.Bun) return "bun";
  const isWorkerd = globals.WebSocketPair ||
    globals.navigator?.userAgent === "Cloudflare-Workers";
  if (isWorkerd) return "workerd";
  return globals.process?.versions?.node ? "node" : undefined;
}

/**
 * The platform's adapter.
 *
 * @throws {TypeError} when there is none, or the platform is too old for it.
 */
export function detectRuntime(globals?: PlatformGlobals): Runtime {
  // A platform does not change.
  return globals ? detect(globals) : own ??= detect(globalThis);
}

let own: Runtime | undefined;

function detect(globals: PlatformGlobals): Runtime {
  const name = runtimeName(globals);
  if (!name) {
    throw new TypeError(
      "Cannot connect: TCP sockets take Deno, Bun, Node 20 or workerd",
    );
  }
  const version = versionOf(name, globals);
  if (version === undefined || !isTooOld(version, OLDEST[name])) {
    return adapters[name];
  }
  const what = name[0]!.toUpperCase() + name.slice(1);
  const oldest = OLDEST[name].map((parts) => parts.join(".")).join(" and ");
  throw new TypeError(
    `Cannot connect: ${what} ${version} is too old, it takes ${oldest} or later`,
  );
}

/** Where a platform tells its version; each of them tells one of Node, too. */
function versionOf(
  name: RuntimeName,
  { Deno, Bun, process }: PlatformGlobals,
): string | undefined {
  if (name === "deno") return Deno?.version?.deno;
  return name === "bun" ? Bun?.version : process?.versions?.node;
}

function isTooOld(
  version: string,
  oldest: readonly (readonly [major: number, minor: number])[],
): boolean {
  const [major, minor] = version.split(".").map(Number) as [number, number];
  const same = oldest.find((each) => each[0] === major);
  if (same) return minor < same[1];
  return oldest.some((each) => each[0] > major);
}
