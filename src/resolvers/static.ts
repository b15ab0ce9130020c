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
 * Answers every name with `addresses`, IP literals of either family.
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
  const known = Array.from(addresses, (text) => {
    const address = typeof text === "string" ? parseIpAddress(text) : null;
    if (!address) {
      throw new TypeError(
        `Cannot resolve statically: not an IP literal: ${String(text)}`,
      );
    }
    return address;
  });
  const ofFamily = (family: 4 | 6) =>
    known.filter((address) => address.family === family)
      .map(({ text }) => text);
  const answers = { AAAA: ofFamily(6), A: ofFamily(4) };

  return async function* (_hostname, { types }) {
    for (const type of types) yield { type, addresses: answers[type] };
  };
}
