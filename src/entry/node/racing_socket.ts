/**
 * The platform's `net.Socket` and `tls.TLSSocket` with a race where they would
 * look up a name.
 *
 * Both are what they are, `connect()` aside. A `tls.TLSSocket` is made by
 * `tls.connect()`, which alone knows how to check its options; so its class is
 * put on it afterwards.
 *
 * @module
 */

import net from "node:net";
import tls from "node:tls";

import { check, isFunction } from "../../core/check.ts";
import type { TlsSessions } from "../../runtime/node_tls_sessions.ts";
import { systemClock } from "../../runtime/system_clock.ts";
import { correctServer } from "./adopt.ts";
import { type Alone, explainAlone } from "./platform_error.ts";
import {
  isAsByDefault,
  platformOptions,
  type RaceOptions,
  SocketRace,
  type Target,
  type TlsPlan,
  wantsOne,
} from "./socket_race.ts";

/** A class of sockets. */
// deno-lint-ignore no-explicit-any -- what a mixin takes
export type SocketClass = new (...options: any[]) => net.Socket;

/** What `connect()` of a socket takes, in one form. */
export interface ConnectArguments {
  readonly options: Partial<Target> & { readonly path?: unknown };
  readonly callback: (() => void) | undefined;
}

/** What a socket of ours remembers. */
interface Memory {
  readonly options: RaceOptions;
  race: SocketRace | undefined;
  /** What the platform dials without a race. */
  alone?: Alone | undefined;
}

const memories = new WeakMap<net.Socket, Memory>();

/** The class with a race. */
function racing<B extends SocketClass>(Base: B): B {
  return class extends Base {
    override connect(...args: unknown[]): this {
      const { options, callback } = parseConnectArguments(args);
      const memory = memories.get(this)!;
      if (!isRaced(options, memory.options)) {
        refuseUnguarded(memory.options);
        memory.alone = aloneOf(options);
        return super.connect(options as Target, callback);
      }
      memory.alone = undefined;
      memory.race?.cancel();
      memory.race = new SocketRace(memory.options, null);
      const host = options.host || "localhost";
      const target = { ...options, host } as Target;
      memory.race.start(this, target);
      super.connect(platformOptions(memory.race, target), callback);
      setHost(this, host);
      return this;
    }

    /** Bun says nothing while a write waits for the connection. */
    _onTimeout(): void {
      if (this.connecting) this.emit("timeout");
      else (Base.prototype as { _onTimeout(): void })._onTimeout.call(this);
    }

    override ref(): this {
      memories.get(this)?.race?.setRef(true);
      return super.ref();
    }

    override unref(): this {
      memories.get(this)?.race?.setRef(false);
      return super.unref();
    }

    override _destroy(
      error: Error | null,
      done: (error?: Error | null) => void,
    ): void {
      const memory = memories.get(this);
      memory?.race?.cancel();
      const alone = memory?.alone ?? memory?.race?.alone;
      if (error && alone && isUnopened(this, error)) explainAlone(error, alone);
      super._destroy(error, done);
    }
  };
}

/** A `net.Socket` that races. */
export const RacingSocket: typeof net.Socket = racing(net.Socket);
/** A `tls.TLSSocket` that races, made by {@linkcode racingTlsSocket}. */
export const RacingTlsSocket: typeof tls.TLSSocket = racing(tls.TLSSocket);

/** Makes `socket.connect()` race by these options. */
export function remember(
  socket: net.Socket,
  options: RaceOptions,
  race?: SocketRace,
): void {
  memories.set(socket, { options, race });
}

/**
 * A `tls.TLSSocket` of that class, made by `tls.connect()` with Node's own
 * options. Without a `target` it waits until its race is started.
 */
