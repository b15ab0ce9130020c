/**
 * `connectNode()`: like `connect()`, but what comes out is Node's own socket.
 *
 * Programs made for Node want a `net.Socket` or a `tls.TLSSocket` and nothing
 * like it. The race is the same, TLS inside it; each attempt opens the real
 * socket, and the winner is handed over as it is, paused, without a listener.
 * Errors are the platform's own, so TLS failures keep Node's codes.
 *
 * Left out: delegation. On Deno this takes the permission to dial every
 * address, because `node:net` is asked for addresses only.
 *
 * @module
 */

import type * as net from "node:net";
import type * as tls from "node:tls";

import { raceEndpoints, withTls } from "../../happy_eyeballs.ts";
import {
  checkConnectNames,
  checkDialOptions,
  checkOptions,
  type ConnectOptions,
  type Settings,
  type TlsOptions,
} from "../../options.ts";
import { detectRuntime } from "../../runtime/detect.ts";
import { withBuiltins } from "../../runtime/node_builtin.ts";
import { openSocket } from "../../runtime/node_socket.ts";
import { nodeTlsOptions } from "../../runtime/node_tls_options.ts";
import type { TlsSessions } from "../../runtime/node_tls_sessions.ts";

/** What becomes of a socket, beside where it goes. */
export interface SocketSettings {
  readonly noDelay: boolean;
  readonly keepAlive: boolean;
  readonly allowHalfOpen: boolean;
  /** What `net.connect()` is given beside that. */
  readonly more?: Record<string, unknown>;
  /** Makes the options of `tls.connect()`; `null` for plain TCP. */
  readonly tls: (() => Record<string, unknown>) | null;
  /** Where TLS sessions are kept. @default those of `connect()` */
  readonly sessions?: TlsSessions | undefined;
}

/**
 * Connects as `connect()` does, with the same options, and returns Node's own
 * socket: a `tls.TLSSocket` after its handshake with `tls`, else a
 * `net.Socket`. Nothing has been read from it that the caller does not get.
 *
 * ```ts ignore
 * import { connectNode } from "@stagger/happy-eyeballs/node";
 *
 * const socket = await connectNode({ hostname: "example.com", port: 80 });
 * socket.end("HEAD / HTTP/1.0\r\n\r\n");
 * for await (const chunk of socket) console.log(String(chunk));
 * ```
 *
 * A TLS session of an earlier connection is resumed; then
 * `getPeerCertificate()` is empty on Node. With `session: false` there is always
 * a certificate.
 *
 * Works on Node, Bun and Deno. On Deno, prefer `connect()` where TLS moves
 * much data: Deno's `node:tls` may lose the end of a stream under backpressure.
 *
 * @throws {TypeError | RangeError} when an option is wrong, before anything
 * starts.
 * @throws {ConnectError} when nothing worked; the `code` of a TLS failure is
 * Node's, such as `CERT_HAS_EXPIRED`.
 * @throws `signal.reason` when the caller aborts; what `allow` throws.
 */
export function connectNode(
  options: ConnectOptions & { tls: true | TlsOptions },
): Promise<tls.TLSSocket>;
/** Without TLS. */
export function connectNode(
  options: ConnectOptions & { tls?: false | undefined },
): Promise<net.Socket>;
/** With TLS or without. */
export function connectNode(
  options: ConnectOptions,
): Promise<net.Socket | tls.TLSSocket>;
export async function connectNode(
  options: ConnectOptions,
): Promise<net.Socket | tls.TLSSocket> {
  checkConnectNames(options);
  const settings = checkOptions(options);
  const { hostname, tls, ...dial } = checkDialOptions(options, settings.host);
  return await raceSockets(settings, {
    ...dial,
    tls: tls && (() => nodeTlsOptions(hostname, tls)),
  });
}

/** The race behind {@linkcode connectNode}, for options already checked. */
export function raceSockets(
  settings: Settings,
  { allowHalfOpen, ...plan }: SocketSettings,
): Promise<net.Socket> {
  const handOver = (opened: unknown) =>
    Object.assign(opened as net.Socket, { allowHalfOpen });
  const explain = (error: unknown) => error;
  // Throws where the platform is too old, before anything starts.
  detectRuntime();
  return raceEndpoints(
    settings,
    withTls(
      settings,
      (endpoint, signal, onTcp) =>
        withBuiltins(() =>
          openSocket(endpoint, { ...plan, handOver, explain }, signal, onTcp)
        ),
    ),
    (socket) => socket.destroy(),
  );
}
