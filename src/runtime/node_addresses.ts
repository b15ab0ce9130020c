/**
 * What Node and Bun know about addresses: getaddrinfo, and the local address
 * towards a destination.
 *
 * The source address is found by connecting a UDP socket, which asks the
 * system's routing table and sends nothing.
 *
 * @module
 */

import type { Source } from "../core/address_selection.ts";
import type { Family } from "../core/endpoint.ts";
import { parseIpAddress } from "../core/ip_address.ts";
import { errorCode } from "./attempt_error.ts";
import { builtin } from "./node_builtin.ts";

/** What `dns.lookup()` gives for each address. */
interface LookupAddress {
  readonly address: string;
  readonly family: number;
}

/** What is used of `node:dns`. */
interface DnsModule {
  lookup(
    hostname: string,
    options: Record<string, unknown>,
    callback: (
      error: Error | null,
      addresses: readonly LookupAddress[],
    ) => void,
  ): void;
}

/** What is used of `dgram.Socket`. */
interface DatagramSocket {
  on(event: "error", listener: () => void): unknown;
  connect(
    port: number,
    address: string,
    callback: (error?: Error) => void,
  ): void;
  address(): { readonly address: string };
  close(): void;
  unref(): unknown;
}

/** What is used of `node:dgram`. */
interface DgramModule {
  createSocket(options: {
    type: "udp4" | "udp6";
    lookup: (
      address: string,
      family: number,
      callback: (error: null, address: string) => void,
    ) => void;
  }): DatagramSocket;
}

/** Any port tells the route; this one, of the discard protocol, is nobody's. */
const DISCARD_PORT = 9;

/** What the system says to a destination it has no way to. */
const NO_ROUTE: ReadonlySet<string | undefined> = new Set([
  "EACCES",
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "EHOSTUNREACH",
  "EINVAL",
  "ENETUNREACH",
  // Bun 1.4 says "Failed to connect socket" and no code.
  undefined,
]);

/**
 * `Runtime.lookup` by `dns.lookup()`, which answers a literal whatever the
 * family asked for, and names the same address twice where the hosts file does.
 */
export function lookup(
  hostname: string,
  family: Family,
): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    const options = { family, all: true, order: "verbatim" };
    const { lookup } = builtin<DnsModule>("node:dns");
    lookup(hostname, options, (error, addresses) => {
      if (error) return reject(error);
      const own = addresses.filter((found) => found.family === family);
      resolve([...new Set(own.map(({ address }) => address))]);
    });
  });
}

/**
 * `Runtime.sourceAddress` by `node:dgram`. What fails before the socket asks
 * for the way, such as a lack of descriptors, tells nothing about it.
 */
export function sourceAddress(
  destination: string,
): Promise<Source | null | undefined> {
  return new Promise((resolve) => {
    const address = parseIpAddress(destination);
    if (!address) return resolve(undefined);
    const socket = builtin<DgramModule>("node:dgram").createSocket({
      type: `udp${address.family}`,
      // By default each address is looked up, literal or not, which takes
      // several turns and, the first time, several milliseconds.
      lookup: (address, _family, callback) => callback(null, address),
    });
    const finish = (source: Source | null | undefined) => {
      socket.close();
      resolve(source);
    };
    socket.unref();
    socket.on("error", () => finish(undefined));
    socket.connect(DISCARD_PORT, destination, (error) => {
      if (!error) finish({ address: socket.address().address });
      else finish(NO_ROUTE.has(errorCode(error)) ? null : undefined);
    });
  });
}
