/**
 * Ports of `[::1]` that answer no SYN: `black_hole.ts COUNT` listens on as
 * many, prints them as JSON and falls asleep. As it accepts nothing, a port is
 * a black hole once its queue is full, which takes two connections.
 *
 * @module
 */

import { writeSync } from "node:fs";
import net from "node:net";
import process from "node:process";

const ports = await Promise.all(
  Array.from({ length: Number(process.argv[2]) }, async () => {
    const listener = net.createServer();
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen({ host: "::1", port: 0, backlog: 1 }, resolve);
    });
    return (listener.address() as net.AddressInfo).port;
  }),
);
writeSync(1, `${JSON.stringify(ports)}\n`);
// Asleep, but for a look whether whoever started it is still there.
const starter = process.ppid;
const nothing = new Int32Array(new SharedArrayBuffer(4));
while (process.ppid === starter) Atomics.wait(nothing, 0, 0, 1000);
process.exit();
