/**
 * The client programs, and which of them this machine has.
 *
 * @module
 */

import { binary, newestNode } from "../runtimes/binaries.ts";

/** What this library runs on here. */
export type RuntimeName = "Deno" | "Bun" | "Node";

/** A program that connects. */
export interface Client {
  readonly name: string;
  /** The runtime this library runs on; `undefined` for other clients. */
  readonly runtime?: RuntimeName;
  /** The command, to which the path of the jobs is added. */
  readonly command: readonly string[];
  /** What the program says about its version. */
  readonly version: string;
}

const here = new URL("clients/", import.meta.url).pathname;

const GO = "Go net.Dialer";

/** How to start a script on each runtime, with its garbage collector at hand. */
export const runtimes: Readonly<Record<RuntimeName, readonly string[]>> = {
  Deno: [Deno.execPath(), "run", "-A", "--v8-flags=--expose-gc"],
  Bun: [await binary("bun") ?? "bun", "run"],
  Node: [
    await binary(newestNode) ?? "node",
    ...["--no-warnings", "--expose-gc"],
  ],
};

/** The wanted clients that can run here; `folder` takes what has to be built. */
export async function findClients(
  folder: string,
  isWanted: (name: string) => boolean,
): Promise<Client[]> {
  if (isWanted(GO)) await buildGo(folder);
  const clients = await Promise.all([
    ...(["Deno", "Bun", "Node"] as const).map((runtime) =>
      javascript(`ours on ${runtime}`, runtime, "ours", runtime)
    ),
    javascript("Deno.connect", "Deno", "Deno.connect"),
    javascript("Bun.connect", "Bun", "Bun.connect"),
    javascript("node:net on Node", "Node", "node:net"),
    javascript("node:net on Bun", "Bun", "node:net"),
    javascript("node:net on Deno", "Deno", "node:net"),
    javascript("undici (fetch on Node)", "Node", "undici"),
    describe("asyncio", ["python3", `${here}asyncio_client.py`]),
    describe(GO, [`${folder}/dial`], ["go", "version"]),
    describe("curl", [...runtimes.Deno, `${here}curl.ts`], [
      "curl",
      "--version",
    ]),
  ]);
  return clients.filter((client) => client !== undefined)
    .filter(({ name }) => isWanted(name));
}

function javascript(
  name: string,
  on: RuntimeName,
  dialer: string,
  runtime?: RuntimeName,
): Promise<Client | undefined> {
  const [program] = runtimes[on];
  const command = [...runtimes[on], `${here}javascript.ts`, dialer];
  return describe(name, command, [program!, "--version"], runtime);
}

/** A client with its version; `undefined` where it is not installed. */
async function describe(
  name: string,
  command: readonly string[],
  versionCommand: readonly string[] = [command[0]!, "--version"],
  runtime?: RuntimeName,
): Promise<Client | undefined> {
  const version = await firstLine(versionCommand);
  if (version === undefined) return undefined;
  return { name, command, version, ...(runtime && { runtime }) };
}

async function buildGo(folder: string): Promise<void> {
  if (await firstLine(["go", "version"]) === undefined) return;
  const { success } = await new Deno.Command("go", {
    args: ["build", "-o", `${folder}/dial`, `${here}dial.go`],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("Cannot build dial.go");
}

/** What a command says first; `undefined` where there is no such command. */
async function firstLine(
  [program, ...args]: readonly string[],
): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(program!, { args })
      .output();
    const [line] = new TextDecoder().decode(stdout).split("\n");
    return success ? line : undefined;
  } catch {
    return undefined;
  }
}
