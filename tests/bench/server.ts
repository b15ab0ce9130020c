/**
 * The server of the benches, a process of its own, so that it shares no event
 * loop with what is measured and is the same for all that is.
 *
 * Five ports: one that only accepts, one that does so with TLS, one that sends
 * a number of bytes, one that does so with TLS, and one that takes as many and
 * says so with one byte. It
 * answers the client's FIN with a reset: a client that closes thousands of
 * connections would otherwise leave as many ports in TIME_WAIT, and run out.
 * (Not with TLS, where Node has no reset and connections are few.) It ends
 * when standard input does.
 *
 *     node server.ts '{"cert":"server.pem","key":"server.key","transfer":1048576}'
 *
 * @module
 */

import { readFileSync } from "node:fs";
import {
  type AddressInfo,
  createServer,
  type Server,
  type Socket,
} from "node:net";
import process from "node:process";
import { createServer as createTlsServer } from "node:tls";

const { cert, key, transfer } = JSON.parse(process.argv[2]!) as {
  cert: string;
  key: string;
  transfer: number;
};
const identity = { cert: readFileSync(cert), key: readFileSync(key) };
const chunk = new Uint8Array(256 * 1024);

const ports = {
  accept: await listen(createServer({ allowHalfOpen: true }, accept)),
  tls: await listen(
    createTlsServer(
      identity,
      (socket) => void socket.on("error", () => {}).resume(),
    ),
  ),
  source: await listen(createServer(send)),
  tlsSource: await listen(createTlsServer(identity, send)),
  sink: await listen(createServer({ allowHalfOpen: true }, take)),
};
console.log(JSON.stringify(ports));
process.stdin.resume().on("end", () => process.exit());

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject).listen(0, "::", 4096, resolve);
  });
  return (server.address() as AddressInfo).port;
}

function accept(socket: Socket): void {
  socket.on("error", () => {});
  socket.on("end", () => socket.resetAndDestroy()).resume();
}

function send(socket: Socket): void {
  socket.on("error", () => {}).resume();
  let left = transfer;
  const fill = () => {
    while (left > 0) {
      const bytes = chunk.subarray(0, left);
      left -= bytes.length;
      if (!socket.write(bytes)) return;
    }
    socket.off("drain", fill).end();
  };
  socket.on("drain", fill);
  fill();
}

function take(socket: Socket): void {
  let left = transfer;
  accept(socket);
  socket.on("data", (bytes) => {
    left -= bytes.length;
    if (left === 0) socket.write(new Uint8Array(1));
  });
}
