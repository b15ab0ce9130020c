/**
 * `staticResolver()`: addresses known beforehand, whatever the name.
 *
 * For tests, for pinned hosts, for service discovery done elsewhere.
 *
 * @module
 */

import type { Resolver } from "../core/answer.ts";
import { parseIpAddress } from "../core/ip_address.ts";

/**
 * Answers every name with `addresses`, IP literals of either family, all read
 * and checked at once.
 *
 * ```ts
 * import { staticResolver } from "@stagger/happy-eyeballs";
 *
 * const resolver = staticResolver(["2001:db8::1", "192.0.2.1"]);
 * ```
 *
 * @throws {TypeError} when one of them is no IP literal.
 */
export function staticResolver(addresses: Iterable<string>): Resolver {
  const answers = { AAAA: [] as string[], A: [] as string[] };
  for (const text of addresses) {
    const address = typeof text === "string" ? parseIpAddress(text) : null;
    if (!address) {
      throw new TypeError(
        `Cannot resolve statically: not an IP literal: ${String(text)}`,
      );
    }
    answers[address.family === 6 ? "AAAA" : "A"].push(address.text);
  }

  return async function* (_hostname, { types }) {
    for (const type of types) yield { type, addresses: answers[type] };
  };
}
