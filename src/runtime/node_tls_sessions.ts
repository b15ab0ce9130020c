/**
 * TLS sessions kept for the next connection, so that it needs no full handshake.
 *
 * A resumed session skips the check of the certificate and of its name: the
 * first connection has done that. So a ticket may serve only connections that
 * would have checked the same. Whatever decides trust is part of its key:
 * every option that is not known to have no say in it, by content where it is
 * data and by identity where it is an object with a life of its own. Where the
 * caller decides by code (its own check of the name, PSK, a stapled OCSP
 * answer, a session it brings) nothing is kept nor offered.
 *
 * A ticket is offered once: one that is seen twice on the wire tells an
 * observer that it is the same client (RFC 8446 appendix C.4), and a ticket that
 * breaks a handshake is gone by the next one. A TLS 1.2 session may serve many
 * times, so it is put back when it has served.
 *
 * Left out: Deno. Its TLS takes no session from outside.
 *
 * @module
 */

import { builtin, environment } from "./node_builtin.ts";
import { contextContent } from "./node_tls_options.ts";

/** What is used of a TLS socket. */
export interface ResumableSocket {
  on(event: "session", listener: (ticket: Uint8Array) => void): unknown;
  once(event: "secureConnect", listener: () => void): unknown;
  isSessionReused(): boolean;
  getProtocol(): string | null;
}

/** What is used of `node:buffer`. */
interface BufferModule {
  readonly Buffer: { from(memory: ArrayBuffer): Uint8Array };
}

/** What is used of `node:crypto`. */
interface CryptoModule {
  createHash(name: "sha256"): Hash;
}

interface Hash {
  update(data: string | ArrayBufferView): Hash;
  digest(encoding: "base64"): string;
}

/** What is used of `node:tls`. */
interface TlsModule {
  readonly checkServerIdentity: unknown;
  readonly DEFAULT_MIN_VERSION: unknown;
  readonly DEFAULT_MAX_VERSION: unknown;
  readonly DEFAULT_CIPHERS: unknown;
  readonly DEFAULT_ECDH_CURVE: unknown;
}

/** For how many servers tickets are kept, as Node's `https.Agent` has it. */
const MOST_SERVERS = 100;

/** Tickets for one server; a server that speaks TLS 1.3 sends two or more. */
const MOST_TICKETS = 4;

/** Tickets of one agent, or of all that share a way to connect. */
export class TlsSessions {
  readonly #mostServers: number;
  /** The newest ticket last, and the server last heard from last. */
  readonly #tickets = new Map<string, Uint8Array[]>();

  /** Keeps tickets for that many servers; 0 keeps none. */
  constructor(mostServers: number = MOST_SERVERS) {
    this.#mostServers = mostServers;
  }

  /**
   * The part in this of a handshake with the server's `port` and with these
   * options of `tls.connect()`; `undefined` where nothing may be kept for them.
   * A ticket is taken now: begin what will be done.
   */
  begin(
    options: Readonly<Record<string, unknown>>,
    port: number,
  ): Resumption | undefined {
    if (this.#mostServers === 0 || !mayResume(options)) return undefined;
    const key = keyOf(options, port);
    return new Resumption(
      this.#take(key),
      (ticket) => this.#keep(key, ticket),
    );
  }

  /** The newest ticket, which is no longer here then. */
  #take(key: string): Uint8Array | undefined {
    const tickets = this.#tickets.get(key);
    const ticket = tickets?.pop();
    if (tickets?.length === 0) this.#tickets.delete(key);
    return ticket;
  }

  #keep(key: string, ticket: Uint8Array): void {
    const tickets = this.#tickets.get(key) ?? [];
    tickets.push(ticket);
    if (tickets.length > MOST_TICKETS) tickets.shift();
    this.#tickets.delete(key);
    this.#tickets.set(key, tickets);
    if (this.#tickets.size <= this.#mostServers) return;
    const [oldest] = this.#tickets.keys();
    this.#tickets.delete(oldest!);
  }
}

/** One handshake that may resume a session, and leave some. */
export class Resumption {
  /** The `session` option for `tls.connect()`, if there is one. */
  readonly session: Uint8Array | undefined;
  readonly #keep: (ticket: Uint8Array) => void;

  constructor(
    session: Uint8Array | undefined,
    keep: (ticket: Uint8Array) => void,
  ) {
    this.session = session;
    this.#keep = keep;
  }

  /**
   * Keeps what the handshake of this socket leaves: nothing before it is done,
   * for until then the certificate is not verified.
   */
  watch(socket: ResumableSocket): void {
    socket.once("secureConnect", () => this.done(socket));
    this.keepFrom(socket, false);
  }

  /** The handshake of this socket is done: a session of TLS 1.2 serves again. */
  done(socket: ResumableSocket): void {
    const servesAgain = socket.isSessionReused() &&
      socket.getProtocol() !== "TLSv1.3";
    if (this.session && servesAgain) this.#keep(this.session);
  }

  /** Keeps the tickets of a socket, those before `secureConnect` when it comes. */
  keepFrom(socket: ResumableSocket, isVerified: boolean): void {
    const keep = this.#keep;
    let early: Uint8Array[] | undefined = isVerified ? undefined : [];
    socket.on("session", (ticket) => {
      if (early) early.push(copy(ticket));
      else keep(copy(ticket));
    });
    if (isVerified) return;
    socket.once("secureConnect", () => {
      early?.forEach(keep);
      early = undefined;
    });
  }
}