export function racingTlsSocket(
  Class: typeof tls.TLSSocket,
  { target, options, plan, tlsOptions, sessions, callback }: {
    readonly target?: Target;
    readonly options: RaceOptions;
    readonly plan: TlsPlan;
    readonly tlsOptions: tls.ConnectionOptions;
    /** Where sessions are kept. @default nowhere, as `tls.connect()` */
    readonly sessions?: TlsSessions | undefined;
    readonly callback?: (() => void) | undefined;
  },
): { readonly socket: tls.TLSSocket; readonly race: SocketRace } {
  const { checkServerIdentity: check = tls.checkServerIdentity } = tlsOptions;
  // One for all attempts; and what is wrong with it is known at once.
  const secureContext = tlsOptions.secureContext ??
    tls.createSecureContext({ ciphers: tls.DEFAULT_CIPHERS, ...tlsOptions });
  const race = new SocketRace(options, plan, { secureContext, sessions });
  const aim = target ?? { host: "localhost", port: 1 };
  const socket = tls.connect({
    ...tlsOptions,
    ...platformOptions(race, aim),
    secureContext,
    checkServerIdentity: typeof check === "function"
      // The attempt that has won has asked it before.
      ? (...about) => race.verdict ? race.verdict.error : check(...about)
      : check,
  }, callback);
  Object.setPrototypeOf(socket, Class.prototype);
  remember(socket, options, race);
  if (target) aimAt(socket, race, target, tlsOptions);
  return { socket, race };
}

/** Starts the race of a TLS socket, which is to verify these names. */
export function aimAt(
  socket: tls.TLSSocket,
  race: SocketRace,
  target: Target,
  { host, servername }: Pick<tls.ConnectionOptions, "host" | "servername">,
): void {
  const { port, signal } = target;
  // The platform would connect what is destroyed already.
  if (signal?.aborted) return race.cancel();
  correctServer(socket, { host, port, servername });
  setHost(socket, target.host);
  race.start(socket, target);
}

/** The platform's `net.connect()` takes these. */
export function parseConnectArguments(
  args: readonly unknown[],
): ConnectArguments {
  // Node's own functions pass on what they have parsed, with a mark.
  const isParsed = Array.isArray(args[0]) &&
    Object.getOwnPropertySymbols(args[0]).length > 0;
  const [first, ...rest] = isParsed ? args[0] as unknown[] : args;
  const last = rest.at(-1);
  const callback = typeof last === "function" ? last as () => void : undefined;
  if (typeof first === "object" && first !== null) {
    return { options: first, callback };
  }
  if (typeof first === "string" && Number.isNaN(Number(first))) {
    return { options: { path: first }, callback };
  }
  const [host] = rest;
  return {
    options: {
      ...first !== undefined && { port: first as number },
      ...typeof host === "string" && { host },
    },
    callback,
  };
}

/**
 * Whether there is something to race for. All else is left to the platform:
 * paths, what it refuses, an address by itself, and who wants one address only.
 */
function isRaced(
  options: ConnectArguments["options"],
  raceOptions: RaceOptions,
): boolean {
  const { host, port, path } = options;
  const isOne = typeof host === "string" && net.isIP(host) !== 0 ||
    wantsOne(options);
  if (isOne && isAsByDefault(options, raceOptions)) return false;
  const isHost = host == null || typeof host === "string";
  const isPort = ["number", "string"].includes(typeof port) &&
    Number.isInteger(Number(port)) && Number(port) >= 1 &&
    Number(port) <= 65_535;
  return path == null && isHost && isPort && !host?.includes("\0");
}

/** A guard that is none must not be passed by. */
export function checkBlockList(
  { blockList }: { readonly blockList?: net.BlockList | null | undefined },
): void {
  const isRight = !blockList || isFunction(blockList.check);
  check("connect: blockList", "a net.BlockList", blockList, isRight);
}

function aloneOf(
  { host, port, path }: ConnectArguments["options"],
): Alone | undefined {
  if (path != null) return undefined;
  const startTime = systemClock.now();
  return { hostname: host || "localhost", port: Number(port), startTime };
}

/** Whether a socket that fails was never open. */
function isUnopened(socket: net.Socket, error: Error): boolean {
  if ((socket as { secureConnecting?: boolean }).secureConnecting) return true;
  const { syscall, code } = error as NodeJS.ErrnoException;
  return ["connect", "bind", "getaddrinfo"].includes(syscall!) ||
    code === "ERR_IP_BLOCKED";
}

/** A guard with a hole is none. */
export function refuseUnguarded({ allow }: RaceOptions): void {
  if (!allow) return;
  throw new TypeError("Cannot connect: allow sees a host and a port only");
}

/** The name that `tls.connect({ socket })` verifies. */
function setHost(socket: net.Socket, host: string): void {
  Object.assign(socket, { _host: net.isIP(host) ? null : host });
}
