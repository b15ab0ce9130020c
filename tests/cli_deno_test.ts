/**
 * The program without the permission it needs: nothing happens that could be
 * drawn, so the reason has to be told in words.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { test } from "./harness.ts";

test("cli: a missing permission is told, with status 1", async () => {
  const program = new URL("../src/entry/cli.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", program, "-4", "a.test:80"],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  assertEquals({ code, stdout: stdout.length }, { code: 1, stdout: 0 });
  assertMatch(
    new TextDecoder().decode(stderr),
    /^ConnectError: Cannot connect to "a\.test" port 80: .*permission/,
  );
});
