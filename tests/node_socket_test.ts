/**
 * What shows neither through `Runtime` nor on every platform: how a socket is
 * handed over, and what `node:tls` is told. The rest of `node_socket.ts` is
 * tested by `runtime_conformance.ts`.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";

import { Buffer } from "node:buffer";
import { execFile } from "node:child_process";
import type { Socket } from "node:net";
import process from "node:process";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";

import type { AttemptError } from "../src/runtime/attempt_error.ts";
import {
  connectSocket,
  openSocket,
  type SocketPlan,
  type TlsStart,
} from "../src/runtime/node_socket.ts";
import { nodeTlsOptions } from "../src/runtime/node_tls_options.ts";
import type { DialOptions } from "../src/runtime/runtime.ts";
import { certificate } from "./certs/read.ts";
import { turn } from "./fake_clock.ts";
import { CountedAbort } from "./fake_network.ts";
import { runtimeName, test } from "./harness.ts";
import type { Peer } from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const plain: DialOptions = {
  hostname: "localhost",
  tls: null,
  allowHalfOpen: false,
  noDelay: true,
  keepAlive: false,
};

/** Makes nothing of the socket. */
const asItIs: SocketPlan<Socket> = {
  tls: null,
  handOver: (socket) => socket as unknown as Socket,
  explain: (error) => error,
};

test("openSocket() hands the socket over without a listener of its own", async () => {
  await using server = await loopback.serve(() => {});
  const { signal } = new AbortController();
  const socket = await openSocket(server.endpoint, asItIs, signal, () => {});
  for (const name of ["connect", "error", "data", "readable"]) {
    assertEquals(socket.listenerCount(name), 0, name);
  }
  assertEquals(socket.allowHalfOpen, true);
  socket.destroy();
  await server.idle();
});

test("openSocket() closes the socket when the hand-over throws (hazard 5)", async () => {
  await using server = await loopback.serve(() => {});
  const controller = new CountedAbort();
  const error = new Error("no room for it");
  const plan = {
    ...asItIs,
    handOver: () => {
      throw error;
    },
  };
  const opened = openSocket(server.endpoint, plan, controller.signal, () => {});
  assertStrictEquals(await assertRejects(() => opened), error);
  assertEquals(controller.listeners, 0);
  await server.idle();
});

test("connectSocket() rejects where node:net throws (hazard 6)", async () => {
  const controller = new CountedAbort();
  const endpoint = {
    address: "127.0.0.1",
    family: 4 as const,
    port: 9,
    localAddress: "no address",
  };
  await assertRejects(
    () => connectSocket(endpoint, plain, controller.signal, () => {}),
    Error,
  );
  assertEquals(controller.listeners, 0);
});

test("nodeTlsOptions() names the host, or the address where that is all", () => {
  const cases: [hostname: string, serverName: string | undefined, unknown][] = [
    ["example.test", undefined, ["example.test", "example.test"]],
    ["example.test", "other.test", ["other.test", "other.test"]],
    ["192.0.2.1", undefined, ["192.0.2.1", ""]],
    ["192.0.2.1", "example.test", ["example.test", "example.test"]],
    ["2001:db8::1", undefined, ["2001:db8::1", ""]],
    // A certificate cannot name a zone.
    ["fe80::1%eth0", undefined, ["fe80::1", ""]],
  ];
  for (const [hostname, serverName, expected] of cases) {
    const { host, servername } = nodeTlsOptions(hostname, { serverName });
    assertEquals([host, servername], expected);
  }
});

test("connectSocket() writes a part of a pool, and leaves the pool alone", async () => {
  let far: Peer | undefined;
  await using server = await loopback.serve((peer) => {
    far = peer;
  });
  const { signal } = new AbortController();
  const connection = await connectSocket(
    server.endpoint,
    plain,
    signal,
    () => {},
  );
  const neighbour = Buffer.from("neighbour");
  const chunk = Buffer.from("chunk");
  const { byteLength } = chunk.buffer;
  const writer = connection.writable.getWriter();
  await writer.write(chunk);
  assertEquals([String(chunk), String(neighbour)], ["chunk", "neighbour"]);
  assertEquals(chunk.buffer.byteLength, byteLength);
  chunk.fill("-");
  await writer.close();
  while (!far) await turn();
  assertEquals(new TextDecoder().decode((await far.read())!), "chunk");
  await connection.close();
  await server.idle();
});

