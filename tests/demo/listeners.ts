/**
 * Listeners on loopback, good and bad ones.
 *
 * A black hole needs no firewall and no root: on Linux a listener whose accept
 * queue is full drops every further SYN without a word. The same listener is a
 * slow host: accept what is in the queue, and the next SYN that the client's
 * kernel repeats, one second after the first, gets through.
 *
 * @module
 */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Worker } from "node:worker_threads";

import type { Silence, SilenceReport } from "./silent_listener.ts";

/** Something that listens, until it is closed. */
export interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

/** A listener that drops every SYN until it wakes. */
export interface BlackHole extends Listener {
  wake(): void;
}

/** More connections than this in the queue: it does not fill up. */
const LONGEST_QUEUE = 600;

/** Silence of so many milliseconds on loopback is no coincidence. */
const SILENCE = 150;

/** Listens and accepts; `port` 0 is any. */
export async function openServer(host: string, port = 0): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}).resume());
  });
  server.listen({ host, port });
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = await openServer("127.0.0.1");
  await server.close();
  return server.port;
}

/**
 * Listens without accepting and fills the queue; `port` 0 is any.
 *
 * @throws {Error} when this system does not drop what a full queue cannot take.
 */
export async function openBlackHole(
  host: string,
  port = 0,
): Promise<BlackHole> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("silent_listener.ts", import.meta.url), {
    workerData: { host, port, gate } satisfies Silence,
  });
  const fillers: Socket[] = [];
  const wake = () => {
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
  };
  const close = async () => {
    for (const socket of fillers) socket.destroy();
    wake();
    await worker.terminate();
  };
  try {
    const [report] = await once(worker, "message") as [SilenceReport];
    if ("error" in report) throw new Error(report.error);
    while (await connects(host, report.port, fillers)) {
      if (fillers.length > LONGEST_QUEUE) {
        throw new Error("the accept queue never fills up here");
      }
    }
    return { port: report.port, wake, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Whether a connection opens; it stays open among `sockets`. */
async function connects(
  host: string,
  port: number,
  sockets: Socket[],
): Promise<boolean> {
  const socket = connect({ host, port });
  sockets.push(socket);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, SILENCE, false);
  });
  const opened = once(socket, "connect").then(() => true);
  try {
    return await Promise.race([opened, silence]);
  } finally {
    clearTimeout(timer);
    opened.catch(() => {});
  }
}
