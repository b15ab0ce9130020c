/**
 * Who may import whom, and where platform names may occur.
 *
 * The core is portable and testable only as long as nothing in it reaches for
 * a clock, a global or a platform, and one convenient import is enough to end
 * that. So the rules are data here, a pure function holds the source against
 * them, and the first tests show that it finds each kind of violation. The
 * source is read as text, with comments blanked: a parser would be a
 * dependency, and on Bun and Node one of its own.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { assertEquals } from "@std/assert";

import { test } from "./harness.ts";

/** Source text by path from the root of the package, such as `src/connect.ts`. */
type Sources = Readonly<Record<string, string>>;

interface Import {
  readonly target: string;
  /** Whether it is erased: `import type`, `export type`. */
  readonly isType: boolean;
}

interface Rule {
  /** The files it is about; the first rule that matches a file counts. */
  readonly from: RegExp;
  readonly mayImport: RegExp;
  readonly mayImportTypesOf?: RegExp;
}

const rules: readonly Rule[] = [
  { from: /^src\/core\//, mayImport: /^src\/core\// },
  {
    from: /^src\/resolvers\/system\.ts$/,
    mayImport: /^src\/(core|resolvers|runtime\/(runtime|detect)\.ts$)/,
    mayImportTypesOf: /^src\/options\.ts$/,
  },
  {
    from: /^src\/resolvers\//,
    mayImport: /^src\/(core|resolvers|runtime\/runtime\.ts$)/,
    mayImportTypesOf: /^src\/options\.ts$/,
  },
  {
    from: /^src\/runtime\//,
    mayImport: /^src\/(core|runtime|(open_)?connection\.ts$)/,
    mayImportTypesOf: /^src\/options\.ts$/,
  },
  ...[
    ["node", "errors|events|happy_eyeballs|hostname|options"],
    ["deno", "connect"],
    ["sockets", "connect|open_connection|options"],
  ].map(([door, files]) => ({
    from: RegExp(`^src/entry/${door}(\\.ts$|/)`),
    mayImport: RegExp(
      `^src/(core/|resolvers/|entry/${door}/|(${files})\\.ts$|` +
        `runtime/((detect|system_clock|attempt_error)\\.ts$|${door}))`,
    ),
    mayImportTypesOf: /^src\//,
  })),
  {
    // The command line tool uses the package as anybody would.
    from: /^src\/entry\//,
    mayImport: /^src\/(core|entry|runtime\/system_clock\.ts$|[^/]+\.ts$)/,
  },
  {
    from: /^src\/[^/]+\.ts$/,
    mayImport: /^src\/(core|resolvers|runtime|[^/]+\.ts$)/,
  },
  {
    from: /^mod\.ts$/,
    mayImport: /^src\/(core|resolvers|runtime\/runtime\.ts$|[^/]+\.ts$)/,
  },
];

/** Loaded by `detect.ts` on its own platform, and by nobody else. */
const adapter = /^src\/runtime\/(deno|bun|node|workerd)\.ts$/;
const mayImportAdapters = /^src\/(runtime\/detect\.ts$|entry\/)/;
/** The doors alone may export what other files define. */
const entryPoint = /^(mod|src\/entry\/[^/]+)\.ts$/;
const platformCode = /^src\/(runtime|entry)\//;
/** Their imports are computed, so that bundlers for other platforms live. */
const mayCompute = /^src\/runtime\/(workerd|node_builtin)\.ts$/;

/** Globals that are time or a platform, wherever they are not a member. */
const platformName =
  /(?<![\w$.])(?:globalThis\??\.)?(?:Date|performance|(?:set|clear)(?:Timeout|Interval|Immediate)|Deno|Bun|process|AbortSignal\.timeout)\b|["'](?:Deno|Bun)["']/;

/** Every violation of the rules, in the order of the files. */
function violations(sources: Sources, doors: readonly string[]): string[] {
  const graph = new Map<string, readonly Import[]>();
  const found = Object.entries(sources).flatMap(([file, source]) => {
    const code = withoutComments(source);
    const imports = importsOf(file, code);
    graph.set(file, imports);
    return [
      ...imports.flatMap((edge) => badImport(file, edge, sources)),
      ...badCode(file, code),
    ].map((what) => `${file} ${what}`);
  });
  return [...found, ...unreachable(graph, doors), ...cycles(graph)];
}

function badImport(
  file: string,
  { target, isType }: Import,
  sources: Sources,
): string[] {
  if (!/^(src\/|mod\.ts$)/.test(target)) {
    const isPlatform = /^(node|cloudflare):/.test(target);
    return isPlatform && platformCode.test(file)
      ? []
      : [`imports ${target}, which is not ours`];
  }
  if (!Object.hasOwn(sources, target)) return [`imports ${target}: no file`];
  const rule = rules.find(({ from }) => from.test(file));
  const isAllowed = rule?.mayImport.test(target) ||
    (isType && rule?.mayImportTypesOf?.test(target));
  const isAdapter = adapter.test(target) && !mayImportAdapters.test(file);
  return isAllowed && !isAdapter ? [] : [`may not import ${target}`];
}

function badCode(file: string, code: string): string[] {
  const platform = platformName.exec(code)?.[0];
  return [
    !platformCode.test(file) && platform && `names the platform: ${platform}`,
    /\bexport\s+default\b|\bas\s+default\b/.test(code) && "exports a default",
    !mayCompute.test(file) && /\bimport\s*\(\s*[^"'\s]/.test(code) &&
    "imports a computed name",
    !entryPoint.test(file) &&
    /\bexport\s+(?:type\s+)?(?:\*|\{[^}]*\}\s*from\b)/.test(code) &&
    "exports what another file defines",
  ].filter((what) => typeof what === "string");
}

/** Files that no door leads to are not part of the product. */
function unreachable(
  graph: ReadonlyMap<string, readonly Import[]>,
  doors: readonly string[],
): string[] {
  const reached = new Set(doors);
  for (const file of reached) {
    for (const { target } of graph.get(file) ?? []) reached.add(target);
  }
  return [...graph.keys()].filter((file) => !reached.has(file))
    .map((file) => `${file} is imported by nobody`);
}

/** Imports of types are erased, so they make no cycle. */
function cycles(graph: ReadonlyMap<string, readonly Import[]>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) {
      found.push(`cycle: ${[...path.slice(start), file].join(" -> ")}`);
    }
    if (start >= 0 || done.has(file)) return;
    for (const { target, isType } of graph.get(file) ?? []) {
      if (!isType) visit(target, [...path, file]);
    }
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}

/** What a file imports, its own paths made absolute; code without comments. */
function importsOf(file: string, code: string): Import[] {
  const statement =
    /\b(?:import|export)\b(?<clause>[^"'`;()]*?)\bfrom\s*["'](?<from>[^"']+)["']|\bimport\s*\(?\s*["'](?<bare>[^"']+)["']/g;
  return Array.from(code.matchAll(statement), ({ groups = {} }) => {
    const { clause = "", from, bare } = groups;
    const specifier = from ?? bare!;
    const target = specifier.startsWith(".")
      ? new URL(specifier, `root:/${file}`).pathname.slice(1)
      : specifier;
    return { target, isType: /^\s*type\b/.test(clause) };
  });
}

/**
 * Blanks comments. Strings, templates and regular expressions are matched too,
 * and kept, so that what looks like a comment inside one is none.
 */
function withoutComments(source: string): string {
  const token =
    /\/\/.*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`|(?<=(?:[=(,:[!&|?{};>]|\breturn)\s*)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\//g;
  return source.replace(
    token,
    (text) => /^\/[/*]/.test(text) ? " " : text,
  );
}

/** The violations of one file beside a few that it may know. */
function violationsOf(file: string, source: string): string[] {
  const sources = {
    "mod.ts": "",
    "src/connect.ts": "",
    "src/connection.ts": "",
    "src/options.ts": "",
    "src/core/race.ts": "",
    "src/runtime/runtime.ts": "",
    "src/runtime/detect.ts": "",
    "src/runtime/deno.ts": "",
    "src/runtime/node.ts": "",
    "src/entry/cli.ts": "",
    [file]: source,
  };
  return violations(sources, Object.keys(sources));
}

const bad: readonly [file: string, source: string, violation: string][] = [
  // who may import whom
  [
    "src/core/a.ts",
    `import { a } from "../connect.ts";`,
    "may not import src/connect.ts",
  ],
  [
    "src/core/a.ts",
    `import type { A } from "../options.ts";`,
    "may not import src/options.ts",
  ],
  [
    "src/resolvers/a.ts",
    `import { a } from "../options.ts";`,
    "may not import src/options.ts",
  ],
  [
    "src/resolvers/dns.ts",
    `import "../runtime/detect.ts";`,
    "may not import src/runtime/detect.ts",
  ],
  [
    "src/runtime/bun.ts",
    `import {\n  a,\n} from "./node.ts";`,
    "may not import src/runtime/node.ts",
  ],
  [
    "src/runtime/bun.ts",
    `await import("../connect.ts");`,
    "may not import src/connect.ts",
  ],
  [
    "src/a.ts",
    `const a = await import("./runtime/deno.ts");`,
    "may not import src/runtime/deno.ts",
  ],
  [
    "src/a.ts",
    `import { a } from "./entry/cli.ts";`,
    "may not import src/entry/cli.ts",
  ],
  [
    "src/entry/node.ts",
    `import { a } from "../connect.ts";`,
    "may not import src/connect.ts",
  ],
  [
    "src/entry/node.ts",
    `import { a } from "../runtime/deno.ts";`,
    "may not import src/runtime/deno.ts",
  ],
  [
    "mod.ts",
    `export type { A } from "./src/runtime/deno.ts";`,
    "may not import src/runtime/deno.ts",
  ],
  [
    "src/a.ts",
    `import { a } from "./missing.ts";`,
    "imports src/missing.ts: no file",
  ],
  // what is not ours
  [
    "src/a.ts",
    `import { a } from "@std/async";`,
    "imports @std/async, which is not ours",
  ],
  [
    "src/runtime/a.ts",
    `import a from 'npm:ws';`,
    "imports npm:ws, which is not ours",
  ],
  [
    "src/a.ts",
    `import net from "node:net";`,
    "imports node:net, which is not ours",
  ],
  ["src/a.ts", `await import(name);`, "imports a computed name"],
  // time and platforms
  ["src/core/a.ts", `const now = Date.now();`, "names the platform: Date"],
  [
    "src/a.ts",
    "const text = `${performance.now()}`;",
    "names the platform: performance",
  ],
  [
    "src/a.ts",
    `globalThis.setTimeout(a, 1);`,
    "names the platform: globalThis.setTimeout",
  ],
  [
    "src/a.ts",
    `const url = "http://a"; setInterval(a);`,
    "names the platform: setInterval",
  ],
  [
    "src/a.ts",
    `const quote = /["'/]/; Deno.connect(a);`,
    "names the platform: Deno",
  ],
  ["src/a.ts", `if ("Bun" in globalThis) a();`, `names the platform: "Bun"`],
  [
    "src/core/a.ts",
    `AbortSignal.timeout(1);`,
    "names the platform: AbortSignal.timeout",
  ],
  // exports
  ["src/a.ts", `export default function a() {}`, "exports a default"],
  ["src/a.ts", `export { a as default };`, "exports a default"],
  [
    "src/a.ts",
    `export * from "./connect.ts";`,
    "exports what another file defines",
  ],
  [
    "src/a.ts",
    `export type { A } from "./connect.ts";`,
    "exports what another file defines",
  ],
];

const good: readonly [file: string, source: string][] = [
  ["src/core/a.ts", `import { a } from "./race.ts";\nexport const b = 1;`],
  ["src/core/a.ts", `// Date.now()\n/* import "node:net"; */ const a = 1;`],
  ["src/core/a.ts", `a.process; event.Date; const date = 1;`],
  ["src/core/a.ts", `const a = "// no comment"; export { a };`],
  ["src/resolvers/a.ts", `import type { A } from "../options.ts";`],
  ["src/resolvers/system.ts", `import { a } from "../runtime/detect.ts";`],
  ["src/runtime/detect.ts", `import { runtime } from "./deno.ts";`],
  [
    "src/runtime/node.ts",
    `import type { Socket } from "node:net";\nsetTimeout(a);`,
  ],
  ["src/runtime/node.ts", `import { a } from "../core/race.ts";`],
  ["src/a.ts", `import { a } from "./runtime/detect.ts";`],
  ["src/entry/cli.ts", `import { a } from "../connect.ts";`],
  ["mod.ts", `export { a } from "./src/connect.ts";`],
];

test("import rules: each kind of violation is found", () => {
  for (const [file, source, violation] of bad) {
    assertEquals(violationsOf(file, source), [`${file} ${violation}`], source);
  }
});

test("import rules: what is allowed is left alone", () => {
  for (const [file, source] of good) {
    assertEquals(violationsOf(file, source), [], source);
  }
});

test("import rules: cycles of values are found, cycles of types are none", () => {
  const sources = {
    "src/a.ts": `import { b } from "./b.ts";`,
    "src/b.ts": `import { c } from "./c.ts";`,
    "src/c.ts": `import { a } from "./a.ts";`,
    "src/d.ts": `import type { E } from "./e.ts";`,
    "src/e.ts": `import { d } from "./d.ts";`,
  };
  assertEquals(violations(sources, ["src/a.ts", "src/e.ts"]), [
    "cycle: src/a.ts -> src/b.ts -> src/c.ts -> src/a.ts",
  ]);
});

test("import rules: a file that no door leads to is found", () => {
  const sources = { "mod.ts": "", "src/a.ts": "", "src/b.ts": "" };
  assertEquals(violations(sources, ["mod.ts", "src/b.ts"]), [
    "src/a.ts is imported by nobody",
  ]);
});

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

test("the source keeps the import rules", () => {
  const files = readdirSync(fileURLToPath(new URL("src", root)), {
    recursive: true,
    encoding: "utf8",
  }).filter((path) => path.endsWith(".ts"))
    .map((path) => `src/${path.replaceAll("\\", "/")}`);
  const sources = Object.fromEntries(
    ["mod.ts", ...files.sort()].map((file) => [file, read(file)]),
  );
  const doors = Object.values<string>(JSON.parse(read("deno.json")).exports)
    .map((door) => door.replace("./", ""));
  assertEquals(violations(sources, doors), []);
});

test("tests/jsr.json is deno.json without the stand-ins", () => {
  const { imports, lock, nodeModulesDir, compilerOptions, test } = JSON.parse(
    read("deno.json"),
  );
  assertEquals(JSON.parse(read("tests/jsr.json")), {
    imports,
    lock,
    nodeModulesDir,
    compilerOptions,
    test,
  });
});
