/**
 * Source addresses by `node:dgram`, which Deno has no use for: its `connect()`
 * does not ask the system.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";

import { readdirSync } from "node:fs";
import os from "node:os";

import { lookup, sourceAddress } from "../src/runtime/node_addresses.ts";
import { runtimeName, test } from "./harness.ts";

test("lookup() answers for the family asked for only", async () => {
  assertEquals(await lookup("127.0.0.1", 4), ["127.0.0.1"]);
  assertEquals(await lookup("127.0.0.1", 6), []);
  assertEquals(await lookup("::1", 6), ["::1"]);
  assertEquals(await lookup("::1", 4), []);
});

// What has no route, and what a descriptor is, differs elsewhere.
if (runtimeName !== "deno" && os.platform() === "linux") {
  test("sourceAddress() tells null where the system refuses to go", async () => {
    assertEquals(await sourceAddress("255.255.255.255"), null);
  });

  test("sourceAddress() tells undefined where it cannot ask", async () => {
    assertEquals(await sourceAddress("no address"), undefined);
  });

  test("sourceAddress() closes its socket, whatever comes", async () => {
    const open = () => readdirSync("/proc/self/fd").length;
    await sourceAddress("127.0.0.1");
    const before = open();
    for (let i = 0; i < 50; i++) {
      await sourceAddress(["127.0.0.1", "::1", "255.255.255.255"][i % 3]!);
    }
    assert(open() <= before, `${open()} descriptors, ${before} before`);
  });
}
