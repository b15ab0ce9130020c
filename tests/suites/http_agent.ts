/**
 * HTTP agents whose sockets are made by a hook, after Node's `test-http-agent-*`
 * and `test-http-client-*`.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import http from "node:http";
import net from "node:net";

import { type Case, deferred, type Options, type Scene } from "./scene.ts";

const host = "127.0.0.1";
const name = "example.test";

/** A request that is logged from its socket to its end. */
export interface Exchange {
  readonly request: http.ClientRequest;
  /** When it is closed. */
  readonly closed: Promise<void>;
}

/** Logs what becomes of a request. */
export function follow(
  scene: Scene,
  request: http.ClientRequest,
  label = "",
): Exchange {
  const { promise: closed, resolve } = deferred<void>();
  const log = (event: string, ...details: unknown[]) =>
    scene.log(`${label}${event}`, ...details);
  request.on("socket", (socket) => {
    scene.keep(socket);
    log("socket", socket.connecting, request.reusedSocket);
  });
  request.on("response", (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (data: string) => text += data);
    response.on("end", () => log("response", response.statusCode, text));
    response.on("error", (error) => log("response error", error));
  });
  for (const event of ["timeout", "abort", "error"]) {
    request.on(event, (...details) => log(event, ...details));
  }
  request.on("close", () => {
    log("close", request.destroyed);
    resolve();
  });
  return { request, closed };
}

/** Asks a server of the scene by its name. */
function get(
  scene: Scene,
  agent: http.Agent,
  options: Options,
  label?: string,
): Exchange {
  const names = scene.door.names([host]);
  const request = http.get({ agent, host: name, ...names, ...options });
  return follow(scene, request, label);
}

/** Asks a server whose name is looked up for ever. */
function getNowhere(
  scene: Scene,
  agent: http.Agent,
  options: Options = {},
): Exchange {
  return get(scene, agent, { port: 9, ...scene.door.names(), ...options });
}

/** An agent that leaves nothing behind. */
function agentOf(scene: Scene, options?: Options): http.Agent {
  const agent = scene.door.agent(options);
  scene.defer(() => agent.destroy());
  return agent;
}

/** Waits for the end of an exchange, which on Bun may never come. */
export async function given(
  scene: Scene,
  { closed }: Exchange,
  milliseconds = 1000,
): Promise<void> {
  await Promise.race([closed, scene.pause(milliseconds)]);
}

/** How many sockets and requests an agent holds. */
export function pool(scene: Scene, label: string, agent: http.Agent): void {
  const { sockets, freeSockets, requests, totalSocketCount } =
    agent as unknown as Record<string, Record<string, unknown[]>>;
  const count = (lists: Record<string, unknown[]> = {}) =>
    Object.values(lists).map(({ length }) => length);
  scene.log(label, count(sockets), count(freeSockets), count(requests));
  scene.log(`${label}, in all`, totalSocketCount);
}

/** An HTTP server that says its number of connections so far. */
async function serve(
  scene: Scene,
  onRequest?: http.RequestListener,
): Promise<number> {
  let connections = 0;
  const server = http.createServer(
    onRequest ?? ((_request, response) => response.end(`${connections}`)),
  );
  server.on("connection", () => connections++);
  return await scene.listen(server);
}

/** One that takes requests and says nothing. */
const silence = () => {};