// Deno has its own TLS.
if (runtimeName !== "deno") {
  const ca = certificate("ca");

  test("connectSocket() rejects where node:tls throws, and closes the connection", async () => {
    await using server = await loopback.serve(() => {});
    const tls = { cert: "no certificate", key: "no key" };
    const { signal } = new AbortController();
    const error = await assertRejects(
      () => connectSocket(server.endpoint, { ...plain, tls }, signal, () => {}),
      Error,
    ) as AttemptError;
    assertEquals(error.code, "ERR_TLS_HANDSHAKE");
    await server.idle();
  });

  // Node 24.22 and 26 read all TLS sockets into one buffer: were a part of it
  // transferred, the process would crash, or others read nothing (hazard 58).
  const starts: TlsStart[] = ["upgrade", "direct"];
  if (runtimeName === "node") starts.push("direct-onread");
  const receivers = [receive, receiveInto, receiveInTurn];

  for (const start of starts) {
    test(`connectSocket() with TLS, ${start}, leaves the platform's own TLS sockets alone`, async () => {
      const sent = Array.from(
        { length: 40 },
        (_, i) => new Uint8Array(1 + i * 997).fill(i),
      );
      await using server = await loopback.serve(async (peer) => {
        for (const bytes of sent) {
          await peer.write(bytes);
          await turn();
        }
        await peer.end();
      }, { tls: {} });
      const expected = Buffer.concat(sent);
      const { signal } = new AbortController();
      const options = { ...plain, tls: { caCerts: [ca] } };
      const readers = Array.from({ length: 6 }, async (_, i) => {
        const connection = await connectSocket(
          server.endpoint,
          options,
          signal,
          () => {},
          start,
        );
        const received = await receivers[i % 3]!(connection.readable);
        assert(received.equals(expected), `connection ${i}`);
        await connection.closed;
      });
      const { address: host, port } = server.endpoint;
      const platforms = Array.from({ length: 4 }, async (_, i) => {
        const socket = connectTls({ host, port, ca, servername: "localhost" });
        const chunks: Buffer[] = [];
        for await (const chunk of socket) chunks.push(chunk);
        assert(Buffer.concat(chunks).equals(expected), `own socket ${i}`);
      });
      await Promise.all([...readers, ...platforms]);
      await server.idle();
    });
  }

  test("nodeTlsOptions() makes one context for all attempts that want the same", () => {
    const contextOf = (options: Parameters<typeof nodeTlsOptions>[1]) =>
      nodeTlsOptions("example.test", options).secureContext;
    const context = contextOf({ caCerts: [ca] });
    assert(context);
    assertStrictEquals(contextOf({ caCerts: [ca] }), context);
    assert(contextOf({ caCerts: [ca, certificate("client")] }) !== context);
    assertStrictEquals(contextOf({ caCerts: [] }), undefined);
  });

  test("connectSocket() trusts caCerts in addition to the platform's roots", async () => {
    await using server = await loopback.serve(() => {}, { tls: {} });
    const { port } = server.endpoint;
    // With an authority of no use here, that of the server comes from the
    // environment, where the platform looks for roots.
    for (
      const [file, expected] of [["ca", "open"], ["client", "ERR_TLS_CERT"]]
    ) {
      const env = { NODE_EXTRA_CA_CERTS: certificatePath(file!) };
      assertEquals(await connectInAnotherProcess(port, env), expected);
    }
    await server.idle();
  });
}

/** All that comes, by a default reader. */
async function receive(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The same by a BYOB reader. */
async function receiveInto(
  stream: ReadableStream<Uint8Array>,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const reader = stream.getReader({ mode: "byob" });
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(10_000));
    if (done) return Buffer.concat(chunks);
    chunks.push(value);
  }
}

/** By both kinds of readers in turn, the BYOB reader's buffer often too small. */
async function receiveInTurn(
  stream: ReadableStream<Uint8Array>,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let turns = 0;; turns++) {
    const reader = turns % 3 > 0
      ? stream.getReader({ mode: "byob" })
      : stream.getReader();
    const { done, value } = await reader.read(new Uint8Array(turns * 100 + 1));
    reader.releaseLock();
    if (done) return Buffer.concat(chunks);
    chunks.push(value);
  }
}

function certificatePath(name: string): string {
  return fileURLToPath(new URL(`certs/${name}.pem`, import.meta.url));
}

/** Connects by TLS with `caCerts`; tells the error's code, or "open". */
function connectInAnotherProcess(
  port: number,
  env: Record<string, string>,
): Promise<string> {
  const options = {
    ...plain,
    tls: { caCerts: [certificate("client")] },
  };
  const module = new URL("../src/runtime/node_socket.ts", import.meta.url);
  const script = `
    const { connectSocket } = await import(${JSON.stringify(module.href)});
    const endpoint = { address: "127.0.0.1", family: 4, port: ${port} };
    const { signal } = new AbortController();
    const opened = connectSocket(endpoint, ${
    JSON.stringify(options)
  }, signal, () => {});
    console.log(await opened.then((connection) => {
      connection.close("enough");
      return "open";
    }, (error) => error.code));`;
  const loader = new URL("runtimes/node_loader.mjs", import.meta.url).href;
  const args = runtimeName === "bun"
    ? ["-e", script]
    : ["--import", loader, "--input-type=module", "-e", script];
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      args,
      { env: { ...process.env, ...env } },
      (error, stdout) => error ? reject(error) : resolve(stdout.trim()),
    );
  });
}
