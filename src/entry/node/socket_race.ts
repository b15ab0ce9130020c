/**
 * One `connect()` of a socket of Node's by a race.
 *
 * The platform does everything as ever: it checks the options, keeps the state,
 * emits the events. Only where it would look up the name, it is given a `lookup`
 * of ours. That runs the race over sockets of the same kind, and `adopt()` puts
 * the winner's connection into the socket that waits, which also emits what is
 * about to happen to each address.
 *
 * The race begins a turn after `connect()`, when HTTP clients have handed the
 * socket to who listens to it, or when a lazy socket is used first. It ends with
 * the socket.
 *
 * @module
 */

import * as dns from "node:dns";
import net from "node:net";
import { nextTick } from "node:process";
import { setImmediate } from "node:timers";
import tls from "node:tls";

import type { Endpoint } from "../../core/endpoint.ts";
import { ConnectError } from "../../errors.ts";
import { raceEndpoints, withTls } from "../../happy_eyeballs.ts";
import {
  checkOptions,
  HAPPY_EYEBALLS_NAMES,
  type HappyEyeballsOptions,
  LEAST_CONNECTION_ATTEMPT_DELAY,
  type Settings,
} from "../../options.ts";
import { systemClock } from "../../runtime/system_clock.ts";
import { withBuiltins } from "../../runtime/node_builtin.ts";
import { openSocket, type SocketPlan } from "../../runtime/node_socket.ts";
import type {
  Resumption,
  TlsSessions,
} from "../../runtime/node_tls_sessions.ts";
import {
  adopt,
  canAdopt,
  isWrapped,
  type LookupDone,
  removeBunsListener,
  withShadow,
} from "./adopt.ts";
import { staticResolver } from "../../resolvers/static.ts";
import { familyOf } from "./lookup.ts";
import { RaceClock } from "./race_clock.ts";
import { type Alone, blockedError, platformError } from "./platform_error.ts";

/** The options of the race that come beside Node's own. */
export type RaceOptions = Omit<
  HappyEyeballsOptions,
  "hostname" | "port" | "signal" | "family"
>;

/** What a socket of Node's has words of its own for. */
const OF_SOCKETS = ["hostname", "port", "signal", "family"];

const RACE_NAMES = Object.keys(HAPPY_EYEBALLS_NAMES)
  .filter((name) => !OF_SOCKETS.includes(name)) as (keyof RaceOptions)[];

/** Those options of the race among others. */
export function pickRaceOptions(options: RaceOptions): RaceOptions {
  return Object.fromEntries(RACE_NAMES.map((name) => [name, options[name]]));
}

/** Where a socket connects to, in Node's words. */
export type Target = net.TcpSocketConnectOpts & {
  host: string;
  signal?: AbortSignal | undefined;
  blockList?: net.BlockList | undefined;
  onread?: net.OnReadOpts | undefined;
};

/** Makes what `tls.connect()` is given for each attempt. */
export type TlsPlan = (target: Target) => tls.ConnectionOptions;

/** What the handshakes of all attempts share. */
export interface SharedTls {
  readonly secureContext: tls.SecureContext;
  readonly sessions: TlsSessions | undefined;
}

/** An attempt under way. */
interface Opening {
  readonly endpoint: Endpoint;
  /** That of TCP, and that of TLS on top. */
  readonly sockets: net.Socket[];
  /** What is wrong with the name in the certificate, where that is allowed. */
  identityError: Error | undefined;
  /** The part in the TLS sessions that are kept. */
  resumption: Resumption | undefined;
  /** Tells who waits of the sessions that the server has sent. */
  passOn: (() => void) | undefined;
}

/** What an attempt has opened. */
interface Opened extends Opening {
  readonly socket: net.Socket;
}

/** The race of one `connect()`. */
export class SocketRace {
  /** What the check of the winner's name said, once there is one. */
  verdict: { readonly error: Error | undefined } | undefined;

  /** What the platform dials alone, because there is one address only. */
  alone: Alone | undefined;

  readonly #options: RaceOptions;
  readonly #tls: TlsPlan | null;
  readonly #shared: SharedTls | undefined;
  readonly #attempts = new AbortController();
  /** The sockets of attempts under way. */
  readonly #opened = new Set<net.Socket>();
  readonly #clock = new RaceClock();
  #isRef = true;
  #waiting:
    | { readonly socket: net.Socket; readonly target: Target }
    | undefined;
  #done: LookupDone | undefined;
  #lookupOptions: dns.LookupOptions = {};
  #newest: Endpoint | undefined;
  readonly #attempted: string[] = [];
  /** Who has heard of the first TCP connection for TLS, by event. */
  #told: ReadonlyMap<string, (() => void)[]> | undefined;
  /** What the first certificate that was refused was refused for. */
  #distrust: Error | undefined;

