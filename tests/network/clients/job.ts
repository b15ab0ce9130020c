/**
 * What a client program is told, and what it says.
 *
 * A client is started as `<program> jobs.json`, connects to each job's host in
 * turn, and prints one result per line as JSON.
 *
 * @module
 */

/** One connection to make. */
export interface Job {
  readonly host: string;
  readonly port: number;
  /** The path of the CA to trust, where TLS is wanted. */
  readonly ca: string | null;
  /** Milliseconds until the caller gives up. */
  readonly patience: number;
  /** Milliseconds to wait afterwards, until no lookup holds up the next. */
  readonly rest: number;
}

/** What came of it. */
export interface Result {
  /** When it began, in milliseconds since 1970. */
  readonly start: number;
  /** Milliseconds from just before the call to its outcome. */
  readonly ms: number;
  /** The address connected to. */
  readonly address?: string;
  /** Why there is none. */
  readonly error?: string;
  /** Whether it had no outcome when patience ended. */
  readonly hung?: boolean;
  /**
   * The client's other sockets 50 ms after the outcome, as state and address;
   * for clients that look.
   */
  readonly others?: readonly string[];
}
