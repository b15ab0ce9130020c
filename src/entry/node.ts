/**
 * The door for programs made for Node: real sockets by Happy Eyeballs, and the
 * hooks by which HTTP agents and database drivers take them.
 *
 * ```ts ignore
 * import { connectNode } from "@stagger/happy-eyeballs/node";
 *
 * const socket = await connectNode({ hostname: "example.com", port: 80 });
 * ```
 *
 * Works on Node, Bun and Deno. Its types need `@types/node` for npm users.
 *
 * @module
 */

export { connectNode } from "./node/connect_node.ts";
export {
  type Connector,
  connector,
  type ConnectorCallback,
  type ConnectorOptions,
  type ConnectorTarget,
} from "./node/connector.ts";
export {
  createConnection,
  type CreateConnectionCallback,
  type CreateConnectionOptions,
} from "./node/create_connection.ts";
export {
  LazySocket,
  type LazySocketOptions,
  type LazySocketTarget,
} from "./node/lazy_socket.ts";
export {
  lookup,
  type LookupCallback,
  type ResolverLookupOptions,
} from "./node/lookup.ts";