  constructor(
    options: RaceOptions,
    tls: TlsPlan | null,
    shared?: SharedTls,
  ) {
    this.#options = options;
    this.#tls = tls;
    this.#shared = shared;
  }

  /** Goes for `target` as soon as the platform has asked for an address. */
  start(socket: net.Socket, target: Target): void {
    this.#waiting = { socket, target };
    if (this.#done) this.#resolve();
  }

  /** Stops what is under way; nothing is emitted any more. */
  cancel(): void {
    this.#attempts.abort();
  }

  /** Whether attempts keep the process alive. */
  setRef(isRef: boolean): void {
    this.#isRef = isRef;
    this.#clock.setRef(isRef);
    for (const socket of this.#opened) {
      if (isRef) socket.ref();
      else socket.unref();
    }
  }

  /** The `lookup` option for the platform; see `dns.lookup()`. */
  readonly lookup: net.LookupFunction = (_hostname, options, done): void => {
    this.#done = done as LookupDone;
    this.#lookupOptions = options;
    if (this.#waiting) this.#resolve();
  };

  /** A lookup of the caller's own is asked at once, as the platform does. */
  #resolve(): void {
    const { target } = this.#waiting!;
    const { lookup, host } = target;
    const isAlone = wantsOne(target) && isAsByDefault(target, this.#options);
    const isOurs = net.isIP(host) !== 0 ||
      (lookup ? this.#options.resolver !== undefined : !isAlone);
    if (this.#lookupOptions.hints && (isOurs || lookup === dns.lookup)) {
      checkLookup(this.#lookupOptions);
    }
    if (isOurs) setImmediate(() => this.#begin());
    else this.#ask(lookup ?? dns.lookup, target, isAlone);
  }

  /** With `isAlone` the platform dials the first address. */
  #ask(lookup: net.LookupFunction, target: Target, isAlone: boolean): void {
    const startTime = systemClock.now();
    const options = this.#lookupOptions;
    const isPlain = isAsByDefault(target, this.#options);
    const { host, port } = target;
    const asked = isAlone || familyOf(options.family)
      ? options
      : { ...options, all: true };
    lookup(host, asked, (error, address, family) => {
      const found = Array.isArray(address)
        ? address
        : [{ address, family: family! }];
      const usable = found.filter(({ address }) => net.isIP(address));
      const [first] = found;
      const isOne = isAlone || usable.length === 1;
      if (error || usable.length === 0 || (isOne && isPlain)) {
        this.alone = { hostname: host, port: Number(port), startTime };
        this.#done!(error, first?.address as string, first?.family as number);
      } else setImmediate(() => this.#begin(usable));
    });
  }

  #begin(found?: readonly dns.LookupAddress[]): void {
    const { socket, target } = this.#waiting!;
    const { signal } = this.#attempts;
    if (signal.aborted || !socket.connecting) return;
    let settings: Settings;
    try {
      const { clock = this.#clock } = this.#options;
      const options = { ...this.#options, clock };
      settings = settingsOf(target, options, signal, found);
    } catch (error) {
      return this.#lose(error);
    }
    raceEndpoints(
      settings,
      withTls(
        settings,
        (endpoint, signal, onTcp) => this.#attempt(endpoint, signal, onTcp),
      ),
      ({ socket }: Opened) => socket.destroy(),
    ).then((opened) => this.#win(opened), (error) => this.#lose(error));
  }

  async #attempt(
    endpoint: Endpoint,
    signal: AbortSignal,
    onTcp: () => void,
  ): Promise<Opened> {
    const { address, family, port } = endpoint;
    const opened: Opening = {
      endpoint,
      sockets: [],
      identityError: undefined,
      resumption: undefined,
      passOn: undefined,
    };
    this.#announce(endpoint);
    try {
      this.#guard(endpoint);
      const onTcpOpen = () => {
        this.#announceTcp();
        onTcp();
      };
      const socket = await withBuiltins(() =>
        openSocket(endpoint, this.#plan(opened), signal, onTcpOpen)
      );
      opened.resumption?.done(socket as tls.TLSSocket);
      return { ...opened, socket };
    } catch (error) {
      if (!signal.aborted) {
        const last = opened.sockets.at(-1) as tls.TLSSocket | undefined;
        this.#distrust ??= last?.authorizationError;
        this.#emit("connectionAttemptFailed", address, port, family, error);
      }
      throw error;
    } finally {
      if (this.#newest === endpoint) this.#newest = undefined;
      for (const socket of opened.sockets) this.#opened.delete(socket);
    }
  }

  /** Before Node 24, no socket goes by `blockList` itself. */
  #guard({ address, family }: Endpoint): void {
    const { blockList } = this.#waiting!.target;
    if (blockList?.check(address, family === 4 ? "ipv4" : "ipv6")) {
      throw blockedError(address);
    }
  }

  /** How an attempt opens its socket. */
  #plan(opening: Opening): SocketPlan<net.Socket> {
    const { target, socket: waiting } = this.#waiting!;
    const { localPort } = target;
    const makeOptions = this.#tls;
    return {
      more: { localPort },
      tls: makeOptions && (() => {
        const options = makeOptions(target);
        const { checkServerIdentity: check = tls.checkServerIdentity } =
          options;
        const { secureContext, sessions } = this.#shared ?? {};
        const { port } = opening.endpoint;
        opening.resumption = sessions?.begin({ ...options }, port);
        const session = opening.resumption?.session;
        return {
          ...options,
          secureContext,
          ...session && { session },
          checkServerIdentity: (...about: Parameters<typeof check>) =>
            opening.identityError = check(...about),
        };
      }),
      watch: (made, isTls) => {
        const socket = made as unknown as net.Socket;
        opening.sockets.push(socket);
        this.#opened.add(socket);
        if (!this.#isRef) socket.unref();
        // What comes is for who waits.
        if (!makeOptions) socket.pause();
        if (!isTls) return;
        opening.passOn = forward(
          socket as tls.TLSSocket,
          waiting as tls.TLSSocket,
        );
      },
      handOver: (socket) => socket as unknown as net.Socket,
      explain: (error) => error,
    };
  }

  /** Emits what a socket of the platform's emits before it dials. */
  #announce(endpoint: Endpoint): void {
    const { address, family, port } = endpoint;
    const { socket, target } = this.#waiting!;
    const slow = this.#newest;
    if (slow) {
      const { address, port, family } = slow;
      this.#emit("connectionAttemptTimeout", address, port, family);
    }
    this.#newest = endpoint;
    if (!net.isIP(target.host)) {
      this.#emit("lookup", null, address, family, target.host);
      // Only there to be read, as on the platform's own.
      this.#attempted.push(`${address}:${port}`);
      Object.assign(socket, {
        autoSelectFamilyAttemptedAddresses: this.#attempted,
      });
    }
    this.#emit("connectionAttempt", address, port, family);
  }

  /**
   * The first TCP connection for TLS is up, and who measures phases waits for
   * that. What waits inside of the platform waits on, because the socket is
   * still connecting; the events by which the platform ends that wait are not
   * for those who have heard them now.
   */
  #announceTcp(): void {
    const { socket } = this.#waiting!;
    if (this.#told || isWrapped(socket)) return;
    removeBunsListener(socket);
    this.#told = new Map(["connect", "ready"].map((event) => {
      const listeners = new Set(socket.rawListeners(event));
      this.#emit(event);
      const told = socket.rawListeners(event) as (() => void)[];
      return [event, told.filter((listener) => listeners.has(listener))];
    }));
  }

  #win(opened: Opened): void {
    const { socket, endpoint, identityError, resumption, passOn } = opened;
    const { socket: waiting, target } = this.#waiting!;
    if (this.#attempts.signal.aborted || !waiting.connecting) {
      socket.destroy();
      return;
    }
    this.#tellTheOthers();
    const { address, family } = endpoint;
    const done = () => this.#done!(null, address, family);
    if (!canAdopt(waiting, socket, target)) {
      socket.destroy();
      return withShadow(waiting, "emit", done);
    }
    this.verdict = { error: identityError };
    // Tickets may come before it takes over, and after.
    resumption?.keepFrom(waiting as tls.TLSSocket, true);
    passOn?.();
    adopt(
      waiting,
      socket,
      this.#isRef,
      () => withShadow(waiting, "emit", done),
    );
  }

  /** Keeps the events to come from who has heard them. */
  #tellTheOthers(): void {
    const { socket } = this.#waiting!;
    for (const [event, told] of this.#told ?? []) {
      for (const listener of told) socket.off(event, listener);
      socket.once(event, () => {
        for (const listener of told) socket.on(event, listener);
      });
    }
  }

  #lose(reason: unknown): void {
    const { socket, target } = this.#waiting!;
    if (this.#attempts.signal.aborted) return;
    const error = platformError(reason, target.host) as Error;
    const isTried = reason instanceof ConnectError &&
      reason.attempts.length > 0;
    if (!isTried && !net.isIP(target.host)) {
      this.#emit("lookup", error, undefined, undefined, target.host);
    }
    if (this.#distrust) {
      Object.assign(socket, { authorizationError: this.#distrust });
    }
    socket.destroy(error);
  }

  /** An exception of a listener is nobody's rejection: it is uncaught. */
  #emit(event: string, ...details: unknown[]): void {
    if (this.#attempts.signal.aborted) return;
    try {
      this.#waiting!.socket.emit(event, ...details);
    } catch (error) {
      nextTick(() => {
        throw error;
      });
    }
  }
}

/** What the platform's `connect()` is given for `target`. */
export function platformOptions(
  race: SocketRace,
  target: Target,
): net.TcpSocketConnectOpts {
  const { autoSelectFamily, lookup } = target;
  const isLookup = lookup == null || typeof lookup === "function";
  const isChoice = typeof autoSelectFamily === "boolean";
  return {
    ...target,
    // Literals are not looked up.
    host: net.isIP(target.host) ? "localhost" : target.host,
    // The platform refuses what is wrong.
    lookup: isLookup ? race.lookup : lookup,
    ...(isChoice || autoSelectFamily == null) && { autoSelectFamily: false },
  };
}

/** What Node has other words for. */
interface NodeWords {
  readonly host: string;
  readonly port: number | string;
  readonly family?: dns.LookupOptions["family"] | null;
  readonly localAddress?: string | null | undefined;
  readonly autoSelectFamilyAttemptTimeout?: number | undefined;
}

/** Options of ours, with what Node's words mean among them. */
export function inOurWords<O extends RaceOptions>(
  { host, port, family, localAddress, autoSelectFamilyAttemptTimeout: delay }:
    NodeWords,
  options: O,
): O & HappyEyeballsOptions {
  return {
    ...options,
    hostname: host,
    port: Number(port),
    family: net.isIP(host) ? undefined : familyOf(family),
    localAddresses: localAddress ? [localAddress] : options.localAddresses,
    connectionAttemptDelay: options.connectionAttemptDelay ??
      (delay && Math.max(delay, LEAST_CONNECTION_ATTEMPT_DELAY)),
  };
}

/** The settings of a race to `target`. */
function settingsOf(
  target: Target,
  options: RaceOptions,
  signal: AbortSignal,
  found: readonly dns.LookupAddress[] | undefined,
): Settings {
  const settings = checkOptions({ ...inOurWords(target, options), signal });
  if (!found) return settings;
  return {
    ...settings,
    // Who brings a lookup wants its answer, for localhost too.
    host: { kind: "name", name: target.host },
    resolver: staticResolver(found.map(({ address }) => address)),
  };
}

/** Whether the caller wants one address only. */
export function wantsOne(
  { autoSelectFamily }: { readonly autoSelectFamily?: unknown },
): boolean {
  // Deno 2.0 has no such default.
  return (autoSelectFamily ?? net.getDefaultAutoSelectFamily?.()) === false;
}

/** Whether nothing is asked for that the platform has not, but for a race. */
export function isAsByDefault(
  { blockList }: { readonly blockList?: unknown },
  options: RaceOptions,
): boolean {
  return !blockList &&
    Object.values(options).every((value) => value === undefined);
}

/** The platform refuses what its own lookup would, at once. */
function checkLookup(options: dns.LookupOptions): void {
  dns.lookup("127.0.0.1", options, () => {});
}

/**
 * Passes on what only the attempt's own TLS socket can tell. Sessions are for
 * the winner's listeners alone, from the call of the result on.
 */
function forward(from: tls.TLSSocket, to: tls.TLSSocket): () => void {
  for (const event of ["keylog", "OCSPResponse"]) {
    if (to.listenerCount(event) === 0) continue;
    from.on(event, (...details) => to.emit(event, ...details));
  }
  let isSecure = false;
  const early: unknown[] = [];
  from.on("session", (session) => {
    if (!isSecure) early.push(session);
    else to.emit("session", session);
  });
  return () =>
    void to.once("secureConnect", () => {
      isSecure = true;
      // Deno tells it by itself at that moment.
      const forget = () => void early.splice(0);
      to.once("session", forget);
      nextTick(() => {
        to.off("session", forget);
        early.forEach((session) => to.emit("session", session));
      });
    });
}
