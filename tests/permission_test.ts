/**
 * What is forbidden by Node (`--permission`) is told as that, with the flag to
 * give, and never as something the network did. Deno's permissions are in
 * `permissions_deno_test.ts`; Bun has none.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";

import { cpSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { certificate } from "./certs/read.ts";
import { runProgram } from "./child.ts";
import { runtimeName, test } from "./harness.ts";
import { loopback } from "./servers.ts";

type Line = readonly [way: string, code: string, message?: string];

/** What came of each way, with these flags, against a server that is there. */
async function tryAll(flags: readonly string[]): Promise<Line[]> {
  await using server = await loopback.serve(async (peer) => {
    // Plain text or TLS, and either may be given up at once.
    await peer.startTls().catch(() => {});
  });
  const { address, port } = server.endpoint;
  const args = [address, `${port}`, certificate("ca")];
  const result = await runProgram("permissions/denied.ts", args, flags);
  assertEquals(result.status, 0, result.stderr);
  return result.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** The flags of Node that there are. */
const known = runtimeName === "node"
  ? process.allowedNodeEnvironmentFlags
  : new Set<string>();

if (known.has("--allow-net")) {
  test("what Node forbids is told as that, with the flag to give", async () => {
    const lines = await tryAll(["--permission", "--allow-fs-read=*"]);
    assertEquals(lines.pop(), ["source", "undefined", ""]);
    const ways = lines.map(([way]) => way).join();
    assertEquals(ways, "literal,addresses,local,tls,node,name,name by node");
    for (const [way, code, message] of lines) {
      assertEquals(code, "ERR_ACCESS_DENIED", way);
      assertMatch(message!, /--allow-net/, way);
    }
  });
}

const flag = ["--permission", "--experimental-permission"]
  .find((flag) => known.has(flag));
if (flag) {
  test(`a file of more roots that ${flag} forbids to read is no error`, async () => {
    const grants = [...known].filter((flag) =>
      /^--allow-(net|worker|child-process)$/.test(flag)
    );
    const folder = mkdtempSync(path.join(os.tmpdir(), "forbidden-"));
    const file = path.join(folder, "ca.pem");
    cpSync(new URL("certs/ca.pem", import.meta.url), file);
    process.env.NODE_EXTRA_CA_CERTS = file;
    try {
      const root = fileURLToPath(new URL("..", import.meta.url));
      const read = `--allow-fs-read=${root}*`;
      const lines = await tryAll([flag, read, ...grants]);
      assertEquals(lines.filter(([, code]) => code !== "done"), []);
    } finally {
      delete process.env.NODE_EXTRA_CA_CERTS;
      rmSync(folder, { recursive: true });
    }
  });
}
