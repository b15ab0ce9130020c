/**
 * Alternating address families.
 *
 * Sorting by RFC 6724 puts whole families one after the other. Where one
 * family is broken, all of its addresses would be tried before the first of
 * the other one; so the families take turns (RFC 8305 section 4). Which family
 * leads is not decided here: it is that of the first entry.
 *
 * @module
 */

import type { Family } from "./endpoint.ts";

/**
 * Puts the first `preferredAddressFamilyCount` entries of the leading family
 * first, then one of the other family, one of the leading one, and so on; what
 * is left of the longer family comes last. Within a family the order stays.
 */
export function interleave<T extends { readonly family: Family }>(
  sorted: readonly T[],
  preferredAddressFamilyCount: number,
): T[] {
  const leading = sorted.filter(({ family }) => family === sorted[0]?.family);
  const other = sorted.filter(({ family }) => family !== sorted[0]?.family);
  const result = leading.splice(0, preferredAddressFamilyCount);
  const turns = Math.max(leading.length, other.length);
  for (let turn = 0; turn < turns; turn++) {
    // A family that has run out gives an empty slice.
    result.push(...other.slice(turn, turn + 1));
    result.push(...leading.slice(turn, turn + 1));
  }
  return result;
}
