/**
 * Node's own modules, where the runtime has them.
 *
 * `process.getBuiltinModule` is synchronous and bundlers for other platforms
 * leave it alone, while a literal `import("node:net")` breaks their output.
 * Callers say what they use of a module; no platform type leaks out of `src/`.
 *
 * @module
 */

/** What is used of the global `process`. */
interface NodeProcess {
  getBuiltinModule(name: string): unknown;
  readonly env: Record<string, string | undefined>;
  /** Only there with `--permission`. */
  readonly permission?: { has(scope: string): boolean };
  readonly allowedNodeEnvironmentFlags: ReadonlySet<string>;
}

function nodeProcess(): NodeProcess {
  return (globalThis as unknown as { process: NodeProcess }).process;
}

/** The module of that name, `T` being what is used of it. */
export function builtin<T>(name: string): T {
  return nodeProcess().getBuiltinModule(name) as T;
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
