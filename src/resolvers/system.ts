/**
 * `systemResolver()`: the platform's own getaddrinfo, one lookup per family at
 * the same time.
 *
 * So hosts file, mDNS, search domains and VPN rules hold as everywhere else on
 * the machine. What it cannot do: the lookups run on a small pool of threads
 * that is the platform's, a lookup cannot be cancelled (an abort is heard at
 * once, the thread is busy until the system gives up), and "no such name" and
 * "no such address" come as one error.
 *
 * Where the runtime lets nobody ask (Node's `--permission`, Deno), each question
 * has an error of the code `ERR_ACCESS_DENIED` that names the flag to give.
 *
 * @module
 */

import type { Resolver } from "../core/answer.ts";
import { detectRuntime } from "../runtime/detect.ts";
import { concurrentResolver } from "./concurrent.ts";

/**
 * The platform's resolver, asked for AAAA and A at once. The default.
 *
 * @throws {TypeError} where there is none, because the platform has no sockets
 * or is too old.
 */
export function systemResolver(): Resolver {
  const { lookup } = detectRuntime();
  return concurrentResolver(async (hostname, family) => {
    try {
      return await lookup(hostname, family);
    } catch (error) {
      throw isDenied(error) ? withFlag(error) : error;
    }
  });
}

/** Node 26 has a code of its own for this, Deno's adapter that of the system. */
function isDenied(error: unknown): error is Error {
  const { code } = error as { code?: unknown };
  return code === "ERR_ACCESS_DENIED" || code === "EACCES";
}

/** Node says which flag it takes of an attempt, but not of a question. */
function withFlag(cause: Error): Error {
  const message = `${cause.message}, which takes the flag --allow-net`;
  const code = "ERR_ACCESS_DENIED";
  return Object.assign(new Error(message, { cause }), { code });
}
