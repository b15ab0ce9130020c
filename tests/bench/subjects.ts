/**
 * What is compared: ours, and what each runtime has built in, in the shortest
 * form that does the same job: a connect that can be cancelled, TLS on an
 * address under another name, and the runtime's own web streams.
 *
 * @module
 */

import { connect as netConnect, type Socket } from "node:net";
import { Readable, Writable } from "node:stream";
import { connect as tlsConnect } from "node:tls";

import { connect, type Connection, staticResolver } from "../../mod.ts";

/** A way to connect to this machine; `S` is its socket. */
export interface Subject<S> {
  connect(port: number, signal: AbortSignal): Promise<S>;
  /** By a resolver that knows both loopbacks; raw: to the one that is first. */
  connectByName(port: number, signal: AbortSignal): Promise<S>;
  /** Verifies `serverName`; done when the handshake is. */
  connectTls(port: number, serverName: string, signal: AbortSignal): Promise<S>;
  /** At once, without waiting. */
  close(socket: S): void;
  readable(socket: S): ReadableStream<Uint8Array>;
  writable(socket: S): WritableStream<Uint8Array>;
}

const IPV4 = "127.0.0.1";
const IPV6 = "::1";

const resolver = staticResolver([IPV4, IPV6]);

/** This package. */
export const ours: Subject<Connection> = {
  connect: (port, signal) => connect({ hostname: IPV4, port, signal }),
  connectByName: (port, signal) =>
    connect({ hostname: "bench.test", port, resolver, signal }),
  connectTls: (port, serverName, signal) =>
    connect({ hostname: IPV4, port, tls: { serverName }, signal }),
  close: (connection) => void connection.close("dropped"),
  readable: (connection) => connection.readable,
  writable: (connection) => connection.writable,
};

/** Deno's own sockets. */
export const deno: Subject<Deno.Conn> = {
  connect: (port, signal) => Deno.connect({ hostname: IPV4, port, signal }),
  connectByName: (port, signal) =>
    Deno.connect({ hostname: IPV6, port, signal }),
  async connectTls(port, hostname, signal) {
    const tcp = await Deno.connect({ hostname: IPV4, port, signal });
    // Without it the handshake waits 40 ms for a delayed ACK.
    tcp.setNoDelay(true);
    const tls = await Deno.startTls(tcp, { hostname });
    await tls.handshake();
    return tls;
  },
  close(conn) {
    try {
      conn.close();
    } catch {
      // Deno's stream closed it at the peer's end.
    }
  },
  readable: (conn) => conn.readable,
  writable: (conn) => conn.writable,
};

/** `node:net` and `node:tls`, on Node and Bun. */
export const node: Subject<Socket> = {
  connect: (port, signal) =>
    opened(netConnect({ host: IPV4, port }), "connect", signal),
  connectByName: (port, signal) =>
    opened(netConnect({ host: IPV6, port }), "connect", signal),
  connectTls: (port, servername, signal) =>
    opened(
      tlsConnect({ host: IPV4, port, servername }),
      "secureConnect",
      signal,
    ),
  close: (socket) => void socket.destroy(),
  readable: (socket) =>
    Readable.toWeb(socket) as unknown as ReadableStream<Uint8Array>,
  writable: (socket) => Writable.toWeb(socket),
};

/** The fewest listeners that tell success, failure and cancellation apart. */
function opened(
  socket: Socket,
  event: string,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const end = () => {
      socket.off(event, onOpened).off("error", onError);
      signal.removeEventListener("abort", onAbort);
    };
    const onOpened = () => {
      end();
      resolve(socket);
    };
    const onError = (error: Error) => {
      end();
      reject(error);
    };
    const onAbort = () => {
      end();
      socket.destroy();
      reject(signal.reason);
    };
    socket.on(event, onOpened).on("error", onError);
    signal.addEventListener("abort", onAbort);
  });
}
