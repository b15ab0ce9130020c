/**
 * What the engine needs of a platform, and what each adapter must promise.
 *
 * An adapter dials one IP literal, asks the system's resolver for one family
 * and tells the source address of a destination. Everything else (order,
 * delays, the race, error summaries) is shared code. Platform types stop at
 * the adapter.
 *
 * Every adapter passes the suite in `tests/runtime_conformance.ts`.
 *
 * @module
 */

import type { Connection } from "../connection.ts";
import type { Source } from "../core/address_selection.ts";
import type { Endpoint, Family } from "../core/endpoint.ts";
import type { TlsOptions } from "../options.ts";

/** How to dial, once it is known where to. */
export interface DialOptions {
  /**
   * The host the caller named: canonical ASCII name without trailing dot, or
   * an IP literal. TLS verifies it unless `tls.serverName` is given.
   */
  readonly hostname: string;
  /** TLS on top of TCP, or `null` for plain TCP. */
  readonly tls: TlsOptions | null;
  /** Keep the writable side open after the peer's FIN was read. */
  readonly allowHalfOpen: boolean;
  /** Set TCP_NODELAY. */
  readonly noDelay: boolean;
  /** Set SO_KEEPALIVE. */
  readonly keepAlive: boolean;
}

/** A way to dial: what `connect()` and the doors need, `T` being their result. */
export interface Dialler<T> {
  /** How many attempts may be under way at once. @default no limit */
  readonly mostInFlight?: number;

  /**
   * Refuses what the platform cannot honour, before anything starts. Only
   * platforms with such gaps have it.
   *
   * @throws {TypeError} naming the option.
   */
  check?(options: DialOptions, localAddresses: readonly string[]): void;

  /**
   * Opens one connection to an IP literal; with TLS, done when the handshake
   * is.
   *
   * - `onTcp` is called once, when TCP is up and the TLS handshake begins;
   *   never for plain TCP, nor where the platform does not tell.
   * - When `signal` aborts, the promise rejects with `signal.reason` at once
   *   and the SYN or handshake is cancelled, where the platform can; a
   *   connection that opens anyway is closed, never lost.
   * - Fails with an `Error` that has a portable `code` (see `attemptError`)
   *   and the platform's error as `cause`; with the platform's error itself
   *   where it is a mistake in a program. A failure leaves nothing open.
   */
  connect(
    endpoint: Endpoint,
    options: DialOptions,
    signal: AbortSignal,
    onTcp: () => void,
  ): Promise<T>;

  /**
   * Why the platform must be left to resolve by itself, whatever its user
   * permits: in words that follow the name of an option which rules that out,
   * such as "needs a resolver on workerd"; `undefined` when it need not.
   * `hasAddresses` tells whether there are any, or a resolver for them. Only
   * platforms that dial names have it.
   */
  needsName?(options: DialOptions, hasAddresses: boolean): string | undefined;

  /**
   * Whether dialling these addresses takes a permission that is not granted,
   * so that the platform must be left to resolve by itself: the missing
   * permission in words, or `undefined` when nothing is missing. Without
   * `addresses`: whether every address may be dialled. Only platforms with
   * such permissions have it.
   */
  missingPermission?(
    port: number,
    addresses?: readonly string[],
  ): string | undefined;

  /** Like {@linkcode Dialler.connect}, by host name: the platform resolves. */
  connectByName?(
    hostname: string,
    port: number,
    options: DialOptions,
    signal: AbortSignal,
    onTcp: () => void,
  ): Promise<T>;
}

/** A platform with TCP. */
export interface Runtime extends Dialler<Connection> {
  /** Which platform this is. */
  readonly name: "deno" | "bun" | "node" | "workerd";

  /**
   * The system's getaddrinfo for one family, in the system's order. Rejects
   * with the platform's error, whose `code` is `ENOTFOUND` or `EAI_*`, or where
   * the platform forbids to ask, `ERR_ACCESS_DENIED` or `EACCES`. Cannot be
   * cancelled.
   */
  lookup(hostname: string, family: Family): Promise<readonly string[]>;

  /**
   * The local address the system would use towards `destination`; `null`
   * where it has no route, `undefined` where it cannot be told.
   */
  sourceAddress(
    destination: string,
  ): Promise<Source | null | undefined> | Source | null | undefined;
}
