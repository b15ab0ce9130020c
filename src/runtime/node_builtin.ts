/**
 * Node's own modules, where the runtime has them.
 *
 * `process.getBuiltinModule` is synchronous and bundlers for other platforms
 * leave it alone, while a literal `import("node:net")` breaks their output.
 * Deno before 2.1 and Bun before 1.2.6 lack it: there the modules are imported
 * before they are used. Callers say what they use of a module; no platform type
 * leaks out of `src/`.
 *
 * @module
 */

/** What is used of the global `process`. */
interface NodeProcess {
  readonly getBuiltinModule?: (name: string) => unknown;
  readonly env: Record<string, string | undefined>;
  /** Only there with `--permission`. */
  readonly permission?: { has(scope: string): boolean };
  readonly allowedNodeEnvironmentFlags: ReadonlySet<string>;
}

function nodeProcess(): NodeProcess {
  return (globalThis as unknown as { process: NodeProcess }).process;
}

/** What is used of Node. */
const NAMES = [
  "node:buffer",
  "node:crypto",
  "node:dgram",
  "node:dns",
  "node:fs",
  "node:net",
  "node:tls",
] as const;

/** What was found, or imported where there is no other way; by name. */
const found = new Map<string, unknown>();

/**
 * The module of that name, `T` being what is used of it. For the time of
 * {@linkcode withBuiltins} only.
 */
export function builtin<T>(name: typeof NAMES[number]): T {
  let module = found.get(name);
  if (!module) found.set(name, module = nodeProcess().getBuiltinModule!(name));
  return module as T;
}

/** Calls `use` when {@linkcode builtin} works: at once, where it always does. */
export function withBuiltins<T>(use: () => Promise<T>): Promise<T> {
  const hasAll = found.size > 0 || nodeProcess().getBuiltinModule;
  return hasAll ? use() : importBuiltins().then(use);
}

async function importBuiltins(): Promise<void> {
  const modules = await Promise.all(NAMES.map((name) => import(name)));
  NAMES.forEach((name, index) => found.set(name, modules[index]));
}

/** The environment variable of that name. */
export function environment(name: string): string | undefined {
  return nodeProcess().env[name];
}

/**
 * Whether Node runs with `--permission` and without `--allow-net`. Versions
 * before 25 know no such flag: they let everybody use the network, and say of
 * each scope that they do not know that it is not granted.
 */
export function isNetDenied(): boolean {
  const { permission, allowedNodeEnvironmentFlags } = nodeProcess();
  return permission !== undefined && !permission.has("net") &&
    allowedNodeEnvironmentFlags.has("--allow-net");
}
