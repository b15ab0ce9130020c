/**
 * A worker that listens and accepts nothing until it is told to.
 *
 * Every runtime accepts connections as soon as its event loop turns, so the
 * only way to leave them in the kernel's queue is a loop that does not turn:
 * this thread sleeps on a shared cell. Once woken it accepts what is there.
 *
 * @module
 */

import { type AddressInfo, createServer } from "node:net";
import { parentPort, workerData } from "node:worker_threads";

/** What the worker is told at its start. */
export interface Silence {
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  /** Silent as long as its first cell is 0. */
  readonly gate: Int32Array<SharedArrayBuffer>;
}

/** Where it listens, or why it cannot. */
export type SilenceReport = { readonly port: number } | {
  readonly error: string;
};

const { host, port, gate } = workerData as Silence;
const server = createServer((socket) => socket.on("error", () => {}).resume());
// The shortest queue there is; Bun ignores it and takes 512.
server.listen({ host, port, backlog: 1 }, () => {
  report({ port: (server.address() as AddressInfo).port });
  setImmediate(() => void Atomics.wait(gate, 0, 0));
});
server.on("error", ({ message }) => report({ error: message }));

function report(report: SilenceReport): void {
  parentPort!.postMessage(report);
}
