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

/** A platform of that version, each with the Node version it pretends to. */
function platform(name: string, version: string): PlatformGlobals {
  const process = { versions: { node: name === "Node" ? version : "26.0.0" } };
  return {
    process,
    ...name === "Deno" && { Deno: { version: { deno: version } } },
    ...name === "Bun" && { Bun: { version } },
  };
}

const versions: Readonly<
  Record<string, {
    readonly oldest: string;
    readonly tooOld: readonly string[];
    readonly fit: readonly string[];
  }>
> = {
  Node: {
    oldest: "20.16 and 22.3",
    // The lines between have ended, and never got what it takes.
    tooOld: ["16.20.2", "18.20.8", "19.9.0", "20.9.0", "20.15.1", "21.7.3"]
      .concat("22.0.0", "22.2.0"),
    fit: ["20.16.0", "20.20.2", "22.3.0", "22.23.5", "23.0.0", "24.0.0"]
      .concat("26.12.1", "100.0.0", "27.0.0-nightly20261129"),
  },
  Bun: {
    oldest: "1.2",
    tooOld: ["0.8.1", "1.0.0", "1.1.45"],
    fit: ["1.2.0", "1.2.0-canary.1", "1.4.5", "1.10.0", "2.0.0"],
  },
  Deno: {
    oldest: "2.0",
    tooOld: ["0.42.0", "1.0.0", "1.46.3"],
    fit: ["2.0.0", "2.0.0-rc.1", "2.9.6", "2.10.0", "3.0.0"],
  },
};

test("detectRuntime() refuses a platform that is too old, by its version", () => {
  for (const [name, { oldest, tooOld }] of Object.entries(versions)) {
    for (const version of tooOld) {
      const error = assertThrows(
        () => detectRuntime(platform(name, version)),
        TypeError,
      );
      assertEquals(
        error.message,
        `Cannot connect: ${name} ${version} is too old, ` +
          `it takes ${oldest} or later`,
      );
    }
  }
});

test("detectRuntime() takes every version from the oldest on", () => {
  for (const [name, { fit }] of Object.entries(versions)) {
    for (const version of fit) {
      const runtime = detectRuntime(platform(name, version));
      assertEquals(runtime.name, name.toLowerCase(), version);
    }
  }
});

test("detectRuntime() takes a platform that tells no version", () => {
  for (const [what, globals, name] of platforms) {
    if (!name || what.startsWith("Node")) continue;
    assertEquals(detectRuntime(globals).name, name, what);
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
