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
 * @module
 */

import type { Resolver } from "../core/answer.ts";
import { detectRuntime } from "../runtime/detect.ts";
import { concurrentResolver } from "./concurrent.ts";

/** The platform's resolver, asked for AAAA and A at once. The default. */
export function systemResolver(): Resolver {
  return concurrentResolver((hostname, family) =>
    detectRuntime().lookup(hostname, family)
  );
}
