/**
 * The network as data, and one function that lets a call of `happyEyeballs()`
 * run in it.
 *
 * A world says what each address does and when each DNS answer comes, in
 * virtual milliseconds. `play()` runs one call in such a world, tells in one
 * line each what was started and how it ended, and then checks what has to hold
 * after every call: only the winner is open, every other socket was closed
 * once, no timer and no listener is left, the queries are cancelled, the
 * events tell one consistent story, nothing was dialled twice. The rejections
 * nobody handles are seen by the test runners themselves.
 *
 * Addresses are written short: `6.1` is 2001:db8::1 and `4.1` is 192.0.2.1.
 *
 * @module
 */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type { Answer, RecordType, Resolver } from "../src/core/answer.ts";
import type { Source } from "../src/core/address_selection.ts";
import type { Endpoint } from "../src/core/endpoint.ts";
import type { HappyEyeballsEvent } from "../src/events.ts";
import { happyEyeballs } from "../src/happy_eyeballs.ts";
import type { HappyEyeballsOptions } from "../src/options.ts";
import { FakeClock, turn } from "./fake_clock.ts";

/** What one address does; times are milliseconds after the dial. */
export interface Host {
  /** TCP is up; left out together with `refuse`, packets vanish. */
  readonly accept?: number;
  /** TCP fails, with `code`. */
  readonly refuse?: number;
  /** @default "ECONNREFUSED" */
  readonly code?: string;
  /** The TLS handshake ends so long after TCP is up. */
  readonly tls?: number;
  /** The handshake fails with this code instead of succeeding. */
  readonly tlsError?: string;
  /** How long TLS holds the next attempt. @default as `connect()` does */
  readonly hold?: number;
  /** Ignores the abort and gives its socket, or fails, all the same, later. */
  readonly deaf?: boolean;
}

/** One thing the resolver says; `at` is milliseconds after the question. */
export type DnsEvent =
  & { readonly at: number; readonly error?: unknown }
  & (
    | { readonly AAAA: readonly string[]; readonly name?: string }
    | { readonly A: readonly string[]; readonly name?: string }
    | { readonly end: true }
    | { readonly throws: unknown }
  );

/** What the system says about the way to one destination. */
export type SourceAnswer =
  | Source
  | null
  | { readonly after: number; readonly source: Source | null }
  | "never"
  | "rejects"
  | "throws";

/** Everything outside the code under test. */
export interface World {
  /** By address, or by `"address<local address"`. */
  readonly hosts?: Readonly<Record<string, Host>>;
  /** The same for every name; without an `end` the resolver waits for ever. */
  readonly dns?: readonly DnsEvent[];
  /** The resolver ignores its signal and never finishes `return()`. */
  readonly dnsDeaf?: boolean;
  /** By destination; what is not here is unknown. */
  readonly sources?: Readonly<Record<string, SourceAnswer>>;
}

/** Writes an address out: `6.1` is 2001:db8::1, `4.1` is 192.0.2.1. */
export function long(address: string): string {
  const match = /^([46])\.(\d+)$/.exec(address);
  if (match === null) return address;
  return (match[1] === "6" ? "2001:db8::" : "192.0.2.") + match[2];
}

/** The other way round. */
export function short(address: string): string {
  return address.replace(/^2001:db8::(\d+)$/, "6.$1")
    .replace(/^192\.0\.2\.(\d+)$/, "4.$1");
}

/** An `Error` as platforms make them. */
export function codeError(code: string): Error & { code: string } {
  return Object.assign(new Error(`connect ${code}`), { code });
}

/** A connection that somebody has to close. */
export class FakeSocket {
  readonly endpoint: Endpoint;
  /** How often it was closed; once is right, unless it is the winner. */
  closed = 0;
  /** Whether an attempt gave it as its result. */
  given = false;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  close(): void {
    this.closed++;
  }
}

/** A caller's signal that knows how many listeners it has. */
export class CountedAbort extends AbortController {
  readonly #listeners = new Set<unknown>();

  constructor() {
    super();
    const { signal } = this;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    const count = this.#listeners;
    signal.addEventListener = (
      type: string,
      listener: EventListenerOrEventListenerObject | null,
      options?: boolean | AddEventListenerOptions,
    ) => {
      if (listener === null) return;
      count.add(listener);
      if (typeof options === "object") {
        options.signal?.addEventListener("abort", () => count.delete(listener));
        if (options.once) add(type, () => count.delete(listener), options);
      }
      add(type, listener, options);
    };
    signal.removeEventListener = (
      type: string,
      listener: EventListenerOrEventListenerObject | null,
      options?: boolean | EventListenerOptions,
    ) => {
      if (listener === null) return;
      count.delete(listener);
      remove(type, listener, options);
    };
  }

