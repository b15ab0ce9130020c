/**
 * Many connections at once leave nothing behind: no socket, timer or listener.
 *
 * Everything is real: sockets of the system, the system's clock, a server in
 * this process. Descriptors are counted where there is `/proc`, timers by the
 * globals that make them, listeners on the caller's signals; Deno's sanitizers
 * and Node's list of active resources see the rest. When to abort is drawn by
 * lot and measured by what the others have done, not by time. The seed is fixed,
 * so a run can be repeated; set `SEED` to another number for other lots.
 *
 * @module
 */

import { execFileSync, spawn } from "node:child_process";
import { setMaxListeners } from "node:events";
import os from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { assert, assertEquals, assertInstanceOf } from "@std/assert";

// Before anything that keeps a timer.
import { CountedTimers } from "./counted_timers.ts";

import {
  connect,
  ConnectError,
  type Connection,
  type ConnectOptions,
  type HappyEyeballsEvent,
  staticResolver,
} from "../mod.ts";
import { certificate } from "./certs/read.ts";
import { CountedAbort } from "./fake_network.ts";
import { runtimeName, test } from "./harness.ts";
import type { Behaviour } from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const COUNT = 1000;
const HANDSHAKES = 20;
/** Milliseconds; a process that lives so long does not end by itself. */
const HANG = 20_000;

const seed = Number(process.env.SEED ?? 1);
const isDeno = runtimeName === "deno";
const isLinux = os.platform() === "linux";
const counted = isLinux ? "" : ", descriptors not counted for want of /proc";

const reason = new Error("Changed my mind");
/** Both loopbacks, of which only the IPv4 one has servers. */
const resolver = staticResolver(["127.0.0.1", "::1"]);

test(`${COUNT} connects at once, a third aborted and a third refused, leave nothing behind${counted} (hazards 9, 12, 14, 16, 17)`, async () => {
  await using server = await loopback.serve(echo);
  const { port } = server.endpoint;
  const refused = await loopback.refusing("127.0.0.1");
  const lots = dice(seed);
  const shared = new CountedAbort();
  setMaxListeners(0, shared.signal);
  // What is loaded on first use stays.
  await talk(await connect({ hostname: "localhost", port }), "first");
  await server.idle();
  const before = resources();

  /** Who is aborted when so many of the others have ended. */
  const due = Array.from({ length: COUNT }, (): CountedAbort[] => []);
  let ended = 0;
  let mostListeners = 0;
  const onEvent = ({ type }: HappyEyeballsEvent) => {
    mostListeners = Math.max(mostListeners, shared.listeners);
    if (type !== "end") return;
    for (const each of due[++ended]!) each.abort(reason);
  };
  using timers = new CountedTimers();
  const jobs = Array.from({ length: COUNT }, (_, i) => {
    const options = { ...target(i, port), signal: shared.signal, onEvent };
    if (i % 3 === 0) return keep(options, `job ${i}`);
    if (i % 3 === 1) return refuse({ ...options, port: refused.port });
    const controller = new CountedAbort();
    due[1 + Math.floor(lots() * COUNT * 2 / 3)]!.push(controller);
    return abort(target(i, port), controller);
  });
  const outcomes = await Promise.all(jobs);
  // The server has seen the end of every connection.
  await server.idle();
  assert(timers.made > 0, "Timers are not seen");
  assertEquals(timers.running.size, 0, "timers");
  assert(mostListeners > 0, "Listeners are not seen");
  assertEquals(shared.listeners, 0, "listeners on the shared signal");
  assertEquals(due.flat().filter(({ listeners }) => listeners > 0), []);
  assertEquals(resources(), before);

  const count = (wanted: string) =>
    outcomes.filter((outcome) => outcome === wanted).length;
  const [aborted, late] = [count("aborted"), count("late")];
  assertEquals([count("kept"), count("refused")], [334, 333]);
  assert(aborted > 0 && late > 0, `SEED=${seed}: ${aborted}, ${late} late`);
});

// Deno 2.9 keeps the descriptor of such a handshake until the peer closes (D4).
const remains = isDeno ? "descriptors until the peer closes" : "nothing";
test(`${HANDSHAKES} TLS handshakes aborted midway leave ${remains}${counted}`, async () => {
  const before = resources();
  {
    let hellos = 0;
    const controller = new CountedAbort();
    setMaxListeners(0, controller.signal);
    await using server = await loopback.serve(async (peer) => {
      await peer.read();
      if (++hellos === HANDSHAKES) controller.abort(reason);
    });
    const listening = sockets();
    const handshakes = Array.from({ length: HANDSHAKES }, () =>
      connect({
        hostname: "127.0.0.1",
        port: server.endpoint.port,
        tls: { caCerts: [certificate("ca")] },
        signal: controller.signal,
      }).catch((error: unknown) => error));
    const errors = await Promise.all(handshakes);
    assertEquals(errors, Array(HANDSHAKES).fill(reason));
    assertEquals(controller.listeners, 0);
    // Both ends of each are in this process.
    if (!isDeno) await server.idle();
    else if (isLinux) assertEquals(sockets() - listening, 2 * HANDSHAKES);
  }
  while (sockets() > before.sockets) await loopback.turn();
  assertEquals(resources(), before);
});

