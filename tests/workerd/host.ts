/**
 * The servers of a test that runs in workerd, which can listen to nothing.
 *
 * The tests there use the same `World` as elsewhere; what it does, it does here,
 * on Node, and is told by HTTP: `POST /<what>/<id>`, the body being bytes or
 * JSON. What the test waits for, a request waits for. `world.ts` is the other
 * end. Prints its address, and goes on until it is killed.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

import { type BlackHole, openBlackHole } from "../demo/listeners.ts";
import type { Peer, Server } from "../runtime_conformance.ts";
import { loopback } from "../servers.ts";

/** Bytes, something for JSON, or `null` for nothing. */
type Reply = Uint8Array | Record<string, unknown> | null;

type Handler = (
  id: number,
  body: Buffer<ArrayBuffer>,
) => Promise<Reply> | Reply;

/** A server, and who connected and was not yet told of. */
interface Serving {
  readonly server: Server;
  readonly waiting: Peer[];
  /** Whether who connects is not told of: `idle()` makes a connection, too. */
  isDraining: boolean;
  isOver: boolean;
  wake: (() => void) | undefined;
}

const servers: Serving[] = [];
const peers: Peer[] = [];
/** Each with the address to count, `""` for any. */
const holes: { readonly hole: BlackHole; readonly remote: string }[] = [];

const handlers: Record<string, Handler> = {
  serve: async (_id, body) => {
    const waiting: Peer[] = [];
    const server = await loopback.serve((peer) => {
      if (serving.isDraining) return;
      waiting.push(peer);
      serving.wake?.();
    }, json(body));
    const serving: Serving = {
      server,
      waiting,
      isDraining: false,
      isOver: false,
      wake: undefined,
    };
    return { id: servers.push(serving) - 1, endpoint: server.endpoint };
  },
  // Who came next; nothing when the server is over.
  accept: async (id) => {
    const serving = servers[id]!;
    while (serving.waiting.length === 0 && !serving.isOver) {
      await new Promise<void>((resolve) => {
        serving.wake = resolve;
      });
    }
    const peer = serving.waiting.shift();
    return peer ? describe(peer) : null;
  },
  idle: async (id) => {
    const serving = servers[id]!;
    serving.isDraining = true;
    await serving.server.idle();
    serving.isDraining = false;
    return { accepted: serving.server.accepted };
  },
  stop: async (id) => {
    servers[id]!.isOver = true;
    servers[id]!.wake?.();
    await servers[id]!.server[Symbol.asyncDispose]();
    return null;
  },
  refusing: async (_id, body) => ({ ...await loopback.refusing(json(body)) }),
  read: (id) => peers[id]!.read(),
  write: (id, body) => done(peers[id]!.write(body)),
  end: (id) => done(peers[id]!.end()),
  reset: (id) => done(peers[id]!.reset()),
  destroy: (id) => done(peers[id]!.destroy()),
  startTls: async (id, body) =>
    describe(
      await peers[id]!.startTls(body.length > 0 ? json(body) : undefined),
    ),
  hole: async (_id, body) => {
    const { address, port } = json(body);
    const hole = await openBlackHole(address, port);
    const remote = address === "0.0.0.0" ? "" : hexadecimal(address);
    return { id: holes.push({ hole, remote }) - 1, port: hole.port };
  },
  wake: (id) => done(holes[id]!.hole.wake()),
  count: (id) => {
    const { hole, remote } = holes[id]!;
    return countSockets(`${remote}:${hexadecimal(hole.port)}`);
  },
  close: (id) => done(holes[id]!.hole.close()),
};

const http = createServer((request, response) => {
  reply(request).then((reply) => {
    if (reply === null) response.writeHead(204).end();
    else if (reply instanceof Uint8Array) response.end(reply);
    else response.end(JSON.stringify(reply));
  }, (error) => {
    const { code, message } = error as { code?: string; message: string };
    response.writeHead(500).end(JSON.stringify({ code, message }));
  });
});
http.listen({ host: "127.0.0.1", port: 0 }, () => {
  const { port } = http.address() as AddressInfo;
  console.log(`http://127.0.0.1:${port}`);
});

async function reply(request: IncomingMessage): Promise<Reply> {
  const [, what = "", id] = request.url!.split("/");
  const body = [];
  for await (const chunk of request) body.push(chunk as Buffer);
  const handler = handlers[what];
  if (!handler) throw new Error(`no such thing: ${what}`);
  return await handler(Number(id), Buffer.concat(body));
}

function describe(peer: Peer): Reply {
  const { remoteAddress, serverName } = peer;
  return { id: peers.push(peer) - 1, remoteAddress, serverName };
}

async function done(result: void | Promise<void>): Promise<null> {
  await result;
  return null;
}

// deno-lint-ignore no-explicit-any -- the other end is the same project's
function json(body: Buffer): any {
  return JSON.parse(body.toString());
}

/** An IPv4 address or a port as Linux writes them in its tables. */
function hexadecimal(value: string | number): string {
  const bytes = typeof value === "number"
    ? [value >> 8, value & 255]
    : value.split(".").map(Number).reverse();
  return Buffer.from(bytes).toString("hex").toUpperCase();
}

/** The sockets of other processes that are connected there, or try to be. */
function countSockets(remote: string): { dialling: number; open: number } {
  const own = ownSockets();
  const states = readFileSync("/proc/net/tcp", "utf8").split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row[2]?.endsWith(remote) && !own.has(row[9]))
    .map((row) => row[3]);
  return {
    dialling: states.filter((state) => state === SYN_SENT).length,
    open: states.filter((state) => state === ESTABLISHED).length,
  };
}

/** The inodes of this process's sockets. */
function ownSockets(): Set<string | undefined> {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // It was that of the folder itself.
      return "";
    }
  });
  return new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]));
}

// As Linux numbers them.
const ESTABLISHED = "01";
const SYN_SENT = "02";