  /** The listeners now attached, `onabort` too. */
  get listeners(): number {
    return this.#listeners.size + (this.signal.onabort === null ? 0 : 1);
  }
}

/** One use of the resolver. */
export interface Query {
  readonly time: number;
  readonly hostname: string;
  readonly types: readonly RecordType[];
  readonly port: number;
  readonly signal: AbortSignal;
  /** How often `return()` was called. */
  returns: number;
  /** Whether it ended or threw by itself. */
  exhausted: boolean;
}

/** One dial. */
export interface Start {
  readonly time: number;
  readonly endpoint: Endpoint;
  readonly signal: AbortSignal;
}

/** A world that remembers what was done in it. */
export class FakeNetwork {
  readonly starts: Start[] = [];
  readonly sockets: FakeSocket[] = [];
  readonly queries: Query[] = [];
  /** Destinations whose source address was asked for, as `address@time`. */
  readonly probes: string[] = [];
  /** What must not happen, and did. */
  readonly violations: string[] = [];
  readonly clock: FakeClock;
  readonly #world: World;
  readonly #delay: number;

  constructor(world: World, clock: FakeClock, connectionAttemptDelay: number) {
    this.#world = world;
    this.clock = clock;
    this.#delay = connectionAttemptDelay;
  }

  /** An attempt for `happyEyeballs()`: TCP, and TLS where the host has it. */
  readonly attempt = (
    endpoint: Endpoint,
    signal: AbortSignal,
    control: { holdNext(ms: number): void },
  ): Promise<FakeSocket> => {
    this.starts.push({ time: this.clock.now(), endpoint, signal });
    if (signal.aborted) this.violations.push("started with an aborted signal");
    const host = this.#host(endpoint);
    return new Promise((resolve, reject) => {
      let socket: FakeSocket | undefined;
      let cancel = () => {};
      const settle = (then: () => void) => {
        signal.removeEventListener("abort", abort);
        then();
      };
      const fail = (error: unknown) =>
        settle(() => {
          socket?.close();
          reject(error);
        });
      const succeed = (socket: FakeSocket) =>
        settle(() => {
          socket.given = true;
          resolve(socket);
        });
      const abort = () => {
        cancel();
        fail(signal.reason);
      };
      const after = (ms: number, action: () => void) => {
        cancel = this.clock.at(this.clock.now() + ms, action);
      };
      const handshake = (socket: FakeSocket, tcpTime: number) => {
        control.holdNext(host.hold ?? this.#hold(tcpTime));
        after(host.tls ?? Infinity, () => {
          if (host.tlsError) fail(codeError(host.tlsError));
          else succeed(socket);
        });
      };
      if (!host.deaf) signal.addEventListener("abort", abort);
      if (host.refuse !== undefined) {
        after(
          host.refuse,
          () => fail(codeError(host.code ?? "ECONNREFUSED")),
        );
      } else if (host.accept !== undefined) {
        const tcpTime = host.accept;
        after(tcpTime, () => {
          socket = new FakeSocket(endpoint);
          this.sockets.push(socket);
          if (host.tls === undefined) succeed(socket);
          else handshake(socket, tcpTime);
        });
      }
    });
  };

  /** A resolver that says what the world's `dns` says. */
  readonly resolver: Resolver = (hostname, { types, port, signal }) => {
    const query: Query = {
      time: this.clock.now(),
      hostname,
      types,
      port,
      signal,
      returns: 0,
      exhausted: false,
    };
    this.queries.push(query);
    return { [Symbol.asyncIterator]: () => this.#iterate(query) };
  };

  /** The source addresses of the world, each after its time. */
  readonly sourceAddress = (
    destination: string,
  ): Source | null | undefined | Promise<Source | null> => {
    this.probes.push(`${short(destination)}@${this.clock.now()}`);
    const answer = this.#world.sources?.[short(destination)];
    if (answer === "throws") throw new Error("no source address today");
    if (answer === "rejects") return Promise.reject(new Error("no source"));
    if (answer === "never") return new Promise(() => {});
    if (answer === null || answer === undefined) return answer;
    if (!("after" in answer)) return answer;
    return new Promise((resolve) => {
      const time = this.clock.now() + answer.after;
      this.clock.at(time, () => resolve(answer.source));
    });
  };

  #hold(tcpTime: number): number {
    return Math.max(Math.min(4 * tcpTime, 2000), this.#delay);
  }

  #host({ address, localAddress }: Endpoint): Host {
    const hosts = this.#world.hosts ?? {};
    const name = short(address);
    const from = `${name}<${short(localAddress ?? "")}`;
    const host = hosts[from] ?? hosts[name];
    if (host !== undefined) return host;
    this.violations.push(`dialled ${address}, which is not in this world`);
    return { refuse: 0, code: "EHOSTUNREACH" };
  }

  #iterate(query: Query): AsyncIterator<Answer> {
    const { clock, violations } = this;
    const deaf = this.#world.dnsDeaf ?? false;
    const ready: DnsEvent[] = [];
    let waiting: ((event: DnsEvent) => void) | undefined;
    const cancels = (this.#world.dns ?? []).map((event) =>
      clock.at(clock.now() + event.at, () => {
        if (!isAsked(event, query.types)) return;
        ready.push(event);
        deliver();
      })
    );
    function deliver(): void {
      if (waiting === undefined || ready.length === 0) return;
      const resolve = waiting;
      waiting = undefined;
      resolve(ready.shift() as DnsEvent);
    }
    function abort(): void {
      for (const cancel of cancels) cancel();
      waiting?.({ at: 0, throws: query.signal.reason });
      waiting = undefined;
    }
    if (!deaf) query.signal.addEventListener("abort", abort, { once: true });

    return {
      async next(): Promise<IteratorResult<Answer>> {
        if (waiting) violations.push("next() while next() was pending");
        if (query.exhausted) violations.push("next() after the end");
        const event = await new Promise<DnsEvent>((resolve) => {
          waiting = resolve;
          deliver();
        });
        if ("throws" in event) {
          query.exhausted = !query.signal.aborted;
          throw event.throws;
        }
        if ("end" in event) {
          query.exhausted = true;
          return { done: true, value: undefined };
        }
        return { done: false, value: answerOf(event) };
      },
      return(): Promise<IteratorResult<Answer>> {
        query.returns++;
        if (deaf) return new Promise(() => {});
        return Promise.reject(new Error("return() rejects, and nobody cares"));
      },
    };
  }
}

