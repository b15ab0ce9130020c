/**
 * All addresses known at this moment, as endpoints in the order to try them.
 *
 * The order is derived from all facts each time it is needed, the addresses
 * already attempted included, so a late answer takes its place without code of
 * its own (HEv3 section 5, A41): RFC 6724 sorts, the families are interleaved,
 * and local addresses repeat the list.
 *
 * @module
 */

import { type KnownSource, sortDestinations } from "./address_selection.ts";
import type { Endpoint } from "./endpoint.ts";
import { interleave } from "./interleave.ts";
import type { IpAddress } from "./ip_address.ts";

/** An address that may be dialled, and what is known about the way there. */
export interface Candidate {
  readonly address: IpAddress;
  /**
   * Where to dial it: one endpoint, or one for each local address of its
   * family; `null` in the place of an endpoint that was vetoed.
   */
  readonly endpoints: readonly (Endpoint | null)[];
  /** Source(D) of RFC 6724; `null` for no route, `undefined` for unknown. */
  readonly source: KnownSource | null | undefined;
}

/** The endpoints of `candidates`, best first. */
export function rank(
  candidates: readonly Candidate[],
  preferredAddressFamilyCount: number,
): Endpoint[] {
  const [only] = candidates;
  if (candidates.length === 1 && only) {
    return only.endpoints.filter((endpoint) => endpoint !== null);
  }
  const sorted = sortDestinations(candidates).map((candidate) => ({
    ...candidate,
    family: candidate.address.family,
  }));
  const ordered = interleave(sorted, preferredAddressFamilyCount);
  const rounds = Math.max(...ordered.map(({ endpoints }) => endpoints.length));
  const ranked: Endpoint[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const { endpoints } of ordered) {
      const endpoint = endpoints[round];
      if (endpoint) ranked.push(endpoint);
    }
  }
  return ranked;
}
