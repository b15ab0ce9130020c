/**
 * What `./sockets` does with TLS, in a process that was started with the tests'
 * authority among its roots. Prints `[name, "ok" or what went wrong]` for each
 * case, as JSON, and ends by itself.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";

import { connect, type Socket, SocketError } from "../../src/entry/sockets.ts";
import { ConnectError } from "../../src/errors.ts";
import { runtimeName } from "../harness.ts";
import type { Peer, ServerTlsOptions } from "../runtime_conformance.ts";
import { loopback } from "../servers.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A server for the time of `use`, which is given its port. */
async function serving(
  behaviour: (peer: Peer) => void | Promise<void>,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = await loopback.serve(behaviour);
  await use(server.endpoint.port);
  await server[Symbol.asyncDispose]();
}

/** Serves TLS; says who was asked for, then ends. */
const greeting = (options?: ServerTlsOptions) => async (peer: Peer) => {
  const secure = await peer.startTls(options);
  await secure.write(encoder.encode(`this is ${secure.serverName}`));
  await secure.end();
};

/** Plain text until the client asks for TLS, with `answer`; then an echo. */
const upgradable =
  (answer = "S", tls?: ServerTlsOptions) => async (peer: Peer) => {
    assertEquals(decoder.decode((await peer.read())!), "STARTTLS");
    await peer.write(encoder.encode(answer));
    const secure = await peer.startTls(tls);
    for (;;) {
      const bytes = await secure.read();
      if (bytes === null) break;
      await secure.write(bytes);
    }
    await secure.end();
  };

/** A socket whose peer waits for a handshake. */
async function openUpgradable(
  port: number,
  hostname = "localhost",
  sni?: string,
): Promise<Socket> {
  const secureTransport = "starttls";
  const socket = connect({ hostname, port }, { secureTransport, sni });
  const writer = socket.writable.getWriter();
  await writer.write(encoder.encode("STARTTLS"));
  writer.releaseLock();
  const reader = socket.readable.getReader({ mode: "byob" });
  const { value } = await reader.read(new Uint8Array(1));
  reader.releaseLock();
  assertEquals(decoder.decode(value), "S");
  return socket;
}

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  const error = await assertRejects(() => promise, SocketError);
  return (error as SocketError).code;
}

