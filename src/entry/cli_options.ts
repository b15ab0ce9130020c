/**
 * What the words on the command line mean.
 *
 * They become the options of `connect()`, which checks them as it does
 * everybody's. Here is only what a command line adds: the place as one word,
 * switches, and which of them exclude each other.
 *
 * @module
 */

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

import type { Resolver } from "../core/answer.ts";
import { parseHostname } from "../hostname.ts";
import type { ConnectOptions, TlsOptions } from "../options.ts";
import { scriptedResolver } from "./scripted_resolver.ts";

/** The version of the package, as in `deno.json`. */
export const VERSION = "0.1.0";

/** What the command line asks for. */
export interface Command {
  /** Options of `connect()`; the signal comes with the start. */
  readonly connect: ConnectOptions;
  /** Milliseconds after which to give up. */
  readonly timeout: number | undefined;
  /** Whether to print the events themselves. */
  readonly json: boolean;
}

/** The text of `--help`. */
export const USAGE = `Usage: happy-eyeballs [options] HOST:PORT | URL

Connects, closes the connection and shows what happened.

  --tls               make TLS part of each attempt; https: and wss: imply it
  --server-name NAME  the name that the certificate must have; implies --tls
  --ca FILE           trust the certificates in this file (PEM) too; implies
                      --tls; may be given several times
  -4, --ipv4          use IPv4 only; the same as --family 4
  -6, --ipv6          use IPv6 only; the same as --family 6
  --resolve LIST      take these answers instead of asking the system, such as
                      6@30=2001:db8::1,4@10=192.0.2.1  after 30 and 10 ms
                      6=2001:db8::1,6=2001:db8::2      one answer of two
                      6@40=,4@never                    none; no answer ever
                      6@40=ENOTFOUND                   an error
  --delay MS          from one attempt to the next (default 250, at least 10)
  --timeout MS        give up after that many milliseconds
  --json              print the events, one JSON object a line
  -h, --help          print this text
  --version           print the version

In the picture a dot is a DNS question, a dash TCP, = a TLS handshake; | is an
answer, * the winner, x a failure, / an attempt canceled.

Exit status: 0 connected, 1 not connected, 2 wrong arguments.
`;

/** The longest delay every runtime's timers take, in milliseconds. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** The least that `connectionAttemptDelay` may be, in milliseconds. */
const LEAST_DELAY = 10;

/** Schemes with a default port, and whether they mean TLS. */
const SCHEMES: Readonly<Record<string, { port: number; tls: boolean }>> = {
  "http:": { port: 80, tls: false },
  "https:": { port: 443, tls: true },
  "ws:": { port: 80, tls: false },
  "wss:": { port: 443, tls: true },
};

