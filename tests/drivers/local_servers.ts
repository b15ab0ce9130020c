/**
 * HTTP, WebSocket and SMTP servers on 127.0.0.1: `local_servers.ts PORTS`,
 * PORTS being JSON by service. Prints a line when all of them listen, and ends
 * when its input does.
 *
 * HTTP and WebSocket servers echo. The SMTP server takes every mail and answers
 * with its subject; it knows as much of SMTP as a client needs.
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

const echo: http.RequestListener = (request, response) => {
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
