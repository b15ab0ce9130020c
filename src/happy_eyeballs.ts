/**
 * `happyEyeballs()`: from a name to the first of its endpoints that works, for
 * whatever an attempt is: a socket, a QUIC connection, a request.
 *
 * Three parts work at the same time and know nothing of each other: a resolver
 * tells answers, `Candidates` stores them and says which endpoint is next, and
 * the race pulls endpoints and runs attempts. This file puts them together and
 * takes them apart at the decision.
 *
 * @module
 */

import { check, checkOptional, isFunction } from "./core/check.ts";
import { ask, questions } from "./ask.ts";
import type { Answer } from "./core/answer.ts";
import { Candidates, type CandidatesOptions } from "./core/candidates.ts";
import type { Endpoint } from "./core/endpoint.ts";
import { type IpAddress, parseIpAddress } from "./core/ip_address.ts";
import {
  type AttemptControl,
  type AttemptEvent,
  type Race,
  type RaceSource,
  startRace,
} from "./core/race.ts";
import {
  type AttemptFailure,
  ConnectError,
  type ConnectFailure,
} from "./errors.ts";
import { emit } from "./events.ts";
import {
  checkOptionNames,
  checkOptions,
  HAPPY_EYEBALLS_NAMES,
  type HappyEyeballsOptions,
  type Settings,
} from "./options.ts";
import { detectRuntime, runtimeName } from "./runtime/detect.ts";
import { sourceAsker } from "./source_address.ts";
import { dispose } from "./staggered_race.ts";

/** Minimum Connection Attempt Delay in milliseconds (RFC 8305 section 8). */
const MINIMUM_CONNECTION_ATTEMPT_DELAY = 100;

/** The longest that TLS holds the next attempt back, in milliseconds (A49). */
const MAXIMUM_CONNECTION_ATTEMPT_DELAY = 2000;

/** The addresses of `localhost` (RFC 6761 section 6.3). */
const LOOPBACKS = ["::1", "127.0.0.1"];

const NAMES = /* @__PURE__ */ Object.assign(
  { onDiscard: 1 },
  HAPPY_EYEBALLS_NAMES,
);

/** One way to reach an endpoint; `null` is the host as the platform finds it. */
export type EndpointAttempt<T, E extends Endpoint | null = Endpoint> = (
  endpoint: E,
  signal: AbortSignal,
  control: AttemptControl,
) => T | PromiseLike<T>;

/**
 * Resolves a name and runs `attempt` for its endpoints with a staggered start,
 * as Happy Eyeballs prescribes; returns the first success.
 *
 * `attempt` gets an endpoint, a signal that aborts when the attempt is no
 * longer wanted (never for the winner) and a control to hold the next attempt
 * back. What a loser delivers after the decision goes to `onDiscard`, by
 * default to the value's own `Symbol.asyncDispose` or `Symbol.dispose`.
 *
 * ```ts
 * import { happyEyeballs, staticResolver } from "@stagger/happy-eyeballs";
 *
 * const address = await happyEyeballs(
 *   (endpoint) => endpoint.address,
 *   {
 *     hostname: "example.com",
 *     port: 443,
 *     resolver: staticResolver(["192.0.2.1"]),
 *   },
 * );
 * console.log(address); // 192.0.2.1
 * ```
 *
 * @throws {TypeError | RangeError} when an argument is wrong, before anything
 * starts.
 * @throws {ConnectError} when nothing worked.
 * @throws `signal.reason` when the caller aborts; what `allow` throws.
 */
export async function happyEyeballs<T>(
  attempt: (
    endpoint: Endpoint,
    signal: AbortSignal,
    control: AttemptControl,
  ) => T | PromiseLike<T>,
  options: HappyEyeballsOptions & {
    onDiscard?: ((value: T) => unknown) | undefined;
  },
): Promise<T> {
  check("connect: attempt", "a function", attempt, isFunction(attempt));
  checkOptionNames("connect", options, NAMES);
  const settings = checkOptions(options);
  const { onDiscard = dispose } = options;
  checkOptional("connect: onDiscard", "a function", onDiscard, onDiscard);
  // Throws where the platform has no resolver, before anything starts.
  if (!settings.resolver && !knownAddresses(settings)) detectRuntime();
  return await raceEndpoints(settings, attempt, onDiscard);
}

/** The engine behind {@linkcode happyEyeballs}, for options already checked. */
export function raceEndpoints<T>(
  settings: Settings,
  attempt: EndpointAttempt<T>,
  discard: (value: T) => unknown,
  mostInFlight: number = Infinity,
): Promise<T> {
  const { signal } = settings;
  const answers: Answer[] = [];
  let queries: AbortController | undefined;
  const options = candidatesOptions(settings, mostInFlight, (newestTime) => {
    // One at a time stays one at a time.
    if (settings.connectionAttemptDelay === Infinity) return;
    race.wake(newestTime + MINIMUM_CONNECTION_ATTEMPT_DELAY);
  });
  const { types } = options;
  const candidates = new Candidates(options);
  const race = startEndpointRace(settings, attempt, discard, {
    source: candidates,
    endpointOf: (index) => candidates.attempted[index]!,
    // No timer where there is nothing to look for.
    delay: () =>
      candidates.mayGoOn() ? settings.connectionAttemptDelay : Infinity,
    observe: (event, endpoint) => candidates.observe(event, endpoint),
    release() {
      candidates.return();
      queries?.abort();
    },
    facts: () => ({ answers, refusals: candidates.refusals }),
  });
  if (types.length > 0 && !signal?.aborted) {
    const take = (answer: Answer) => {
      answers.push(answer);
      try {
        candidates.answer(answer);
      } catch (error) {
        race.fail(error);
      }
    };
    queries = new AbortController();
    ask(settings, types, take, queries.signal).then(() => {
      queries = undefined;
      candidates.close();
    });
  }
  return race.value;
}

