/**
 * Node 20 and later: its own sockets and resolver, as they are.
 *
 * @module
 */

import { lookup, sourceAddress } from "./node_addresses.ts";
import { connectSocket } from "./node_socket.ts";
import type { Runtime } from "./runtime.ts";

/** The adapter for Node. */
export const runtime: Runtime = {
  name: "node",
  connect: (...dialing) => connectSocket(...dialing, "direct-onread"),
  lookup,
  sourceAddress,
};
