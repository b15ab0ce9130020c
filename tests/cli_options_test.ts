/**
 * What the words on the command line mean, and which mean nothing.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { parseCommand, USAGE, VERSION } from "../src/entry/cli_options.ts";
import { test } from "./harness.ts";

/** What a line asks for; of the resolver only whether there is one. */
function read(line: string): Record<string, unknown> | undefined {
  const command = parseCommand(line === "" ? [] : line.split(" "));
  if (!command) return undefined;
  const { connect: { resolver, ...connect }, ...rest } = command;
  return { ...connect, ...rest, resolver: resolver !== undefined };
}

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const folder = path("certs");
const [ca, key, broken] = [
  path("certs/ca.pem"),
  path("certs/server_key.pem"),
  path("certs/broken.pem"),
];
const pem = readFileSync(ca, "utf8").trim();

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
  // a port that the URL parser drops because it is the scheme's
  ["ftp://example.com:21/file", { port: 21 }],
  ["https://example.com:443/a:80/", { tls: true }],
  ["http://example.com/?a=b:81", { port: 80 }],
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
  ["--family 4 example.com:443", { family: 4 }],
  ["--family=6 example.com:443", { family: 6 }],
  ["-4 --family 4 example.com:443", { family: 4 }],
  ["--delay 10 example.com:443", { connectionAttemptDelay: 10 }],
  ["--delay=2147483647 example.com:443", {
    connectionAttemptDelay: 2147483647,
  }],
  // both are about TLS only
  ["--server-name a.test example.com:443", {
    tls: { serverName: "a.test", caCerts: undefined },
  }],
  ["--tls --server-name=a.test https://example.com", {
    tls: { serverName: "a.test", caCerts: undefined },
  }],
  [`--ca ${ca} example.com:443`, {
    tls: { serverName: undefined, caCerts: [pem] },
  }],
  [`--ca ${ca} --ca=${ca} --server-name a.test example.com:443`, {
    tls: { serverName: "a.test", caCerts: [pem, pem] },
  }],
  // switches may be repeated
  ["--tls --json --tls --json example.com:443", { tls: true, json: true }],
  ["-44 example.com:443", { family: 4 }],
];

