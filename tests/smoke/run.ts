/**
 * The oldest runtimes that will do, and some that will not:
 * `deno run -A tests/smoke/run.ts`.
 *
 * The suite needs newer ones, so here is one program that does a little of
 * everything. Node and Bun run the package as npm users get it, Deno runs the
 * source. What is too old has to say so. Each program has to end by itself.
 *
 * Prints a line for each runtime, and at the end `N passed, N failed`; the
 * status is 1 if any failed.
 *
 * @module
 */

import {
  binary,
  type BinaryName,
  install,
  modules,
  newestNode,
} from "../runtimes/binaries.ts";
import { run } from "../runtimes/child.ts";
import { installPackage } from "../runtimes/packed.ts";
import type { Place } from "./program.ts";

const runtimes: readonly (readonly [BinaryName, "program" | "too_old"])[] = [
  ["oldest_node20", "program"],
  ["oldest_node22", "program"],
  ["node22", "program"],
  ["oldest_bun", "program"],
  ["oldest_deno", "program"],
  ["node18", "too_old"],
  ["node20_9", "too_old"],
  ["bun1_1", "too_old"],
];

const root = `${import.meta.dirname}/../..`;
const count = { PASS: 0, FAIL: 0, SKIP: 0 };

await install();
const dir = await Deno.makeTempDir();
try {
  await main();
} finally {
  await Deno.remove(dir, { recursive: true });
}
const skipped = count.SKIP > 0 ? `, ${count.SKIP} skipped` : "";
console.log(`${count.PASS} passed, ${count.FAIL} failed${skipped}`);
Deno.exit(count.FAIL > 0 ? 1 : 0);

async function main(): Promise<void> {
  await installPackage(dir);
  for (const program of ["program", "too_old"]) {
    await run((await binary(newestNode))!, [
      ...[
        `${modules}/esbuild/bin/esbuild`,
        `${root}/tests/smoke/${program}.ts`,
      ],
      `--outfile=${dir}/${program}.mjs`,
    ]);
  }
  await using servers = await serve();
  for (const [name, program] of runtimes) {
    await report(name, program, servers.place);
  }
}

/** Runs one program on one runtime. */
async function report(
  name: BinaryName,
  program: string,
  place: Place,
): Promise<void> {
  const print = (outcome: keyof typeof count, text: string) => {
    count[outcome]++;
    console.log([outcome, name.padEnd(14), text].join("  ").trimEnd());
  };
  const path = await binary(name);
  if (!path) return print("SKIP", "npm has none for this platform");
  const args = name === "oldest_deno"
    ? [
      "run",
      "-A",
      "--quiet",
      "--no-check",
      `${root}/tests/smoke/${program}.ts`,
    ]
    : [`${program}.mjs`];
  try {
    const output = await run(path, [...args, JSON.stringify(place)], {
      cwd: dir,
      silence: 30_000,
    });
    const steps = output.trimEnd().split("\n");
    const isWell = steps.pop() === "all is well";
    if (!isWell) print("FAIL", output);
    else if (program === "too_old") print("PASS", steps[0]!);
    else print("PASS", `${steps.length} steps`);
  } catch (error) {
    print("FAIL", (error as Error).message);
  }
}

/** The servers the program talks to, on 127.0.0.1. */
async function serve(): Promise<AsyncDisposable & { place: Place }> {
  const hostname = "127.0.0.1";
  const pem = (name: string) =>
    Deno.readTextFile(`${root}/tests/certs/${name}.pem`);
  const [ca, cert, key] = await Promise.all(
    ["ca", "server", "server_key"].map(pem),
  );
  await using stack = new AsyncDisposableStack();
  const echo = stack.use(Deno.listen({ hostname, port: 0 }));
  const tls = stack.use(
    Deno.listenTls({ hostname, port: 0, cert: cert!, key: key! }),
  );
  for (const listener of [echo, tls]) sendBack(listener);
  const http = stack.use(
    Deno.serve(
      { hostname, port: 0, onListen() {} },
      () => new Response("hello"),
    ),
  );
  using closed = Deno.listen({ hostname: "::", port: 0 });
  const rest = stack.move();
  return {
    place: {
      echo: echo.addr.port,
      tls: tls.addr.port,
      ca: ca!,
      http: http.addr.port,
      refused: (closed.addr as Deno.NetAddr).port,
    },
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  };
}

async function sendBack(listener: Deno.Listener): Promise<void> {
  for await (const conn of listener) {
    // Whoever has left wants nothing back.
    conn.readable.pipeTo(conn.writable).catch(() => {});
  }
}
