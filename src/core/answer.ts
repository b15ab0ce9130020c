/**
 * What a resolver is and what it says.
 *
 * A resolver reports facts, as soon as it has them, negative ones too. Order
 * and delays belong to the engine.
 *
 * @module
 */

/** A DNS record type the engine asks for. */
export type RecordType = "AAAA" | "A";

/** The answer to one question, positive or negative. */
export interface Answer {
  /** The question's record type. */
  readonly type: RecordType;
  /**
   * IP literals in the order the resolver gave them; empty means "none".
   * IPv4-mapped addresses count as IPv4; what is no literal, or of the wrong
   * family for `type`, is dropped. A call attempts 64 addresses at most, so of a
   * longer list the first 64 are used that differ, among the first 1000.
   */
  readonly addresses: readonly string[];
  /**
   * The name that owns the addresses; an answer about any other than the one
   * asked for is passed over. @default the name asked for
   */
  readonly name?: string | undefined;
  /** Time to live in seconds, where the resolver knows it. */
  readonly ttl?: number | undefined;
  /** Whether the answer came by DNSSEC, DNS over TLS or DNS over HTTPS. */
  readonly secure?: boolean | undefined;
  /** Why there is no address, where there was an error. */
  readonly error?: unknown;
}

/** What a {@linkcode Resolver} is told beside the name. */
export interface ResolverOptions {
  /** The record types wanted, in the order to ask for them (RFC 8305 section 3). */
  readonly types: readonly RecordType[];
  /** The port that will be connected to. */
  readonly port: number;
  /** Aborts when the answers are no longer needed. */
  readonly signal: AbortSignal;
}

/**
 * Turns a name into addresses, one answer per record type, each as soon as it
 * is known and in any order.
 *
 * A later answer of the same name and type replaces the earlier one. One of a
 * type that was not asked for is passed over, whatever it holds. The end of the
 * iteration answers every open question with "none"; a throw does so too, with
 * that error. At most 100 answers are heard.
 */
export type Resolver = (
  hostname: string,
  options: ResolverOptions,
) => AsyncIterable<Answer>;