const bad: readonly [line: string, message: string][] = [
  ["", "Nowhere to connect to"],
  ["--tls", "Nowhere to connect to"],
  ["a.test:1 b.test:2", "One place only, not also b.test:2"],
  ["example.com", "No port in example.com"],
  ["example.com:", "No port in example.com:"],
  ["example.com:https", "The port must be a number, not https"],
  ["example.com:80/path", "The port must be a number, not 80/path"],
  ["example.com:-1", "The port must be a number, not -1"],
  ["example.com:+1", "The port must be a number, not +1"],
  ["example.com:1e3", "The port must be a number, not 1e3"],
  ["example.com:8\u0660", "The port must be a number, not 8"],
  ["http:example.com", "The port must be a number, not example.com"],
  [":443", "No host in :443"],
  [":", "No host in :"],
  ["[::1]", "No port in [::1]"],
  ["[::1]:", "No port in [::1]:"],
  ["[::1]:https", "The port must be a number, not https"],
  ["[::1]443", "Not HOST:PORT: [::1]443"],
  ["[::1:443", "Not HOST:PORT: [::1:443"],
  ["::1]:443", "Not HOST:PORT: ::1]:443"],
  ["::1", "Write an IPv6 address in brackets: [::1]:PORT"],
  ["::1:443", "Write an IPv6 address in brackets"],
  ["https://", "No URL: https://"],
  ["https://example.com:70000", "No URL: https://example.com:70000"],
  ["https://example.com:70000", "no port is 70000"],
  ["https://exam\tple.com:x", "No URL: "],
  ["https://user@:80", "No URL: "],
  ["file:///etc/hosts", "No host in file:///etc/hosts"],
  ["postgres://example.com", "No port in postgres://example.com"],
  ["ftp://example.com/a:21", "none is known for ftp:; give one"],
  ["-4 -6 example.com:443", "-4 and -6 exclude each other"],
  ["--timeout 0 example.com:443", "--timeout takes milliseconds, not 0"],
  ["--timeout 1s example.com:443", "--timeout takes milliseconds, not 1s"],
  ["--timeout=-1 example.com:443", "--timeout takes milliseconds, not -1"],
  ["--timeout 2147483648 example.com:443", "not 2147483648"],
  ["--resolve 5=::1 example.com:443", "Not of the form TYPE@MS=ADDRESS: 5=::1"],
  ["--resolve 6=::1 localhost:443", "--resolve is for names"],
  ["--resolve 6=::1 [::1]:443", "--resolve is for names"],
  // the same two ways to say a family
  ["-4 --family 6 example.com:443", "-4 and -6 exclude each other"],
  ["--ipv6 --family 4 example.com:443", "-4 and -6 exclude each other"],
  ["--family 5 example.com:443", "--family takes 4 or 6, not 5"],
  ["--family ipv4 example.com:443", "--family takes 4 or 6, not ipv4"],
  ["--delay 9 example.com:443", "--delay takes milliseconds, at least 10, not"],
  ["--delay 1.5 example.com:443", "--delay takes milliseconds, not 1.5"],
  ["--delay 1e3 example.com:443", "--delay takes milliseconds, not 1e3"],
  // files
  [`--ca ${ca}.not example.com:443`, `Cannot read ${ca}.not: `],
  [`--ca ${folder} example.com:443`, `Cannot read ${folder}: `],
  [`--ca ${key} example.com:443`, `No PEM certificate in ${key}`],
  [`--ca ${broken} example.com:443`, `A broken certificate in ${broken}`],
  // options that do not exist, and how many characters they are off
  ["--unknown example.com:443", "There is no option --unknown"],
  ["-x example.com:443", "There is no option -x"],
  ["-4x example.com:443", "There is no option -x"],
  ["--tsl example.com:443", "no option --tsl; did you mean --tls?"],
  ["--timout 5 example.com:443", "no option --timout; did you mean --timeout?"],
  ["--dealy=5 example.com:443", "no option --dealy; did you mean --delay?"],
  ["--servername a example.com:443", "did you mean --server-name?"],
  ["--insecure example.com:443", "There is no option --insecure"],
  ["--__proto__ example.com:443", "There is no option --__proto__"],
  ["--toString example.com:443", "There is no option --toString"],
  // values where there are none, and none where there must be one
  ["--tls=yes example.com:443", "--tls takes no value, but got yes"],
  ["--version= example.com:443", "--version takes no value"],
  ...["--timeout", "--delay", "--resolve", "--family", "--server-name", "--ca"]
    .flatMap((name): [string, string][] => [
      [`example.com:443 ${name}`, `${name} takes a value`],
      [`${name}= example.com:443`, `${name} takes a value`],
      [`${name} --json example.com:443`, `${name} takes a value`],
    ]),
  ...["--timeout", "--delay", "--resolve", "--family", "--server-name"]
    .map((name): [string, string] => [
      `${name} 1 ${name}=2 example.com:443`,
      `${name} is given twice`,
    ]),
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

test("parseCommand() takes a call for the version like one for help", () => {
  for (const line of ["--version", "-4 -6 --version", "--version -h"]) {
    assertEquals(read(line), undefined, line);
  }
});

test("VERSION is the one of the package", () => {
  const { version } = JSON.parse(readFileSync(path("../deno.json"), "utf8"));
  assertEquals(VERSION, version);
});

test("USAGE names every option, in lines that fit a terminal", () => {
  const options = "tls server-name ca ipv4 ipv6 family resolve delay timeout " +
    "json help version";
  for (const option of options.split(" ")) {
    assertStringIncludes(USAGE, `--${option}`);
    assertThrows(() => read(`--${option}x`), TypeError, `--${option}?`);
  }
  for (const line of USAGE.split("\n")) assert(line.length <= 80, line);
});
