/**
 * HTTPS agents whose sockets are made by a hook, after Node's
 * `test-https-agent-*`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type http from "node:http";
import https from "node:https";
import type tls from "node:tls";

import { certificate } from "../certs/read.ts";
import { type Exchange, follow, given, pool } from "./http_agent.ts";
import { type Case, deferred, type Options, type Scene } from "./scene.ts";

const host = "127.0.0.1";
const name = "example.test";

/** An agent that leaves nothing behind. */
function agentOf(scene: Scene, options?: Options): https.Agent {
  const agent = scene.door.secureAgent(options);
  scene.defer(() => agent.destroy());
  return agent;
}

/** Asks a server of the scene by its name. */
function get(
  scene: Scene,
  agent: https.Agent,
  options: Options,
  label?: string,
): Exchange {
  const names = scene.door.names([host]);
  const { ca } = scene;
  const request = https.get({ agent, host: name, ca, ...names, ...options });
  return follow(scene, request, label);
}

/** An HTTPS server for example.test that says its number of connections. */
async function serve(
  scene: Scene,
  options: Options = {},
  onRequest?: http.RequestListener,
): Promise<number> {
  let connections = 0;
  const server = https.createServer(
    {
      cert: certificate("server"),
      key: certificate("server_key"),
      ...options,
    },
    onRequest ?? ((_request, response) => response.end(`${connections}`)),
  );
  server.on("secureConnection", () => connections++);
  server.on("tlsClientError", () => {});
  return await scene.listen(server);
}

