/**
 * Callbacks of `lookup()` that throw, whatever they were called with: prints
 * what the process hears of each, one a line.
 *
 * @module
 */

import process from "node:process";

import { lookup } from "../../src/entry/node.ts";

process.on("uncaughtException", ({ message }) => {
  console.log(`uncaught: ${message}`);
});
process.on("unhandledRejection", (reason) => {
  console.log(`unhandled: ${reason}`);
});

const fail = (what: string) => () => {
  throw new Error(what);
};
lookup("127.0.0.1", fail("an address"));
lookup("127.0.0.1", { all: true }, fail("all addresses"));
lookup("no name", fail("an error"));