const cases: Record<string, () => Promise<void>> = {
  "secureTransport on: opened when the handshake is done": () =>
    serving(greeting(), async (port) => {
      const socket = connect(`localhost:${port}`, { secureTransport: "on" });
      assertEquals(socket.secureTransport, "on");
      assertEquals((await socket.opened).alpn, null);
      assertThrows(() => socket.startTls(), SocketError, "TLS socket");
      const text = await new Response(socket.readable).text();
      assertEquals(text, "this is localhost");
      await socket.closed;
    }),

  "sni is sent and verified": () =>
    serving(greeting(), async (port) => {
      const sni = "example.test";
      const options = { secureTransport: "on", sni } as const;
      const socket = connect(`127.0.0.1:${port}`, options);
      const text = await new Response(socket.readable).text();
      assertEquals(text, "this is example.test");
    }),

  "a wrong name rejects opened and closed": () =>
    serving(greeting(), async (port) => {
      const sni = "wrong.test";
      const options = { secureTransport: "on", sni } as const;
      const socket = connect(`127.0.0.1:${port}`, options);
      assertEquals(await codeOf(socket.opened), "ERR_TLS_CERT");
      assertEquals(await codeOf(socket.closed), "ERR_TLS_CERT");
    }),

  "alpn is agreed on": () =>
    serving(greeting({ alpnProtocols: ["h2", "http/1.1"] }), async (port) => {
      const alpn = ["http/1.1"];
      const options = { secureTransport: "on", alpn } as const;
      const socket = connect(`localhost:${port}`, options);
      assertEquals((await socket.opened).alpn, "http/1.1");
      await socket.close();
    }),

  "startTls() takes the socket's place": () =>
    serving(upgradable(), async (port) => {
      const socket = await openUpgradable(port);
      const order: string[] = [];
      socket.closed.then(() => order.push("closed"));
      const secure = socket.startTls();
      assertEquals([socket.upgraded, secure.upgraded], [true, false]);
      assertEquals(secure.secureTransport, "on");
      assertThrows(() => socket.startTls(), SocketError, "before");
      secure.opened.then(() => order.push("opened"));
      await socket.closed;
      await secure.opened;
      assertEquals(order.toSorted(), ["closed", "opened"]);
      await assertRejects(() => socket.readable.getReader().read(), TypeError);
      assertStrictEquals(await socket.close(), undefined);
      const text = new Response(secure.readable).text();
      const writer = secure.writable.getWriter();
      await writer.write(encoder.encode("in private"));
      await writer.close();
      assertEquals(await text, "in private");
      await secure.closed;
    }),

  "startTls() can be written to, and closed resolved, before it is open": () =>
    serving(upgradable(), async (port) => {
      const socket = await openUpgradable(port);
      const secure = socket.startTls();
      let isWritable = false;
      secure.writable.getWriter().ready.then(() => {
        isWritable = true;
      });
      // postgres.js knows by this that it was an upgrade and not an end.
      await socket.closed;
      assert(isWritable);
      await secure.close();
    }),

  "startTls() waits for the connection": () =>
    serving(greeting(), async (port) => {
      const options = { secureTransport: "starttls" } as const;
      const socket = connect(`localhost:${port}`, options);
      const secure = socket.startTls();
      const text = await new Response(secure.readable).text();
      assertEquals(text, "this is localhost");
      await secure.closed;
    }),

  "startTls() verifies sni, else the hostname, or what is expected":
    async () => {
      const outcomes: [hostname: string, sni?: string, expected?: string][] = [
        ["localhost"],
        ["127.0.0.1", "example.test"],
        ["127.0.0.1", "wrong.test", "example.test"],
      ];
      for (const [hostname, sni, expectedServerHostname] of outcomes) {
        await serving(upgradable(), async (port) => {
          const socket = await openUpgradable(port, hostname, sni);
          const secure = socket.startTls({ expectedServerHostname });
          await secure.opened;
          await secure.close();
        });
      }
    },

  "startTls() that fails rejects the new socket and closes the old one": () =>
    serving(upgradable(), async (port) => {
      const socket = await openUpgradable(port);
      const expectedServerHostname = "wrong.test";
      const secure = socket.startTls({ expectedServerHostname });
      const reading = secure.readable.getReader().read();
      assertEquals(await codeOf(secure.opened), "ERR_TLS_CERT");
      assertEquals(await codeOf(secure.closed), "ERR_TLS_CERT");
      const { cause } = await secure.opened.catch((error) => error);
      assertInstanceOf(cause, ConnectError);
      assertEquals(cause.port, port);
      assertEquals((await reading).done, true);
      await socket.closed;
    }),

  "startTls() is refused when plain text is buffered: an injected response":
    () =>
      serving(upgradable("SOK you are in\r\n"), async (port) => {
        const socket = await openUpgradable(port);
        const secure = socket.startTls();
        const error = await assertRejects(() => secure.opened, SocketError);
        // Deno reads no more than it is asked for, so there it is TLS that fails.
        const message = runtimeName === "deno" ? "" : "plain text is buffered";
        assert(error.message.includes(message), error.message);
        assertStrictEquals(await secure.closed.catch((error) => error), error);
        await socket.closed;
      }),

  "close(reason) ends a handshake": () =>
    serving(async (peer) => void await peer.read(), async (port) => {
      const options = { secureTransport: "starttls" } as const;
      const socket = connect(`localhost:${port}`, options);
      await socket.opened;
      const secure = socket.startTls();
      const reason = new Error("never mind");
      await secure.close(reason);
      const error = await secure.opened.catch((error) => error);
      assertStrictEquals(error, reason);
      await socket.closed;
    }),
};

for (const [name, run] of Object.entries(cases)) {
  let outcome = "ok";
  try {
    await run();
  } catch (error) {
    outcome = (error as Error).stack ?? String(error);
  }
  console.log(JSON.stringify([name, outcome]));
}
