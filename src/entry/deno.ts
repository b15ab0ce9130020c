/**
 * The door for code that needs Deno's own resource: `Deno.TcpConn` or
 * `Deno.TlsConn`, by Happy Eyeballs.
 *
 * ```ts ignore
 * import { connectDeno } from "@stagger/happy-eyeballs/deno";
 *
 * using conn = await connectDeno({ hostname: "example.com", port: 80 });
 * conn.setKeepAlive(true);
 * ```
 *
 * The race is that of `connect()`, permissions and all; the winner is handed
 * over as it is. Left out: local addresses, which `Deno.connect` cannot do.
 *
 * @module
 */

import { connectBy } from "../connect.ts";
import type { ConnectOptions, TlsOptions } from "../options.ts";
import { connDialler } from "../runtime/deno.ts";
import { detectRuntime } from "../runtime/detect.ts";

/**
 * Options of {@linkcode connectDeno}: those of `connect()`, less what is up to
 * whoever has the resource.
 */
export type ConnectDenoOptions = Omit<
  ConnectOptions,
  "allowHalfOpen" | "localAddresses"
>;

/**
 * Connects as `connect()` does, and returns Deno's own connection: with `tls` a
 * `Deno.TlsConn` after its handshake, else a `Deno.TcpConn`. It is the caller's
 * to close.
 *
 * ```ts ignore
 * import { connectDeno } from "@stagger/happy-eyeballs/deno";
 *
 * using conn = await connectDeno({
 *   hostname: "example.com",
 *   port: 443,
 *   tls: { alpnProtocols: ["h2"] },
 * });
 * const { alpnProtocol } = await conn.handshake();
 * ```
 *
 * @throws {TypeError | RangeError} when an option is wrong, before anything
 * starts.
 * @throws {ConnectError} when nothing worked.
 * @throws `signal.reason` when the caller aborts; what `allow` throws.
 */
export function connectDeno(
  options: ConnectDenoOptions & { tls: true | TlsOptions },
): Promise<Deno.TlsConn>;
/** Without TLS. */
export function connectDeno(
  options: ConnectDenoOptions & { tls?: false | undefined },
): Promise<Deno.TcpConn>;
/** With TLS or without. */
export function connectDeno(
  options: ConnectDenoOptions,
): Promise<Deno.TcpConn | Deno.TlsConn>;
export async function connectDeno(
  options: ConnectDenoOptions,
): Promise<Deno.TcpConn | Deno.TlsConn> {
  const discard = (conn: { close(): void }) => conn.close();
  const conn = await connectBy(detect, options, discard);
  return conn as Deno.TcpConn | Deno.TlsConn;
}

function detect(): typeof connDialler {
  if (detectRuntime().name === "deno") return connDialler;
  throw new TypeError("Cannot connect: connectDeno() takes Deno");
}
