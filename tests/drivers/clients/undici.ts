/** undici's `fetch` through its dispatchers. @module */

import { equal, match, ok } from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";

import {
  connector,
  type ConnectorCallback,
  type ConnectorOptions,
  type ConnectorTarget,
} from "../../../src/entry/node.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { Agent, errors, fetch, Pool, ProxyAgent } = await npm("undici/index.js");

/** The `connect` option; it makes its options anew for each connection. */
function connecting(more: () => ConnectorOptions) {
  return (target: ConnectorTarget, callback: ConnectorCallback) =>
    connector(more())(target, callback);
}

async function echo(
  url: string,
  // deno-lint-ignore no-explicit-any -- of undici
  dispatcher: any,
): Promise<void> {
  for (let times = 0; times < 2; times++) {
    const response = await fetch(url, {
      method: "POST",
      body: "hello",
      dispatcher,
    });
    equal(await response.text(), "hello");
  }
  await dispatcher.close();
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "http"({ hostname, ports, watch }) {
    const connect = connecting(() => ({ onEvent: watch().onEvent }));
    await echo(`http://${hostname}:${ports.http}`, new Agent({ connect }));
  },

  async "https"({ hostname, ports, ca, watch }) {
    const connect = connecting(() => ({ ca, onEvent: watch().onEvent }));
    await echo(`https://${hostname}:${ports.https}`, new Agent({ connect }));
  },

  async "HTTP/2"({ hostname, ports, ca, watch }) {
    const connect = connecting(() => ({
      ca,
      allowH2: true,
      onEvent: watch().onEvent,
    }));
    const agent = new Agent({ connect, allowH2: true });
    await echo(`https://${hostname}:${ports.h2}`, agent);
  },

  async "proxy"({ hostname, ports, ca, watch }) {
    const connect = connecting(() => ({ onEvent: watch().onEvent }));
    const agent = new ProxyAgent({
      uri: `http://${hostname}:${ports.http}`,
      requestTls: { ca },
      clientFactory: (origin: URL, options: object) =>
        new Pool(origin, { ...options, connect }),
    });
    await echo(`https://example.test:${ports.https}`, agent);
  },

  /** TLS on the proxy's tunnel is ours too. */
  async "tunnel"({ hostname, ports, ca, watch }) {
    const proxy = new Pool(`http://${hostname}:${ports.http}`, {
      connect: connecting(() => ({ onEvent: watch().onEvent })),
    });
    const connect = connector({ ca });
    const agent = new Agent({
      async connect(target: ConnectorTarget, callback: ConnectorCallback) {
        const { socket: httpSocket } = await proxy.connect({
          path: target.host,
        });
        connect({ ...target, httpSocket }, callback);
      },
    });
    await echo(`https://example.test:${ports.https}`, agent);
    await proxy.close();
  },

  async "timeout"({ hostname, ports, ca, watch }) {
    const silent = net.createServer();
    await once(silent.listen(0, "127.0.0.1"), "listening");
    const { port } = silent.address() as net.AddressInfo;
    const open = new Set<net.Socket>();
    silent.on("connection", (socket) => open.add(socket));
    const impatient = new Agent({ connect: connector({ timeout: 20 }) });
    const url = `https://127.0.0.1:${port}`;
    const { cause } = await fetch(url, { dispatcher: impatient })
      .catch((error: unknown) => error);
    equal(cause.code, "UND_ERR_CONNECT_TIMEOUT");
    ok(cause instanceof errors.ConnectTimeoutError);
    match(cause.cause.message, /: 127\.0\.0\.1 ETIMEDOUT$/);
    await impatient.close();
    for (const socket of open) socket.destroy();
    silent.close();

    // In time, that limit means nothing.
    const connect = connecting(() => ({
      ca,
      timeout: 20_000,
      onEvent: watch().onEvent,
    }));
    await echo(`https://${hostname}:${ports.https}`, new Agent({ connect }));
  },
};

/** What `fetch` rejects with has the platform's error as its cause. */
export async function failure(
  { hostname, refused, watch }: Scene,
): Promise<unknown> {
  const { onEvent } = watch();
  const agent = new Agent({ connect: connector({ onEvent }) });
  const url = `http://${hostname}:${refused}`;
  const error = await fetch(url, { dispatcher: agent })
    .catch((error: unknown) => error);
  await agent.close();
  return error.cause;
}

/**
 * undici tells no connector that its dispatcher was destroyed: what ends the
 * attempts then is their limit, as with undici's own.
 */
export async function abort(
  { ports }: Scene,
  { onEvent }: Watched,
  hasBegun: Promise<void>,
): Promise<"http"> {
  const controller = new AbortController();
  const { signal } = controller;
  let end = () => {};
  const ended = new Promise<void>((resolve) => end = resolve);
  const connect = connector({
    timeout: 50,
    onEvent(event) {
      onEvent(event);
      if (event.type === "end") end();
    },
  });
  const agent = new Agent({ connect });
  // Here is the black hole.
  const url = `http://[::1]:${ports.http}`;
  const failed = fetch(url, { dispatcher: agent, signal })
    .catch((error: unknown) => error);
  await hasBegun;
  controller.abort();
  equal((await failed).name, "AbortError");
  await agent.destroy();
  await ended;
  return "http";
}