function isAsked(event: DnsEvent, types: readonly RecordType[]): boolean {
  if ("AAAA" in event) return types.includes("AAAA");
  if ("A" in event) return types.includes("A");
  return true;
}

function answerOf(
  event: Extract<DnsEvent, { AAAA: unknown } | { A: unknown }>,
): Answer {
  const { error, name } = event;
  const more = {
    ...("error" in event && { error }),
    ...(name !== undefined && { name }),
  };
  return "AAAA" in event
    ? { type: "AAAA", addresses: event.AAAA.map(long), ...more }
    : { type: "A", addresses: event.A.map(long), ...more };
}

/** Options of {@linkcode play}: those of the call, and when to abort it. */
export type PlayOptions =
  & Partial<Omit<HappyEyeballsOptions, "signal" | "clock">>
  & { readonly abortAt?: number; readonly reason?: unknown };

/** What happened in one call. */
export interface Played {
  /** Every dial, such as `"6.1@0 4.1@250"`; with a local address `"6.1<6.9@0"`. */
  readonly starts: string;
  /** `"4.1@270"`, `"failed@300"` or `"aborted@100"`. */
  readonly end: string;
  readonly value?: FakeSocket;
  readonly error?: unknown;
  readonly events: readonly HappyEyeballsEvent[];
  readonly network: FakeNetwork;
}

/**
 * Runs one call in a world, lets the world come to its end, and checks what has
 * to hold after every call. `engine` is another one only where these checks
 * are checked themselves.
 */
export async function play(
  world: World,
  options: PlayOptions = {},
  engine: typeof happyEyeballs = happyEyeballs,
): Promise<Played> {
  const { abortAt, reason = new Error("enough"), ...asked } = options;
  const clock = new FakeClock();
  const delay = options.connectionAttemptDelay ?? 250;
  const network = new FakeNetwork(world, clock, delay);
  const events: HappyEyeballsEvent[] = [];
  const caller = new CountedAbort();
  if (abortAt !== undefined) clock.at(abortAt, () => caller.abort(reason));

  const outcome = await clock.run(settled(engine(network.attempt, {
    hostname: "example.com",
    port: 443,
    resolver: network.resolver,
    sourceAddress: network.sourceAddress,
    ...asked,
    signal: caller.signal,
    clock,
    onDiscard: (socket) => socket.close(),
    onEvent(event) {
      events.push(event);
      asked.onEvent?.(event);
    },
  })));

  const time = clock.now();
  assertStrictEquals(clock.pending, 0, "timers left after settlement");
  assertStrictEquals(caller.listeners, 0, "listeners on the caller's signal");
  checkQueries(network);
  await clock.finish();
  caller.abort();
  await turn();
  const value = "value" in outcome ? outcome.value : undefined;
  checkSockets(network, value);
  checkEvents(events, network, value);
  return {
    starts: network.starts.map(showStart).join(" "),
    end: value
      ? `${showEndpoint(value.endpoint)}@${time}`
      : `${
        "error" in outcome && outcome.error === reason ? "aborted" : "failed"
      }@${time}`,
    ...outcome,
    events,
    network,
  };
}

