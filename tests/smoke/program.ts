/**
 * A little of everything, for runtimes that are too old for the suite itself.
 * Prints a line for each step; ends by itself, or the test fails.
 *
 * @module
 */

import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert";
import { once } from "node:events";
import http from "node:http";
import type net from "node:net";
import process from "node:process";

import {
  connect,
  ConnectError,
  type Connection,
  happyEyeballs,
  staggeredRace,
  staticResolver,
} from "@stagger/happy-eyeballs";
import {
  connectNode,
  createConnection,
  LazySocket,
  lookup,
} from "@stagger/happy-eyeballs/node";
import { connect as connectSocket } from "@stagger/happy-eyeballs/sockets";

/** Where the servers are, all on 127.0.0.1 alone: `localhost` begins with ::1. */
export interface Place {
  /** Sends back what it gets. */
  readonly echo: number;
  /** The same, with TLS. */
  readonly tls: number;
  /** The authority of its certificate. */
  readonly ca: string;
  /** Answers `hello`. */
  readonly http: number;
  /** Nobody listens there. */
  readonly refused: number;
}

const place: Place = JSON.parse(process.argv[2]!);
const hostname = "localhost";
const tls = { caCerts: [place.ca] };
const question = "how are you?";
const bytes = new TextEncoder().encode(question);
/**
 * Bun before 1.4 has no connection that is half open; before 1.2.16 it does not
 * exit after a certificate that it did not trust.
 */
const isOldBun = /^1\.[23]\./.test(process.versions.bun ?? "");
/** Bun before 1.3 has no sockets that ask a lookup of ours. */
const isBun12 = /^1\.2\./.test(process.versions.bun ?? "");

/** What is used of a reader, of either kind. */
type Read = () => Promise<{ readonly value?: Uint8Array | undefined }>;

/** Asks, and reads until all of the question has come back. */
async function echoes(
  connection: Pick<Connection, "readable" | "writable">,
  isByob = false,
): Promise<void> {
  const writer = connection.writable.getWriter();
  await writer.write(bytes);
  writer.releaseLock();
  const { readable } = connection;
  let read: Read;
  if (isByob) {
    const reader = readable.getReader({ mode: "byob" });
    read = () => reader.read(new Uint8Array(5));
  } else {
    const reader = readable.getReader();
    read = () => reader.read();
  }
  let text = "";
  const decoder = new TextDecoder();
  while (text.length < question.length) {
    const { value } = await read();
    ok(value, "the stream has ended");
    text += decoder.decode(value, { stream: true });
  }
  strictEqual(text, question);
}

/** The same on a socket of Node's. */
async function socketEchoes(socket: net.Socket | LazySocket): Promise<void> {
  socket.write(question);
  let text = "";
  const decoder = new TextDecoder();
  await new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", (chunk: Uint8Array) => {
      text += decoder.decode(chunk, { stream: true });
      if (text.length >= question.length) resolve();
    });
  });
  strictEqual(text, question);
  socket.destroy();
}

