/**
 * All servers of the testbed: DNS over UDP and TCP, plain TCP, TLS.
 *
 * Ordinary sockets of the system, in a namespace that takes every server
 * address for its own, so they listen once for all scenarios. What is broken
 * is broken on the way to them, by the link; only DNS answers differ here. It
 * ends when standard input does.
 *
 *     deno run -A --unstable-net servers.ts zones.json
 *
 * Prints `ready`, and on `SIGUSR2` a line with how many connections were
 * accepted and how many of them are open.
 *
 * @module
 */

import { buildReply, parseMessage } from "./dns_message.ts";
import { parseIpAddress } from "../../src/core/ip_address.ts";
import type { Zones } from "./world.ts";
import { DNS_SERVERS, labelOf, TCP_PORT, TLS_PORT } from "./world.ts";

const zones: Zones = JSON.parse(Deno.readTextFileSync(Deno.args[0]!));
const HTTP_ANSWER = new TextEncoder().encode(
  "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
);
const connections = { accepted: 0, open: 0 };

main();

async function main(): Promise<void> {
  const tls = {
    cert: read("tls/server.pem"),
    key: read("tls/server.key"),
  };
  // This takes IPv4 as well.
  const hostname = "::";
  drainAll(Deno.listen({ hostname, port: TCP_PORT, tcpBacklog: 4096 }));
  drainAll(Deno.listenTls({ hostname, port: TLS_PORT, ...tls }));
  for (const hostname of Object.values(DNS_SERVERS)) {
    answerUdp(Deno.listenDatagram({ transport: "udp", hostname, port: 53 }));
    answerTcp(Deno.listen({ hostname, port: 53 }));
  }
  Deno.addSignalListener("SIGUSR2", () => {
    console.log(JSON.stringify(connections));
  });
  console.log("ready");
  for await (const _ of Deno.stdin.readable);
  Deno.exit();
}

function read(file: string): string {
  return Deno.readTextFileSync(new URL(file, import.meta.url));
}

/** Says nothing first, answers what may be HTTP, closes when the client did. */
async function drainAll(
  listener: Deno.TcpListener | Deno.TlsListener,
): Promise<void> {
  for (;;) {
    try {
      drain(await listener.accept());
    } catch {
      // It was reset before it was accepted.
    }
  }
}

async function drain(connection: Deno.Conn): Promise<void> {
  connections.accepted++;
  connections.open++;
  const buffer = new Uint8Array(1024);
  try {
    while (await connection.read(buffer) !== null) {
      await connection.write(HTTP_ANSWER);
    }
  } catch {
    // Reset, or a TLS handshake that was given up: the client is gone.
  }
  connections.open--;
  connection.close();
}

async function answerUdp(socket: Deno.DatagramConn): Promise<void> {
  for await (const [query, client] of socket) {
    answer(query as Uint8Array<ArrayBuffer>, true).then((reply) => {
      if (reply) return socket.send(reply, client);
    });
  }
}

async function answerTcp(listener: Deno.TcpListener): Promise<void> {
  for await (const connection of listener) answerStream(connection);
}

async function answerStream(connection: Deno.TcpConn): Promise<void> {
  using _ = connection;
  const reader = connection.readable.getReader();
  let bytes = new Uint8Array();
  for (;;) {
    const { value } = await reader.read().catch(() => ({ value: undefined }));
    if (!value) return;
    bytes = Uint8Array.of(...bytes, ...value);
    for (;;) {
      const length = (bytes[0]! << 8) | bytes[1]!;
      if (bytes.length < 2 || bytes.length < 2 + length) break;
      answer(bytes.slice(2, 2 + length), false).then((reply) => {
        if (!reply) return;
        const { length } = reply;
        return connection.write(
          Uint8Array.of(length >> 8, length & 255, ...reply),
        );
      });
      bytes = bytes.slice(2 + length);
    }
  }
}

/** The reply when its time has come; `null` where there will be none. */
async function answer(
  query: Uint8Array<ArrayBuffer>,
  isUdp: boolean,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const { name = "", type = "" } = parseMessage(query) ?? {};
  const zone = zones[labelOf(name) ?? ""];
  if (!zone) return buildReply(query, negative("NXDOMAIN"));
  if (type !== "AAAA" && type !== "A") {
    return buildReply(query, negative("NOERROR"));
  }
  const { records, addresses } = zone[type];
  const { hosts, delay = 0, truncated = false } = records;
  if (hosts === "silence") return null;
  if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
  if (typeof hosts === "string") return buildReply(query, negative(hosts));
  return buildReply(query, {
    rcode: "NOERROR",
    addresses: addresses.map((address) =>
      Uint8Array.from(parseIpAddress(address)!.bytes)
    ),
    truncated: truncated && isUdp,
  });
}

function negative(rcode: "NOERROR" | "NXDOMAIN" | "SERVFAIL") {
  return { rcode, addresses: [], truncated: false };
}
