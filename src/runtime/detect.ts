/**
 * Which platform this is, and its adapter, loaded on first use.
 *
 * Every platform with sockets has a `process` by now, and workerd even gives it
 * a Node version, so the order matters: what is only itself comes first, Node
 * last. The adapter is imported dynamically, so that no platform runs the code
 * of another.
 *
 * @module
 */

import type { Runtime } from "./runtime.ts";

/** A platform there is an adapter for. */
export type RuntimeName = Runtime["name"];

/** The globals that tell the platforms apart. */
export interface PlatformGlobals {
  readonly Deno?: unknown;
  readonly Bun?: unknown;
  readonly WebSocketPair?: unknown;
  readonly navigator?: { readonly userAgent?: string } | undefined;
  readonly process?:
    | { readonly versions?: { readonly node?: string } }
    | undefined;
}

const adapters: Record<RuntimeName, () => Promise<{ runtime: Runtime }>> = {
  deno: () => import("./deno.ts"),
  bun: () => import("./bun.ts"),
  node: () => import("./node.ts"),
  workerd: () => import("./workerd.ts"),
};

let loaded: Runtime | undefined;

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

/** The adapter, if it has been loaded. */
export function loadedRuntime(): Runtime | undefined {
  return loaded;
}

/**
 * Loads the platform's adapter.
 *
 * @throws {TypeError} when there is none.
 */
export async function loadRuntime(
  globals?: PlatformGlobals,
): Promise<Runtime> {
  const name = runtimeName(globals);
  if (!name) {
    throw new TypeError(
      "Cannot connect: TCP sockets take Deno, Bun, Node 20 or workerd",
    );
  }
  return loaded ??= (await adapters[name]()).runtime;
}
