/**
 * What the words on the command line mean.
 *
 * They become the options of `connect()`, which checks them as it does
 * everybody's. Here is only what a command line adds: the place as one word,
 * switches, and which of them exclude each other.
 *
 * @module
 */

import { parseArgs } from "node:util";

import type { Resolver } from "../core/answer.ts";
import { parseHostname } from "../hostname.ts";
import type { ConnectOptions } from "../options.ts";
import { scriptedResolver } from "./scripted_resolver.ts";

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

  --tls            make TLS part of each attempt (implied by https: and wss:)
  -4, --ipv4       use IPv4 only
  -6, --ipv6       use IPv6 only
  --resolve LIST   take these answers instead of asking the system, for example
                   6@30=2001:db8::1,4@10=192.0.2.1  answers after 30 and 10 ms
                   6=2001:db8::1,6=2001:db8::2      one answer, two addresses
                   6@40=,4@never                    no address; no answer ever
                   6@40=ENOTFOUND                   an answer that is an error
  --timeout MS     give up after that many milliseconds
  --json           print the events, one JSON object a line
  -h, --help       print this text

In the picture a dot is a DNS question, a dash TCP, = a TLS handshake; | is an
answer, * the winner, x a failure, / an attempt canceled.

Exit status: 0 connected, 1 not connected, 2 wrong arguments.
`;

/** The longest delay every runtime's timers take, in milliseconds. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** Schemes with a default port, and whether they mean TLS. */
const SCHEMES: Readonly<Record<string, { port: number; tls: boolean }>> = {
  "http:": { port: 80, tls: false },
  "https:": { port: 443, tls: true },
  "ws:": { port: 80, tls: false },
  "wss:": { port: 443, tls: true },
};

/**
 * Reads the arguments; `undefined` means that help is wanted.
 *
 * @throws {TypeError} when they make no sense; the message says why.
 */
export function parseCommand(args: readonly string[]): Command | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      tls: { type: "boolean", default: false },
      ipv4: { type: "boolean", short: "4", default: false },
      ipv6: { type: "boolean", short: "6", default: false },
      resolve: { type: "string" },
      timeout: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const { ipv4, ipv6, resolve, timeout, json } = values;
  if (values.help) return undefined;
  const [word, ...rest] = positionals;
  if (word === undefined) throw new TypeError("Nowhere to connect to");
  if (rest.length > 0) throw new TypeError(`One place only, not also ${rest}`);
  if (ipv4 && ipv6) throw new TypeError("-4 and -6 exclude each other");

  const { hostname, port, tls } = parsePlace(word);
  return {
    connect: {
      hostname,
      port,
      tls: tls || values.tls,
      family: ipv4 ? 4 : ipv6 ? 6 : undefined,
      resolver: parseResolve(resolve, hostname),
    },
    timeout: parseTimeout(timeout),
    json,
  };
}

/** `HOST:PORT`, `[::1]:PORT` or a URL. */
function parsePlace(
  word: string,
): { hostname: string; port: number; tls: boolean } {
  if (word.includes("://")) return parseUrl(word);
  const [, hostname, port] = /^(.+):(\d+)$/.exec(word) ?? [];
  if (hostname === undefined) throw new TypeError(`No port in ${word}`);
  if (hostname.includes(":") && !hostname.startsWith("[")) {
    throw new TypeError(`Write an IPv6 address in brackets: [${word}]:PORT`);
  }
  return { hostname, port: Number(port), tls: false };
}

function parseUrl(word: string): ReturnType<typeof parsePlace> {
  if (!URL.canParse(word)) throw new TypeError(`No URL: ${word}`);
  const { protocol, hostname, port } = new URL(word);
  const scheme = SCHEMES[protocol];
  if (!scheme && !port) throw new TypeError(`No port in ${word}`);
  return {
    hostname,
    port: port ? Number(port) : scheme!.port,
    tls: scheme?.tls ?? false,
  };
}

function parseResolve(
  list: string | undefined,
  hostname: string,
): Resolver | undefined {
  if (list === undefined) return undefined;
  if (parseHostname(hostname).kind === "name") return scriptedResolver(list);
  throw new TypeError(`--resolve is for names; ${hostname} is not asked for`);
}

function parseTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = Number(text);
  if (/^\d+$/.test(text) && ms >= 1 && ms <= LONGEST_TIMEOUT) return ms;
  throw new TypeError(`--timeout takes milliseconds, not ${text}`);
}
