/**
 * The examples of README's section "Use it with", each run as it stands but for
 * its hosts, on every runtime.
 *
 * An example is known by the last package it imports. It passes if
 * it prints what it should, its connects go by two attempts, and it ends by
 * itself. The compiler sees them with the packages' own types, which shows that
 * ours fit.
 *
 * @module
 */

import type { Observed } from "./observed.ts";
import type { Scene, Service } from "./scene.ts";

/** An example, and what is expected of it. */
export interface Snippet {
  /** The package it is about. */
  readonly name: string;
  readonly text: string;
  readonly service: Service;
  /** What it prints. */
  readonly output: string;
}

/** What each example talks to, and prints. */
const expected: Record<string, readonly [service: Service, output: string]> = {
  "node:http": ["http", "200"],
  "node:https": ["https", "200"],
  "node:http2": ["h2", "200"],
  undici: ["https", "200"],
  ws: ["https", "hello"],
  pg: ["postgres", "2"],
  postgres: ["postgres", "2"],
  ioredis: ["rediss", "hello"],
  "mysql2/promise": ["mysql", "hello"],
  nodemailer: ["smtps", "b@example.test"],
  mqtt: ["mqtts", "greetings hello"],
  redis: ["redis", "hello"],
};

const here = import.meta.dirname!;
const title = "## Use it with\n";

/** All examples. */
export async function readSnippets(): Promise<Snippet[]> {
  const section = await findSection();
  const blocks = section.matchAll(/^```ts ignore\n([\s\S]*?)^```$/gm);
  const found = Array.from(blocks, ([, text]) => {
    const imports = [...text!.matchAll(/ from "([^"]+)";$/gm)];
    const name = imports.at(-1)![1]!;
    if (!Object.hasOwn(expected, name)) {
      throw new Error(`Nothing is expected of the example for ${name}`);
    }
    const [service, output] = expected[name]!;
    return { name, text: text!, service, output };
  });
  const missing = Object.keys(expected)
    .filter((name) => !found.some((snippet) => snippet.name === name));
  if (missing.length > 0) throw new Error(`No example for ${missing}`);
  return found;
}

async function findSection(): Promise<string> {
  const text = await Deno.readTextFile(`${here}/../../README.md`);
  const start = text.indexOf(title);
  if (start < 0) throw new Error(`README has no section ${title}`);
  const end = text.indexOf("\n## ", start + title.length);
  return text.slice(start, end < 0 ? undefined : end);
}

/** A folder in which the examples find the clients. */
export async function makeFolder(): Promise<AsyncDisposable & { dir: string }> {
  const dir = await Deno.makeTempDir();
  await Deno.symlink(`${here}/node_modules`, `${dir}/node_modules`);
  await Deno.copyFile(`${here}/package.json`, `${dir}/package.json`);
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** Its text, towards our servers and with the door that is watched. */
export function towards(
  { name, text, service }: Snippet,
  ports: Scene["ports"],
  runtime: string,
): string {
  const port = ports[service];
  const door = import.meta.resolve("./observed.ts");
  const moved = text
    .replace("@stagger/happy-eyeballs/node", door)
    .replaceAll(/\b(https?|wss):\/\/example\.com/g, `$1://localhost:${port}`)
    .replaceAll(
      /\b(\w+\.)?example\.com(:\d+)?/g,
      (_host, _label, number) => number ? `localhost:${port}` : "localhost",
    )
    .replaceAll(/\bport: \d+/g, `port: ${port}`);
  // As the text above the example says.
  return name === "undici" && runtime === "Bun"
    ? moved.replace(`"undici"`, `"undici/index.js"`)
    : moved;
}

/** The variables by which the runtimes trust the servers' authority. */
export const trust: Record<string, string> = {
  NODE_EXTRA_CA_CERTS: `${here}/../certs/ca.pem`,
  DENO_CERT: `${here}/../certs/ca.pem`,
};

/** What is wrong with what an example did, if anything. */
export function verdict(
  { name, output }: Snippet,
  stdout: string,
  stderr: string,
): string | undefined {
  if (stdout.trim() !== output) return `It printed ${stdout}${stderr}`;
  const { attempted, ended, looked }: Observed = JSON.parse(
    stderr.trim().split("\n").at(-1)!,
  );
  if (name === "redis") {
    return looked > 0 ? undefined : "The lookup was not used";
  }
  const both = ended.flatMap(() => ["::1", "127.0.0.1"]);
  const isRight = ended.length > 0 &&
    ended.every((outcome) => outcome === "connected") &&
    JSON.stringify(attempted) === JSON.stringify(both);
  return isRight ? undefined : `It did not connect as it should: ${stderr}`;
}

/** Checks the examples with the clients' own types. */
export async function checkTypes(
  snippets: readonly Snippet[],
  dir: string,
  node: string,
): Promise<string | undefined> {
  const files = snippets.map((_, index) => `${index}.ts`);
  for (const [index, { text }] of snippets.entries()) {
    await Deno.writeTextFile(`${dir}/${files[index]}`, text);
  }
  const compilerOptions = {
    target: "es2023",
    lib: ["es2023", "esnext.disposable", "dom"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    noEmit: true,
    paths: {
      "@stagger/happy-eyeballs/node": [`${here}/../../src/entry/node.ts`],
    },
  };
  await Deno.writeTextFile(
    `${dir}/tsconfig.json`,
    JSON.stringify({ compilerOptions, files }),
  );
  const tsc = `${here}/../runtimes/node_modules/typescript/bin/tsc`;
  const { success, stdout } = await new Deno.Command(node, {
    args: [tsc, "--project", dir],
    cwd: dir,
  }).output();
  return success ? undefined : new TextDecoder().decode(stdout);
}
