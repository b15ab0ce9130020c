/**
 * Happy Eyeballs for JavaScript: one portable `connect()` that finds the
 * address that works, on Deno, Bun and Node.
 *
 * ```ts
 * import { connect } from "@stagger/happy-eyeballs";
 *
 * const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const { port } = server.addr;
 *
 * // "localhost" is [::1], where nobody listens, and then 127.0.0.1.
 * await using connection = await connect({ hostname: "localhost", port });
 * console.log(connection.remoteAddr?.hostname); // 127.0.0.1
 * server.close();
 * ```
 *
 * @module
 */

export { connect } from "./src/connect.ts";
export type {
  AsyncDisposal,
  Connection,
  ConnectionInfo,
  NetAddr,
} from "./src/connection.ts";
export { happyEyeballs } from "./src/happy_eyeballs.ts";
export { staggeredRace } from "./src/staggered_race.ts";
export type { RaceAttempt, RaceOptions } from "./src/staggered_race.ts";
export { ConnectError } from "./src/errors.ts";
export type { AttemptFailure, ConnectFailure } from "./src/errors.ts";
export type { HappyEyeballsEvent } from "./src/events.ts";
export type {
  ConnectOptions,
  HappyEyeballsOptions,
  TlsOptions,
} from "./src/options.ts";
export { concurrentResolver } from "./src/resolvers/concurrent.ts";
export { staticResolver } from "./src/resolvers/static.ts";
export { systemResolver } from "./src/resolvers/system.ts";
export type {
  Answer,
  RecordType,
  Resolver,
  ResolverOptions,
} from "./src/core/answer.ts";
export type { Source } from "./src/core/address_selection.ts";
export type { Clock } from "./src/core/clock.ts";
export type { Endpoint, Family } from "./src/core/endpoint.ts";
export type { AttemptControl, RaceEvent } from "./src/core/race.ts";
