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
  readonly Deno?: unknown;
  readonly Bun?: unknown;
  readonly WebSocketPair?: unknown;
  readonly navigator?: { readonly userAgent?: string } | undefined;
  readonly process?:
    | { readonly versions?: { readonly node?: string } }
    | undefined;
}

const adapters: Record<RuntimeName, Runtime> = { deno, bun, node, workerd };

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
 * @throws {TypeError} when there is none.
 */
export function detectRuntime(globals?: PlatformGlobals): Runtime {
  const name = runtimeName(globals);
  if (name) return adapters[name];
  throw new TypeError(
    "Cannot connect: TCP sockets take Deno, Bun, Node 20 or workerd",
  );
}
