/**
 * The program on real sockets: what it prints, its exit status, and that it
 * ends by itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { main } from "../src/entry/cli.ts";
import { USAGE } from "../src/entry/cli_options.ts";
import { type Result, runProgram } from "./child.ts";
import { runtimeName, test } from "./harness.ts";

/** Runs the program without a process around it. */
async function run(...args: string[]): Promise<Result> {
  let stdout = "", stderr = "";
  const status = await main(args, {
    write: (text) => void (stdout += text),
    writeError: (text) => void (stderr += text),
    columns: undefined,
  });
  return { status, stdout, stderr };
}

/** Runs the program as its users do, on the runtime at hand. */
function runProcess(...args: string[]): Promise<Result> {
  const flags = runtimeName === "deno" ? ["--allow-net"] : [];
  return runProgram("../src/entry/cli.ts", args, flags);
}

/** Runs `use` beside a server on 127.0.0.1 that ends when its peer does. */
async function withServer(
  use: (port: number, server: Server) => Promise<void>,
): Promise<void> {
  const server = createServer((socket) => socket.resume());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use((server.address() as AddressInfo).port, server);
  } finally {
    server.close();
    await once(server, "close");
  }
}

/** A port of 127.0.0.1 that nobody listens on. */
async function closedPort(): Promise<number> {
  let free = 0;
  await withServer((port) => {
    free = port;
    return Promise.resolve();
  });
  return free;
}

const script = ["--resolve", "6@2=,4@4=127.0.0.1"];

/** The events that were printed; each line has to be JSON. */
function eventsOf(stdout: string): Record<string, unknown>[] {
  return stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
}

test("cli: a connection gives a picture, a verdict and status 0", async () => {
  await withServer(async (port) => {
    const { status, stdout, stderr } = await run(...script, `a.test:${port}`);
    assertEquals({ status, stderr }, { status: 0, stderr: "" });
    const [axis, aaaa, a, attempt, empty, verdict, ...rest] = stdout
      .split("\n");
    assertMatch(axis!, /^ms +0/);
    assertMatch(aaaa!, /^AAAA +\.*\| +[\d.]+ ms {2}no address$/);
    assertMatch(a!, /^A +\.*\| +[\d.]+ ms {2}1 address$/);
    assertMatch(attempt!, /^127\.0\.0\.1:\d+ +-*\* +[\d.]+ ms {2}connected$/);
    assertEquals(empty, "");
    assertMatch(
      verdict!,
      /^Connected to 127\.0\.0\.1:\d+ by IPv4 after [\d.]+ ms \(attempt 1 of 1\)$/,
    );
    assertEquals(rest, [""]);
  });
});

test("cli: --json gives the events as lines", async () => {
  await withServer(async (port) => {
    const { status, stdout } = await run(
      "--json",
      ...script,
      `a.test:${port}`,
    );
    assertEquals(status, 0);
    const events = eventsOf(stdout);
    assertEquals(events.map(({ type }) => type), [
      "resolve-start",
      "answer",
      "answer",
      "attempt-start",
      "attempt-end",
      "end",
    ]);
    assertEquals(events[3]?.endpoint, {
      address: "127.0.0.1",
      family: 4,
      port,
    });
    assertEquals(events.at(-1)?.outcome, "connected");
  });
});

test("cli: the connection is closed", async () => {
  await withServer(async (port, server) => {
    const accepted = once(server, "connection");
    await run("-4", ...script, `a.test:${port}`);
    const [socket] = await accepted;
    if (!socket.closed) await once(socket, "close");
  });
});

test("cli: no connection gives the error's message and status 1", async () => {
  const port = await closedPort();
  const { status, stdout, stderr } = await run(...script, `a.test:${port}`);
  assertEquals({ status, stderr }, { status: 1, stderr: "" });
  assertMatch(stdout, /^127\.0\.0\.1:\d+ +-*x +[\d.]+ ms {2}ECONNREFUSED$/m);
  assert(stdout.endsWith(
    `Cannot connect to "a.test" port ${port}: 127.0.0.1 ECONNREFUSED\n`,
  ));
});

test("cli: --json keeps name, code and message of errors", async () => {
  const port = await closedPort();
  const { status, stdout } = await run(
    "--json",
    ...["--resolve", "6=EAI_AGAIN,4=127.0.0.1"],
    `a.test:${port}`,
  );
  assertEquals(status, 1);
  const events = eventsOf(stdout);
  const errors = events.filter(({ error }) => error !== undefined)
    .map(({ error }) => error as Record<string, unknown>);
  assertEquals(errors, [
    { name: "Error", code: "EAI_AGAIN", message: "EAI_AGAIN by the script" },
    { ...errors[1]!, name: "Error", code: "ECONNREFUSED" },
    {
      name: "ConnectError",
      code: "ECONNREFUSED",
      message: `Cannot connect to "a.test" port ${port}: ` +
        "127.0.0.1 ECONNREFUSED, AAAA EAI_AGAIN",
    },
  ]);
});

test("cli: --timeout gives up, with status 1", async () => {
  const { status, stdout } = await run(
    ...["--timeout", "1", "--resolve", "6@never,4@never", "a.test:80"],
  );
  assertEquals(status, 1);
  assertMatch(stdout, /\n\nGave up after [\d.]+ ms\n$/);
});

test("cli: wrong arguments give the reason, the usage and status 2", async () => {
  const wrong = [
    [[], "Nowhere to connect to"],
    // refused by connect()
    [["a.test:0"], "Cannot connect: port must be"],
    [["-4", "[::1]:80"], "Cannot connect: hostname must be of family 4"],
    [["127.1:80"], "Cannot connect: hostname ends in a number"],
  ] as const;
  for (const [args, reason] of wrong) {
    const { status, stdout, stderr } = await run(...args);
    assertEquals({ status, stdout }, { status: 2, stdout: "" });
    assert(stderr.startsWith(reason), stderr);
    assert(stderr.endsWith(`\n\n${USAGE}`), stderr);
  }
});

test("cli: --help gives the usage and status 0", async () => {
  const expected = { status: 0, stdout: USAGE, stderr: "" };
  assertEquals(await run("--help"), expected);
});

test("cli: run as a program it prints, exits by itself and tells its status", async () => {
  await withServer(async (port) => {
    const { status, stdout, stderr } = await runProcess(
      ...script,
      `a.test:${port}`,
    );
    assertEquals({ status, stderr }, { status: 0, stderr: "" });
    assertMatch(stdout, /\n\nConnected to 127\.0\.0\.1:\d+ by IPv4 after /);
  });
  const { status, stdout, stderr } = await runProcess("a.test");
  assertEquals({ status, stdout }, { status: 2, stdout: "" });
  assertMatch(stderr, /^No port in a\.test\n/);
});
