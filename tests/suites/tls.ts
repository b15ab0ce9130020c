/**
 * Client sockets with TLS, after Node's `test-tls-*`.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { Buffer } from "node:buffer";
import net from "node:net";
import tls from "node:tls";

import { certificate } from "../certs/read.ts";
import {
  type Case,
  deferred,
  events as allEvents,
  type Options,
  type Scene,
} from "./scene.ts";

const host = "127.0.0.1";
const name = "example.test";

/** What a TLS socket says about itself. */
const states = [
  ...["encrypted", "authorized", "authorizationError", "alpnProtocol"],
  ...["servername", "secureConnecting", "connecting", "pending"],
];

/** What a socket with TLS has beside. */
const getters = [
  ...["getCipher", "getProtocol", "getEphemeralKeyInfo", "getSharedSigalgs"],
  ...["isSessionReused", "getCertificate", "getX509Certificate"],
];

/** A handshake that fails is a failed attempt of ours, and a case says so. */
const events = allEvents.filter((name) => name !== "connectionAttemptFailed");

/** Starts to connect to a server of the scene, whose authority is trusted. */
function connect(
  scene: Scene,
  port: number,
  options: Options = {},
  names: readonly string[] = events,
) {
  return scene.watch(
    scene.door.secure({ port, host, ca: scene.ca, ...options }),
    names,
  );
}

/** Waits until the handshake is done, or the socket closed. */
async function secured(scene: Scene, port: number, options: Options = {}) {
  const socket = connect(scene, port, options);
  await scene.event(socket, "secureConnect");
  return socket;
}

/** Sends back what comes. */
const echo = (socket: tls.TLSSocket) => void socket.pipe(socket);

/** Resolves or rejects a write by its callback. */
const talk = (socket: tls.TLSSocket) => void socket.write("hello");

/** Waits for the first bytes: with them all that a handshake brings is there. */
async function greeted(scene: Scene, port: number, options: Options = {}) {
  const socket = connect(scene, port, options);
  await scene.event(socket, "data");
  return socket;
}

