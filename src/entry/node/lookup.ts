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
import { nextTick } from "node:process";

import type { Resolver } from "../../core/answer.ts";
import type { ConnectError } from "../../errors.ts";
import { orderEndpoints } from "../../happy_eyeballs.ts";
import { checkOptionNames, checkOptions } from "../../options.ts";
import { detectRuntime } from "../../runtime/detect.ts";

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

const OPTION_NAMES: Readonly<
  Record<keyof ResolverLookupOptions, unknown>
> = { resolver: 1, family: 1, hints: 1, all: 1, order: 1, verbatim: 1 };

/**
 * Looks up the addresses of a name in the order `connect()` would try them:
 * sorted by RFC 6724, the families taking turns (RFC 8305 section 4). There are
 * at most 64, as many as `connect()` would try.
 *
 * ```ts ignore
 * import { lookup } from "@stagger/happy-eyeballs/node";
 * import { MongoClient } from "mongodb";
 *
 * const client = new MongoClient("mongodb://db.example.com", { lookup });
 * ```
 *
 * `family` and `all` are those of `dns.lookup()`; `hints`, `order` and
 * `verbatim` are questions to getaddrinfo and have no meaning here. A name that
 * cannot be looked up is an error given to the callback, which is never called
 * before this returns.
 *
 * @throws {TypeError} when an argument is wrong, or there is no such option.
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
  refuseUnless(typeof hostname === "string", "hostname must be a string");
  refuseUnless(typeof callback === "function", "callback must be a function");
  const { family, resolver, all } = optionsOf(rest[0]);
  addresses(hostname, familyOf(family), resolver).then(
    (found) => {
      if (all) tell(null, found);
      else tell(null, found[0]!.address, found[0]!.family);
    },
    (error) => tell(error, all ? [] : ""),
  );

  // What the callback throws is nobody's rejection.
  function tell(...outcome: Parameters<LookupCallback>): void {
    nextTick(() => callback(...outcome));
  }
}

function optionsOf(
  given: ResolverLookupOptions | number | LookupCallback | null | undefined,
): ResolverLookupOptions {
  if (given == null || typeof given === "function") return {};
  if (typeof given === "number") return { family: given };
  refuseUnless(typeof given === "object", "options must be an object");
  checkOptionNames("look up", given, OPTION_NAMES);
  const { resolver } = given;
  const isRight = resolver === undefined || typeof resolver === "function";
  refuseUnless(isRight, "resolver must be a function");
  return given;
}

/**
 * A family in Node's words; `undefined` for both.
 *
 * @throws {TypeError} for anything else.
 */
export function familyOf(
  family: LookupOptions["family"] | null,
): 4 | 6 | undefined {
  if (family == null || family === 0) return undefined;
  if (family === 4 || family === "IPv4") return 4;
  if (family === 6 || family === "IPv6") return 6;
  throw new TypeError(
    'Cannot look up: family must be 0, 4, 6, "IPv4" or "IPv6"',
  );
}

function refuseUnless(isRight: boolean, message: string): asserts isRight {
  if (!isRight) throw new TypeError(`Cannot look up: ${message}`);
}

async function addresses(
  hostname: string,
  family: 4 | 6 | undefined,
  resolver: Resolver | undefined,
): Promise<LookupAddress[]> {
  // Throws where the platform has no resolver.
  if (!resolver) detectRuntime();
  try {
    const settings = checkOptions({ hostname, port: NO_PORT, resolver });
    // A literal is given back, whatever the family, as dns.lookup() does.
    const isLiteral = settings.host.kind === "literal";
    const found = await orderEndpoints(
      isLiteral ? settings : { ...settings, family },
    );
    return found.map(({ address, family }) => ({ address, family }));
  } catch (error) {
    throw lookupError(hostname, error);
  }
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
