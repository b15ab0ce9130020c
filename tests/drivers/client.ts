/**
 * Runs one client on the runtime at hand: `client.ts NAME SETUP`, SETUP being
 * the ports as JSON. Prints a line of JSON for each case and ends by itself,
 * which it would not if a socket or a timer were left behind.
 *
 * @module
 */

import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import { setImmediate } from "node:timers";
import { setTimeout } from "node:timers/promises";

import { lookup } from "../../src/entry/node.ts";
import type { HappyEyeballsEvent } from "../../src/events.ts";
import { CONNECTION_ATTEMPT_DELAY } from "../../src/options.ts";
import { certificate } from "../certs/read.ts";
import type { Client, Scene, Service, Watched } from "./scene.ts";

/** How a case ended. */
export interface Outcome {
  readonly name: string;
  /** When each of its connects was connected, in ms from its first attempt. */
  readonly connected?: readonly number[];
  readonly error?: string;
}

const [name, setup] = process.argv.slice(2);
const ports: Scene["ports"] = JSON.parse(setup!);
const client: Client = await import(`./clients/${name}.ts`);
const refused = await freePort();

for (const [name, run] of Object.entries(client.cases)) {
  await report(name, async () => {
    const watched: Watched[] = [];
    let looked = 0;
    await run(sceneWith(watched, () => looked++));
    if (client.hook === "lookup") ok(looked > 0, "the lookup was not used");
    else ok(watched.length > 0, "nothing was connected");
    return watched.map(({ events }) => connectTime(events));
  });
}
await report("failure", async () => {
  const errors = [...causes(await client.failure(sceneWith([])))];
  if (client.hook === "lookup") {
    return ok(errors.some(({ code }) => code === "ECONNREFUSED"));
  }
  equal(errors[0]?.code, "ECONNREFUSED");
  if (client.keeps === "code") return;
  const ours = errors.find(({ name }) => name === "ConnectError");
  match(
    ours?.message ?? "",
    /: \[::1\] ECONNREFUSED, 127\.0\.0\.1 ECONNREFUSED$/,
  );
});
if (client.abort) await report("abort", () => abort(client.abort!));

async function report(
  name: string,
  run: () => Promise<readonly number[] | void>,
): Promise<void> {
  let outcome: Outcome;
  try {
    const connected = await run();
    outcome = connected ? { name, connected } : { name };
  } catch (error) {
    outcome = { name, error: (error as Error).stack ?? String(error) };
  }
  console.log(JSON.stringify(outcome));
}

/** An error and what caused it. */
function* causes(error: unknown): Generator<NodeJS.ErrnoException> {
  for (let at = error; at instanceof Error; at = at.cause) yield at;
}

function sceneWith(watched: Watched[], onLookup = () => {}): Scene {
  return {
    hostname: "localhost",
    ports,
    refused,
    ca: certificate("ca"),
    watch() {
      const watch = watcher();
      watched.push(watch);
      return watch;
    },
    lookup(...args: Parameters<typeof lookup>) {
      onLookup();
      lookup(...args);
    },
  };
}

function watcher(hear?: (event: HappyEyeballsEvent) => void): Watched {
  const events: HappyEyeballsEvent[] = [];
  const onEvent = (event: HappyEyeballsEvent) => {
    events.push(event);
    hear?.(event);
  };
  return { events, onEvent };
}

/** After how many ms the second of two attempts was connected. */
function connectTime(events: readonly HappyEyeballsEvent[]): number {
  const starts = events.filter((event) => event.type === "attempt-start");
  deepEqual(
    starts.map(({ endpoint }) => endpoint?.address),
    ["::1", "127.0.0.1"],
  );
  const end = events.find((event) => event.type === "end");
  deepEqual([end?.outcome, end?.index], ["connected", 1]);
  const time = end!.time - starts[0]!.time;
  ok(time >= CONNECTION_ATTEMPT_DELAY, `connected after ${time} ms`);
  return time;
}

/** Aborts a request amid its attempts, and waits for its sockets to be gone. */
async function abort(run: NonNullable<Client["abort"]>): Promise<void> {
  let begin = () => {};
  const hasBegun = new Promise<void>((resolve) => begin = resolve);
  const watched = watcher(({ type }) => {
    // Later: a request that is aborted in the turn of its creation leaves its
    // socket to the agent's pool; on Node 24 with Node's own sockets too.
    if (type === "attempt-start") setImmediate(begin);
  });
  const service = await run(sceneWith([], begin), watched, hasBegun);
  while (countSockets(service) > 0) await setTimeout(1);
  if (client.hook === "lookup") return;
  const end = watched.events.at(-1);
  deepEqual([end?.type, end && "outcome" in end && end.outcome], [
    "end",
    "aborted",
  ]);
}

/** How many of our sockets dial `service` or are connected to it. */
function countSockets(service: Service): number {
  const port = ports[service].toString(16).toUpperCase().padStart(4, "0");
  const ours = new Set(openFiles());
  return ["tcp", "tcp6"].reduce((count, table) => {
    const lines = readFileSync(`/proc/net/${table}`, "utf8").split("\n");
    return count + lines.filter((line) => {
      const [, , remote, , , , , , , inode] = line.trim().split(/\s+/);
      return remote?.endsWith(`:${port}`) && ours.has(`socket:[${inode}]`);
    }).length;
  }, 0);
}

/** What this process holds open, but for what is closed in this moment. */
function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

/** A port nobody listens on by either address. */
async function freePort(): Promise<number> {
  const listener = net.createServer();
  await new Promise<void>((resolve) => void listener.listen(0, "::", resolve));
  const { port } = listener.address() as net.AddressInfo;
  await new Promise((resolve) => void listener.close(resolve));
  return port;
}
