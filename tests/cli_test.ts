/**
 * The program on real sockets: what it prints, its exit status, and that it
 * ends by itself.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import dns from "node:dns";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { fileURLToPath } from "node:url";
import { main } from "../src/entry/cli.ts";
import { USAGE, VERSION } from "../src/entry/cli_options.ts";
import { printable } from "../src/entry/printable.ts";
import { type Result, runProgram } from "./child.ts";
import { runtimeName, test } from "./harness.ts";
import { loopback } from "./servers.ts";

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

test("cli: wrong arguments give the reason in one line, and status 2", async () => {
  const wrong = [
    [[], "Nowhere to connect to"],
    // refused by connect()
    [["a.test:0"], "Cannot connect: port must be"],
    [["-4", "[::1]:80"], "Cannot connect: hostname must be of family 4"],
    [["127.1:80"], "Cannot connect: hostname ends in a number"],
    [["a.test:65536"], "Cannot connect: port must be"],
    [["a b.test:80"], "Cannot connect: hostname has a bad character"],
    [["user@a.test:80"], "Cannot connect: hostname has a bad character"],
    [["--server-name", "::1", "a.test:80"], "Cannot connect: tls.serverName"],
    [["a.test:https"], "The port must be a number, not https"],
    [["ftp://a.test"], "No port in ftp://a.test, and none is known for ftp:"],
    [["--cafile", "a.pem", "a.test:80"], "There is no option --cafile"],
    [["--ca", "a\nb\x1b[2J.pem", "a.test:80"], "Cannot read a\\u000ab\\u001b["],
  ] as const;
  for (const [args, reason] of wrong) {
    const { status, stdout, stderr } = await run(...args);
    assertEquals({ status, stdout }, { status: 2, stdout: "" });
    assert(stderr.startsWith(reason), stderr);
    assert(stderr.endsWith(" (see --help)\n"), stderr);
    assertEquals(stderr.split("\n").length, 2);
  }
});

test("cli: --help gives the usage and status 0", async () => {
  const expected = { status: 0, stdout: USAGE, stderr: "" };
  assertEquals(await run("--help"), expected);
});

test("cli: --version gives the version and status 0", async () => {
  const expected = { status: 0, stdout: `${VERSION}\n`, stderr: "" };
  assertEquals(await run("--version"), expected);
});

test("cli: --ca and --server-name decide whom TLS trusts", async () => {
  await using server = await loopback.serve(() => {}, {
    tls: {},
  });
  const place = `a.test:${server.endpoint.port}`;
  const name = ["--server-name", "example.test"];
  const ca = ["--ca", fileURLToPath(new URL("certs/ca.pem", import.meta.url))];
  for (
    const [args, isTrusted] of [
      [[...ca, ...name], true],
      [ca, false],
      [name, false],
      [[...ca, "--server-name", "other.test"], false],
    ] as const
  ) {
    const { status, stdout } = await run(
      ...args,
      "--resolve",
      script[1]!,
      place,
    );
    assertEquals([status, stdout.includes("ERR_TLS_CERT")], [
      isTrusted ? 0 : 1,
      !isTrusted,
    ], stdout);
  }
  await server.idle();
});

test("cli: --delay sets the time from one attempt to the next", async () => {
  await using hole = await loopback.blackHole?.();
  if (!hole) return;
  const { status, stdout } = await run(
    ...["--json", "--delay", "2147483647", "--timeout", "400"],
    ...["--resolve", "6=,4=127.0.0.1,4=127.0.0.2"],
    `a.test:${hole.endpoint.port}`,
  );
  const starts = eventsOf(stdout).filter(({ type }) =>
    type === "attempt-start"
  );
  assertEquals([status, starts.length], [1, 1]);
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
  assertEquals(stderr, "No port in a.test (see --help)\n");
});

/** What moves a cursor, ends a line, or turns the direction of text. */
const orders = [
  ...Array.from({ length: 0xa0 }, (_, code) => code).filter((code) =>
    code < 0x20 || code >= 0x7f
  ),
  ...[0x061c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d],
  ...[0x202e, 0x2066, 0x2067, 0x2068, 0x2069, 0xfeff, 0xe0001, 0xd800],
].map((code) => String.fromCodePoint(code));

function assertPrintable(output: string): void {
  const lines = output.split("\n");
  assertEquals(lines.map(printable), lines);
}

/** Runs the program where every lookup fails with this error. */
async function runWithLookup(error: Error, ...args: string[]): Promise<Result> {
  const { lookup } = dns;
  Object.assign(dns, {
    lookup: (_name: string, _options: unknown, fail: (error: Error) => void) =>
      fail(error),
  });
  try {
    return await run(...args, "a.test:80");
  } finally {
    Object.assign(dns, { lookup });
  }
}

test("cli: what a resolver says gives no orders to the terminal", async () => {
  const said = `evil${orders.join("evil")}evil`;
  for (const code of [said, `ERR_${said}`, undefined]) {
    const error = Object.assign(new Error(said), { code, name: said });
    const { status, stdout, stderr } = await runWithLookup(error);
    assertEquals([status, stderr], [1, ""]);
    assertPrintable(stdout);
    assertEquals(stdout.split("\n").length, 6, stdout);
    assertStringIncludes(stdout, "evil\\u001bevil");
    const lines = (await runWithLookup(error, "--json")).stdout;
    assertPrintable(lines);
    const answer = eventsOf(lines).find(({ type }) => type === "answer")!;
    assertEquals(answer.error, {
      name: said,
      message: said,
      ...code && { code },
    });
  }
});

test("cli: what the arguments hold gives no orders to the terminal", async () => {
  for (const order of orders) {
    const text = `a${order}b`;
    for (
      const args of [
        [text],
        // In names some of them are dropped, so that there is one to ask for.
        ["--resolve=6=,4=", `${text}:80`],
        [`a.test:80${order}`],
        [`https://a.test:x/${text}`],
        [`${text}://a.test`],
        [`--${text}`, "a.test:80"],
        [`-${order}`, "a.test:80"],
        [`--tls=${text}`, "a.test:80"],
        ...["resolve", "timeout", "delay", "family", "ca", "server-name"]
          .map((name) => [`--${name}=${text}`, "a.test:80"]),
        [`--resolve=4=${text}`, "a.test:80"],
        ["a.test:80", text],
      ]
    ) {
      const { status, stdout, stderr } = await run(...args);
      assert(status > 0, JSON.stringify(args));
      assertPrintable(stdout + stderr);
    }
  }
});
