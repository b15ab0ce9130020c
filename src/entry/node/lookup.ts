/**
 * `lookup()`: our resolvers behind the signature of `dns.lookup()`.
 *
 * Some clients let nobody make their socket, yet take a function for the
 * addresses. With this one the addresses and their order are ours; which of
 * them is tried for how long remains Node's algorithm, that stops an attempt
 * before it starts the next.
 *
 * @module
 */

import type { LookupAddress, LookupOptions } from "node:dns";

import type { Resolver } from "../../core/answer.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import type { ConnectError } from "../../errors.ts";
import { happyEyeballs } from "../../happy_eyeballs.ts";

/** Options of {@linkcode lookup}: those of `dns.lookup()` and a resolver. */
export interface ResolverLookupOptions extends LookupOptions {
  /** Where addresses come from. @default `systemResolver()` */
  resolver?: Resolver | undefined;
}

/** Takes the first address, or with `all` a list of them. */
export type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  // deno-lint-ignore no-explicit-any -- one callback for both, as Node has it
  address: any,
  family?: number,
) => void;

/** Any port will do: nothing is dialled. */
const NO_PORT = 1;

/**
 * Looks up all addresses of a name in the order `connect()` would try them:
 * sorted by RFC 6724, the families taking turns (RFC 8305 section 4).
 *
 * ```ts ignore
 * import { lookup } from "@stagger/happy-eyeballs/node";
 * import { MongoClient } from "mongodb";
 *
 * const client = new MongoClient("mongodb://db.example.com", { lookup });
 * ```
 *
 * `family` and `all` are those of `dns.lookup()`; `hints` and `order` are
 * questions to getaddrinfo and have no meaning here.
 */
export function lookup(hostname: string, callback: LookupCallback): void;
/** With options, or just a family. */
export function lookup(
  hostname: string,
  options: ResolverLookupOptions | number | undefined,
  callback: LookupCallback,
): void;
export function lookup(
  hostname: string,
  ...rest:
    | [LookupCallback]
    | [ResolverLookupOptions | number | undefined, LookupCallback]
): void {
  const callback = rest.at(-1) as LookupCallback;
  const options = typeof rest[0] === "object" ? rest[0] : {
    family: typeof rest[0] === "number" ? rest[0] : undefined,
  };
  addresses(hostname, options).then(
    (found) => {
      if (options.all) callback(null, found);
      else callback(null, found[0]!.address, found[0]!.family);
    },
    (error) => callback(error, options.all ? [] : ""),
  );
}

/**
 * The order is that of a race in which no attempt leaves the machine: each
 * fails at once, by an error after which the next may start at once.
 */
async function addresses(
  hostname: string,
  { family, resolver }: ResolverLookupOptions,
): Promise<LookupAddress[]> {
  const found: LookupAddress[] = [];
  const take = ({ address, family }: Endpoint) => {
    found.push({ address, family });
    throw Object.assign(new Error("Not dialled"), { code: "EADDRNOTAVAIL" });
  };
  try {
    await happyEyeballs(take, {
      hostname,
      port: NO_PORT,
      family: familyOf(family),
      resolver,
      resolutionDelay: Infinity,
    });
  } catch (error) {
    if (found.length === 0) throw lookupError(hostname, error);
  }
  return found;
}

function familyOf(family: LookupOptions["family"]): 4 | 6 | undefined {
  if (family === 4 || family === "IPv4") return 4;
  return family === 6 || family === "IPv6" ? 6 : undefined;
}

/** As `dns.lookup()` words it. */
function lookupError(hostname: string, cause: unknown): Error {
  const { code = "ENOTFOUND" } = cause as Partial<ConnectError>;
  return Object.assign(new Error(`lookup ${code} ${hostname}`, { cause }), {
    code,
    hostname,
    syscall: "lookup",
  });
}
