/**
 * What keeps a process alive, after Node's `test-net-socket-timeout-unref` and
 * `test-https-agent-unref-socket`: each way in a process of its own.
 *
 * @module
 */

import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

import type { Case } from "./scene.ts";

/** Those of `leaving.ts` that leave nothing which keeps a process alive. */
const ways = [
  "unref() while it looks up",
  "unref() while a handshake waits",
  "unref() when it is connected",
  "unref() before it is connected",
  "a socket that is free in an agent",
];

export const processCases: readonly Case[] = [
  ["ends when all sockets are unref'd or free", ways] as const,
  ["goes on after ref()", ["unref() and ref() again"]] as const,
].map(([what, ways]): Case => ({
  name: `a process ${what}`,
  from: "test-net-socket-timeout-unref.js",
  // To start a process takes what the machine has left.
  limit: 12_000,
  async run(scene) {
    const port = await scene.serve((socket) => {
      socket.on("data", (data) => {
        if (!String(data).startsWith("GET")) return;
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      });
    });
    scene.log("how", await endOf([scene.door.name, `${port}`, ...ways]));
  },
}));

/** What a process printed, and how it ended. */
function endOf(args: readonly string[]): Promise<string> {
  const options = "Deno" in globalThis
    ? ["run", "-A", "--no-check"]
    : process.execArgv;
  const program = fileURLToPath(new URL("leaving.ts", import.meta.url));
  const child = spawn(process.execPath, [...options, program, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout!.on("data", (data) => output += data);
  return new Promise((resolve) => {
    child.once(
      "close",
      (code, signal) => resolve(`${output}${signal ?? code}`),
    );
  });
}
