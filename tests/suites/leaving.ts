/**
 * A program that ends when nothing keeps it alive:
 * `leaving.ts DOOR PORT WAY ...`.
 *
 * The server at the port speaks HTTP or nothing. Prints a line if something
 * keeps it alive that was left behind in one of these ways.
 *
 * @module
 */

import http from "node:http";
import type net from "node:net";
import process from "node:process";
import { setTimeout } from "node:timers";

import { doors } from "./scene.ts";

const [doorName, port, ...names] = process.argv.slice(2);
const door = doors[doorName as keyof typeof doors];
const target = { port, host: "example.test" };
const known = {
  ...target,
  ...door.names(["127.0.0.1"]),
  // A timer that is seen if it keeps the process alive.
  autoSelectFamilyAttemptTimeout: 60_000,
};

const ways: Readonly<Record<string, () => unknown>> = {
  "unref() while it looks up": () =>
    door.connect({ ...target, ...door.names() }).unref(),
  "unref() while a handshake waits": async () =>
    (await connected(door.secure(known))).unref(),
  "unref() when it is connected": async () =>
    (await connected(door.connect(known))).unref(),
  "unref() before it is connected": () =>
    connected(door.connect(known).unref()),
  "unref() and ref() again": () => connected(door.connect(known).unref().ref()),
  "a socket that is free in an agent"() {
    const agent = door.agent({ keepAlive: true });
    const request = http.get({ agent, ...known });
    request.on("response", (response) => response.resume());
    return new Promise((resolve) => request.on("close", resolve));
  },
};

function connected(socket: net.Socket): Promise<net.Socket> {
  return new Promise((resolve) =>
    socket.once("connect", () => resolve(socket))
  );
}

const hold = setTimeout(() => {}, 60_000);
await Promise.all(names.map((name) => ways[name]!()));
clearTimeout(hold);
setTimeout(() => {
  process.stdout.write("goes on\n", () => process.exit());
}, 400).unref();
