/**
 * Bun: its sockets as `node:net` gives them.
 *
 * `Bun.connect` cannot be cancelled, so a race over it would leave dials behind;
 * under `node:net` lie the same sockets with a handle that can be. Bun 1.4
 * reports an unreachable destination and a timeout as ECONNREFUSED and keeps no
 * trace of the truth, so its codes are passed on as they are. TLS that is put
 * on an open socket costs Bun a seventh more per byte than TLS from the start.
 *
 * @module
 */

import { lookup, sourceAddress } from "./node_addresses.ts";
import { withBuiltins } from "./node_builtin.ts";
import { connectSocket } from "./node_socket.ts";
import type { Runtime } from "./runtime.ts";

/** The adapter for Bun. */
export const runtime: Runtime = {
  name: "bun",
  connect: (...dialing) =>
    withBuiltins(() => connectSocket(...dialing, "direct")),
  lookup: (...question) => withBuiltins(() => lookup(...question)),
  sourceAddress: (address) => withBuiltins(() => sourceAddress(address)),
};
