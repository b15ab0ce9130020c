/**
 * What the caller's hostname is: an IP literal, this host, or a DNS name.
 *
 * Platforms disagree about odd hostnames, and each disagreement is a hole in
 * somebody's filter: `getaddrinfo` takes `127.1` for loopback, the URL parser
 * makes `evil.com` of `a@evil.com` and `127.0.0.1` of full-width digits. So
 * what is not clearly a literal or a name is refused, before any conversion
 * and again after it. Only names with non-ASCII characters are converted.
 *
 * Left out: whether a name exists, and which of the remaining characters its
 * labels may hold. Underscores are common in DNS; `xn--` labels pass as given.
 *
 * @module
 */

import { type IpAddress, parseIpAddress } from "./core/ip_address.ts";

/**
 * What a hostname turned out to be. A `name` is ASCII in lower case; its
 * trailing dot is kept. `localhost` includes every name below it (RFC 6761
 * section 6.3).
 */
export type Host =
  | { readonly kind: "literal"; readonly address: IpAddress }
  | { readonly kind: "localhost"; readonly name: string }
  | { readonly kind: "name"; readonly name: string };

// The limits of RFC 1035 section 2.3.4 in octets: what is left of the 255 of
// the wire format without the length of the first label and the root.
const MAX_NAME_LENGTH = 253;
const MAX_LABEL_LENGTH = 63;
const TOO_LONG = "is over 253 octets";

/** Control characters, space, and what means something in a URL. */
const REFUSED = /[\p{Cc} #%/:<>?@[\\\]^`{|}]/u;

/** The URL standard takes every host that ends like this for IPv4. */
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0x[\da-f]*)$/;

/**
 * Tells literals, localhost and names apart. An IPv6 literal may have
 * brackets and a zone id.
 *
 * @throws {TypeError} when `hostname` is none of the three.
 */
export function parseHostname(hostname: unknown): Host {
  if (typeof hostname !== "string") {
    throw new TypeError(
      `Cannot connect: hostname is not a string: ${typeof hostname}`,
    );
  }
  const address = parseIpAddress(withoutBrackets(hostname));
  if (address !== null) return { kind: "literal", address };
  if (REFUSED.test(hostname)) throw refusal(hostname, "has a bad character");
  const name = toAscii(hostname);
  const problem = problemOf(name);
  if (problem !== null) throw refusal(hostname, problem);
  return { kind: isLocalhost(name) ? "localhost" : "name", name };
}

/**
 * The form of a name that TLS sends and verifies: without its trailing dot
 * (RFC 6066 section 3).
 */
export function tlsName(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

/** Whether DNS takes both for one name: no case, no trailing dot. */
export function isSameName(a: string, b: string): boolean {
  return a === b || comparable(a) === comparable(b);
}

function comparable(name: string): string {
  try {
    return tlsName(toAscii(name));
  } catch {
    return name;
  }
}

/** Only IPv6 may have brackets: `[127.0.0.1]` keeps them and is refused. */
function withoutBrackets(hostname: string): string {
  const bracketed = hostname.startsWith("[") && hostname.endsWith("]");
  return bracketed && hostname.includes(":") ? hostname.slice(1, -1) : hostname;
}

/** Lower case, non-ASCII labels in their `xn--` form (UTS 46). */
function toAscii(hostname: string): string {
  if (/^\p{ASCII}*$/u.test(hostname)) return hostname.toLowerCase();
  // Converting takes quadratic time on Node: no long input gets there.
  if (hostname.length > MAX_NAME_LENGTH + 1) throw refusal(hostname, TOO_LONG);
  try {
    return new URL(`http://${hostname}/`).hostname;
  } catch (cause) {
    throw refusal(hostname, "has no ASCII form", { cause });
  }
}

/** Why an ASCII name cannot be looked up safely, if it cannot. */
function problemOf(name: string): string | null {
  const bare = tlsName(name);
  const labels = bare.split(".");
  if (name === "") return "is empty";
  // Conversion can bring these back: a full-width "{" becomes an ordinary one.
  if (REFUSED.test(name)) return "has a bad character";
  if (labels.includes("")) return "has an empty label";
  if (labels.some((label) => label.length > MAX_LABEL_LENGTH)) {
    return `has a label over ${MAX_LABEL_LENGTH} octets`;
  }
  if (bare.length > MAX_NAME_LENGTH) return TOO_LONG;
  // Literals were told apart before, so this one is read in different ways.
  if (ENDS_IN_NUMBER.test(bare)) return "ends in a number but is no IP address";
  return null;
}

function isLocalhost(name: string): boolean {
  return /(?:^|\.)localhost\.?$/.test(name);
}

function refusal(
  hostname: string,
  problem: string,
  options?: ErrorOptions,
): TypeError {
  const message = `Cannot connect: hostname ${problem}`;
  return new TypeError(`${message}: ${JSON.stringify(hostname)}`, options);
}
