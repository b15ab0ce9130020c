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

import { execFile } from "node:child_process";
import type { Socket } from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";

import type { AttemptError } from "../src/runtime/attempt_error.ts";
import {
  connectSocket,
  openSocket,
  type SocketPlan,
} from "../src/runtime/node_socket.ts";
import { nodeTlsOptions } from "../src/runtime/node_tls_options.ts";
import type { DialOptions } from "../src/runtime/runtime.ts";
import { certificate } from "./certs/read.ts";
import { CountedAbort } from "./fake_network.ts";
import { runtimeName, test } from "./harness.ts";
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
