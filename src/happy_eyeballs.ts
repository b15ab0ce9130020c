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
import type { Answer, RecordType } from "./core/answer.ts";
import { Candidates } from "./core/candidates.ts";
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
import { answerEvent, emit } from "./events.ts";
import {
  checkOptions,
  type HappyEyeballsOptions,
  type Settings,
} from "./options.ts";
import { systemResolver } from "./resolvers/system.ts";
import { runtimeName } from "./runtime/detect.ts";
import { sourceAsker } from "./source_address.ts";
import { dispose } from "./staggered_race.ts";

/** Minimum Connection Attempt Delay in milliseconds (RFC 8305 section 8). */
const MINIMUM_CONNECTION_ATTEMPT_DELAY = 100;

/**
 * How many answers and updates are heard. A resolver that never ends and never
 * waits would keep every timer from firing.
 */
const MOST_ANSWERS = 100;

/** The longest that TLS holds the next attempt back, in milliseconds (A49). */
const MAXIMUM_CONNECTION_ATTEMPT_DELAY = 2000;

/** The addresses of `localhost` (RFC 6761 section 6.3). */
const LOOPBACKS = ["::1", "127.0.0.1"];

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
  const settings = checkOptions(options);
  const { onDiscard = dispose } = options;
  checkOptional("connect: onDiscard", "a function", onDiscard, onDiscard);
  return await raceEndpoints(settings, attempt, onDiscard);
}

/** The engine behind {@linkcode happyEyeballs}, for options already checked. */
export function raceEndpoints<T>(
  settings: Settings,
  attempt: EndpointAttempt<T>,
  discard: (value: T) => unknown,
  mostInFlight: number = Infinity,
): Promise<T> {
  const { clock, signal } = settings;
  const addresses = knownAddresses(settings);
  const types = addresses ? [] : questions(settings);
  const answers: Answer[] = [];
  let queries: AbortController | undefined;
  const candidates = new Candidates({
    ...settings,
    addresses: addresses ?? [],
    types,
    mostInFlight,
    askSource: sourceAsker(clock, settings.sourceAddress),
    trustsLocalErrors: () => runtimeName() !== "bun",
    onUrgent(newestTime) {
      // One at a time stays one at a time.
      if (settings.connectionAttemptDelay === Infinity) return;
      race.wake(newestTime + MINIMUM_CONNECTION_ATTEMPT_DELAY);
    },
  });
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
      if (settings.onEvent) {
        const event = answerEvent(answer, nameOf(settings), clock.now());
        emit(settings.onEvent, event);
      }
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
      if (event.type === "end" || event.type === "discard") {
        if (event.type === "end") release?.();
        onEvent?.(event);
        return;
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
        onEvent({ ...event, endpoint });
      } else {
        onEvent({ ...event, endpoint, delegated: true });
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
  { clock, connectionAttemptDelay, onEvent }: Settings,
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
      const phase = "tls";
      emit(onEvent, { type: "attempt-progress", time, index, endpoint, phase });
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

/** AAAA before A (RFC 8305 section 3, A7). */
function questions({ family }: Settings): readonly RecordType[] {
  return family === 6 ? ["AAAA"] : family === 4 ? ["A"] : ["AAAA", "A"];
}

/** The host as DNS has it: a canonical literal, or a name with its trailing dot. */
export function nameOf({ host }: Settings): string {
  return host.kind === "literal" ? host.address.text : host.name;
}

/**
 * Asks the resolver and passes its answers on until it ends or throws, which
 * answers every open question with "none", or until `signal` aborts.
 *
 * Not a `for await`: leaving one waits for the iterator's `return()`, which an
 * async generator queues behind a lookup that may take minutes.
 */
async function ask(
  settings: Settings,
  types: readonly RecordType[],
  take: (answer: Answer) => void,
  signal: AbortSignal,
): Promise<void> {
  const { port, resolver = systemResolver(), onEvent, clock } = settings;
  const hostname = nameOf(settings);
  const unanswered = new Set(types);
  let iterator: AsyncIterator<Answer> | undefined;
  let failure: { error: unknown } | undefined;
  const stop = () => void closeQuietly(iterator);
  emit(onEvent, { type: "resolve-start", time: clock.now(), hostname, types });
  try {
    iterator = iterate(resolver(hostname, { types, port, signal }));
    signal.addEventListener("abort", stop);
    for (let heard = 0;; heard++) {
      const step = await iterator.next();
      if (signal.aborted) return;
      if (step.done) break;
      const error = faultOf(step.value, heard);
      if (error) {
        failure = { error };
        stop();
        break;
      }
      if (!types.includes(step.value.type)) continue;
      unanswered.delete(step.value.type);
      take(step.value);
    }
  } catch (error) {
    failure = { error };
  }
  if (signal.aborted) return;
  for (const type of unanswered) take({ type, addresses: [], ...failure });
}

function iterate(answers: AsyncIterable<Answer>): AsyncIterator<Answer> {
  if (typeof answers?.[Symbol.asyncIterator] === "function") {
    return answers[Symbol.asyncIterator]();
  }
  throw new TypeError(
    "Cannot resolve: a resolver must return an async iterable",
  );
}

async function closeQuietly(
  iterator: AsyncIterator<Answer> | undefined,
): Promise<void> {
  try {
    await iterator?.return?.();
  } catch {
    // Its answers are no longer needed, and so are its errors.
  }
}

/** What is wrong with an answer, where a resolver does not keep its word. */
function faultOf(answer: Answer, heard: number): Error | undefined {
  if (heard >= MOST_ANSWERS) {
    return new RangeError(`Cannot resolve: over ${MOST_ANSWERS} answers`);
  }
  if (typeof answer?.type === "string" && Array.isArray(answer.addresses)) {
    return undefined;
  }
  return new TypeError(
    "Cannot resolve: an answer must have a type and an array of addresses",
  );
}