export const tlsCases: readonly Case[] = [
  {
    name: "secureConnect follows connect and ready",
    from: "test-tls-connect-simple.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end("hello"));
      const socket = connect(scene, port);
      socket.on("data", (data) => scene.log("data", String(data)));
      await scene.closed(socket);
    },
  },
  {
    name: "with a name, lookup comes first, and the name is verified",
    from: "test-tls-connect-simple.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end());
      const names = scene.door.names([host]);
      const socket = connect(scene, port, { host: name, ...names });
      socket.resume();
      await scene.closed(socket);
      scene.members("closed", socket, ...states);
    },
  },
  {
    name: "the callback of tls.connect() listens for secureConnect",
    from: "test-tls-connect-simple.js",
    async run(scene) {
      const port = await scene.serveTls();
      const called = deferred<void>();
      const socket = scene.watch(scene.door.secure(
        { port, host, ca: scene.ca },
        function (this: unknown, ...args: unknown[]) {
          scene.log("called", args.length, this === socket);
          called.resolve();
        },
      ));
      await called.promise;
    },
  },
  {
    name: "what a TLS socket is while and after it is connected",
    from: "test-tls-on-empty-socket.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = connect(scene, port);
      scene.members("connecting", socket, ...states);
      await scene.event(socket, "connect");
      scene.members("connected", socket, "encrypted", "connecting");
      await scene.event(socket, "secureConnect");
      scene.members("secured", socket, ...states);
      socket.destroy();
      await scene.closed(socket);
      scene.members("closed", socket, ...states);
      scene.log("is a tls.TLSSocket", socket instanceof tls.TLSSocket);
      scene.log("is a net.Socket", socket instanceof net.Socket);
    },
  },
  {
    name: "a certificate of an authority that is not trusted",
    from: "test-tls-client-reject.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = connect(scene, port, { ca: undefined });
      await scene.closed(socket);
      scene.members("closed", socket, "authorized", "authorizationError");
    },
  },
  {
    name: "rejectUnauthorized: false connects, and says what was wrong",
    from: "test-tls-client-verify.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = await secured(scene, port, {
        ca: undefined,
        rejectUnauthorized: false,
      });
      scene.members("secured", socket, "authorized", "authorizationError");
      scene.log("subject", socket.getPeerCertificate().subject);
    },
  },
  {
    name: "a certificate that is expired",
    from: "test-tls-client-reject.js",
    async run(scene) {
      const cert = certificate("expired");
      const port = await scene.serveTls(undefined, { cert });
      const socket = connect(scene, port);
      await scene.closed(socket);
      scene.members("closed", socket, "authorized", "authorizationError");
    },
  },
  {
    name: "a certificate for another name",
    from: "test-tls-check-server-identity.js",
    async run(scene) {
      const port = await scene.serveTls();
      const names = scene.door.names([host]);
      const options = { host: "other.test", ...names };
      const socket = connect(scene, port, options, allEvents);
      await scene.closed(socket);
      scene.members("closed", socket, "authorized", "authorizationError");
    },
  },
  {
    name: "a certificate for another name than servername",
    from: "test-tls-sni-option.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = connect(scene, port, { servername: "other.test" });
      await scene.closed(socket);
      scene.members("closed", socket, "authorized", "authorizationError");
    },
  },
  {
    name: "checkServerIdentity is asked, and what it returns is the error",
    from: "test-tls-check-server-identity.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = connect(scene, port, {
        servername: name,
        checkServerIdentity(hostname: string, cert: tls.PeerCertificate) {
          scene.log("asked", hostname, cert.subject.CN);
          return new Error("not this one");
        },
      });
      await scene.closed(socket);
      scene.members("closed", socket, "authorized", "authorizationError");
    },
  },
  {
    name: "checkServerIdentity that returns nothing accepts any name",
    from: "test-tls-check-server-identity.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = await secured(scene, port, {
        servername: "other.test",
        checkServerIdentity: () => undefined,
      });
      scene.members("secured", socket, ...states);
    },
  },
  {
    name: "ALPN agrees on a protocol, or on none",
    from: "test-tls-alpn-server-client.js",
    async run(scene) {
      const port = await scene.serveTls(undefined, {
        ALPNProtocols: ["b", "c"],
      });
      for (const ALPNProtocols of [["a", "b"], ["c"], undefined]) {
        const socket = await secured(scene, port, { ALPNProtocols });
        scene.members("secured", socket, "alpnProtocol");
        socket.destroy();
        await scene.closed(socket);
      }
    },
  },
  {
    name: "ALPN without a common protocol is an error",
    from: "test-tls-alpn-server-client.js",
    async run(scene) {
      const port = await scene.serveTls(undefined, { ALPNProtocols: ["b"] });
      const socket = connect(scene, port, { ALPNProtocols: ["a"] });
      await scene.closed(socket);
    },
  },
  {
    name: "the name sent is servername, or the host, but no address",
    from: "test-tls-sni-server-client.js",
    async run(scene) {
      const port = await scene.serveTls((socket) =>
        void socket.end(String((socket as Options).servername))
      );
      const names = scene.door.names([host]);
      const targets: Options[] = [
        { servername: "localhost" },
        { host: name, ...names },
        {},
        { servername: "" },
      ];
      for (const target of targets) {
        const socket = connect(scene, port, target);
        socket.on("data", (data) => scene.log("the server got", String(data)));
        await scene.closed(socket);
        scene.members("closed", socket, "servername");
      }
    },
  },
  {
    name: "ciphers that are none are refused before anything starts",
    from: "test-tls-set-ciphers-error.js",
    run(scene) {
      const ciphers = "no such cipher";
      const options = { port: 9, host, ca: scene.ca, ciphers };
      scene.try("connect", () => scene.keep(scene.door.secure(options)));
    },
  },
  {
    name: "TLS options that are wrong are refused before anything starts",
    from: "test-tls-ip-servername-forbidden.js",
    run(scene) {
      const wrong: Options[] = [
        { servername: "127.0.0.1" },
        { servername: "::1" },
        { servername: 1 },
        { ciphers: 1 },
        { minVersion: "TLSv0" },
        { maxVersion: "TLSv1.9" },
        { minVersion: "TLSv1.3", maxVersion: "TLSv1.2" },
        { secureProtocol: "nothing" },
        { minVersion: "TLSv1.2", secureProtocol: "TLSv1_2_method" },
        { pfx: "no pfx" },
        { pfx: Buffer.from("no pfx"), passphrase: "x" },
        { cert: "no certificate" },
        { cert: certificate("client"), key: "no key" },
        { ca: 1 },
        { crl: "no list" },
        { ecdhCurve: "no curve" },
        { sigalgs: "none" },
        { checkServerIdentity: 1 },
        { minDHSize: -1 },
        { minDHSize: "x" },
        { session: "x" },
        { ALPNProtocols: 1 },
        { pskCallback: 1 },
        { secureContext: {} },
        { timeout: "x" },
        { lookup: 1 },
        { signal: "x" },
        { requestOCSP: 1 },
      ];
      for (const options of wrong) {
        const label = JSON.stringify(options).replaceAll("\n", " ");
        scene.try(label.slice(0, 50), () => {
          // It is never connected, for what was refused late goes on by itself.
          const names = scene.door.names();
          const socket = scene.keep(
            scene.door.secure({ port: 9, host: name, ...names, ...options }),
          );
          socket.on("error", () => {});
          socket.destroy();
        });
      }
    },
  },
  ...["TLSv1.2", "TLSv1.3"].map((version): Case => ({
    name: `what was agreed on with ${version}`,
    from: "test-tls-getcipher.js",
    async run(scene) {
      const port = await scene.serveTls(talk);
      const socket = await greeted(scene, port, {
        minVersion: version,
        maxVersion: version,
        servername: name,
      });
      const told = () => {
        for (const getter of getters) {
          scene.try(
            getter,
            () => scene.log(getter, (socket as Options)[getter]?.()),
          );
        }
      };
      told();
      socket.destroy();
      await scene.closed(socket);
      told();
    },
  })),
  {
    name: "the peer's certificate, in short, in detail and as an object",
    from: "test-tls-peer-certificate.js",
    async run(scene) {
      const port = await scene.serveTls(talk);
      const socket = connect(scene, port);
      scene.try("connecting", () => socket.getPeerCertificate());
      await scene.event(socket, "data");
      const brief = socket.getPeerCertificate();
      scene.log("names", brief.subject?.CN, brief.subjectaltname);
      scene.log("issuer", "issuerCertificate" in brief);
      const whole = socket.getPeerCertificate(true);
      scene.log("issuer", whole.issuerCertificate?.subject?.CN);
      const object = socket.getPeerX509Certificate();
      scene.log("object", object?.subject, object?.fingerprint256);
    },
  },
  {
    name: "a session is told, and resumed by the next socket",
    from: "test-tls-client-resume-12.js",
    async run(scene) {
      const port = await scene.serveTls(talk, { maxVersion: "TLSv1.2" });
      const first = connect(scene, port);
      let told = 0;
      const session = deferred<Buffer>();
      first.on("session", (bytes) => {
        told++;
        session.resolve(bytes);
      });
      const bytes = await session.promise;
      await scene.event(first, "data");
      scene.log("told", told, first.isSessionReused());
      scene.log("is its session", bytes.equals(first.getSession()!));
      first.destroy();
      await scene.closed(first);
      const second = await greeted(scene, port, { session: bytes });
      scene.log("resumed", second.isSessionReused(), second.authorized);
    },
  },
  {
    name: "a ticket of TLS 1.3 is told, and resumed by the next socket",
    from: "test-tls-client-resume.js",
    async run(scene) {
      const port = await scene.serveTls(talk);
      const first = connect(scene, port);
      const session = deferred<Buffer>();
      first.on("session", session.resolve);
      first.resume();
      const bytes = await session.promise;
      first.destroy();
      await scene.closed(first);
      const second = await greeted(scene, port, { session: bytes });
      scene.log("resumed", second.isSessionReused(), second.authorized);
    },
  },
  {
    name: "what is set when it is too late, or while it connects",
    from: "test-tls-connect-no-host.js",
    async run(scene) {
      const port = await scene.serveTls(talk);
      const socket = connect(scene, port);
      const options = socket as Options;
      // Node crashes when it is connected.
      scene.try("setServername", () => options.setServername(name));
      const setTheRest = () => {
        const session = Buffer.alloc(0);
        scene.try("setSession", () => options.setSession(session));
        scene.try("renegotiation", () => socket.disableRenegotiation());
      };
      setTheRest();
      await scene.event(socket, "data");
      setTheRest();
      socket.destroy();
      await scene.closed(socket);
    },
  },
  {
    name: "Finished messages are there after the handshake",
    from: "test-tls-finished.js",
    async run(scene) {
      const port = await scene.serveTls(talk);
      const socket = connect(scene, port);
      scene.log("connecting", socket.getFinished(), socket.getPeerFinished());
      await scene.event(socket, "data");
      scene.log("length", socket.getFinished()?.length);
      scene.log("length", socket.getPeerFinished()?.length);
    },
  },
  {
    name: "keying material is exported after the handshake only",
    from: "test-tls-exportkeyingmaterial.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = connect(scene, port);
      const context = Buffer.from("context");
      scene.try(
        "connecting",
        () => socket.exportKeyingMaterial(16, "label", context),
      );
      await scene.event(socket, "secureConnect");
      const bytes = scene.try(
        "secured",
        () => socket.exportKeyingMaterial(16, "label", context),
      );
      scene.log("length", bytes?.length);
      scene.try("-1", () => socket.exportKeyingMaterial(-1, "l", context));
      scene.try(
        "no text",
        () => socket.exportKeyingMaterial(1, 1 as never, context),
      );
    },
  },
  {
    name: "keylog is emitted for each secret",
    from: "test-tls-keylog-tlsv13.js",
    async run(scene) {
      const port = await scene.serveTls(talk);
      const socket = connect(scene, port);
      const labels: string[] = [];
      socket.on("keylog", (line) => labels.push(String(line).split(" ")[0]!));
      await scene.event(socket, "data");
      scene.log("labels", labels.sort());
    },
  },
  {
    name: "OCSPResponse is emitted when it was asked for",
    from: "test-tls-ocsp-callback.js",
    async run(scene) {
      const port = await scene.serveTls(talk);
      const socket = connect(scene, port, { requestOCSP: true });
      socket.on(
        "OCSPResponse",
        (response) => scene.log("OCSPResponse", response),
      );
      await scene.event(socket, "data");
    },
  },
  {
    name: "the size of fragments can be set",
    from: "test-tls-max-send-fragment.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = await secured(scene, port);
      for (const size of [511, 512, 16384, 16385]) {
        scene.log(`${size}`, socket.setMaxSendFragment(size));
      }
    },
  },
  {
    name: "renegotiation with TLS 1.3, or when it is switched off",
    from: "test-tls-client-renegotiation-13.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = await secured(scene, port);
      const asked = deferred<void>();
      const started = socket.renegotiate({}, (error) => {
        scene.log("callback", error);
        asked.resolve();
      });
      scene.log("started", started);
      await Promise.race([asked.promise, scene.event(socket, "close")]);
      scene.try("no options", () => socket.renegotiate(1 as never, () => {}));
      scene.try("disableRenegotiation", () => socket.disableRenegotiation());
    },
  },
  {
    name: "TLS over a socket that is connected",
    from: "test-tls-connect-given-socket.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end("hello"));
      const raw = scene.keep(scene.door.connect({ port, host }));
      await scene.event(raw, "connect");
      const socket = scene.watch(
        tls.connect({ socket: raw, ca: scene.ca, servername: name }),
      );
      socket.on("data", (data) => scene.log("data", String(data)));
      await scene.closed(socket);
      scene.members("raw", raw, "destroyed");
    },
  },
  {
    name: "TLS over a socket that is still connecting",
    from: "test-tls-connect-given-socket.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end("hello"));
      const raw = scene.keep(scene.door.connect({ port, host }));
      const socket = scene.watch(
        tls.connect({ socket: raw, ca: scene.ca, servername: name }),
      );
      socket.on("data", (data) => scene.log("data", String(data)));
      await scene.closed(socket);
      scene.members("raw", raw, "destroyed");
    },
  },
  {
    name: "TLS over a socket that looks up a name with two addresses",
    from: "test-tls-connect-given-socket.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end("hello"));
      const names = scene.door.names(["::1", host]);
      const raw = scene.keep(
        scene.door.connect({ port, host: name, ...names }),
      );
      const socket = scene.watch(
        tls.connect({ socket: raw, ca: scene.ca, servername: name }),
      );
      socket.on("data", (data) => scene.log("data", String(data)));
      await scene.closed(socket);
      scene.members("raw", raw, "destroyed");
    },
  },
  {
    name: "TLS over a socket that nobody connects yet",
    from: "test-tls-connect-given-socket.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end("hello"));
      const raw = scene.keep(scene.door.socket());
      const socket = scene.watch(
        tls.connect({ socket: raw, ca: scene.ca, servername: name }),
      );
      await scene.turn();
      raw.connect(port, host);
      socket.on("data", (data) => scene.log("data", String(data)));
      await scene.closed(socket);
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "TLS over a socket that cannot connect",
    from: "test-tls-connect-given-socket.js",
    async run(scene) {
      const port = await scene.refused();
      const raw = scene.watch(
        scene.door.connect({ port, host }),
        ["error", "close"],
        "raw ",
      );
      const socket = scene.watch(
        tls.connect({ socket: raw, ca: scene.ca, servername: name }),
        ["error", "close"],
      );
      await scene.closed(socket);
    },
  },
  {
    name: "destroy() while it connects, and in the handshake",
    from: "test-tls-client-abort.js",
    async run(scene) {
      const port = await scene.serve();
      const early = connect(scene, port);
      early.write("lost", (error) => scene.log("write", error));
      early.destroy();
      await scene.closed(early);
      const late = connect(scene, port);
      await scene.event(late, "connect");
      late.destroy();
      await scene.closed(late);
      scene.members("closed", late, ...states);
    },
  },
  {
    name: "a server that closes in the handshake",
    from: "test-tls-wrap-econnreset.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const socket = connect(scene, port, { servername: name });
      await scene.closed(socket);
    },
  },
  {
    name: "a server that resets in the handshake",
    from: "test-tls-econnreset.js",
    async run(scene) {
      const port = await scene.serve((socket) =>
        void socket.once("data", () => socket.resetAndDestroy())
      );
      const socket = connect(scene, port);
      await scene.closed(socket);
    },
  },
  {
    name: "a server that does not speak TLS",
    from: "test-tls-hello-parser-failure.js",
    async run(scene) {
      const port = await scene.serve((socket) =>
        void socket.once("data", () => socket.end("HTTP/1.1 400 What?\r\n\r\n"))
      );
      const socket = connect(scene, port);
      await scene.closed(socket);
    },
  },
  {
    name: "a server that refuses the connection",
    from: "test-tls-wrap-econnreset.js",
    async run(scene) {
      const port = await scene.refused();
      const socket = connect(scene, port);
      await scene.closed(socket);
    },
  },
  {
    name: "no common version",
    from: "test-tls-min-max-version.js",
    async run(scene) {
      const port = await scene.serveTls(undefined, { minVersion: "TLSv1.3" });
      const socket = connect(scene, port, { maxVersion: "TLSv1.2" });
      await scene.closed(socket);
    },
  },
  {
    name: "timeout is emitted while a handshake gets no answer",
    from: "test-tls-wrap-timeout.js",
    async run(scene) {
      const port = await scene.serve(() => {});
      const socket = connect(scene, port);
      socket.setTimeout(150);
      await scene.event(socket, "timeout");
      scene.members("then", socket, "timeout", "secureConnecting");
      socket.destroy();
      await scene.closed(socket);
    },
  },
  {
    name: "the option timeout counts with TLS",
    from: "test-tls-connect-timeout-option.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = connect(scene, port, { timeout: 150 });
      scene.members("at first", socket, "timeout");
      await scene.event(socket, "timeout");
    },
  },
  {
    name: "what is written before the handshake arrives, and end() too",
    from: "test-tls-connect-stream-writes.js",
    async run(scene) {
      const port = await scene.serveTls(echo);
      const socket = connect(scene, port);
      let text = "";
      socket.setEncoding("utf8").on("data", (data) => text += data);
      socket.write("one ", () => scene.log("one is written"));
      socket.write("two", () => scene.log("two is written"));
      socket.end(() => scene.log("ended"));
      await scene.closed(socket);
      scene.log("got", text);
    },
  },
  {
    name: "much arrives whole in both directions",
    from: "test-tls-fast-writing.js",
    async run(scene) {
      const port = await scene.serveTls(echo);
      const socket = connect(scene, port);
      let length = 0;
      socket.on("data", (data) => length += data.length);
      socket.end(Buffer.alloc(1_000_000, "a"));
      await scene.closed(socket);
      scene.log("got", length, socket.bytesWritten >= 1_000_000);
    },
  },
  {
    name: "a client's certificate is shown",
    from: "test-tls-client-auth.js",
    async run(scene) {
      const port = await scene.serveTls(
        (socket) => {
          const { subject } = socket.getPeerCertificate();
          socket.end(`${socket.authorized} ${subject?.CN}`);
        },
        { requestCert: true, rejectUnauthorized: false, ca: scene.ca },
      );
      const socket = connect(scene, port, {
        cert: certificate("client"),
        key: certificate("client_key"),
      });
      socket.on("data", (data) => scene.log("the server saw", String(data)));
      await scene.closed(socket);
    },
  },
  {
    name: "a context made beforehand is used",
    from: "test-tls-connect-secure-context.js",
    async run(scene) {
      const port = await scene.serveTls();
      const secureContext = tls.createSecureContext({ ca: scene.ca });
      const socket = await secured(scene, port, {
        ca: undefined,
        secureContext,
      });
      scene.members("secured", socket, "authorized");
    },
  },
  {
    name: "a key that both know is enough",
    from: "test-tls-psk-circuit.js",
    async run(scene) {
      const psk = Buffer.alloc(16, 7);
      const ciphers = "PSK";
      const port = await scene.listen(
        tls.createServer(
          { pskCallback: () => psk, ciphers, maxVersion: "TLSv1.2" },
          (socket) => socket.end("hello"),
        ),
      );
      const socket = connect(scene, port, {
        ciphers,
        maxVersion: "TLSv1.2",
        checkServerIdentity: () => undefined,
        pskCallback(hint: string | null) {
          scene.log("asked", hint);
          return { psk, identity: "me" };
        },
      });
      socket.on("data", (data) => scene.log("data", String(data)));
      await scene.closed(socket);
    },
  },
  {
    name: "allowHalfOpen reaches a TLS socket",
    from: "test-tls-connect-allow-half-open-option.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end("hello"), {
        allowHalfOpen: true,
      });
      const socket = connect(scene, port, { allowHalfOpen: true });
      socket.resume();
      await scene.event(socket, "end");
      await scene.turn();
      scene.members("ended", socket, "allowHalfOpen", "writable", "destroyed");
      socket.end();
      await scene.closed(socket);
    },
  },
  {
    name: "highWaterMark reaches a TLS socket",
    from: "test-tls-connect-hwm-option.js",
    async run(scene) {
      const port = await scene.serveTls();
      const socket = await secured(scene, port, { highWaterMark: 12345 });
      const marks = ["readableHighWaterMark", "writableHighWaterMark"];
      scene.members("secured", socket, ...marks);
    },
  },
  {
    name: "onread works with TLS",
    from: "test-tls-onread-static-buffer.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end("hello"));
      const buffer = Buffer.alloc(16);
      const onread = {
        buffer,
        callback(size: number, bytes: Uint8Array) {
          const isIt = bytes === buffer;
          scene.log("read", size, isIt, String(buffer.subarray(0, size)));
          return true;
        },
      };
      const socket = connect(scene, port, { onread });
      await scene.closed(socket);
    },
  },
  {
    name: "a signal aborts a handshake",
    from: "test-tls-connect-abort-controller.js",
    async run(scene) {
      const port = await scene.serve(() => {});
      const controller = new AbortController();
      const { signal } = controller;
      const socket = connect(scene, port, { signal });
      await scene.event(socket, "connect");
      controller.abort();
      await scene.closed(socket);
    },
  },
  {
    name: "an exception in a secureConnect listener is an uncaughtException",
    from: "test-tls-handshake-exception.js",
    async run(scene) {
      const port = await scene.serveTls();
      const uncaught = scene.uncaught();
      const socket = connect(scene, port);
      socket.on("secureConnect", () => {
        throw new Error("a fault of the program");
      });
      await Promise.race([uncaught, scene.pause(300)]);
      socket.destroy();
      await scene.closed(socket);
    },
  },
  {
    name: "listeners of a TLS socket run in the async context of the caller",
    from: "test-tls-wrap-event-emmiter.js",
    async run(scene) {
      const port = await scene.serveTls((socket) => socket.end("hello"));
      const storage = new AsyncLocalStorage<string>();
      const socket = storage.run(
        "caller",
        () => scene.keep(scene.door.secure({ port, host, ca: scene.ca })),
      );
      for (
        const event of ["connect", "secureConnect", "data", "end", "close"]
      ) {
        socket.on(event, () => scene.log(event, storage.getStore()));
      }
      await scene.closed(socket);
    },
  },
];
