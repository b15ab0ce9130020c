/**
 * What bundlers make of the package: `deno run -A tests/bundles/run.ts`.
 *
 * A program that uses `mod.ts` is bundled for platforms that are not this one,
 * and then run where it can be, so that an import which only fails at run time
 * is found too. Sizes are those of `esbuild --bundle --minify`. What types need
 * is checked elsewhere, by a compiler (`tests/types`).
 *
 * Prints a line for each case, and at the end `N passed, N failed`; the status
 * is 1 if any failed.
 *
 * @module
 */

import { install } from "../drivers/runtimes.ts";

/** The most that `staggeredRace()` alone may weigh, in bytes. */
const MOST = { minified: 3.75 * 1024, gzipped: 1.875 * 1024 };

const root = new URL("../..", import.meta.url).pathname;
const here = import.meta.dirname!;
const esbuild = `${here}/../runtimes/node_modules/esbuild/bin/esbuild`;
const [node, bun, deno] = (await install()).map(({ command }) => command);
const dir = await Deno.makeTempDir();
const count = { PASS: 0, FAIL: 0 };

await report("staggeredRace alone, minified", weigh);
for (const platform of ["browser", "neutral", "node"]) {
  for (const minify of [[], ["--minify"]]) {
    await bundles(`esbuild --platform=${platform}`, node!, minify, (bundle) => [
      ...[...node!, esbuild, `${here}/program.ts`, "--bundle"],
      ...["--format=esm", `--platform=${platform}`, `--outfile=${bundle}`],
    ]);
  }
}
for (const target of ["browser", "node", "bun"]) {
  for (const minify of [[], ["--minify"]]) {
    await bundles(`bun build --target=${target}`, bun!, minify, (bundle) => [
      ...[...bun!, "build", `${here}/program.ts`],
      ...[`--target=${target}`, `--outfile=${bundle}`],
    ]);
  }
}
for (const platform of ["browser", "deno"]) {
  for (const minify of [[], ["--minify"]]) {
    const what = `deno bundle --platform=${platform}`;
    await bundles(what, deno!, minify, (bundle) => [
      ...[Deno.execPath(), "bundle", "--quiet", `${here}/program.ts`],
      ...[`--platform=${platform}`, `--output=${bundle}`],
    ]);
  }
}
await report("entry points are separate", checkEntries);

await Deno.remove(dir, { recursive: true });
console.log(`${count.PASS} passed, ${count.FAIL} failed`);
Deno.exit(count.FAIL > 0 ? 1 : 0);

async function report(what: string, check: () => Promise<string>) {
  let outcome: keyof typeof count = "PASS";
  let text: string;
  try {
    text = await check();
  } catch (error) {
    outcome = "FAIL";
    text = (error as Error).message;
  }
  count[outcome]++;
  console.log([outcome, what.trim().padEnd(40), text].join("  ").trimEnd());
}

/** Bundles `program.ts`, and runs it on `runtime` against a server. */
async function bundles(
  what: string,
  runtime: readonly string[],
  minify: readonly string[],
  command: (bundle: string) => readonly string[],
): Promise<void> {
  await report(`${what} ${minify}`, async () => {
    const bundle = `${dir}/${what.replaceAll(/\W+/g, "-")}${minify}.mjs`;
    await run(command(bundle), ...minify);
    return await connects(runtime, bundle);
  });
}

/** What a browser is sent for the scheduler alone. */
async function weigh(): Promise<string> {
  const entry = `${dir}/race.ts`;
  await Deno.writeTextFile(
    entry,
    `export { staggeredRace } from "${root}/mod.ts";\n`,
  );
  const bundle = `${dir}/race.js`;
  const output = await run(node!, esbuild, entry, "--bundle", "--minify", ...[
    ...["--format=esm", "--platform=browser", `--outfile=${bundle}`],
    "--analyze",
  ]);
  const bytes = await Deno.readFile(bundle);
  const minified = bytes.length;
  const gzipped = (await gzip(bytes)).byteLength;
  const text = `${minified} bytes, ${gzipped} gzipped`;
  if (minified < MOST.minified && gzipped < MOST.gzipped) return text;
  const most = `${MOST.minified} and ${MOST.gzipped}`;
  throw new Error(`${text}, not under ${most}${output}`);
}

function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const stream = new Blob([bytes]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Runs a bundle of `program.ts` against a server. */
async function connects(
  [command, ...args]: readonly string[],
  bundle: string,
): Promise<string> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const served = (async () => {
    for await (const conn of listener) {
      await conn.write(new TextEncoder().encode("hello from the server"));
      conn.close();
    }
  })();
  const output = await run([command!, ...args], bundle, `${port}`);
  listener.close();
  await served;
  if (output.includes("hello from the server")) return "";
  throw new Error(`It printed ${JSON.stringify(output)}`);
}

/** No door is part of another, nor of the portable entry. */
async function checkEntries(): Promise<string> {
  const { exports } = JSON.parse(
    await Deno.readTextFile(`${root}/deno.json`),
  ) as { exports: Record<string, string> };
  for (const [name, file] of Object.entries(exports)) {
    const metafile = `${dir}/meta.json`;
    await run(node!, esbuild, `${root}/${file}`, "--bundle", ...[
      ...["--format=esm", "--platform=node", `--metafile=${metafile}`],
      `--outfile=${dir}/entry.js`,
    ]);
    const { inputs } = JSON.parse(await Deno.readTextFile(metafile));
    const others = Object.values(exports).filter((other) => other !== file)
      .map((other) => other.replace("./", ""));
    const foreign = Object.keys(inputs).filter((input) =>
      others.some((other) => input.endsWith(other))
    );
    // The command line tool uses the package as anybody would.
    if (foreign.length > 0 && name !== "./cli") {
      throw new Error(`${name} holds ${foreign.join(", ")}`);
    }
  }
  return Object.keys(exports).join(" ");
}

/** Runs a program to its end; anything on stderr is a warning, and fails. */
async function run(
  [command, ...args]: readonly string[],
  ...rest: string[]
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command!, {
    args: [...args, ...rest],
    cwd: dir,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout) + decoder.decode(stderr);
  if (success && !/warning/i.test(text)) return text;
  throw new Error(text.trim());
}
