/**
 * What the words on the command line mean, and which mean nothing.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { parseCommand } from "../src/entry/cli_options.ts";
import { test } from "./harness.ts";

/** What a line asks for; of the resolver only whether there is one. */
function read(line: string): Record<string, unknown> | undefined {
  const command = parseCommand(line === "" ? [] : line.split(" "));
  if (!command) return undefined;
  const { connect: { resolver, ...connect }, ...rest } = command;
  return { ...connect, ...rest, resolver: resolver !== undefined };
}

const defaults = {
  hostname: "example.com",
  port: 443,
  tls: false,
  family: undefined,
  resolver: false,
  timeout: undefined,
  json: false,
};

const good: readonly [line: string, meaning: Record<string, unknown>][] = [
  // places
  ["example.com:443", {}],
  ["localhost:80", { hostname: "localhost", port: 80 }],
  ["192.0.2.1:80", { hostname: "192.0.2.1", port: 80 }],
  ["[::1]:443", { hostname: "[::1]" }],
  ["[fe80::1%eth0]:443", { hostname: "[fe80::1%eth0]" }],
  // refused by connect(), as for everybody
  ["example.com:0", { port: 0 }],
  ["example.com:65536", { port: 65536 }],
  // URLs: the port given, or else the scheme's
  ["https://example.com/path?query", { tls: true }],
  ["wss://example.com", { tls: true }],
  ["https://example.com:8443", { port: 8443, tls: true }],
  ["http://example.com", { port: 80 }],
  ["ws://example.com/", { port: 80 }],
  ["http://user:secret@example.com:8080/", { port: 8080 }],
  ["https://[2001:db8::1]/", { hostname: "[2001:db8::1]", tls: true }],
  ["postgres://example.com:5432/db", { port: 5432 }],
  // options
  ["--tls example.com:443", { tls: true }],
  ["example.com:443 --tls", { tls: true }],
  ["--tls http://example.com:443", { tls: true }],
  ["-4 example.com:443", { family: 4 }],
  ["--ipv4 example.com:443", { family: 4 }],
  ["-6 example.com:443", { family: 6 }],
  ["--ipv6 example.com:443", { family: 6 }],
  ["--json example.com:443", { json: true }],
  ["--timeout 1 example.com:443", { timeout: 1 }],
  ["--timeout=2147483647 example.com:443", { timeout: 2147483647 }],
  ["--resolve 6@30=::1,4@10=127.0.0.1 example.com:443", { resolver: true }],
  ["--resolve=4=127.0.0.1 example.com:443", { resolver: true }],
];

const bad: readonly [line: string, message: string][] = [
  ["", "Nowhere to connect to"],
  ["--tls", "Nowhere to connect to"],
  ["a.test:1 b.test:2", "One place only, not also b.test:2"],
  ["example.com", "No port in example.com"],
  ["example.com:", "No port in example.com:"],
  ["example.com:https", "No port in example.com:https"],
  [":443", "No port in :443"],
  ["[::1]", "No port in [::1]"],
  ["::1", "Write an IPv6 address in brackets: [::1]:PORT"],
  ["::1:443", "Write an IPv6 address in brackets"],
  ["https://", "No URL: https://"],
  ["https://example.com:70000", "No URL: https://example.com:70000"],
  ["postgres://example.com", "No port in postgres://example.com"],
  ["-4 -6 example.com:443", "-4 and -6 exclude each other"],
  ["--timeout 0 example.com:443", "--timeout takes milliseconds, not 0"],
  ["--timeout 1s example.com:443", "--timeout takes milliseconds, not 1s"],
  ["--timeout=-1 example.com:443", "--timeout takes milliseconds, not -1"],
  ["--timeout 2147483648 example.com:443", "not 2147483648"],
  ["--resolve 5=::1 example.com:443", "Not of the form TYPE@MS=ADDRESS: 5=::1"],
  ["--resolve 6=::1 localhost:443", "--resolve is for names"],
  ["--resolve 6=::1 [::1]:443", "--resolve is for names"],
  // these messages are the runtime's own
  ["--unknown example.com:443", "--unknown"],
  ["-x example.com:443", "-x"],
  ["--tls=yes example.com:443", "--tls"],
  ["example.com:443 --timeout", "--timeout"],
];

test("parseCommand() reads places, URLs and options", () => {
  for (const [line, meaning] of good) {
    assertEquals(read(line), { ...defaults, ...meaning }, line);
  }
});

test("parseCommand() refuses what makes no sense and says why", () => {
  for (const [line, message] of bad) {
    assertThrows(() => read(line), TypeError, message, line);
  }
});

test("parseCommand() takes a call for help before everything else", () => {
  for (const line of ["-h", "--help", "-h -4 -6", "a.test:1 --help"]) {
    assertEquals(read(line), undefined, line);
  }
});