export const httpCases: readonly Case[] = [
  {
    name: "an agent that keeps connections alive uses one for three requests",
    from: "test-http-agent-keepalive.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true });
      agent.on("free", () => scene.log("free"));
      for (let i = 0; i < 3; i++) {
        await get(scene, agent, { port }).closed;
        await scene.turn();
        pool(scene, "then", agent);
      }
    },
  },
  {
    name: "an agent that does not makes a socket for each request",
    from: "test-http-agent.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: false });
      for (let i = 0; i < 2; i++) {
        await get(scene, agent, { port }).closed;
        await scene.pause(20);
        pool(scene, "then", agent);
      }
    },
  },
  {
    name: "maxSockets lets requests wait for a socket",
    from: "test-http-agent-maxsockets.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true, maxSockets: 1 });
      const one = get(scene, agent, { port }, "one ");
      const two = get(scene, agent, { port }, "two ");
      pool(scene, "at first", agent);
      await Promise.all([one.closed, two.closed]);
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a socket that fails makes room for the request that waits",
    from: "test-http-client-abort-keep-alive-queued-tcp-socket.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true, maxSockets: 1 });
      const one = get(scene, agent, { port }, "one ");
      const two = get(scene, agent, { port }, "two ");
      one.request.destroy();
      await Promise.all([one.closed, two.closed]);
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "what listens to a socket that is free",
    from: "test-http-agent-reuse-drained-socket-only.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true });
      const { request, closed } = get(scene, agent, { port });
      await closed;
      await scene.turn();
      const { socket } = request;
      const counts = socket!.eventNames().filter((event) =>
        typeof event === "string"
      ).map((event) => [event, socket!.listenerCount(event)]);
      scene.log("listeners", counts.map(String).sort());
      scene.log("timeout", socket!.timeout);
    },
  },
  {
    name: "a server that closes a free socket empties the pool",
    from: "test-http-agent-destroyed-socket.js",
    async run(scene) {
      const peers: net.Socket[] = [];
      const port = await serve(scene, ({ socket }, response) => {
        peers.push(socket);
        response.end();
      });
      const agent = agentOf(scene, { keepAlive: true });
      const { request, closed } = get(scene, agent, { port });
      await closed;
      await scene.turn();
      pool(scene, "free", agent);
      peers[0]!.end();
      await scene.event(request.socket!, "close");
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "an error of a free socket is nobody's",
    from: "test-http-agent-error-on-idle.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true });
      const { request, closed } = get(scene, agent, { port });
      await closed;
      await scene.turn();
      const { socket } = request;
      socket!.destroy(new Error("on its own"));
      await scene.closed(socket!);
      pool(scene, "then", agent);
    },
  },
  {
    name: "the agent's timeout counts while it looks up",
    from: "test-http-agent-timeout.js",
    async run(scene) {
      const agent = agentOf(scene, { timeout: 30 });
      const { request, closed } = getNowhere(scene, agent);
      request.on("timeout", () => request.destroy());
      await given(scene, { request, closed });
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "the agent's timeout closes a socket that is free",
    from: "test-http-agent-timeout-option.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true, timeout: 150 });
      const { request, closed } = get(scene, agent, { port });
      await closed;
      await scene.turn();
      pool(scene, "free", agent);
      await scene.event(request.socket!, "close");
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a request's timeout counts while it looks up",
    from: "test-http-client-timeout-option.js",
    async run(scene) {
      const agent = agentOf(scene);
      const { request, closed } = getNowhere(scene, agent, { timeout: 30 });
      request.on("timeout", () => request.destroy());
      await given(scene, { request, closed });
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a request's timeout counts while it waits for the answer",
    from: "test-http-client-timeout-with-data.js",
    async run(scene) {
      const port = await serve(scene, silence);
      const agent = agentOf(scene);
      const { request, closed } = get(scene, agent, { port, timeout: 150 });
      request.on("timeout", () => request.destroy(new Error("too late")));
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "setTimeout() of a request counts from the connection on",
    from: "test-http-client-timeout-on-connect.js",
    async run(scene) {
      const port = await serve(scene, silence);
      const agent = agentOf(scene);
      const { request, closed } = get(scene, agent, { port });
      request.setTimeout(150, () => {
        scene.log("called", request.socket?.connecting);
        request.destroy();
      });
      await closed;
    },
  },
  {
    name: "setTimeout() of a request while it looks up",
    from: "test-http-client-timeout-connect-listener.js",
    async run(scene) {
      const agent = agentOf(scene);
      const { request, closed } = getNowhere(scene, agent);
      request.setTimeout(20, () => scene.log("called"));
      await scene.pause(60);
      request.destroy();
      await closed;
    },
  },
  {
    name: "a huge timeout of a request does not fire at once",
    from: "test-http-timeout-overflow.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene);
      const { request, closed } = get(scene, agent, { port });
      scene.try("2 ** 31", () => request.setTimeout(2 ** 31, silence));
      await closed;
      for (const timeout of [2 ** 31, 2 ** 40]) {
        await get(scene, agent, { port, timeout }).closed;
      }
    },
  },
  {
    name: "a timeout that is none is refused",
    from: "test-http-client-timeout-option.js",
    run(scene) {
      const agent = agentOf(scene);
      for (const timeout of ["x", {}, -1, NaN]) {
        scene.try(`timeout ${timeout}`, () => {
          getNowhere(scene, agent, { timeout }).request.destroy();
        });
      }
    },
  },
  {
    name: "destroy() while it looks up",
    from: "test-http-client-abort-destroy.js",
    async run(scene) {
      const agent = agentOf(scene);
      const { request, closed } = getNowhere(scene, agent);
      await scene.turn();
      pool(scene, "connecting", agent);
      request.destroy();
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "destroy(error) in the turn of the request",
    from: "test-http-client-abort-destroy.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene);
      const { request, closed } = get(scene, agent, { port });
      request.destroy(new Error("enough"));
      await closed;
      await scene.turn(10);
      pool(scene, "then", agent);
    },
  },
  {
    name: "abort() while it looks up",
    from: "test-http-client-abort.js",
    async run(scene) {
      const agent = agentOf(scene);
      const { request, closed } = getNowhere(scene, agent);
      await scene.turn();
      request.abort();
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a signal aborts while it looks up",
    from: "test-http-agent-abort-controller.js",
    async run(scene) {
      const agent = agentOf(scene);
      const controller = new AbortController();
      const { signal } = controller;
      const { closed } = getNowhere(scene, agent, { signal });
      await scene.turn();
      controller.abort();
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a signal that is aborted already",
    from: "test-http-client-abort-destroy.js",
    async run(scene) {
      const agent = agentOf(scene);
      const signal = AbortSignal.abort();
      const { closed } = getNowhere(scene, agent, { signal });
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "the socket is destroyed in the socket event",
    from: "test-http-client-abort3.js",
    async run(scene) {
      let accepted = 0;
      const port = await scene.serve(() => accepted++);
      const agent = agentOf(scene);
      const { request, closed } = get(scene, agent, { port });
      request.on("socket", (socket) => socket.destroy());
      await closed;
      await scene.turn(10);
      scene.log("accepted", accepted);
      pool(scene, "then", agent);
    },
  },
  {
    name: "agent.destroy() while a request looks up",
    from: "test-http-agent-close.js",
    async run(scene) {
      const agent = agentOf(scene);
      const { closed } = getNowhere(scene, agent);
      await scene.turn();
      agent.destroy();
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a server that refuses is an error of the request",
    from: "test-http-client-req-error-dont-double-fire.js",
    async run(scene) {
      const port = await scene.refused();
      const agent = agentOf(scene);
      const { closed } = get(scene, agent, { port });
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a server that hangs up is ECONNRESET",
    from: "test-http-client-spurious-aborted.js",
    async run(scene) {
      const port = await scene.serve((socket) =>
        void socket.once("data", () => socket.end())
      );
      const agent = agentOf(scene);
      await get(scene, agent, { port }).closed;
      pool(scene, "then", agent);
    },
  },
  {
    name: "an option that the platform refuses",
    from: "test-http-client-immediate-error.js",
    async run(scene) {
      const agent = agentOf(scene);
      const exchange = scene.try(
        "localAddress",
        () => get(scene, agent, { port: 9, localAddress: "foobar" }),
      );
      await exchange?.closed;
      pool(scene, "then", agent);
    },
  },
  {
    name: "an upgrade takes the socket out of the pool",
    from: "test-http-upgrade-agent.js",
    async run(scene) {
      const port = await scene.serve((socket) =>
        void socket.once("data", () =>
          socket.write(
            "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhi",
          ))
      );
      const agent = agentOf(scene, { keepAlive: true });
      const headers = { connection: "Upgrade", upgrade: "x" };
      const { request } = get(scene, agent, { port, headers });
      const upgraded = deferred<net.Socket>();
      request.on("upgrade", (response, socket, head) => {
        scene.log("upgrade", response.statusCode, String(head));
        upgraded.resolve(socket as net.Socket);
      });
      const socket = await upgraded.promise;
      pool(scene, "then", agent);
      scene.log("is a net.Socket", socket instanceof net.Socket);
      socket.destroy();
      await scene.closed(socket);
    },
  },
  {
    name: "a request's body is sent before it is connected",
    from: "test-http-client-upload.js",
    async run(scene) {
      const port = await serve(scene, (request, response) => {
        let length = 0;
        request.on("data", (data) => length += data.length);
        request.on("end", () => response.end(`${length}`));
      });
      const agent = agentOf(scene);
      const names = scene.door.names([host]);
      const options = { agent, host: name, port, method: "POST", ...names };
      const { request, closed } = follow(scene, http.request(options));
      request.write("x".repeat(100_000));
      request.end("end");
      await closed;
    },
  },
  {
    name: "a response runs in the async context of its request",
    from: "test-http-client-response-domain.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true });
      const storage = new AsyncLocalStorage<string>();
      for (const label of ["one", "two"]) {
        const { request, closed } = storage.run(
          label,
          () => get(scene, agent, { port }),
        );
        request.on("response", () => scene.log("in", storage.getStore()));
        request.on("close", () => scene.log("in", storage.getStore()));
        await closed;
        await scene.turn();
      }
    },
  },
  {
    name: "getName() of an agent",
    from: "test-http-agent-getname.js",
    run(scene) {
      const agent = agentOf(scene) as http.Agent & {
        getName(options?: Options): string;
      };
      for (
        const options of [
          {},
          { host: name, port: 80 },
          { host: name, port: 80, localAddress: host, family: 6 },
          { socketPath: "/run/x" },
        ]
      ) scene.log("name", agent.getName(options));
    },
  },
  {
    name: "a hook that calls back gives its socket when it is connected",
    from: "test-http-client-with-create-connection.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene);
      const names = scene.door.names([host]);
      Object.assign(agent, {
        createConnection(
          _options: unknown,
          callback: (error: unknown, socket?: net.Socket) => void,
        ) {
          scene.door.call({ port, host: name, ...names }, callback);
        },
      });
      await get(scene, agent, { port }).closed;
    },
  },
  {
    name: "a hook that calls back with an error",
    from: "test-http-client-with-create-connection.js",
    async run(scene) {
      const port = await scene.refused();
      const agent = agentOf(scene);
      const names = scene.door.names([host]);
      Object.assign(agent, {
        createConnection(
          _options: unknown,
          callback: (error: unknown, socket?: net.Socket) => void,
        ) {
          scene.door.call({ port, host: name, ...names }, callback);
        },
      });
      await get(scene, agent, { port }).closed;
      pool(scene, "then", agent);
    },
  },
  {
    name: "createConnection of a request without an agent",
    from: "test-http-client-with-create-connection.js",
    async run(scene) {
      const port = await serve(scene);
      const names = scene.door.names([host]);
      const options = { port, host: name, ...names };
      const createConnection = () => scene.door.connect(options);
      const request = http.get({ host: name, port, createConnection });
      await follow(scene, request).closed;
    },
  },
];
