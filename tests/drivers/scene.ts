/**
 * What the cases of a client are given, and how their connects are watched.
 *
 * @module
 */

import type { lookup } from "../../src/entry/node.ts";
import type { HappyEyeballsEvent } from "../../src/events.ts";

/** The servers, by what they speak; each is on 127.0.0.1. */
export const services = [
  "http",
  "https",
  "h2c",
  "h2",
  "smtp",
  "smtps",
  "postgres",
  "redis",
  "rediss",
  "mysql",
  "mqtt",
  "mqtts",
  "amqp",
  "amqps",
  "mongodb",
  "kafka",
  "kafkas",
] as const;

/** One of the servers. */
export type Service = typeof services[number];

/** One connect, as its events tell it. */
export interface Watched {
  /** The option that hears of it. */
  readonly onEvent: (event: HappyEyeballsEvent) => void;
  readonly events: HappyEyeballsEvent[];
}

/** Where a case takes place. */
export interface Scene {
  /** A name with two addresses: `[::1]`, a black hole, and 127.0.0.1. */
  readonly hostname: "localhost";
  readonly ports: Readonly<Record<Service, number>>;
  /** A port on which both addresses refuse. */
  readonly refused: number;
  /** The authority of the servers' certificates (PEM). */
  readonly ca: string;
  /** Options for one connect, which is then looked at. */
  watch(): Watched;
  /** That of `./node`, but it is looked at whether it is called. */
  lookup(...args: Parameters<typeof lookup>): void;
}

/** Does something with a client, and throws when it does not work. */
export type Case = (scene: Scene) => Promise<void>;

/** A file in `clients/`. */
export interface Client {
  readonly cases: Readonly<Record<string, Case>>;
  /** All it takes is a lookup: sockets, their errors and their end are Node's. */
  readonly hook?: "lookup";
  /**
   * What its error keeps of ours, beside the code; with the hook `lookup`
   * there is nothing to keep. @default "cause"
   */
  readonly keeps?: "cause" | "code";
  /** Connects to `refused` and resolves with the error the client gives. */
  readonly failure: (scene: Scene) => Promise<unknown>;
  /**
   * Begins a request and aborts it once `hasBegun` resolves, or has the client
   * give up by its own timeout; resolves when the client is done with it.
   */
  readonly abort?: (
    scene: Scene,
    watched: Watched,
    hasBegun: Promise<void>,
  ) => Promise<Service>;
}

/**
 * An npm package. It is imported by a name the type checker does not see,
 * because it is installed by the drivers alone; the examples are
 * checked with the packages' own types.
 */
// deno-lint-ignore no-explicit-any -- see above
export function npm(name: string): Promise<any> {
  return import(name);
}

/** What `emitter` emits as its error. */
export function errorOf(emitter: {
  once(event: "error", listener: (error: unknown) => void): unknown;
}): Promise<unknown> {
  return new Promise((resolve) => void emitter.once("error", resolve));
}
