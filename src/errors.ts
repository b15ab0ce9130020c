/**
 * `ConnectError`: why there is no connection, address by address.
 *
 * When several attempts fail, the one that matters differs from case to case,
 * so nothing is thrown away: each attempt with its endpoint, its time and the
 * error as it was thrown, each failed DNS question, one stable `code`, and a
 * message that names them all.
 *
 * @module
 */

import type { Answer, RecordType } from "./core/answer.ts";
import { messageOf } from "./core/check.ts";
import type { Endpoint } from "./core/endpoint.ts";

/** How many addresses that were not attempted a message names. */
const MOST_NAMED = 64;

/** One attempt that failed. Instants and durations are in milliseconds. */
export interface AttemptFailure {
  /** Its place in the order of starts, from 0. */
  readonly index: number;
  /** Where it went; `null` where the platform resolved by itself. */
  readonly endpoint: Endpoint | null;
  /** `clock.now()` at its start. */
  readonly startTime: number;
  /** From its start to its failure. */
  readonly duration: number;
  /** What the attempt threw. */
  readonly error: unknown;
}

/** What a {@linkcode ConnectError} is made from. */
export interface ConnectFailure {
  /** The hostname as the caller gave it. */
  readonly hostname: string;
  /** The port as the caller gave it. */
  readonly port: number;
  /** What was tried, in the order of starts. @default nothing */
  readonly attempts?: readonly AttemptFailure[] | undefined;
  /** As the resolver gave them. @default none */
  readonly answers?: readonly Answer[] | undefined;
  /**
   * What was not attempted, and why; `null` is the host as a whole.
   *
   * @default nothing
   */
  readonly refusals?:
    | readonly {
      readonly endpoint: Endpoint | null;
      readonly code: "EACCES" | "EADDRNOTAVAIL";
      readonly reason: string;
    }[]
    | undefined;
}

/** Thrown by `connect()` and `happyEyeballs()` when nothing worked. */
export class ConnectError extends AggregateError {
  /** `"ConnectError"`. */
  override readonly name = "ConnectError";
  /** The hostname as it was given. */
  readonly hostname: string;
  /** The port as it was given. */
  readonly port: number;
  /**
   * The code of the first attempt's error, `ERR_CONNECT_FAILED` if that has
   * none. If nothing was attempted: `ERR_ACCESS_DENIED` when a question was
   * refused because a permission is missing, `EAI_AGAIN` when one failed for a
   * temporary reason, `EACCES` when an address was known but refused by `allow`
   * or by the platform's permissions, `EADDRNOTAVAIL` when no local address
   * fits, else `ENOTFOUND`.
   */
  readonly code: string;
  /** The attempts in the order of their starts. */
  readonly attempts: readonly AttemptFailure[];
  /** The resolver's answers as received. */
  readonly answers: readonly Answer[];

  /**
   * Makes the error that such a failure is, for tests of code that catches it.
   * `attempts` decide the code and come first in `errors`; without them the
   * errors in `answers` and the `refusals` do. With nothing but a host it is
   * `ENOTFOUND`.
   *
   * ```ts
   * import { ConnectError } from "@stagger/happy-eyeballs";
   *
   * const refused = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
   * const endpoint = { address: "192.0.2.1", family: 4, port: 80 } as const;
   * const error = new ConnectError({
   *   hostname: "example.com",
   *   port: 80,
   *   attempts: [
   *     { index: 0, endpoint, startTime: 0, duration: 5, error: refused },
   *   ],
   * });
   * console.log(error.code); // ECONNREFUSED
   * ```
   */
  constructor(failure: ConnectFailure) {
    const { hostname, port, attempts = [], answers = [], refusals = [] } =
      failure;
    const questions = failedQuestions(answers);
    const errors = [
      ...attempts.map(({ error }) => error),
      ...questions.map(({ error }) => error),
    ];
    const reasons = [
      ...attempts.map(({ endpoint, error }) =>
        at(endpoint, reason(error, endpoint === null))
      ),
      ...refusals.slice(0, MOST_NAMED)
        .map(({ endpoint, reason }) => at(endpoint, reason)),
      ...(refusals.length > MOST_NAMED
        ? [`${refusals.length - MOST_NAMED} more refused`]
        : []),
      ...questions.map(({ types, error }) => `${types} ${reason(error)}`),
    ];
    super(
      errors,
      `Cannot connect to "${hostname}" port ${port}: ` +
        (reasons.join(", ") || "no address found"),
      errors.length === 1 ? { cause: errors[0] } : undefined,
    );
    this.hostname = hostname;
    this.port = port;
    this.code = attempts[0]
      ? codeOf(attempts[0].error) ?? "ERR_CONNECT_FAILED"
      : questions.some(({ error }) => isDenied(error))
      ? "ERR_ACCESS_DENIED"
      : questions.some(({ error }) => isTemporary(error))
      ? "EAI_AGAIN"
      : refusals.find(({ code }) => code === "EACCES")?.code ??
        refusals[0]?.code ?? "ENOTFOUND";
    this.attempts = attempts;
    this.answers = answers;
  }
}

/**
 * The errors among the answers that stand, AAAA's before A's; one that answers
 * both questions, such as what a resolver threw, is one.
 */
function failedQuestions(
  answers: readonly Answer[],
): { types: string; error: unknown }[] {
  const standing = new Map(answers.map((answer) => [answer.type, answer]));
  const hasAddress = answers.some(({ addresses }) => addresses.length > 0);
  const failed = new Map<unknown, RecordType[]>();
  for (const type of ["AAAA", "A"] as const) {
    const { addresses = [], error } = standing.get(type) ?? {};
    if (error === undefined || addresses.length > 0) continue;
    // getaddrinfo says "not found" also of a name that has only addresses of
    // the other family, which is an answer like any other.
    if (hasAddress && codeOf(error) === "ENOTFOUND") continue;
    failed.set(error, [...failed.get(error) ?? [], type]);
  }
  return Array.from(failed, ([error, types]) => ({
    types: types.join(" and "),
    error,
  }));
}

/** Whether somebody forbids to ask: the runtime, or the system. */
function isDenied(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ERR_ACCESS_DENIED" || code === "EACCES" ||
    code === "EPERM" ||
    // Deno's own error, of a resolver that somebody wrote for it.
    (error instanceof Error && error.name === "NotCapable");
}

/** Whether asking again may help: SERVFAIL, a name server that is silent. */
function isTemporary(error: unknown): boolean {
  const code = codeOf(error);
  return code === "EAI_AGAIN" || code === "ESERVFAIL" || code === "SERVFAIL" ||
    code === "ETIMEOUT" || code === "ETIMEDOUT" ||
    (error instanceof Error && error.name === "TimeoutError");
}

function at(endpoint: Endpoint | null, reason: string): string {
  if (!endpoint) return reason;
  const { address, family, localAddress } = endpoint;
  const remote = family === 6 ? `[${address}]` : address;
  return localAddress
    ? `${remote} from ${localAddress} ${reason}`
    : `${remote} ${reason}`;
}

/** The code, with the message where the code alone says too little. */
function reason(error: unknown, isVerbose = false): string {
  const code = codeOf(error);
  const message = messageOf(error);
  if (code === undefined) return message;
  const saysTooLittle = isVerbose || code === "EACCES" ||
    code.startsWith("ERR_");
  return saysTooLittle ? `${code} (${message})` : code;
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" && code !== "" ? code : undefined;
}
