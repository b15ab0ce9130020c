/**
 * What the suites have to be before they are run.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";

import { readFileSync } from "node:fs";

import { test } from "./harness.ts";
import { cases } from "./suites/cases.ts";
import { differences } from "./suites/differences.ts";
import { nodeDifferences } from "./suites/node_differences.ts";

const files = new Set(read("./suites/node_files.txt").trim().split("\n"));

function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), "utf8");
}

test("suites: no two cases have the same name", () => {
  const names = cases.map(({ name }) => name);
  assertEquals(names.filter((name, at) => names.indexOf(name) !== at), []);
});

test("suites: each case comes from a test of Node's that passes without us", () => {
  for (const { name, from } of cases) {
    assert(files.has(from), `${name}: ${from}`);
  }
});

test("suites: each difference is about a case or a file that is there", () => {
  const names = new Set(cases.map(({ name }) => name));
  for (const name of differences.flatMap(({ cases }) => cases)) {
    assert(names.has(name), name);
  }
  for (const file of Object.keys(nodeDifferences)) {
    assert(files.has(file), file);
  }
});

test("suites: drivers.md says of each difference why it is there", () => {
  const page = read("../.github/drivers.md").replace(/\s+/g, " ");
  const reasons = [
    ...differences.map(({ reason }) => reason),
    ...Object.values(nodeDifferences),
  ];
  for (const reason of reasons) assert(page.includes(reason), reason);
});
