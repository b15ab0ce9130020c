/**
 * Each way to a connection, in one form: bytes in, bytes out.
 *
 * What comes out of streams is the reader's, who may transfer it; what comes
 * from sockets of the platform's is not.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";

import { connect } from "../../mod.ts";
import { connectNode, createConnection } from "../../src/entry/node.ts";
import { connect as connectSocket } from "../../src/entry/sockets.ts";
import type { Random } from "./source.ts";

/** An open connection. */
export interface Pipe {
  /** All that comes, in chunks. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Whether the chunks are the reader's own. */
  readonly isOwned: boolean;
  /** Resolves when nothing needs the bytes any more. */
  write(bytes: Uint8Array): Promise<void>;
  close(): unknown;
}

/** Where to connect to. */
export interface Target {
  readonly port: number;
  readonly isTls: boolean;
  /** Which of the connections it is; they take turns in how they read. */
  readonly index: number;
  readonly random: Random;
}

/** Opens a connection. */
export type Door = (target: Target) => Promise<Pipe>;

const hostname = "127.0.0.1";
/** A name on the server's certificate, whose root the platform trusts. */
const serverName = "localhost";

/** The doors there are on this runtime, by name. */
export const doors: Readonly<Record<string, Door>> = {
  "connect()": async (target) => {
    const { port, isTls } = target;
    const tls = isTls && { serverName };
    const connection = await connect({ hostname, port, tls });
    return streamPipe(connection, target);
  },
  "./sockets": async (target) => {
    const { port, isTls } = target;
    const socket = connectSocket(
      { hostname, port },
      isTls ? { secureTransport: "on", sni: serverName } : {},
    );
    await socket.opened;
    return streamPipe(socket, target);
  },
  "./node connectNode": async ({ port, isTls }) => {
    const tls = isTls && { serverName };
    return socketPipe(await connectNode({ hostname, port, tls }));
  },
  "./node createConnection": ({ port, isTls }) => {
    const protocol = isTls ? "https:" : "http:";
    const options = { host: hostname, port, protocol, servername: serverName };
    const socket = createConnection(options) as unknown as Socket;
    return Promise.resolve(socketPipe(socket));
  },
  ..."Deno" in globalThis ? { "./deno": denoDoor } : {},
};

/** What the runtime has built in. */
export const builtIn: Door = async ({ port }) => {
  if ("Deno" in globalThis) {
    const tcp = await Deno.connect({ hostname, port });
    return connPipe(await Deno.startTls(tcp, { hostname: serverName }));
  }
  const socket = connectTls({ host: hostname, port, servername: serverName });
  await new Promise((resolve, reject) => {
    socket.once("secureConnect", resolve).once("error", reject);
  });
  return socketPipe(socket);
};

/** Why a door cannot carry that many bytes, where that is so. */
export function exception(door: string, isTls: boolean): string | undefined {
  if (!("Deno" in globalThis && isTls && door.startsWith("./node"))) return;
  return "Deno's own node:tls loses the end of long streams";
}

/** What `connect()` and `./sockets` give. */
interface Streams {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<Uint8Array>;
  close(): Promise<void>;
}

function streamPipe(streams: Streams, { index, random }: Target): Pipe {
  const writer = streams.writable.getWriter();
  const { readable } = streams;
  return {
    chunks: [
      () => readDefault(readable),
      () => readInto(readable, (size) => new Uint8Array(size), random),
      () => readInto(readable, (size) => new Uint16Array(size), random),
    ][index % 3]!(),
    isOwned: true,
    write: (bytes) => writer.write(writable(bytes)),
    close: () => streams.close(),
  };
}

/** A buffer that is whole is written as one. */
function writable(bytes: Uint8Array): Uint8Array {
  const isWhole = bytes.byteLength === bytes.buffer.byteLength;
  return isWhole ? bytes.buffer as unknown as Uint8Array : bytes;
}

async function* readDefault(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** By a BYOB reader, which wants an even number of bytes if views are wide. */
async function* readInto(
  stream: ReadableStream<Uint8Array>,
  view: (size: number) => ArrayBufferView<ArrayBuffer>,
  random: Random,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader({ mode: "byob" });
  for (;;) {
    const { done, value } = await reader.read(view(random.chunkSize()));
    if (done) return;
    yield new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
}

function socketPipe(socket: Socket): Pipe {
  return {
    chunks: socket,
    isOwned: false,
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.write(bytes, (error) => error ? reject(error) : resolve());
      }),
    close: () => socket.destroy(),
  };
}

async function denoDoor({ port, isTls }: Target): Promise<Pipe> {
  const { connectDeno } = await import("../../src/entry/deno.ts");
  const tls = isTls && { serverName };
  return connPipe(await connectDeno({ hostname, port, tls }));
}

function connPipe(conn: Deno.Conn): Pipe {
  return {
    chunks: readConn(conn),
    isOwned: false,
    async write(bytes) {
      for (let done = 0; done < bytes.length;) {
        done += await conn.write(bytes.subarray(done));
      }
    },
    close: () => conn.close(),
  };
}

async function* readConn(conn: Deno.Conn): AsyncGenerator<Uint8Array> {
  for (;;) {
    const bytes = new Uint8Array(65_536);
    const count = await conn.read(bytes);
    if (count === null) return;
    yield bytes.subarray(0, count);
  }
}

/** A copy in a pool that others use too, as far as that is the platform's way. */
export function pooled(bytes: Uint8Array): Uint8Array {
  return Buffer.from(bytes);
}
