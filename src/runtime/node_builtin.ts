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
