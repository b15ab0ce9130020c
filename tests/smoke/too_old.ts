/**
 * What a runtime that is too old gets: nothing starts, and each function that
 * needs its sockets says so in the same words. Importing is no error.
 *
 * @module
 */

import { deepStrictEqual, strictEqual } from "node:assert";
import { type EventEmitter, once } from "node:events";
import process from "node:process";

import {
  connect,
  happyEyeballs,
  staggeredRace,
  staticResolver,
  systemResolver,
} from "@stagger/happy-eyeballs";
import { connectDeno } from "@stagger/happy-eyeballs/deno";
import {
  connectNode,
  createConnection,
  LazySocket,
  lookup,
} from "@stagger/happy-eyeballs/node";
import { connect as connectSocket } from "@stagger/happy-eyeballs/sockets";

const { bun, node } = process.versions;
const [name, version] = bun ? ["Bun", bun] : ["Node", node];
const oldest = bun ? "1.2" : "20.16 and 22.3";
const text =
  `Cannot connect: ${name} ${version} is too old, it takes ${oldest} or later`;

const events: unknown[] = [];
const onEvent = (event: unknown) => void events.push(event);
const literal = { hostname: "127.0.0.1", port: 9, onEvent };
const named = { hostname: "name.invalid", port: 9, onEvent };

const failing: Record<string, () => unknown> = {
  "connect() to a literal": () => connect(literal),
  "connect() to a name": () => connect(named),
  "connect() with TLS": () => connect({ ...named, tls: true }),
  "happyEyeballs()": () => happyEyeballs(({ address }) => address, named),
  "systemResolver()": () => systemResolver(),
  "connectNode()": () => connectNode(literal),
  "createConnection()": () => failureOf(createConnection(literal)),
  "createConnection() with a callback": () =>
    new Promise((resolve, reject) =>
      createConnection(
        literal,
        (error, socket) => error ? reject(error) : resolve(socket),
      )
    ),
  LazySocket: () => failureOf(new LazySocket(literal).connect()),
  "lookup()": () =>
    new Promise((resolve, reject) =>
      lookup(
        "name.invalid",
        (error, address) => error ? reject(error) : resolve(address),
      )
    ),
  "./sockets": () => connectSocket("127.0.0.1:9").opened,
  "connectDeno()": () => connectDeno(literal),
};

async function failureOf(socket: EventEmitter): Promise<never> {
  throw (await once(socket, "error").catch((error) => [error]))[0];
}

for (const [what, call] of Object.entries(failing)) {
  let error: unknown;
  try {
    await call();
  } catch (reason) {
    error = reason;
  }
  const { message, code } = error as Error & { code?: string };
  strictEqual(message.replace("SocketError: ", ""), text, what);
  strictEqual(code, undefined, what);
}
deepStrictEqual(events, [], "something has started");

// What needs nothing of the system works.
strictEqual(await staggeredRace([() => "a"]), "a");
const resolver = staticResolver(["192.0.2.1"]);
const own = { ...named, resolver };
strictEqual(await happyEyeballs(({ address }) => address, own), "192.0.2.1");
console.log(text);
console.log("all is well");
