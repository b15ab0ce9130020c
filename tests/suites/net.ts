/**
 * Client sockets without TLS, after Node's `test-net-*`.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { Buffer } from "node:buffer";
import net from "node:net";
import os from "node:os";
import { readFile } from "node:fs/promises";
import process from "node:process";

import {
  attemptEvents,
  type Case,
  deferred,
  events,
  type Options,
  type Scene,
  unraced,
} from "./scene.ts";

const host = "127.0.0.1";
const name = "example.test";

/** What a socket says about where it is in its life. */
const states = [
  ...["connecting", "pending", "readyState", "destroyed", "closed"],
  ...["readable", "writable", "readableEnded", "writableEnded"],
];

const addresses = [
  ...["remoteAddress", "remoteFamily", "remotePort", "localAddress"],
  "localFamily",
];

/** A `lookup` as `net.connect()` takes it. */
type Lookup = (
  hostname: string,
  options: Options,
  callback: (error: Error | null, ...answer: unknown[]) => void,
) => void;

/** Connects, and waits until it is connected or closed. */
async function connected(
  scene: Scene,
  options: Options,
  names?: readonly string[],
): Promise<net.Socket> {
  const socket = scene.watch(scene.door.connect({ host, ...options }), names);
  await scene.event(socket, "connect");
  return socket;
}

/** In about how many minutes the system probes a connection; Linux says so. */
async function probe({ localPort }: net.Socket): Promise<number | undefined> {
  const table = await readFile("/proc/net/tcp", "utf8").catch(() => "");
  const port = localPort!.toString(16).toUpperCase().padStart(4, "0");
  const lines = table.split("\n").map((line) => line.trim().split(/\s+/));
  // Established, and "02" is the timer of such a probe, in hundredths.
  const line = lines.find(([, local, , state]) =>
    local?.endsWith(`:${port}`) && state === "01"
  );
  const [, ticks] = /^02:(.+)$/.exec(line?.[5] ?? "") ?? [];
  return ticks === undefined
    ? undefined
    : Math.round(parseInt(ticks, 16) / 6000);
}

/** Sends back what comes. */
const echo = (socket: net.Socket) => void socket.pipe(socket);

