/**
 * Where an attempt goes.
 *
 * @module
 */

/** An IP address family: 4 for IPv4, 6 for IPv6. */
export type Family = 4 | 6;

/** One place to connect to: an address, a port and the local side to use. */
export interface Endpoint {
  /**
   * The canonical IP literal, exactly as it is dialled. An IPv4-mapped IPv6
   * address is written as IPv4, a zone id is kept (`fe80::1%eth0`).
   */
  readonly address: string;
  /** The family of {@linkcode Endpoint.address}. */
  readonly family: Family;
  /** The TCP port, 1 to 65535. */
  readonly port: number;
  /** The local IP literal to connect from; part of the endpoint's identity. */
  readonly localAddress?: string | undefined;
}
