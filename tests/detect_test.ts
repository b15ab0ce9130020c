/**
 * Which platform is taken for which, and that the right adapter comes.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";

import {
  detectRuntime,
  type PlatformGlobals,
  runtimeName,
} from "../src/runtime/detect.ts";
import { runtimeName as expectedName, test } from "./harness.ts";

const node = { process: { versions: { node: "24.0.0" } } };
const platforms: readonly [
  what: string,
  globals: PlatformGlobals,
  name: string | undefined,
][] = [
  ["Node", node, "node"],
  [
    "Node with a navigator",
    { ...node, navigator: { userAgent: "Node.js/24" } },
    "node",
  ],
  // All of these have a process with a Node version.
  ["Deno", { ...node, Deno: {} }, "deno"],
  ["Bun", { ...node, Bun: {} }, "bun"],
  [
    "workerd",
    { ...node, navigator: { userAgent: "Cloudflare-Workers" } },
    "workerd",
  ],
  [
    "workerd without a user agent",
    { ...node, WebSocketPair: class {} },
    "workerd",
  ],
  ["a browser", { navigator: { userAgent: "Mozilla/5.0" } }, undefined],
  ["a bundler's process", { process: {} }, undefined],
  ["nothing at all", {}, undefined],
];

test("runtimeName() knows each platform by what only it has (W1)", () => {
  for (const [what, globals, name] of platforms) {
    assertEquals(runtimeName(globals), name, what);
  }
});

test("runtimeName() knows the platform the tests run on", () => {
  assertEquals(runtimeName(), expectedName);
});

test("detectRuntime() says what it needs where there is no adapter", () => {
  const error = assertThrows(() => detectRuntime({}), TypeError);
  assertEquals(
    error.message,
    "Cannot connect: TCP sockets take Deno, Bun, Node 20 or workerd",
  );
});

test("detectRuntime() has the adapter of the platform the tests run on", () => {
  assertEquals(detectRuntime().name, expectedName);
});
