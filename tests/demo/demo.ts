/**
 * Four broken networks, each met by the runtime's built-in connect and by this
 * package: `deno task demo`, or this file on Bun or on Node from version 24.
 *
 * Real sockets on loopback and real time; no outside network, no root. What
 * resolvers say is scripted, because no name server is at hand that is slow on
 * demand. A scene that this machine cannot play says why and is skipped. The
 * exit status is 1 if this package does not do what it promises, else 0;
 * what the built-in ones do is only shown.
 *
 * @module
 */

import process from "node:process";

import type { HappyEyeballsEvent } from "../../mod.ts";
import { waterfall } from "../../src/entry/waterfall.ts";
import {
  builtins,
  type Client,
  ours,
  PATIENCE,
  type Place,
} from "./clients.ts";
import {
  closedPort,
  type Listener,
  openBlackHole,
  openServer,
} from "./listeners.ts";

/** What a scene is played on: opened for each client anew. */
interface Stage {
  readonly port: number;
  /** Called when the client begins. */
  begin?(): void;
  close(): Promise<void>;
}

interface Scene extends Omit<Place, "port"> {
  readonly title: string;
  readonly story: string;
  open(): Promise<Stage>;
  /** Whether this package did what it promises. */
  isKept(events: readonly HappyEyeballsEvent[]): boolean;
}

const WIDTH = 74;

/** When the slow host wakes, in ms: before its client's kernel asks again. */
const WAKE_TIME = 600;

const scenes: readonly Scene[] = [
  {
    title: "Broken IPv6",
    story: "[::1] swallows every SYN, 127.0.0.1 accepts.",
    script: "6=::1,4=127.0.0.1",
    firstFamily: 6,
    open: () => serverAnd(openBlackHole),
    isKept: (events) => familyOf(events) === 4,
  },
  {
    title: "Slow IPv4, no IPv6",
    story:
      "127.0.0.1 takes only a repeated SYN, so it needs a second; [::1] refuses.\n" +
      "IPv4 is first, as the system has it where IPv6 has no route.",
    script: "4=127.0.0.1,6=::1",
    firstFamily: 4,
    async open() {
      const { port, wake, close } = await openBlackHole("127.0.0.1");
      let timer: ReturnType<typeof setTimeout> | undefined;
      return {
        port,
        begin: () => timer = setTimeout(wake, WAKE_TIME),
        close() {
          clearTimeout(timer);
          return close();
        },
      };
    },
    isKept: (events) => familyOf(events) === 4,
  },
  {
    title: "Everything refused",
    story: "Nobody listens on [::1] and 127.0.0.1. Which error does one get?",
    script: "6=::1,4=127.0.0.1",
    firstFamily: 6,
    async open() {
      return { port: await closedPort(), close: () => Promise.resolve() };
    },
    isKept: (events) => namedAddresses(events) === 2,
  },
  {
    title: "Late AAAA answer",
    story: "The A answer comes at once, the AAAA answer after 400 ms.",
    script: "4@0=127.0.0.1,6@400=::1",
    firstFamily: 6,
    open: () => serverAnd(openServer),
    isKept: (events) =>
      familyOf(events) === 4 &&
      !events.some((event) =>
        event.type === "answer" && event.recordType === "AAAA"
      ),
  },
];

await main();

async function main(): Promise<void> {
  const clients = [...builtins, ours];
  const table = [["", ...clients.map(({ name }) => name)]];
  await warmUp(clients);
  for (const [index, scene] of scenes.entries()) {
    console.log(`\n${index + 1}. ${scene.title}\n\n${scene.story}`);
    const row = [scene.title];
    for (const client of clients) row.push(await show(scene, client));
    table.push(row);
  }
  console.log(`\n${grid(table)}\n
ms: until connected; named: addresses that the error's message names`);
}

/** Plays and prints a scene with one client; returns the outcome in short. */
async function show(scene: Scene, client: Client): Promise<string> {
  console.log(`\n${client.name}\n`);
  const events = await play(scene, client);
  if (typeof events === "string") {
    console.log(`  Not shown: ${events}`);
    return "-";
  }
  console.log(waterfall(events, WIDTH).trimEnd().replace(/^(?=.)/gm, "  "));
  if (client === ours && !scene.isKept(events)) {
    console.log("  This is not what happy-eyeballs promises.");
    process.exitCode = 1;
  }
  return summary(events);
}

/** What happened, or why this machine or this client cannot show it. */
async function play(
  scene: Scene,
  client: Client,
): Promise<HappyEyeballsEvent[] | string> {
  let stage;
  try {
    stage = await scene.open();
  } catch (error) {
    return (error as Error).message;
  }
  try {
    stage.begin?.();
    return await client.run({ ...scene, port: stage.port });
  } finally {
    await stage.close();
  }
}

/** The first call of each client loads code, which is not what is shown. */
async function warmUp(clients: readonly Client[]): Promise<void> {
  const { port, close } = await openServer("127.0.0.1");
  const script = "6=::1,4=127.0.0.1";
  const place: Place = { port, script, firstFamily: 6 };
  for (const client of clients) await client.run(place);
  await close();
}

/** A server on 127.0.0.1, and what `open` opens on the same port of ::1. */
async function serverAnd(
  open: (host: string, port: number) => Promise<Listener>,
): Promise<Stage> {
  const server = await openServer("127.0.0.1");
  try {
    const other = await open("::1", server.port);
    const close = async () => {
      await other.close();
      await server.close();
    };
    return { port: server.port, close };
  } catch (error) {
    await server.close();
    throw error;
  }
}

function endOf(events: readonly HappyEyeballsEvent[]) {
  return events.find((event) => event.type === "end");
}

/** The family of the winner. */
function familyOf(
  events: readonly HappyEyeballsEvent[],
): 4 | 6 | undefined {
  const won = events.find((event) =>
    event.type === "attempt-end" && event.outcome === "won"
  );
  return won?.type === "attempt-end" ? won.endpoint?.family : undefined;
}

function summary(events: readonly HappyEyeballsEvent[]): string {
  const end = endOf(events);
  if (end?.outcome === "connected") {
    return `${Math.round(end.time - events[0]!.time)} ms`;
  }
  if (end?.outcome === "aborted") return `> ${PATIENCE / 1000} s, given up`;
  const { code } = end?.error as { code?: string };
  return `${code} (${namedAddresses(events)} named)`;
}

/** How many addresses the message of the error names. */
function namedAddresses(events: readonly HappyEyeballsEvent[]): number {
  const end = endOf(events);
  const message = end?.outcome === "failed" ? String(end.error) : "";
  return ["::1", "127.0.0.1"].filter((text) => message.includes(text)).length;
}

function grid(rows: readonly (readonly string[])[]): string {
  const width = (column: number) =>
    Math.max(...rows.map((row) => row[column]!.length));
  return rows.map((row) =>
    row.map((text, column) => text.padEnd(width(column))).join("  ").trimEnd()
  ).join("\n");
}
