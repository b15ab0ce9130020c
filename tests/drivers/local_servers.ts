/**
 * HTTP, WebSocket, SMTP, MongoDB and Kafka servers on 127.0.0.1:
 * `local_servers.ts PORTS`, PORTS being JSON by service. Prints a line when all
 * of them listen, and ends when its input does.
 *
 * HTTP and WebSocket servers echo; over HTTP/1, `/silent` is never answered and
 * `/unfinished` never to its end. The SMTP server takes every mail and answers
 * with its subject; it knows as much of SMTP as a client needs. Debian has no
 * MongoDB and no Kafka: what is in their place knows the first exchange.
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
const { BSON } = await npm("mongodb");

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
  mongodb: net.createServer((socket) => serve(socket, mongo)),
  kafka: net.createServer((socket) => serve(socket, kafka(ports.kafka))),
  kafkas: tls.createServer(
    identity,
    (socket) => serve(socket, kafka(ports.kafkas)),
  ),
};
servers.http!.on("connect", tunnel);
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

/** Is a proxy to the ports of this machine. */
function tunnel({ url }: http.IncomingMessage, client: net.Socket): void {
  const server = net.connect(Number(url!.split(":").at(-1)), "127.0.0.1");
  server.on("error", () => client.destroy());
  server.once("connect", () => {
    client.write("HTTP/1.1 200 Connection established\r\n\r\n");
    client.pipe(server).pipe(client);
  });
}

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

/** A protocol of messages that begin with their length. */
interface Protocol {
  /** Of the first message, when its length has arrived. */
  length(message: Buffer): number;
  answer(message: Buffer): Uint8Array;
}

function serve(socket: net.Socket, { length, answer }: Protocol): void {
  let read = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    read = Buffer.concat([read, chunk]);
    while (read.length >= 4 && read.length >= length(read)) {
      const end = length(read);
      socket.write(answer(read.subarray(0, end)));
      read = read.subarray(end);
    }
  });
}

/** MongoDB greets, and says yes to every command. */
const mongo: Protocol = {
  length: (message) => message.readInt32LE(),

  // OP_REPLY (1) to an OP_QUERY (2004), OP_MSG (2013) to an OP_MSG.
  answer(message) {
    const isQuery = message.readInt32LE(12) === 2004;
    // Before the command: flags, a name and two counts; or flags and a section.
    const at = isQuery ? message.indexOf(0, 20) + 9 : 21;
    const command = BSON.deserialize(message.subarray(at), {
      allowObjectSmallerThanBufferSize: true,
    });
    const [name] = Object.keys(command);
    const document = BSON.serialize(
      /^(hello|ismaster)$/i.test(name!) ? greeting : { ok: 1 },
    );
    const head = Buffer.alloc(isQuery ? 36 : 21);
    head.writeInt32LE(head.length + document.length);
    head.writeInt32LE(message.readInt32LE(4), 8);
    head.writeInt32LE(isQuery ? 1 : 2013, 12);
    // One document.
    if (isQuery) head.writeInt32LE(1, 32);
    return Buffer.concat([head, document]);
  },
};

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

/** Kafka tells its versions (request 18) and its only broker and topic (3). */
function kafka(port: number): Protocol {
  const host = text("localhost");
  const answers: Record<number, Buffer[]> = {
    18: [int16(0), int32(2), int16(3, 0, 0, 18, 0, 2), int32(0)],
    3: [
      int32(1, 0),
      host,
      int32(port),
      int32(1),
      int16(0),
      text("greetings"),
      int32(0),
    ],
  };
  return {
    length: (message) => 4 + message.readInt32BE(),
    answer(message) {
      const body = Buffer.concat(answers[message.readInt16BE(4)]!);
      const correlation = message.readInt32BE(8);
      return Buffer.concat([int32(4 + body.length, correlation), body]);
    },
  };
}

function int16(...numbers: number[]): Buffer {
  const buffer = Buffer.alloc(2 * numbers.length);
  numbers.forEach((number, index) => buffer.writeInt16BE(number, 2 * index));
  return buffer;
}

function int32(...numbers: number[]): Buffer {
  const buffer = Buffer.alloc(4 * numbers.length);
  numbers.forEach((number, index) => buffer.writeInt32BE(number, 4 * index));
  return buffer;
}

function text(text: string): Buffer {
  return Buffer.concat([int16(text.length), Buffer.from(text)]);
}