export const netCases: readonly Case[] = [
  {
    name: "an address emits no lookup, and ready follows connect",
    from: "test-net-socket-ready-without-cb.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.resume();
      await scene.closed(socket);
    },
  },
  {
    name: "a name emits lookup before it connects",
    from: "test-net-dns-lookup.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const socket = scene.watch(
        scene.door.connect({ port, host: name, ...scene.door.names([host]) }),
      );
      socket.resume();
      await scene.closed(socket);
      scene.members("then", socket, "autoSelectFamilyAttemptedAddresses");
    },
  },
  {
    name: "each address of a name is attempted, and the second wins",
    from: "test-net-autoselectfamily.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const names = scene.door.names(["::1", host]);
      const socket = scene.watch(
        scene.door.connect({ port, host: name, ...names }),
        [...new Set([...events, ...attemptEvents])],
      );
      socket.resume();
      await scene.closed(socket);
      scene.members("then", socket, "autoSelectFamilyAttemptedAddresses");
    },
  },
  {
    name: "the attempt at a single address is told",
    from: "test-net-dns-lookup.js",
    async run(scene) {
      const port = await scene.refused();
      const names = scene.door.names([host]);
      const socket = scene.watch(
        scene.door.connect({ port, host: name, ...names }),
        attemptEvents,
      );
      socket.on("error", () => {});
      await scene.closed(socket);
    },
  },
  {
    name: "two addresses of one family are attempted in turn",
    from: "test-net-autoselectfamily.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const names = scene.door.names(["127.0.0.2", host]);
      const socket = scene.watch(
        scene.door.connect({ port, host: name, ...names }),
        [...new Set([...events, ...attemptEvents])],
      );
      socket.resume();
      await scene.closed(socket);
      scene.members("then", socket, "autoSelectFamilyAttemptedAddresses");
    },
  },
  {
    name: "a name whose every address refuses is an AggregateError",
    from: "test-net-autoselectfamily.js",
    async run(scene) {
      const port = await scene.refused();
      const names = scene.door.names(["::1", host]);
      const socket = scene.watch(
        scene.door.connect({ port, host: name, ...names }),
        [...new Set([...events, ...attemptEvents])],
      );
      await scene.closed(socket);
      scene.members("then", socket, "autoSelectFamilyAttemptedAddresses");
    },
  },
  {
    name: "a name whose one address refuses is a plain error",
    from: "test-net-better-error-messages-port-hostname.js",
    async run(scene) {
      const port = await scene.refused();
      const names = scene.door.names([host]);
      const socket = scene.watch(
        scene.door.connect({ port, host: name, ...names }),
      );
      await scene.closed(socket);
    },
  },
  {
    name: "an address that refuses is a plain error",
    from: "test-net-connect-immediate-finish.js",
    async run(scene) {
      const port = await scene.refused();
      const socket = scene.watch(scene.door.connect({ port, host }));
      await scene.closed(socket);
      scene.members("then", socket, ...states);
    },
  },
  {
    name: "autoSelectFamily: false dials the first address only",
    from: "test-net-autoselectfamily-default.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.destroy());
      const lookup: Lookup = (_hostname, { all }, callback) => {
        const answers = ["127.0.0.2", host];
        const found = answers.map((address) => ({ address, family: 4 }));
        if (all) setImmediate(callback, null, found);
        else setImmediate(callback, null, answers[0], 4);
      };
      const options = { port, host: name, lookup, autoSelectFamily: false };
      for (const way of ["connect", "secure"] as const) {
        const socket = scene.door[way]({ ...options, ...unraced });
        await scene.closed(scene.watch(socket));
      }
    },
  },
  {
    name: "a lookup of the caller's own is asked, and its error comes out",
    from: "test-net-options-lookup.js",
    async run(scene) {
      const lookup: Lookup = (hostname, { all, family, hints }, callback) => {
        scene.log("asked", hostname, { all, family, hints });
        const error = new Error("no such name");
        setImmediate(
          callback,
          Object.assign(error, { code: "ENOTFOUND" }),
        );
      };
      const socket = scene.watch(
        scene.door.connect({ port: 9, host: name, lookup }),
      );
      await scene.closed(socket);
    },
  },
  {
    name: "a lookup of the caller's own that answers is connected to",
    from: "test-net-dns-custom-lookup.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      // Not at once, or nobody would listen yet.
      const lookup: Lookup = (_hostname, { all }, callback) =>
        all
          ? setImmediate(callback, null, [{ address: host, family: 4 }])
          : setImmediate(callback, null, host, 4);
      const socket = scene.watch(
        scene.door.connect({ port, host: name, lookup }),
      );
      socket.resume();
      await scene.closed(socket);
    },
  },
  {
    name: "a lookup that answers what is no address is an error",
    from: "test-net-connect-custom-lookup-non-string-address.mjs",
    async run(scene) {
      const lookup: Lookup = (_hostname, { all }, callback) =>
        all
          ? callback(null, [{ address: { a: 1 }, family: 4 }])
          : callback(null, { a: 1 }, 4);
      const socket = scene.watch(
        scene.door.connect({ port: 9, host: name, lookup }),
      );
      await scene.closed(socket);
    },
  },
  {
    name: "destroy() in a lookup listener prevents the dial",
    from: "test-net-dns-lookup.js",
    async run(scene) {
      let accepted = 0;
      const port = await scene.serve(() => accepted++);
      const names = scene.door.names([host]);
      const socket = scene.watch(
        scene.door.connect({ port, host: name, ...names }),
      );
      socket.on("lookup", () => socket.destroy(new Error("not there")));
      await scene.closed(socket);
      await scene.turn();
      scene.log("accepted", accepted);
    },
  },
  {
    name: "what a socket is before, while and after it is connected",
    from: "test-net-socket-connecting.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.resume());
      const socket = scene.door.socket();
      scene.members("new", socket, ...states);
      socket.connect(port, host);
      scene.members("connecting", socket, ...states);
      await scene.event(socket, "connect");
      scene.members("connected", socket, ...states);
      socket.end();
      scene.members("ending", socket, ...states);
      await scene.closed(socket);
      scene.members("closed", socket, ...states);
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "where a socket is connected to, and what is left of it when closed",
    from: "test-net-remote-address-port.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.keep(scene.door.connect({ port, host }));
      scene.members("connecting", socket, ...addresses);
      scene.log("address", socket.address());
      await scene.event(socket, "connect");
      scene.hide(socket.localPort, "<local>");
      scene.members("connected", socket, ...addresses, "localPort");
      scene.log("address", socket.address());
      socket.destroy();
      await scene.closed(socket);
      scene.members("closed", socket, ...addresses, "localPort");
      scene.log("address", socket.address());
    },
  },
  {
    name: "bytesWritten counts what is queued while it connects",
    from: "test-net-socket-byteswritten.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.keep(scene.door.connect({ port, host }));
      scene.log("at first", socket.bytesWritten);
      socket.write("häuser");
      scene.log("text", socket.bytesWritten);
      socket.write("häuser", "latin1");
      scene.log("latin1", socket.bytesWritten);
      socket.write("cafe", "hex");
      scene.log("hex", socket.bytesWritten);
      socket.write(Buffer.alloc(100));
      scene.log("bytes", socket.bytesWritten);
      await scene.event(socket, "connect");
      await scene.turn();
      scene.log("connected", socket.bytesWritten);
      socket.end("bye");
      await scene.closed(socket);
      scene.log("closed", socket.bytesWritten);
    },
  },
  {
    name: "what is queued while it connects shows in its lengths",
    from: "test-net-buffersize.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.keep(scene.door.connect({ port, host }));
      const lengths = ["bufferSize", "writableLength", "writableNeedDrain"];
      scene.members("at first", socket, ...lengths);
      for (let i = 0; i < 3; i++) {
        scene.log("write", socket.write("a".repeat(10)));
        scene.members("written", socket, ...lengths);
      }
      scene.log("much", socket.write("a".repeat(100_000)));
      scene.members("written", socket, ...lengths);
      await scene.event(socket, "drain");
      scene.members("drained", socket, ...lengths);
    },
  },
  {
    name:
      "bytes before and after connecting arrive in order, and callbacks too",
    from: "test-net-write-connect-write.js",
    async run(scene) {
      const port = await scene.serve(echo);
      const socket = scene.watch(scene.door.connect({ port, host }));
      let text = "";
      socket.setEncoding("utf8").on("data", (data) => text += data);
      socket.write("one ", () => scene.log("one is written"));
      socket.write("two ", "utf8", () => scene.log("two is written"));
      await scene.event(socket, "connect");
      socket.write("three", () => scene.log("three is written"));
      socket.end(() => scene.log("ended"));
      await scene.closed(socket);
      scene.log("got", text, socket.bytesRead, socket.bytesWritten);
    },
  },
  {
    name: "text in an encoding is sent in it",
    from: "test-net-binary.js",
    async run(scene) {
      const got = deferred<string>();
      const port = await scene.serve((socket) => {
        const chunks: Buffer[] = [];
        socket.on("data", (chunk) => chunks.push(chunk));
        socket.on(
          "end",
          () => got.resolve(Buffer.concat(chunks).toString("hex")),
        );
      });
      const socket = scene.keep(scene.door.connect({ port, host }));
      socket.setDefaultEncoding("latin1");
      socket.write("\u00ff\u0001");
      socket.write("cafe", "hex");
      socket.write("aGk=", "base64");
      socket.end("é", "utf8");
      scene.log("hex", await got.promise);
    },
  },
  {
    name: "write() after end() is an error, by event and by callback",
    from: "test-net-write-after-end-nt.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = await connected(scene, { port });
      socket.end();
      const isTaken = socket.write("late", (error) => scene.log("cb", error));
      scene.log("write", isTaken);
      await scene.closed(socket);
    },
  },
  {
    name: "write() after the peer has ended fails as one to a closed pipe",
    from: "test-net-write-after-end-nt.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const socket = await connected(scene, { port });
      socket.resume();
      await scene.event(socket, "end");
      socket.write("late", (error) => scene.log("cb", error));
      await scene.closed(socket);
    },
  },
  {
    name: "write() after destroy() is an error for the callback alone",
    from: "test-net-socket-write-after-close.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = await connected(scene, { port });
      socket.destroy();
      socket.write("late", (error) => scene.log("cb", error));
      await scene.closed(socket);
    },
  },
  {
    name: "write() refuses what is neither text nor bytes",
    from: "test-net-write-arguments.js",
    run(scene) {
      const socket = scene.watch(scene.door.socket());
      for (const value of [null, undefined, true, 1, {}, [1]]) {
        scene.try(`write ${value}`, () => socket.write(value as never));
      }
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "end() before it is connected ends it when all is sent",
    from: "test-net-socket-end-before-connect.js",
    async run(scene) {
      const port = await scene.serve(echo);
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.on("data", (data) => scene.log("data", String(data)));
      socket.end("hello", () => scene.log("ended"));
      scene.members("ending", socket, ...states);
      await scene.closed(socket);
    },
  },
  {
    name: "end() on a socket that nobody connects",
    from: "test-net-end-without-connect.js",
    async run(scene) {
      const socket = scene.watch(scene.door.socket());
      socket.end(() => scene.log("ended"));
      await scene.turn(5);
      scene.members("then", socket, ...states);
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "destroy() while it connects closes it, and its writes fail",
    from: "test-net-write-cb-on-destroy-before-connect.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.write("one", (error) => scene.log("one", error));
      socket.write("two", (error) => scene.log("two", error));
      socket.end((error?: Error) => scene.log("end", error));
      socket.destroy();
      scene.members("destroyed", socket, ...states);
      await scene.closed(socket);
      scene.members("closed", socket, ...states);
    },
  },
  {
    name: "destroy() while it looks up closes it without an error",
    from: "test-net-connect-destroy.js",
    async run(scene) {
      const names = scene.door.names();
      const socket = scene.watch(
        scene.door.connect({ port: 9, host: name, ...names }),
      );
      await scene.turn();
      socket.destroy();
      await scene.closed(socket);
      scene.members("closed", socket, ...states);
    },
  },
  {
    name: "destroy(error) while it connects emits the error",
    from: "test-net-connect-immediate-destroy.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.write("one", (error) => scene.log("one", error));
      socket.destroy(new Error("enough"));
      await scene.closed(socket);
      scene.members("closed", socket, "errored", ...states);
    },
  },
  {
    name: "destroy() twice closes once",
    from: "test-net-socket-destroy-twice.js",
    async run(scene) {
      const port = await scene.refused();
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.on("error", () => socket.destroy(new Error("again")));
      socket.on("close", () => socket.destroy());
      await scene.closed(socket);
    },
  },
  {
    name: "destroy() of a socket that nobody connects",
    from: "test-net-connect-after-destroy.js",
    async run(scene) {
      const socket = scene.watch(scene.door.socket());
      scene.log("is itself", socket.destroy() === socket);
      scene.members("destroyed", socket, ...states);
      await scene.closed(socket);
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "destroySoon() sends what is queued, and closes",
    from: "test-net-end-destroyed.js",
    async run(scene) {
      const got = deferred<string>();
      const port = await scene.serve((socket) => {
        let text = "";
        socket.on("data", (data) => text += data);
        socket.on("end", () => got.resolve(text));
      });
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.write("one ");
      socket.write("two");
      socket.destroySoon();
      await scene.closed(socket);
      scene.log("got", await got.promise);
    },
  },
  {
    name: "resetAndDestroy() resets the connection",
    from: "test-net-socket-reset-send.js",
    async run(scene) {
      const server = deferred<net.Socket>();
      const port = await scene.serve(server.resolve);
      const socket = await connected(scene, { port });
      const peer = scene.watch(await server.promise, ["error"], "peer ");
      peer.resume();
      const isItself = socket.resetAndDestroy() === socket;
      scene.log("is itself", isItself);
      await scene.closed(socket);
      await scene.closed(peer);
    },
  },
  {
    name: "resetAndDestroy() while it connects",
    from: "test-net-connect-reset-until-connected.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.resetAndDestroy();
      await scene.closed(socket);
      scene.members("closed", socket, ...states);
    },
  },
  {
    name: "resetAndDestroy() of a socket that nobody connects, and again",
    from: "test-net-connect-reset.js",
    async run(scene) {
      const socket = scene.watch(scene.door.socket());
      socket.resetAndDestroy();
      await scene.closed(socket);
      socket.resetAndDestroy();
      await scene.turn();
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "a reset by the peer is ECONNRESET",
    from: "test-net-server-reset.js",
    async run(scene) {
      const port = await scene.serve((socket) =>
        void socket.once("data", () => socket.resetAndDestroy())
      );
      const socket = await connected(scene, { port });
      socket.resume().write("go");
      await scene.closed(socket);
      scene.members("closed", socket, ...states);
    },
  },
  {
    name: "a reset while much is written is ECONNRESET",
    from: "test-net-server-reset.js",
    async run(scene) {
      const port = await scene.serve((socket) => {
        socket.pause();
        setTimeout(() => socket.resetAndDestroy(), 20);
      });
      const socket = await connected(scene, { port });
      const outcomes: string[] = [];
      for (const part of ["first", "second"]) {
        socket.write(Buffer.alloc(8_000_000), (error) => {
          const { code } = error as NodeJS.ErrnoException;
          outcomes.push(`${part} ${code}`);
        });
      }
      await scene.closed(socket);
      scene.log("written", outcomes);
    },
  },
  {
    name: "timeout is emitted while it looks up, and no more than that happens",
    from: "test-net-timeout-no-handle.js",
    async run(scene) {
      const names = scene.door.names();
      const socket = scene.watch(
        scene.door.connect({ port: 9, host: name, ...names }),
      );
      const isItself = socket.setTimeout(20, () => scene.log("called"));
      scene.log("is itself", isItself === socket, socket.timeout);
      await scene.event(socket, "timeout");
      scene.members("then", socket, "timeout", ...states);
      socket.destroy();
      await scene.closed(socket);
    },
  },
  {
    name: "the option timeout sets the socket's",
    from: "test-net-socket-timeout.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.watch(
        scene.door.connect({ port, host, timeout: 150 }),
      );
      scene.members("at first", socket, "timeout");
      await scene.event(socket, "timeout");
      scene.members("then", socket, "timeout", ...states);
    },
  },
  {
    name: "timeouts that a timer cannot hold, or that are none",
    from: "test-net-socket-timeout.js",
    run(scene) {
      const socket = scene.keep(scene.door.socket());
      const values = [
        ...[2 ** 31 - 2, 2 ** 31 - 1, 2 ** 31, 2 ** 32, Infinity, NaN, -1],
        ...["100", true, null, undefined, {}],
      ];
      for (const value of values) {
        scene.try(
          `setTimeout(${value})`,
          () => socket.setTimeout(value as number),
        );
        scene.members("then", socket, "timeout");
      }
      scene.try(
        "setTimeout(1, 2)",
        () => socket.setTimeout(1, 2 as never),
      );
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "a huge timeout does not fire at once",
    from: "test-net-settimeout.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = await connected(scene, { port });
      scene.try("2 ** 31", () => socket.setTimeout(2 ** 31));
      await scene.pause(30);
      scene.members("then", socket, ...states);
    },
  },
  {
    name: "setTimeout(0) takes the listener off",
    from: "test-net-can-reset-timeout.js",
    async run(scene) {
      const port = await scene.serve(echo);
      const socket = await connected(scene, { port });
      const onTimeout = () => scene.log("called");
      socket.setTimeout(20, onTimeout);
      scene.log("listeners", socket.listenerCount("timeout"));
      socket.setTimeout(0, onTimeout);
      scene.log("listeners", socket.listenerCount("timeout"));
      await scene.pause(40);
      scene.members("then", socket, "timeout");
    },
  },
  {
    name: "onread gets the bytes in the buffer given, and no data is emitted",
    from: "test-net-onread-static-buffer.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const buffer = Buffer.alloc(16);
      const onread = {
        buffer,
        callback(size: number, bytes: Uint8Array) {
          const isIt = bytes === buffer;
          scene.log("read", size, isIt, String(buffer.subarray(0, size)));
          return true;
        },
      };
      const socket = scene.watch(scene.door.connect({ port, host, onread }));
      socket.on("data", () => scene.log("data"));
      await scene.closed(socket);
      scene.members("then", socket, "bytesRead");
    },
  },
  {
    name: "onread that returns false pauses until resume()",
    from: "test-net-onread-static-buffer.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      let read = 0;
      const paused = deferred<void>();
      const onread = {
        buffer: Buffer.alloc(2),
        callback(size: number) {
          read += size;
          paused.resolve();
          return read > 2;
        },
      };
      const socket = scene.keep(scene.door.connect({ port, host, onread }));
      await paused.promise;
      await scene.turn();
      scene.log("read", read);
      socket.resume();
      await scene.closed(socket);
      scene.log("read", read, socket.bytesRead);
    },
  },
  {
    name: "highWaterMark reaches both sides",
    from: "test-net-connect-options-invalid.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.keep(
        scene.door.connect({ port, host, highWaterMark: 12345 }),
      );
      const marks = ["readableHighWaterMark", "writableHighWaterMark"];
      scene.members("connecting", socket, ...marks);
      await scene.event(socket, "connect");
      scene.members("connected", socket, ...marks);
    },
  },
  {
    name: "pause() before it is connected holds the bytes until resume()",
    from: "test-net-pause-resume-connecting.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.on("data", (data) => scene.log("data", String(data)));
      socket.pause();
      scene.log("is paused", socket.isPaused());
      await scene.event(socket, "connect");
      await scene.turn(10);
      scene.log("resume", socket.bytesRead, socket.isPaused());
      socket.resume();
      await scene.closed(socket);
    },
  },
  {
    name: "allowHalfOpen leaves the end of our side to the program",
    from: "test-net-allow-half-open.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"), {
        allowHalfOpen: true,
      });
      const socket = await connected(scene, { port, allowHalfOpen: true });
      socket.resume();
      await scene.event(socket, "end");
      await scene.turn();
      scene.members("ended", socket, "allowHalfOpen", ...states);
      socket.end();
      await scene.closed(socket);
    },
  },
  {
    name: "connect() again after close is a new connection",
    from: "test-net-reconnect.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const socket = scene.watch(scene.door.socket());
      socket.on("data", (data) => scene.log("data", String(data)));
      for (let round = 1; round <= 3; round++) {
        scene.log("round", round);
        socket.connect(port, host);
        scene.members("connecting", socket, ...states);
        await scene.event(socket, "connect");
        // `event()` looks at `closed`, which a second life may have left.
        await new Promise<void>((resolve) => socket.once("close", resolve));
        scene.members("closed", socket, "bytesRead", ...states);
      }
    },
    doors: ["platform", "LazySocket"],
  },
  ...[host, name].map((target): Case => ({
    name: `connect() again while it connects to ${target}`,
    from: "test-net-connect-call-socket-connect.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const names = scene.door.names([host]);
      const socket = scene.watch(scene.door.socket(names));
      const options = { port, host: target, ...names };
      socket.on("data", (data) => scene.log("data", String(data)));
      socket.connect(options);
      scene.try("again", () => socket.connect(options));
      scene.members("connecting", socket, ...states);
      await scene.closed(socket);
    },
    doors: ["platform", "LazySocket"],
  })),
  {
    name: "a port may be text",
    from: "test-net-connect-options-port.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const socket = scene.watch(
        scene.door.connect({ port: String(port), host }),
      );
      socket.resume();
      await scene.closed(socket);
    },
  },
  {
    name: "ports that are none are refused before anything starts",
    from: "test-net-connect-options-port.js",
    run(scene) {
      for (
        const port of [true, -1, 65536, NaN, "", " ", "x", "0x", [], {}, null]
      ) {
        const socket = scene.watch(scene.door.socket());
        scene.try(
          `port ${JSON.stringify(port)}`,
          () => socket.connect({ port, host } as never),
        );
        socket.destroy();
      }
      const socket = scene.watch(scene.door.socket());
      scene.try(
        "nothing",
        () => (socket.connect as (...none: unknown[]) => void)(),
      );
      scene.try("{}", () => socket.connect({} as never));
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "options that are wrong are refused before anything starts",
    from: "test-net-localerror.js",
    run(scene) {
      const wrong: Options[] = [
        { host: 1 },
        { host: {} },
        { localAddress: "foobar" },
        { localAddress: 1 },
        { localPort: "foobar" },
        { localPort: 65536 },
        { lookup: "foobar", host: name },
        { lookup: 1, host: name },
        { hints: 7777, host: name },
        { family: "x", host: name },
        { autoSelectFamily: "INVALID", host: name },
        { autoSelectFamilyAttemptTimeout: "INVALID", host: name },
        { autoSelectFamilyAttemptTimeout: -1, host: name },
        { autoSelectFamilyAttemptTimeout: 0, host: name },
      ];
      for (const options of wrong) {
        const socket = scene.keep(scene.door.socket());
        socket.on("error", () => {});
        scene.try(
          JSON.stringify(options),
          () => socket.connect({ port: 9, host, ...options } as never),
        );
        socket.destroy();
      }
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "a signal that is aborted already destroys it at once",
    from: "test-net-connect-abort-controller.js",
    async run(scene) {
      const port = await scene.serve();
      const signal = AbortSignal.abort();
      const socket = scene.watch(scene.door.connect({ port, host, signal }));
      scene.members("at first", socket, "destroyed");
      await scene.closed(socket);
    },
  },
  {
    name: "a signal aborts while it connects",
    from: "test-net-connect-abort-controller.js",
    async run(scene) {
      const names = scene.door.names();
      const controller = new AbortController();
      const { signal } = controller;
      const socket = scene.watch(
        scene.door.connect({ port: 9, host: name, signal, ...names }),
      );
      await scene.turn();
      controller.abort(new Error("enough"));
      await scene.closed(socket);
    },
  },
  {
    name: "a signal aborts a socket that is connected",
    from: "test-net-connect-abort-controller.js",
    async run(scene) {
      const port = await scene.serve();
      const controller = new AbortController();
      const { signal } = controller;
      const socket = await connected(scene, { port, signal });
      controller.abort();
      await scene.closed(socket);
    },
  },
  {
    name: "a signal that is none is refused",
    from: "test-net-connect-abort-controller.js",
    run(scene) {
      for (const signal of ["INVALID", {}, 1]) {
        scene.try(
          `signal ${JSON.stringify(signal)}`,
          () => scene.keep(scene.door.connect({ port: 9, host, signal })),
        );
      }
    },
  },
  {
    name: "a blockList blocks an address",
    from: "test-net-blocklist.js",
    async run(scene) {
      const port = await scene.serve();
      const blockList = new net.BlockList();
      blockList.addAddress(host);
      const socket = scene.watch(scene.door.connect({ port, host, blockList }));
      await scene.event(socket, "connect");
    },
  },
  {
    name: "a blockList blocks the address of a name",
    from: "test-net-blocklist.js",
    async run(scene) {
      const port = await scene.serve();
      const blockList = new net.BlockList();
      blockList.addAddress(host);
      const names = scene.door.names([host]);
      const socket = scene.watch(
        scene.door.connect({ port, host: name, blockList, ...names }),
      );
      await scene.event(socket, "connect");
    },
  },
  {
    name: "localAddress and localPort are where it comes from",
    from: "test-net-local-address-port.js",
    async run(scene) {
      const peer = deferred<net.Socket>();
      const port = await scene.serve(peer.resolve);
      const localPort = await scene.refused();
      const localAddress = "127.0.0.2";
      await connected(scene, { port, localAddress, localPort });
      const { remoteAddress, remotePort } = await peer.promise;
      scene.log("peer", remoteAddress, remotePort);
    },
  },
  {
    name: "a localAddress that is not this host's",
    from: "test-net-client-bind-twice.js",
    async run(scene) {
      const port = await scene.serve();
      const localAddress = "192.0.2.1";
      const socket = scene.watch(
        scene.door.connect({ port, host, localAddress }),
      );
      await scene.closed(socket);
    },
  },
  {
    name: "family picks among the addresses of a name",
    from: "test-net-connect-options-ipv6.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const socket = scene.watch(
        scene.door.connect({
          port,
          host: "localhost",
          family: 4,
        }),
      );
      socket.resume();
      await scene.event(socket, "connect");
      scene.members("connected", socket, "remoteAddress");
      await scene.closed(socket);
    },
  },
  {
    name: "a path is connected to",
    from: "test-net-connect-options-path.js",
    async run(scene) {
      const path = `${os.tmpdir()}/suite-${process.pid}-${Math.random()}`;
      scene.hide(path, "<path>");
      const server = net.createServer((socket) => socket.end("hello"));
      await new Promise<void>((resolve) => server.listen(path, resolve));
      scene.defer(() => server.close());
      const socket = scene.watch(scene.door.socket());
      socket.connect({ path });
      socket.on("data", (data) => scene.log("data", String(data)));
      await scene.closed(socket);
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "a path that is not there",
    from: "test-net-better-error-messages-path.js",
    async run(scene) {
      const socket = scene.watch(scene.door.socket());
      socket.connect("/nowhere/to/be.found");
      await scene.closed(socket);
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "listeners run in the async context of the caller",
    from: "test-net-perf_hooks.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const storage = new AsyncLocalStorage<string>();
      const socket = storage.run(
        "caller",
        () => scene.keep(scene.door.connect({ port, host })),
      );
      for (const event of ["connect", "ready", "data", "end", "close"]) {
        socket.on(event, () => scene.log(event, storage.getStore()));
      }
      await scene.closed(socket);
    },
  },
  {
    name: "listeners of a socket to a name run in the async context",
    from: "test-net-perf_hooks.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const names = scene.door.names(["127.0.0.2", host]);
      const target = { port, host: name, ...names };
      const storage = new AsyncLocalStorage<string>();
      const socket = storage.run(
        "caller",
        () => scene.keep(scene.door.connect(target)),
      );
      for (
        const event of [
          ...["lookup", "connectionAttempt", "connectionAttemptFailed"],
          ...["connect", "ready", "data", "end", "close"],
        ]
      ) socket.once(event, () => scene.log(event, storage.getStore()));
      await scene.closed(socket);
    },
  },
  ...["lookup", "connectionAttempt", "connectionAttemptFailed", "ready"].map((
    event,
  ): Case => ({
    name: `an exception in a ${event} listener of a name`,
    from: "test-net-connect-call-socket-connect.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const names = scene.door.names(["127.0.0.2", host]);
      const target = { port, host: name, ...names };
      const uncaught = scene.uncaught();
      const socket = scene.keep(scene.door.connect(target));
      socket.on("error", (error) => scene.log("error", error));
      socket.once(event, () => {
        throw new Error("a fault of the program");
      });
      await Promise.race([uncaught, scene.pause(300)]);
    },
  })),
  {
    name: "an exception in a connect listener is an uncaughtException",
    from: "test-net-connect-call-socket-connect.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end());
      const uncaught = scene.uncaught();
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.on("connect", () => {
        throw new Error("a fault of the program");
      });
      // Deno says nothing of it.
      await Promise.race([uncaught, scene.pause(300)]);
      socket.destroy();
      await scene.closed(socket);
    },
  },
  {
    name: "an error that nobody listens for is an uncaughtException",
    from: "test-net-connect-options-ipv6.js",
    async run(scene) {
      const port = await scene.refused();
      const uncaught = scene.uncaught();
      scene.door.connect({ port, host });
      await uncaught;
    },
  },
  {
    name: "the callback of connect() gets no arguments, and the socket as this",
    from: "test-net-connect-call-socket-connect.js",
    async run(scene) {
      const port = await scene.serve();
      const called = deferred<void>();
      const socket = scene.door.socket();
      scene.watch(socket, ["connect"]);
      const result = socket.connect(
        port,
        host,
        function (this: unknown, ...args: unknown[]) {
          scene.log("called", args.length, this === socket);
          called.resolve();
        },
      );
      scene.log("is itself", result === socket);
      await called.promise;
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "setters return the socket, before and while it connects",
    from: "test-net-persistent-nodelay.js",
    async run(scene) {
      const port = await scene.serve();
      const socket = scene.keep(scene.door.socket());
      const isChained = () => [
        socket.setNoDelay() === socket,
        socket.setNoDelay(false) === socket,
        socket.setKeepAlive() === socket,
        socket.setKeepAlive(true, 1000) === socket,
        socket.ref() === socket,
        socket.unref() === socket,
        socket.ref() === socket,
        socket.pause() === socket,
        socket.resume() === socket,
        socket.setEncoding("utf8") === socket,
      ];
      scene.log("new", isChained());
      socket.connect(port, host);
      scene.log("connecting", isChained());
      await scene.event(socket, "connect");
      scene.log("connected", isChained());
      scene.log("is a net.Socket", socket instanceof net.Socket);
    },
    doors: ["platform", "LazySocket"],
  },
  {
    name: "keepAlive, as an option and set while it connects",
    from: "test-net-persistent-keepalive.js",
    async run(scene) {
      const port = await scene.serve();
      const options = { keepAlive: true, keepAliveInitialDelay: 600_000 };
      const socket = await connected(scene, { port, ...options }, []);
      scene.log("as an option", await probe(socket));
      const names = scene.door.names([host]);
      const target = { port, host: name, ...names };
      const other = scene.keep(scene.door.connect(target));
      other.setKeepAlive(true, 1_200_000);
      await scene.event(other, "connect");
      scene.log("while it connects", await probe(other));
      const third = await connected(scene, { port }, []);
      scene.log("not at all", await probe(third));
    },
  },
  {
    name: "cork() before it is connected",
    from: "test-net-sync-cork.js",
    async run(scene) {
      const got = deferred<string>();
      const port = await scene.serve((socket) => {
        let text = "";
        socket.on("data", (data) => text += data);
        socket.on("end", () => got.resolve(text));
      });
      const socket = scene.watch(scene.door.connect({ port, host }));
      socket.cork();
      for (let i = 0; i < 100; i++) socket.write(`${i},`);
      scene.members("corked", socket, "writableLength", "writableCorked");
      socket.uncork();
      socket.end();
      await scene.closed(socket);
      scene.log("got", (await got.promise).length);
    },
  },
  {
    name: "much text arrives whole",
    from: "test-net-large-string.js",
    async run(scene) {
      const port = await scene.serve(echo);
      const socket = scene.watch(scene.door.connect({ port, host }), ["close"]);
      let length = 0;
      socket.setEncoding("utf8").on("data", (text) => length += text.length);
      socket.end("ü".repeat(1_000_000));
      await scene.closed(socket);
      scene.log("got", length, socket.bytesRead, socket.bytesWritten);
    },
  },
  {
    name: "it can be iterated",
    from: "test-net-server-pause-on-connect.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const socket = scene.watch(scene.door.connect({ port, host }));
      let text = "";
      for await (const chunk of socket) text += chunk;
      scene.log("got", text);
      await scene.closed(socket);
    },
  },
  {
    name: "an end that nobody reads is noticed when it is read",
    from: "test-net-end-close.js",
    async run(scene) {
      const port = await scene.serve((socket) => socket.end("hello"));
      const socket = await connected(scene, { port });
      await scene.turn(10);
      scene.log("read", String(socket.read()));
      socket.resume();
      await scene.closed(socket);
    },
  },
];