export const httpsCases: readonly Case[] = [
  ...["TLSv1.2", "TLSv1.3"].map((version): Case => ({
    name: `what a response's socket says with ${version}`,
    from: "test-https-agent-additional-options.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene);
      const { request, closed } = get(scene, agent, {
        port,
        minVersion: version,
        maxVersion: version,
      });
      request.on("response", ({ socket }) => {
        const secure = socket as tls.TLSSocket;
        const { address, family } = secure.address() as Options;
        scene.members(
          "socket",
          secure,
          ...["authorized", "authorizationError", "encrypted", "servername"],
          ...["alpnProtocol", "connecting", "secureConnecting"],
          ...["remoteAddress", "remoteFamily", "localFamily"],
        );
        scene.log("address", address, family);
        scene.log("getProtocol", secure.getProtocol());
        scene.log("getCipher", secure.getCipher());
        scene.log("isSessionReused", secure.isSessionReused());
        const certificate = secure.getPeerX509Certificate();
        scene.log("getPeerX509Certificate", certificate?.subjectAltName);
        scene.log(
          "getPeerCertificate",
          secure.getPeerCertificate().subjectaltname,
        );
        scene.log("getFinished", secure.getFinished()?.length);
        const key = scene.try(
          "exportKeyingMaterial",
          () => secure.exportKeyingMaterial(8, "label", Buffer.alloc(0)),
        );
        scene.log("length", key?.length);
      });
      await closed;
    },
  })),
  {
    name: "an HTTPS agent that keeps connections alive uses one for three",
    from: "test-https-agent.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true });
      for (let i = 0; i < 3; i++) {
        await get(scene, agent, { port }).closed;
        await scene.turn();
        pool(scene, "then", agent);
      }
    },
  },
  {
    name: "what listens to a TLS socket that is free",
    from: "test-https-agent-sockets-leak.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { keepAlive: true, maxCachedSessions: 0 });
      const { request, closed } = get(scene, agent, { port });
      await closed;
      await scene.turn();
      const { socket } = request;
      // Node's own hook listens for `close` beside, to forget sessions.
      const counts = ["free", "error", "timeout", "end", "data"].map(
        (event) => [event, socket!.listenerCount(event)],
      );
      scene.log("listeners", counts.map(String));
    },
  },
  {
    name: "a certificate that is not trusted is an error of the request",
    from: "test-https-agent-sockets-leak.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene);
      await get(scene, agent, { port, ca: undefined }).closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "rejectUnauthorized: false of an agent lets a request through",
    from: "test-https-agent-additional-options.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene, { rejectUnauthorized: false });
      const { request, closed } = get(scene, agent, { port, ca: undefined });
      request.on(
        "response",
        ({ socket }) =>
          scene.members("socket", socket, "authorized", "authorizationError"),
      );
      await closed;
    },
  },
  {
    name: "the name in the Host header is verified and sent",
    from: "test-https-agent-servername.js",
    async run(scene) {
      const port = await serve(scene, {
        SNICallback(asked: string, done: (error: null) => void) {
          scene.log("the server got", asked);
          done(null);
        },
      });
      const agent = agentOf(scene);
      const headers = { host: "localhost" };
      const { request, closed } = get(scene, agent, { port, headers });
      request.on(
        "response",
        ({ socket }) =>
          scene.members("socket", socket, "servername", "authorized"),
      );
      await closed;
      const other = { host: "other.test" };
      await get(scene, agent, { port, headers: other }).closed;
    },
  },
  {
    name: "checkServerIdentity of a request is asked once",
    from: "test-https-agent-additional-options.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene);
      await get(scene, agent, {
        port,
        checkServerIdentity(asked: string) {
          scene.log("asked", asked);
        },
      }).closed;
    },
  },
  {
    name: "a client's certificate of an agent is shown",
    from: "test-https-agent-constructor.js",
    async run(scene) {
      const asking = { requestCert: true, ca: scene.ca };
      const port = await serve(scene, asking, ({ socket }, response) => {
        const { authorized } = socket as tls.TLSSocket;
        response.end(`${authorized}`);
      });
      const agent = agentOf(scene, {
        cert: certificate("client"),
        key: certificate("client_key"),
      });
      await get(scene, agent, { port }).closed;
    },
  },
  {
    name: "destroy() in a handshake that gets no answer",
    from: "test-https-abortcontroller.js",
    async run(scene) {
      const accepted = deferred<void>();
      const port = await scene.serve(() => accepted.resolve());
      const agent = agentOf(scene);
      const { request, closed } = get(scene, agent, { port });
      await accepted.promise;
      request.destroy();
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a signal aborts a request in a handshake",
    from: "test-https-agent-abort-controller.js",
    async run(scene) {
      const accepted = deferred<void>();
      const port = await scene.serve(() => accepted.resolve());
      const agent = agentOf(scene);
      const controller = new AbortController();
      const { signal } = controller;
      const { closed } = get(scene, agent, { port, signal });
      await accepted.promise;
      controller.abort();
      await closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a request's timeout counts in a handshake",
    from: "test-https-timeout.js",
    async run(scene) {
      const port = await scene.serve(() => {});
      const agent = agentOf(scene);
      const { request, closed } = get(scene, agent, { port, timeout: 150 });
      request.on("timeout", () => request.destroy());
      await given(scene, { request, closed });
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "an HTTPS agent's timeout counts in a handshake",
    from: "test-https-timeout.js",
    async run(scene) {
      const port = await scene.serve(() => {});
      const agent = agentOf(scene, { timeout: 150 });
      const { request, closed } = get(scene, agent, { port });
      request.on("timeout", () => request.destroy());
      await given(scene, { request, closed });
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "a server that hangs up in a handshake is an error of the request",
    from: "test-https-agent-sockets-leak.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const agent = agentOf(scene);
      await get(scene, agent, { port }).closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "an HTTPS server that refuses is an error of the request",
    from: "test-https-agent-sockets-leak.js",
    async run(scene) {
      const port = await scene.refused();
      const agent = agentOf(scene);
      await get(scene, agent, { port }).closed;
      await scene.turn();
      pool(scene, "then", agent);
    },
  },
  {
    name: "an agent hears the secrets of its sockets",
    from: "test-https-agent-keylog.js",
    async run(scene) {
      const port = await serve(scene);
      const agent = agentOf(scene);
      const labels = new Set<string>();
      agent.on("keylog", (line) => labels.add(String(line).split(" ")[0]!));
      await get(scene, agent, { port }).closed;
      scene.log("labels", [...labels].sort());
    },
  },
  {
    name: "the names that an HTTPS agent makes of options",
    from: "test-https-agent-getname.js",
    run(scene) {
      const agent = agentOf(scene) as https.Agent & {
        getName(options?: Options): string;
      };
      scene.log("none", agent.getName());
      const options = { host: name, port: 443, ca: "ca", servername: "x" };
      scene.log("some", agent.getName(options));
    },
  },
  ...[
    ["resumes TLS sessions", {}],
    ["without a cache of sessions resumes none", { maxCachedSessions: 0 }],
  ].flatMap(([what, options]) =>
    ["TLSv1.2", "TLSv1.3"].map((version): Case => ({
      name: `an agent ${what} (${version})`,
      from: "test-https-agent-session-reuse.js",
      async run(scene) {
        const port = await serve(scene);
        const agent = agentOf(scene, {
          ...options as Options,
          keepAlive: false,
          minVersion: version,
          maxVersion: version,
        });
        for (let i = 0; i < 3; i++) {
          const { request, closed } = get(scene, agent, { port });
          request.on("response", ({ socket }) => {
            const secure = socket as tls.TLSSocket;
            scene.log("resumed", secure.isSessionReused(), secure.authorized);
          });
          await closed;
          await scene.pause(10);
        }
      },
    }))
  ),
];