/** Processes that must end by themselves, and what they print before. */
const processes = [
  ["connects and closes", "14", "exit.ts", "ECONNREFUSED\n"],
  ["has an endless resolver", "41", "endless.ts", "connected\n"],
] as const;
for (const [what, hazard, script, wanted] of processes) {
  test(`a process that ${what} ends by itself (hazard ${hazard})`, async () => {
    await using server = await loopback.serve(echo);
    const refused = await loopback.refusing("127.0.0.1");
    const { code, signal, output } = await run(
      new URL(`load/${script}`, import.meta.url),
      [server.endpoint.port, refused.port],
    );
    assertEquals([code, signal, output], [0, null, wanted]);
  });
}

/** Every second one by a name with two addresses, the first of which is dead. */
function target(i: number, port: number): ConnectOptions {
  return i % 2 === 0
    ? { hostname: "127.0.0.1", port }
    : { hostname: "example.test", port, resolver };
}

/** Succeeds, and it is the connection that was asked for (hazard 9). */
async function keep(options: ConnectOptions, text: string): Promise<string> {
  await talk(await connect(options), text);
  return "kept";
}

async function refuse(options: ConnectOptions): Promise<string> {
  const error = await connect(options).catch((error) => error);
  assertInstanceOf(error, ConnectError);
  assertEquals(error.code, "ECONNREFUSED");
  return "refused";
}

/** Is aborted some time, which may be too late; then it stays as it is. */
async function abort(
  options: ConnectOptions,
  { signal }: AbortController,
): Promise<string> {
  const result = await connect({ ...options, signal })
    .catch((error: unknown) => error);
  if (result === reason) return "aborted";
  await talk(result as Connection, "late");
  return "late";
}

/** Sends a text, reads it back and waits for the end. */
async function talk(connection: Connection, text: string): Promise<void> {
  const writer = connection.writable.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  assertEquals(await new Response(connection.readable).text(), text);
  await connection.closed;
}

/** Sends back what it gets. */
const echo: Behaviour = async (peer) => {
  for (let bytes; (bytes = await peer.read());) await peer.write(bytes);
  await peer.end();
};

/** Numbers from 0 to 1, the same ones for the same seed. */
function dice(seed: number): () => number {
  let state = 1 + Math.abs(seed) % 2147483646;
  return () => (state = state * 48271 % 2147483647) / 2147483647;
}

/** What this process has open, as far as the runtime tells. */
function resources(): { sockets: number; active: string[] } {
  // Bun and Deno tell an empty list.
  const active = process.getActiveResourcesInfo()
    .filter((name) => /TCP|UDP|Timeout|GetAddrInfo/.test(name)).sort();
  return { sockets: sockets(), active };
}

/**
 * How many sockets this process has, but for those of the pipes to children.
 * Deno lets nobody read `/proc` who has not every permission, but `ls` may. It
 * complains of descriptors that the threads of the resolver close meanwhile.
 */
function sockets(): number {
  if (!isLinux) return 0;
  const script =
    `ls -l /proc/${process.pid}/fd 2> /dev/null; cat /proc/net/unix`;
  const output = execFileSync("sh", ["-c", script], { encoding: "utf8" });
  const [open, unix] = output.split("Num ") as [string, string];
  const pipes = new Set(unix.split(/\s+/));
  return [...open.matchAll(/socket:\[(\d+)\]/g)]
    .filter(([, inode]) => !pipes.has(inode!)).length;
}

/** Runs a script on the runtime at hand, until it ends by itself or hangs. */
function run(
  script: URL,
  args: readonly number[],
): Promise<{ code: number | null; signal: string | null; output: string }> {
  const loader = new URL("runtimes/node_loader.mjs", import.meta.url).href;
  const flags: Partial<Record<typeof runtimeName, readonly string[]>> = {
    deno: ["run", "-A"],
    node: [`--import=${loader}`],
  };
  const child = spawn(
    process.execPath,
    [...flags[runtimeName] ?? [], fileURLToPath(script), ...args.map(String)],
    {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: HANG,
      killSignal: "SIGKILL",
    },
  );
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => output += text);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, output }));
  });
}