/**
 * All endpoints of a host in the order in which {@linkcode happyEyeballs} would
 * try them, once every question is answered. Nothing is dialled.
 *
 * @throws {ConnectError} when there is none.
 */
export async function orderEndpoints(
  settings: Settings,
): Promise<readonly Endpoint[]> {
  const { hostname, port } = settings;
  const options = candidatesOptions(settings, Infinity, () => {});
  const candidates = new Candidates(options);
  const answers: Answer[] = [];
  const queries = new AbortController();
  if (options.types.length > 0) {
    const take = (answer: Answer) => {
      answers.push(answer);
      candidates.answer(answer);
    };
    const close = () => candidates.close();
    ask(settings, options.types, take, queries.signal).then(close, close);
  }
  const endpoints = await candidates.order();
  queries.abort(null);
  candidates.return();
  if (endpoints.length > 0) return endpoints;
  const { refusals } = candidates;
  throw new ConnectError({ hostname, port, answers, refusals });
}

function candidatesOptions(
  settings: Settings,
  mostInFlight: number,
  onUrgent: (newestTime: number) => void,
): CandidatesOptions {
  const addresses = knownAddresses(settings);
  return {
    ...settings,
    addresses: addresses ?? [],
    types: addresses ? [] : questions(settings),
    mostInFlight,
    askSource: sourceAsker(settings.clock, settings.sourceAddress),
    trustsLocalErrors: () => runtimeName() !== "bun",
    onUrgent,
  };
}

/** A race whose events and error speak of endpoints. */
export function startEndpointRace<T, E extends Endpoint | null>(
  { clock, signal, hostname, port, onEvent }: Settings,
  attempt: EndpointAttempt<T, E>,
  discard: (value: T) => unknown,
  { source, endpointOf, delay, observe, release, facts }: {
    source: RaceSource<E>;
    /** The endpoint that the source gave out as the one of that index. */
    endpointOf: (index: number) => E;
    delay: () => number;
    observe?: (event: AttemptEvent, endpoint: E) => void;
    /** Called at the decision. */
    release?: () => void;
    facts: () => Pick<ConnectFailure, "answers" | "refusals">;
  },
): Race<T> {
  const attempts: AttemptFailure[] = [];
  return startRace({
    source,
    attempt,
    delay,
    clock,
    signal,
    discard,
    // The only error of a source is what `allow` threw: it is passed on.
    failure: (_errors, source) =>
      source
        ? source.cause
        : new ConnectError({ hostname, port, attempts, ...facts() }),
    onEvent(event) {
      if (event.type === "discard") {
        return onEvent?.({ ...event, hostname, port });
      }
      if (event.type === "end") {
        const { index } = event;
        release?.();
        return onEvent?.({
          ...event,
          hostname,
          port,
          ...(index !== undefined && { endpoint: endpointOf(index) }),
        });
      }
      const endpoint = endpointOf(event.index);
      if (event.type === "attempt-end" && event.outcome === "failed") {
        const { index, startTime, time, error } = event;
        const duration = time - startTime;
        attempts[index] = { index, endpoint, startTime, duration, error };
      }
      observe?.(event, endpoint);
      if (!onEvent) return;
      if (endpoint || event.type === "attempt-end") {
        onEvent({ ...event, hostname, port, endpoint });
      } else {
        onEvent({ ...event, hostname, port, endpoint, delegated: true });
      }
    },
  });
}

/**
 * An attempt that holds the next one back while its TLS handshake is under
 * way: for the time a full handshake takes, as far as the TCP handshake tells
 * (A67). `dial` says when TCP is up and TLS begins.
 */
export function withTls<T, E extends Endpoint | null>(
  { hostname, port, clock, connectionAttemptDelay, onEvent }: Settings,
  dial: (endpoint: E, signal: AbortSignal, onTcp: () => void) => Promise<T>,
): EndpointAttempt<T, E> {
  return (endpoint, signal, { index, holdNext }) => {
    const startTime = clock.now();
    return dial(endpoint, signal, () => {
      const time = clock.now();
      holdNext(Math.max(
        connectionAttemptDelay,
        Math.min(4 * (time - startTime), MAXIMUM_CONNECTION_ATTEMPT_DELAY),
      ));
      if (!onEvent) return;
      emit(onEvent, {
        type: "attempt-progress",
        time,
        hostname,
        port,
        index,
        endpoint,
        phase: "tls",
      });
    });
  };
}

/** The addresses of a host that needs no resolver. */
export function knownAddresses(
  { host, family }: Settings,
): readonly IpAddress[] | undefined {
  if (host.kind === "literal") return [host.address];
  if (host.kind === "name") return undefined;
  return LOOPBACKS.map((text) => parseIpAddress(text)!)
    .filter((address) => !family || address.family === family);
}