let shared: TlsSessions | undefined;

/** Those of `connect()` and `connectNode()`. */
export function sharedSessions(): TlsSessions {
  return shared ??= new TlsSessions();
}

/**
 * A copy in memory of its own: the platform's may be a view of 64 KiB. Node
 * takes for its own only a `Buffer`.
 */
function copy(ticket: Uint8Array): Uint8Array {
  const { Buffer } = builtin<BufferModule>("node:buffer");
  return Buffer.from(new Uint8Array(ticket).buffer);
}

/** By these the caller decides whom to trust, or brings what we would bring. */
const DECIDING = ["session", "checkServerIdentity", "pskCallback"];

/** Whether these options leave trust to what the key can tell. */
function mayResume(options: Readonly<Record<string, unknown>>): boolean {
  if ("Deno" in globalThis || options["requestOCSP"]) return false;
  const { checkServerIdentity } = builtin<TlsModule>("node:tls");
  return DECIDING.every((name) =>
    options[name] == null || options[name] === checkServerIdentity
  );
}

/**
 * Options that say nothing about trust: they are about the way to the server,
 * about the time before and after the handshake, or about the request that a
 * client wants to send.
 */
const IRRELEVANT: ReadonlySet<string> = new Set([
  // ours
  "hostname",
  "signal",
  "family",
  "resolver",
  "connectionAttemptDelay",
  "resolutionDelay",
  "preferredAddressFamilyCount",
  "localAddresses",
  "allow",
  "sourceAddress",
  "onEvent",
  "clock",
  // of sockets
  "port",
  "socket",
  "localAddress",
  "localPort",
  "lookup",
  "hints",
  "blockList",
  "autoSelectFamily",
  "autoSelectFamilyAttemptTimeout",
  "timeout",
  "noDelay",
  "keepAlive",
  "keepAliveInitialDelay",
  "allowHalfOpen",
  "highWaterMark",
  "readableHighWaterMark",
  "writableHighWaterMark",
  "onread",
  "pauseOnConnect",
  "typeOfService",
  "enableTrace",
  // of agents
  "_agentKey",
  "_defaultAgent",
  "agent",
  "agents",
  "agentKeepAliveTimeoutBuffer",
  "createConnection",
  "defaultPort",
  "keepAliveMsecs",
  "maxCachedSessions",
  "maxFreeSockets",
  "maxSockets",
  "maxTotalSockets",
  "scheduling",
  // of requests, and of clients that follow redirects
  "auth",
  "beforeRedirect",
  "beforeRedirects",
  "encoding",
  "hash",
  "headers",
  "href",
  "insecureHTTPParser",
  "joinDuplicateHeaders",
  "maxBodyLength",
  "maxHeaderSize",
  "maxRedirects",
  "method",
  "nativeProtocols",
  "pathname",
  "protocol",
  "search",
  "sensitiveHeaders",
  "setHost",
  "trackRedirects",
  "uniqueHeaders",
]);

/**
 * What decides trust, in one short string. The defaults of the platform are a
 * part of it, for they may be changed while a program runs.
 */
function keyOf(
  options: Readonly<Record<string, unknown>>,
  port: number,
): string {
  const tls = builtin<TlsModule>("node:tls");
  const given = Object.entries(options)
    .filter(([name, value]) => value !== undefined && !IRRELEVANT.has(name))
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, value]) => [name, describe(value)]);
  return sha256(JSON.stringify([
    port,
    given,
    environment("NODE_TLS_REJECT_UNAUTHORIZED"),
    tls.DEFAULT_MIN_VERSION,
    tls.DEFAULT_MAX_VERSION,
    tls.DEFAULT_CIPHERS,
    tls.DEFAULT_ECDH_CURVE,
  ]));
}

function sha256(data: string | ArrayBufferView): string {
  const { createHash } = builtin<CryptoModule>("node:crypto");
  return createHash("sha256").update(data).digest("base64");
}

/** How deep data may be; a list of keys with passphrases is two deep. */
const MOST_LEVELS = 4;

/** A value in JSON such that what is different for TLS differs. */
function describe(value: unknown, level = 0): unknown {
  if (typeof value === "number" || typeof value === "bigint") {
    return { number: String(value) };
  }
  if (typeof value === "symbol") return { symbol: String(value) };
  if (typeof value === "function") return { identity: identityOf(value) };
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value)) return { bytes: sha256(value) };
  const content = contextContent(value);
  if (content !== undefined) return { content };
  if (level < MOST_LEVELS && Array.isArray(value)) {
    return value.map((item) => describe(item, level + 1));
  }
  return level < MOST_LEVELS && isRecord(value)
    ? {
      record: Object.entries(value)
        .map(([name, item]) => [name, describe(item, level + 1)]),
    }
    : { identity: identityOf(value) };
}

/** Whether it is data, made by an object literal. */
function isRecord(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const identities = new WeakMap<object, number>();
let lastIdentity = 0;

/** The same number for the same object, and for no other. */
function identityOf(value: object): number {
  let identity = identities.get(value);
  if (identity === undefined) {
    identity = ++lastIdentity;
    identities.set(value, identity);
  }
  return identity;
}