const steps: Record<string, () => Promise<void>> = {
  async "connect()"() {
    for (const isByob of [false, true]) {
      const connection = await connect({ hostname, port: place.echo });
      strictEqual(connection.remoteAddr?.hostname, "127.0.0.1");
      await echoes(connection, isByob);
      await connection.close();
    }
  },
  async "connect() with TLS"() {
    for (const isByob of [false, true]) {
      const connection = await connect({ hostname, port: place.tls, tls });
      await echoes(connection, isByob);
      await connection.close();
    }
  },
  async "the end of the writable, and then of the readable"() {
    if (isOldBun) return;
    const connection = await connect({ hostname, port: place.echo });
    const writer = connection.writable.getWriter();
    await writer.write(bytes);
    await writer.close();
    strictEqual(await new Response(connection.readable).text(), question);
    await connection.closed;
  },
  async "an abort of the writable"() {
    const connection = await connect({ hostname, port: place.echo });
    await connection.writable.abort("enough");
    await connection.closed.catch((reason) => strictEqual(reason, "enough"));
  },
  async "close() and disposal"() {
    for (const end of ["close", Symbol.asyncDispose] as const) {
      const connection = await connect({ hostname, port: place.echo });
      await connection[end]();
      await connection.closed;
    }
  },
  async "connect() from a local address"() {
    const localAddresses = ["127.0.0.1"];
    const port = place.echo;
    const connection = await connect({ hostname, port, localAddresses });
    await echoes(connection);
    await connection.close();
  },
  async "an untrusted certificate"() {
    if (isOldBun) return;
    const hostname = "127.0.0.1";
    const connecting = connect({ hostname, port: place.tls, tls: true });
    strictEqual((await failure(connecting)).code, "ERR_TLS_CERT");
  },
  async "a refused port"() {
    const connecting = connect({ hostname, port: place.refused });
    const { code, attempts } = await failure(connecting);
    strictEqual(code, "ECONNREFUSED");
    const codes = attempts.map(({ error }) =>
      (error as { code?: string }).code
    );
    // A machine may have no IPv6.
    match(
      codes.join(),
      /^(ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH),ECONNREFUSED$/,
    );
  },
  async "a name that does not exist"() {
    const connecting = connect({ hostname: "name.invalid", port: 1 });
    match((await failure(connecting)).code!, /^(ENOTFOUND|EAI_AGAIN)$/);
  },
  async "an abort"() {
    const controller = new AbortController();
    const { signal } = controller;
    const connecting = connect({ hostname, port: place.echo, signal });
    controller.abort("enough");
    strictEqual(await connecting.catch((reason) => reason), "enough");
  },
  async "staggeredRace()"() {
    const attempts = [
      () => Promise.reject<string>(new Error("a")),
      () => Promise.resolve("b"),
    ];
    strictEqual(await staggeredRace(attempts, { delay: 10 }), "b");
  },
  async "happyEyeballs() with staticResolver()"() {
    const tried: string[] = [];
    const resolver = staticResolver(["192.0.2.1", "2001:db8::1"]);
    const address = await happyEyeballs(({ address, family }) => {
      tried.push(address);
      if (family === 6) throw new Error("not this one");
      return address;
    }, { hostname: "a.test", port: 1, resolver });
    strictEqual(address, "192.0.2.1");
    deepStrictEqual(tried, ["2001:db8::1", "192.0.2.1"]);
  },
  async "connectNode()"() {
    for (const options of [{ port: place.echo }, { port: place.tls, tls }]) {
      const socket = await connectNode({ hostname, ...options });
      await socketEchoes(socket);
    }
  },
  async "LazySocket"() {
    if (isBun12) return refusesSockets(() => new LazySocket());
    await socketEchoes(new LazySocket({ hostname, port: place.echo }));
  },
  async "createConnection in an http.Agent"() {
    if (isBun12) {
      return refusesSockets(() => createConnection({ port: place.http }));
    }
    const agent = Object.assign(new http.Agent(), { createConnection });
    const request = http.get(`http://localhost:${place.http}/`, { agent });
    const [response] = await once(request, "response");
    let text = "";
    response.setEncoding("utf8").on("data", (part: string) => text += part);
    await once(response, "end");
    strictEqual(text, "hello");
    agent.destroy();
  },
  async "lookup()"() {
    const found = await new Promise<unknown[]>((resolve, reject) =>
      lookup(
        hostname,
        { all: true },
        (error, addresses) => error ? reject(error) : resolve(addresses),
      )
    );
    ok(found.length > 0);
  },
  async "./sockets"() {
    const socket = connectSocket({ hostname, port: place.echo });
    await socket.opened;
    await echoes(socket);
    await socket.close();
  },
};

/** As `isBun12` says. */
function refusesSockets(make: () => unknown): void {
  throws(make, { name: "TypeError", message: /take Bun 1\.3 or later$/ });
}

async function failure(connecting: Promise<Connection>): Promise<ConnectError> {
  const error = await connecting.then(() => "connected", (error) => error);
  ok(error instanceof ConnectError, String(error));
  return error;
}

for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(name);
}
console.log("all is well");