/** The options, as `parseArgs()` wants them. */
const OPTIONS = {
  tls: { type: "boolean" },
  "server-name": { type: "string" },
  ca: { type: "string", multiple: true },
  ipv4: { type: "boolean", short: "4" },
  ipv6: { type: "boolean", short: "6" },
  family: { type: "string" },
  resolve: { type: "string" },
  delay: { type: "string" },
  timeout: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

type OptionName = keyof typeof OPTIONS;

/** What was given: the places, and for each option its values. */
interface Words {
  readonly places: readonly string[];
  readonly values: ReadonlyMap<OptionName, readonly string[]>;
}

/**
 * Reads the arguments, and the files they name; `undefined` means that only
 * help, or the version, is wanted.
 *
 * @throws {TypeError} when they make no sense; the message says why.
 */
export function parseCommand(
  args: readonly string[],
): Command | undefined {
  const { places, values } = parseWords(args);
  const value = (name: OptionName) => values.get(name)?.at(-1);
  if (values.has("help") || values.has("version")) return undefined;
  const [word, ...rest] = places;
  if (!word) throw new TypeError("Nowhere to connect to");
  if (rest.length > 0) throw new TypeError(`One place only, not also ${rest}`);

  const { hostname, port, tls } = parsePlace(word);
  const delay = parseMilliseconds("delay", value("delay"), LEAST_DELAY);
  return {
    connect: {
      hostname,
      port,
      tls: parseTls(values) ?? (tls || values.has("tls")),
      family: parseFamily(values),
      resolver: parseResolve(value("resolve"), hostname),
      ...delay !== undefined && { connectionAttemptDelay: delay },
    },
    timeout: parseMilliseconds("timeout", value("timeout"), 1),
    json: values.has("json"),
  };
}

/** What `parseArgs()` makes of the words, checked here for its messages' sake. */
function parseWords(args: readonly string[]): Words {
  const { tokens } = parseArgs({
    args: [...args],
    options: OPTIONS,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const places: string[] = [];
  const values = new Map<OptionName, string[]>();
  for (const token of tokens) {
    if (token.kind === "positional") places.push(token.value);
    if (token.kind !== "option") continue;
    const { rawName, value = "" } = token;
    if (!isOption(token.name)) throw new TypeError(unknownOption(rawName));
    const { type } = OPTIONS[token.name];
    if (type === "boolean" && token.value !== undefined) {
      throw new TypeError(`${rawName} takes no value, but got ${value}`);
    }
    // Without "=" it is more likely that the value was forgotten.
    const isForgotten = value === "" ||
      (!token.inlineValue && value.startsWith("-"));
    if (type === "string" && isForgotten) {
      throw new TypeError(`${rawName} takes a value`);
    }
    const before = values.get(token.name) ?? [];
    if (type === "string" && before.length > 0 && token.name !== "ca") {
      throw new TypeError(`${rawName} is given twice`);
    }
    values.set(token.name, [...before, value]);
  }
  return { places, values };
}

function isOption(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name);
}

function unknownOption(rawName: string): string {
  const near = Object.keys(OPTIONS)
    .map((name) => ({ name, distance: distance(`--${name}`, rawName) }))
    .sort((a, b) => a.distance - b.distance)[0]!;
  const isNear = near.distance <= Math.min(3, rawName.length / 2);
  const question = isNear ? `; did you mean --${near.name}?` : "";
  return `There is no option ${rawName}${question}`;
}

/** How many characters to insert, delete or change to make `b` of `a`. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, character] of [...a].entries()) {
    const above = row;
    row = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      const change = above[j - 1]! + Number(character !== b[j - 1]);
      row[j] = Math.min(change, above[j]! + 1, row[j - 1]! + 1);
    }
  }
  return row[b.length]!;
}

/** `HOST:PORT`, `[::1]:PORT` or a URL. */
function parsePlace(
  word: string,
): { hostname: string; port: number; tls: boolean } {
  if (word.includes("://")) return parseUrl(word);
  if (/^[^[\]]*:[^[\]]*:[^[\]]*$/.test(word)) {
    throw new TypeError(`Write an IPv6 address in brackets: [${word}]:PORT`);
  }
  const [isPlace, hostname, port] =
    /^(\[[^\]]*\]|[^:[\]]*)(?::([^:]*))?$/.exec(word) ?? [];
  if (isPlace === undefined) throw new TypeError(`Not HOST:PORT: ${word}`);
  if (!hostname) throw new TypeError(`No host in ${word}`);
  if (!port) throw new TypeError(`No port in ${word}`);
  if (/^\d+$/.test(port)) return { hostname, port: Number(port), tls: false };
  throw new TypeError(`The port must be a number, not ${port}`);
}

function parseUrl(word: string): ReturnType<typeof parsePlace> {
  // A URL drops the port where it is its scheme's, whether we know it or not.
  const [, given] = /:\/\/[^/?#]*:(\d+)(?:[/?#]|$)/.exec(word) ?? [];
  if (!URL.canParse(word)) {
    const reason = Number(given) > 65_535 ? `: no port is ${given}` : "";
    throw new TypeError(`No URL: ${word}${reason}`);
  }
  const { protocol, hostname } = new URL(word);
  if (!hostname) throw new TypeError(`No host in ${word}`);
  const scheme = SCHEMES[protocol];
  const port = given ?? scheme?.port;
  if (port === undefined) {
    throw new TypeError(
      `No port in ${word}, and none is known for ${protocol}; give one`,
    );
  }
  return { hostname, port: Number(port), tls: scheme?.tls ?? false };
}

/** What beside "yes" is wanted of TLS. */
function parseTls(values: Words["values"]): TlsOptions | undefined {
  const [serverName] = values.get("server-name") ?? [];
  const caCerts = values.get("ca")?.flatMap(readCertificates);
  if (serverName === undefined && caCerts === undefined) return undefined;
  return { serverName, caCerts };
}

/** The certificates in a file of PEM; what is around them is comment. */
function readCertificates(file: string): string[] {
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new TypeError(`Cannot read ${file}: ${(error as Error).message}`);
  }
  const block = /-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs;
  const certificates = text.match(block) ?? [];
  if (certificates.length > 0 && certificates.every(isCertificate)) {
    return certificates;
  }
  const what = certificates.length > 0 ? "A broken" : "No PEM";
  throw new TypeError(`${what} certificate in ${file}`);
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== undefined;
  } catch {
    return false;
  }
}

function parseFamily(values: Words["values"]): 4 | 6 | undefined {
  const [family] = values.get("family") ?? [];
  if (family !== undefined && family !== "4" && family !== "6") {
    throw new TypeError(`--family takes 4 or 6, not ${family}`);
  }
  const is4 = family === "4" || values.has("ipv4");
  const is6 = family === "6" || values.has("ipv6");
  if (is4 && is6) throw new TypeError("-4 and -6 exclude each other");
  return is4 ? 4 : is6 ? 6 : undefined;
}

function parseResolve(
  list: string | undefined,
  hostname: string,
): Resolver | undefined {
  if (list === undefined) return undefined;
  if (parseHostname(hostname).kind === "name") return scriptedResolver(list);
  throw new TypeError(`--resolve is for names; ${hostname} is not asked for`);
}

function parseMilliseconds(
  option: string,
  text: string | undefined,
  least: number,
): number | undefined {
  if (text === undefined) return undefined;
  const ms = Number(text);
  const isNumber = /^\d+$/.test(text) && ms <= LONGEST_TIMEOUT;
  if (isNumber && ms >= least) return ms;
  const range = isNumber && least > 1 ? `, at least ${least}` : "";
  throw new TypeError(`--${option} takes milliseconds${range}, not ${text}`);
}
