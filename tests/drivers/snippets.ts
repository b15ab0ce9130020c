/**
 * The examples of `.github/drivers.md`, each run as it stands but for its hosts,
 * on every runtime.
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
  got: ["https", "200"],
  axios: ["https", "200"],
  "node-fetch": ["https", "200"],
  superagent: ["https", "200"],
  ws: ["https", "hello"],
  pg: ["postgres", "2"],
  postgres: ["postgres", "2"],
  ioredis: ["rediss", "hello"],
  "mysql2/promise": ["mysql", "hello"],
  nodemailer: ["smtps", "b@example.test"],
  mqtt: ["mqtts", "greetings hello"],
  redis: ["redis", "hello"],
  kafkajs: ["kafkas", "greetings"],
  mongodb: ["mongodb", "1"],
  amqplib: ["amqp", "hello"],
};

/** Whose only hook is the lookup. */
const lookups = ["redis", "mongodb", "amqplib"];

/** What Bun has its own of, and where the package is all the same. */
const shadowed: Record<string, string> = {
  undici: "undici/index.js",
  "node-fetch": "node-fetch/src/index.js",
};

const here = import.meta.dirname!;
const title = "## Examples\n";

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
  const text = await Deno.readTextFile(`${here}/../../.github/drivers.md`);
  const start = text.indexOf(title);
  if (start < 0) throw new Error(`drivers.md has no section ${title}`);
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
    // The first of several hosts refuses: nobody listens on that address.
    .replace(/\bdb1\.example\.com\b/, "127.0.0.2")
    .replaceAll(/\b(https?|wss):\/\/example\.com/g, `$1://localhost:${port}`)
    .replaceAll(
      /\b(\w+\.)?example\.com(:\d+)?/g,
      (_host, _label, number) => number ? `localhost:${port}` : "localhost",
    )
    .replaceAll(/\bport: \d+/g, `port: ${port}`);
  const path = shadowed[name];
  // As the text above the example says.
  return path && runtime === "Bun"
    ? moved.replace(`"${name}"`, `"${path}"`)
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
  if (lookups.includes(name)) {
    return looked > 0 ? undefined : "The lookup was not used";
  }
  const refused = attempted[0] === "127.0.0.2" && ended[0] === "failed" ? 1 : 0;
  const rest = ended.slice(refused);
  const both = rest.flatMap(() => ["::1", "127.0.0.1"]);
  const isRight = rest.length > 0 &&
    rest.every((outcome) => outcome === "connected") &&
    JSON.stringify(attempted.slice(refused)) === JSON.stringify(both);
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
