/**
 * HTTP, WebSocket, SMTP and MongoDB servers on 127.0.0.1: `local_servers.ts
 * PORTS`, PORTS being JSON by service. Prints a line when all of them listen,
 * and ends when its input does.
 *
 * HTTP and WebSocket servers echo; over HTTP/1, `/silent` is never answered and
 * `/unfinished` never to its end. The SMTP server takes every mail and answers
 * with its subject; it knows as much of SMTP as a client needs. Debian has no
 * MongoDB: the server in its place greets, and says yes to every command.
 *
 * @module
 */

import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import process from "node:process";
import readline from "node:readline";
import tls from "node:tls";

import { certificate } from "../certs/read.ts";
import { npm, type Scene } from "./scene.ts";

const ports: Scene["ports"] = JSON.parse(process.argv[2]!);
const identity = {
  cert: certificate("server"),
  key: certificate("server_key"),
};
const { WebSocketServer } = await npm("ws");
const { deserialize, serialize } = await npm("bson");

const echo: http.RequestListener = (request, response) => {
  if (request.url === "/silent") return;
  if (request.url === "/unfinished") return void response.write("and then");
  request.pipe(response);
};
const echo2 = (
  request: http2.Http2ServerRequest,
  response: http2.Http2ServerResponse,
) => void request.pipe(response);

const servers: Partial<Record<keyof typeof ports, net.Server>> = {
  http: http.createServer(echo),
  https: https.createServer(identity, echo),
  h2c: http2.createServer(echo2),
  h2: http2.createSecureServer(identity, echo2),
  smtp: net.createServer((socket) => greet(socket, true)),
  smtps: tls.createServer(identity, (socket) => greet(socket, false)),
  mongodb: net.createServer(serveMongo),
};
for (const server of [servers.http, servers.https]) {
  new WebSocketServer({ server }).on("connection", (socket: net.Socket) => {
    // deno-lint-ignore no-explicit-any -- the WebSocket of `ws`
    const peer = socket as any;
    peer.on("message", (message: Uint8Array) => peer.send(message));
  });
}

for (const [service, server] of Object.entries(servers)) {
  // A client may go away at any moment.
  server.on("connection", (socket) => socket.on("error", () => {}));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const port = ports[service as keyof typeof ports];
    server.listen(port, "127.0.0.1", resolve);
  });
}
console.log("ready");
process.stdin.on("end", () => process.exit()).resume();

/** Begins an SMTP session. */
function greet(socket: net.Socket, offersTls: boolean): void {
  serveMail(socket, offersTls);
  socket.write("220 here\r\n");
}

/** One SMTP session, before STARTTLS or after. */
function serveMail(socket: net.Socket, offersTls: boolean): void {
  socket.on("error", () => {});
  const say = (text: string) => void socket.write(`${text}\r\n`);
  const lines = readline.createInterface({ input: socket });
  let mail: string[] | undefined;
  const answers: Record<string, () => void> = {
    EHLO: () => say(offersTls ? "250-here\r\n250 STARTTLS" : "250 here"),
    MAIL: () => say("250 ok"),
    RCPT: () => say("250 ok"),
    DATA() {
      mail = [];
      say("354 go on");
    },
    QUIT() {
      say("221 bye");
      socket.end();
    },
    STARTTLS() {
      lines.close();
      say("220 go on");
      const options = { ...identity, isServer: true };
      serveMail(new tls.TLSSocket(socket, options), false);
    },
  };
  lines.on("line", (line) => {
    if (!mail) {
      const answer = answers[line.split(" ")[0]!.toUpperCase()];
      return answer ? answer() : say("500 what");
    }
    if (line !== ".") return void mail.push(line);
    const subject = mail.find((line) => line.startsWith("Subject: "));
    mail = undefined;
    say(`250 taken: ${subject?.slice("Subject: ".length)}`);
  });
}

/** What MongoDB says of itself. */
const greeting = {
  ok: 1,
  helloOk: true,
  isWritablePrimary: true,
  minWireVersion: 0,
  maxWireVersion: 21,
  maxBsonObjectSize: 1 << 24,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
};

/** Answers every message of its wire protocol; each begins with its length. */
function serveMongo(socket: net.Socket): void {
  let read = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    read = Buffer.concat([read, chunk]);
    while (read.length >= 4 && read.length >= read.readInt32LE()) {
      const length = read.readInt32LE();
      socket.write(answerMongo(read.subarray(0, length)));
      read = read.subarray(length);
    }
  });
}

/** OP_REPLY (1) to an OP_QUERY (2004), OP_MSG (2013) to an OP_MSG. */
function answerMongo(message: Buffer): Uint8Array {
  const isQuery = message.readInt32LE(12) === 2004;
  // Before the command: flags and one section, or flags, a name and two counts.
  const at = isQuery ? message.indexOf(0, 20) + 9 : 21;
  const command = deserialize(message.subarray(at), {
    allowObjectSmallerThanBufferSize: true,
  });
  const [name] = Object.keys(command);
  const answer = /^(hello|ismaster)$/i.test(name!) ? greeting : { ok: 1 };
  const document = serialize(answer);
  const head = Buffer.alloc(isQuery ? 36 : 21);
  head.writeInt32LE(head.length + document.length);
  head.writeInt32LE(message.readInt32LE(4), 8);
  head.writeInt32LE(isQuery ? 1 : 2013, 12);
  // One document.
  if (isQuery) head.writeInt32LE(1, 32);
  return Buffer.concat([head, document]);
}
