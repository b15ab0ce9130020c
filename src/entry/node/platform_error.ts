/**
 * What a socket emits when nothing worked: the error that the platform's own
 * socket would emit, with the {@linkcode ConnectError} as its `cause`.
 *
 * Clients retry, log and translate by the shape of that error. One address that
 * failed is the platform's error itself; several are an `AggregateError` with
 * the code of the first one, as `autoSelectFamily` has it; a name without
 * addresses is the error of `dns.lookup()`. A refusal of ours has no such
 * shape and stays what it is.
 *
 * @module
 */

import net from "node:net";

import { ConnectError } from "../../errors.ts";
import { parseHostname } from "../../hostname.ts";
import { errorCode } from "../../runtime/attempt_error.ts";
import { systemClock } from "../../runtime/system_clock.ts";

/** The number that libuv has for "no such name", and for "ask again". */
const NUMBERS: Readonly<Record<string, number>> = {
  ENOTFOUND: -3008,
  EAI_AGAIN: -3001,
};

/**
 * The error to emit for what a race to `host` was rejected with: a
 * `ConnectError`, the `TypeError` for a name that we look up for nobody, or
 * what `allow` threw.
 */
export function platformError(error: unknown, host: string): unknown {
  const own = error instanceof ConnectError
    ? ownError(error, host)
    : isRefused(host)
    ? lookupError("ENOTFOUND", host)
    : error;
  if (own !== error) putCause(own, error);
  return own;
}

/**
 * Puts a `ConnectError` behind the error of a socket that the platform dialled
 * alone, an address by itself; `startTime` is when it began.
 */
export function explainAlone(
  error: Error,
  { hostname, port, startTime }: Alone,
): void {
  const { address } = error as { address?: string };
  const family = net.isIP(address ?? hostname);
  const endpoint = family === 4 || family === 6
    ? { address: address ?? hostname, family, port } as const
    : null;
  const duration = systemClock.now() - startTime;
  const attempt = { index: 0, endpoint, startTime, duration, error };
  putCause(error, new ConnectError({ hostname, port, attempts: [attempt] }));
}

/** What the platform dials alone. */
export interface Alone {
  readonly hostname: string;
  readonly port: number;
  readonly startTime: number;
}

/** Not enumerable, as the constructor of an error has it; the first one stays. */
function putCause(error: unknown, value: unknown): void {
  if (!(error instanceof Error) || !Object.isExtensible(error)) return;
  if (Object.hasOwn(error, "cause")) return;
  const how = { value, writable: true, configurable: true };
  Object.defineProperty(error, "cause", how);
}

function isRefused(host: string): boolean {
  try {
    parseHostname(host);
    return false;
  } catch {
    return true;
  }
}

function ownError(error: ConnectError, host: string): unknown {
  const { attempts, code, errors, message } = error;
  const [first] = attempts;
  if (!first) {
    const told = errors.find((each) => errorCode(each) === code);
    return told ?? errors[0] ??
      (NUMBERS[code] ? lookupError(code, host) : error);
  }
  if (attempts.length === 1) return first.error;
  const all = new AggregateError(attempts.map(({ error }) => error), message);
  return Object.assign(all, { code: errorCode(first.error) });
}

/** The error for an address that a `net.BlockList` blocks, as Node words it. */
export function blockedError(address: string): Error {
  const error = new Error(`IP(${address}) is blocked by net.BlockList`);
  return Object.assign(error, { code: "ERR_IP_BLOCKED" });
}

/** As `dns.lookup()` words it. */
function lookupError(code: string, hostname: string): Error {
  return Object.assign(new Error(`getaddrinfo ${code} ${hostname}`), {
    errno: NUMBERS[code],
    code,
    syscall: "getaddrinfo",
    hostname,
  });
}