/** Makes either outcome of a promise a value. */
export function settled<T>(
  promise: Promise<T>,
): Promise<{ value: T } | { error: unknown }> {
  return promise.then((value) => ({ value }), (error) => ({ error }));
}

function showStart({ time, endpoint }: Start): string {
  return `${showEndpoint(endpoint)}@${time}`;
}

function showEndpoint({ address, localAddress }: Endpoint): string {
  const from = localAddress === undefined ? "" : `<${short(localAddress)}`;
  return short(address) + from;
}

/** The resolver is told to stop, and closed unless it ended by itself. */
function checkQueries({ queries }: FakeNetwork): void {
  for (const query of queries) {
    assert(
      query.signal.aborted || query.exhausted,
      "a query goes on after settlement",
    );
    assertStrictEquals(
      query.returns,
      query.exhausted ? 0 : 1,
      "calls of return()",
    );
  }
}

/** The winner is open, its signal untouched; all else was closed, once. */
function checkSockets(network: FakeNetwork, winner?: FakeSocket): void {
  assertEquals(network.violations, []);
  const dialled = network.starts.map(({ endpoint }) =>
    `${endpoint.address} ${endpoint.port} ${endpoint.localAddress}`
  );
  assertStrictEquals(new Set(dialled).size, dialled.length, "dialled twice");
  for (const socket of network.sockets) {
    assertStrictEquals(
      socket.closed,
      socket === winner ? 0 : 1,
      `closings of the socket to ${socket.endpoint.address}`,
    );
  }
  for (const { endpoint, signal } of network.starts) {
    if (endpoint === winner?.endpoint) {
      assert(!signal.aborted, "the winner's signal was aborted");
    }
  }
}

/** The events of one call tell one story, in order. */
function checkEvents(
  events: readonly HappyEyeballsEvent[],
  network: FakeNetwork,
  winner?: FakeSocket,
): void {
  const times = events.map(({ time }) => time);
  assertEquals(times, times.toSorted((a, b) => a - b), "event times");
  const starts = events.filter((it) => it.type === "attempt-start");
  const ends = events.filter((it) => it.type === "attempt-end");
  assertEquals(
    starts.map(({ time, endpoint, index }) => ({ time, endpoint, index })),
    network.starts.map(({ time, endpoint }, index) => ({
      time,
      endpoint,
      index,
    })),
  );
  assertEquals(
    ends.map(({ index, startTime, endpoint }) => ({
      index,
      time: startTime,
      endpoint,
    })).toSorted((a, b) => a.index - b.index),
    starts.map(({ index, time, endpoint }) => ({ index, time, endpoint })),
    "every attempt that started ended, once",
  );
  assertEquals(
    ends.filter(({ outcome }) => outcome === "won").map((e) => e.endpoint),
    winner ? [winner.endpoint] : [],
  );
  for (const { outcome, index } of ends) {
    if (outcome !== "canceled") continue;
    assert(network.starts[index]?.signal.aborted, "a loser was not aborted");
  }
  checkDecision(events);
  assertStrictEquals(
    events.filter(({ type }) => type === "discard").length,
    network.sockets.filter((it) => it.given && it !== winner).length,
    "one discard event for each late success",
  );
}

/** The decision is one run of events: won, canceled by index, end. */
function checkDecision(events: readonly HappyEyeballsEvent[]): void {
  const end = events.findIndex(({ type }) => type === "end");
  assert(end >= 0, "no end event");
  assert(
    events.slice(end + 1).every(({ type }) => type === "discard"),
    "discards are the only events after the end",
  );
  const canceled = events.flatMap((event) =>
    event.type === "attempt-end" && event.outcome === "canceled"
      ? [event.index]
      : []
  );
  assertEquals(
    events.slice(end - canceled.length, end).map((event) =>
      "index" in event ? event.index : event.type
    ),
    canceled.toSorted((a, b) => a - b),
    "canceled attempts are told in order, right before the end",
  );
}
