/**
 * The other end, on Node whatever runtime is tested: one port in plain text and
 * one with TLS. On each connection it sends as many bytes as it gets, at the
 * same time, and at last the hash of what it got.
 *
 *     node server.ts '{"cert":"server.pem","key":"server_key.pem"}'
 *
 * Prints its ports, and ends when standard input does.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import {
  type AddressInfo,
  createServer,
  type Server,
  type Socket,
} from "node:net";
import process from "node:process";
import { createServer as createTlsServer } from "node:tls";

import { ByteSource, decodeHello, HELLO_SIZE, Random } from "./source.ts";

const { cert, key } = JSON.parse(process.argv[2]!) as Record<string, string>;
const identity = { cert: readFileSync(cert!), key: readFileSync(key!) };

const ports = {
  plain: await listen(createServer(serve)),
  tls: await listen(createTlsServer(identity, serve)),
};
console.log(JSON.stringify(ports));
process.stdin.resume().on("end", () => process.exit());

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject).listen(0, "127.0.0.1", 4096, resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** What goes wrong here, the client sees. */
function serve(socket: Socket): void {
  exchange(socket).catch(() => socket.destroy());
}

async function exchange(socket: Socket): Promise<void> {
  const chunks: AsyncIterator<Buffer> = socket[Symbol.asyncIterator]();
  let start: Uint8Array = new Uint8Array();
  while (start.length < HELLO_SIZE) {
    const { value } = await chunks.next();
    start = Buffer.concat([start, value!]);
  }
  const { up: _, size, down } = decodeHello(start.subarray(0, HELLO_SIZE));
  const sending = send(socket, down, size);
  const hash = await receive(start.subarray(HELLO_SIZE), chunks, size);
  await sending;
  socket.end(hash);
}

async function send(socket: Socket, seed: number, size: number): Promise<void> {
  const source = new ByteSource(seed);
  const random = new Random(~seed);
  for (let left = size; left > 0;) {
    const bytes = new Uint8Array(Math.min(left, random.chunkSize()));
    source.fill(bytes);
    left -= bytes.length;
    if (!socket.write(bytes)) await once(socket, "drain");
  }
}

async function receive(
  start: Uint8Array,
  chunks: AsyncIterator<Uint8Array>,
  size: number,
): Promise<Uint8Array> {
  const hash = createHash("sha256").update(start);
  for (let left = size - start.length; left > 0;) {
    const { value } = await chunks.next();
    hash.update(value);
    left -= value.length;
  }
  return hash.digest();
}
