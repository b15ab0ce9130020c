/**
 * Sockets of `./node` that race: the guard `blockList` in every place where it
 * can be given, and what attempts leave on the socket that waits for them.
 *
 * @module
 */

import { once } from "node:events";
import net from "node:net";

import { assertEquals, assertThrows } from "@std/assert";

import { staticResolver } from "../mod.ts";
import {
  createConnection,
  type CreateConnectionOptions,
  LazySocket,
} from "../src/entry/node.ts";
import { test } from "./harness.ts";
import { loopback } from "./servers.ts";

const host = "127.0.0.1";
const name = "example.test";

/** What says where to connect to. */
type Target = CreateConnectionOptions & { readonly port: number };

/** Connects with a guard, which each door takes in a place of its own. */
type Door = (target: Target, blockList: net.BlockList) => net.Socket;

/** Options of a race are for the constructor, the rest for `connect()`. */
function lazy(
  { resolver, ...target }: Target,
  options: object,
  more: object,
): net.Socket {
  const socket = new LazySocket({ resolver, ...options });
  return socket.connect({ ...target, ...more } as never) as never;
}

const doors: Readonly<Record<string, Door>> = {
  "createConnection()": (target, blockList) =>
    createConnection({ ...target, blockList }) as never,
  "createConnection() with TLS": (target, blockList) =>
    createConnection({ ...target, blockList, protocol: "https:" }) as never,
  "new LazySocket()": (target, blockList) => lazy(target, { blockList }, {}),
  "new LazySocket() with TLS": (target, blockList) =>
    lazy(target, { blockList, tls: true }, {}),
  "connect() of a LazySocket": (target, blockList) =>
    lazy(target, {}, { blockList }),
  "connect() of a LazySocket with TLS": (target, blockList) =>
    lazy(target, { tls: true }, { blockList }),
  "a LazySocket, by an option that is undefined in connect()": (
    target,
    blockList,
  ) => lazy(target, { blockList }, { blockList: undefined }),
};

const lookup = (
  _hostname: string,
  { all }: { all?: boolean },
  done: (error: null, ...answer: unknown[]) => void,
) => {
  if (all) done(null, [{ address: host, family: 4 }]);
  else done(null, host, 4);
};

/** Ways to say where to, each with one address. */
const targets: Readonly<Record<string, object>> = {
  "an address": { host },
  "a name": { host: name, resolver: staticResolver([host]) },
  "a name that the caller looks up": { host: name, lookup },
  "a name of which one address is wanted": {
    host: name,
    lookup,
    autoSelectFamily: false,
  },
};

function blocking(...addresses: string[]): net.BlockList {
  const blockList = new net.BlockList();
  for (const address of addresses) {
    blockList.addAddress(address, net.isIPv6(address) ? "ipv6" : "ipv4");
  }
  return blockList;
}

/** A server that counts what it accepts, and closes it. */
async function counting(): Promise<
  AsyncDisposable & { readonly port: number; accepted: number }
> {
  const server = net.createServer((socket) => {
    counter.accepted++;
    socket.on("error", () => {}).destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as net.AddressInfo;
  const counter = {
    port,
    accepted: 0,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return counter;
}

/** Not by `once()`, which an error ends. */
function closed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}

for (const [where, connect] of Object.entries(doors)) {
  test(`blockList of ${where} keeps every way to its address`, async () => {
    await using server = await counting();
    const codes: Record<string, unknown> = {};
    for (const [what, target] of Object.entries(targets)) {
      const socket = connect(
        { port: server.port, ...target } as Target,
        blocking(host),
      );
      socket.on("error", ({ code }: NodeJS.ErrnoException) => {
        codes[what] = code;
      });
      await closed(socket);
    }
    for (let i = 0; i < 3; i++) await loopback.turn();
    const expected = Object.keys(targets).map((what) => [
      what,
      "ERR_IP_BLOCKED",
    ]);
    assertEquals(codes, Object.fromEntries(expected));
    assertEquals(server.accepted, 0);
  });

  test(`blockList of ${where} leaves the other addresses`, async () => {
    await using server = await counting();
    const resolver = staticResolver(["::1", "127.0.0.2", host]);
    const socket = connect(
      { port: server.port, host: name, resolver },
      blocking("::1", "127.0.0.2"),
    );
    // The server hangs up before a handshake.
    socket.on("error", () => {});
    await once(socket, "connect");
    assertEquals(
      socket.autoSelectFamilyAttemptedAddresses,
      [
        `[::1]:${server.port}`,
        `127.0.0.2:${server.port}`,
        `${host}:${server.port}`,
      ].map((text) => text.replace(/[[\]]/g, "")),
    );
    const end = closed(socket);
    socket.destroy();
    await end;
    assertEquals(server.accepted, 1);
  });
}

test("blockList that is none is refused in every place", () => {
  for (const [where, connect] of Object.entries(doors)) {
    for (const blockList of [1, "127.0.0.1", {}, []]) {
      assertThrows(
        () => connect({ host, port: 9 }, blockList as never),
        TypeError,
        undefined,
        where,
      );
    }
  }
});

test("many handshakes that fail leave nothing on the socket that waits", async () => {
  // All of 127/8 is there on Linux only.
  if (loopback.secondLocalAddress === host) return;
  const server = net.createServer((socket) => {
    socket.on("error", () => {}).once("data", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as net.AddressInfo;
  const addresses = Array.from({ length: 12 }, (_, i) => `127.0.0.${i + 1}`);
  const socket = createConnection({
    host: name,
    port,
    protocol: "https:",
    resolver: staticResolver(addresses),
  });
  const [error] = await once(socket, "error");
  assertEquals(error.errors.length, addresses.length);
  const events = ["ready", "secureConnect", "session", "keylog"];
  const tried = events.map((event) => socket.listenerCount(event));
  const one = createConnection({
    host: name,
    port,
    protocol: "https:",
    resolver: staticResolver([]),
  });
  await once(one, "error");
  assertEquals(tried, events.map((event) => one.listenerCount(event)));
  await new Promise((resolve) => server.close(resolve));
});
