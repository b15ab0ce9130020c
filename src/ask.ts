/**
 * Asking the resolver: one question for each record type, answers as they come.
 *
 * A resolver may be anybody's, so it is held to its word here. What nobody
 * asked for is passed over, what is no answer is the resolver's failure, and
 * one that never ends is left after a hundred answers.
 *
 * @module
 */

import type { Answer, RecordType } from "./core/answer.ts";
import { emit } from "./events.ts";
import { isSameName } from "./hostname.ts";
import type { Settings } from "./options.ts";
import { systemResolver } from "./resolvers/system.ts";

/**
 * How many answers and updates are heard. A resolver that never ends and never
 * waits would keep every timer from firing.
 */
const MOST_ANSWERS = 100;

/** The host as DNS has it: a canonical literal, or a name with its trailing dot. */
export function nameOf({ host }: Settings): string {
  return host.kind === "literal" ? host.address.text : host.name;
}

/** AAAA before A (RFC 8305 section 3, A7). */
export function questions({ family }: Settings): readonly RecordType[] {
  return family === 6 ? ["AAAA"] : family === 4 ? ["A"] : ["AAAA", "A"];
}

/**
 * Asks the resolver and passes its answers on until it ends or throws, which
 * answers every open question with "none", or until `signal` aborts.
 *
 * Not a `for await`: leaving one waits for the iterator's `return()`, which an
 * async generator queues behind a lookup that may take minutes.
 */
export async function ask(
  settings: Settings,
  types: readonly RecordType[],
  take: (answer: Answer) => void,
  signal: AbortSignal,
): Promise<void> {
  const { hostname, port, onEvent, clock } = settings;
  const { resolver = systemResolver() } = settings;
  const name = nameOf(settings);
  const unanswered = new Set(types);
  let iterator: AsyncIterator<Answer> | undefined;
  let failure: { error: unknown } | undefined;
  const stop = () => void closeQuietly(iterator);
  const pass = (answer: Answer) => {
    unanswered.delete(answer.type);
    if (onEvent) {
      const { type, addresses, error } = answer;
      emit(onEvent, {
        type: "answer",
        time: clock.now(),
        hostname,
        port,
        recordType: type,
        name: answer.name ?? name,
        addresses,
        ...(error !== undefined && { error }),
      });
    }
    take(answer);
  };
  if (onEvent) {
    const time = clock.now();
    emit(onEvent, { type: "resolve-start", time, hostname, port, types });
  }
  try {
    iterator = iterate(resolver(name, { types, port, signal }));
    signal.addEventListener("abort", stop);
    for (let heard = 0;; heard++) {
      const step = await iterator.next();
      if (signal.aborted) return;
      if (step.done) break;
      const error = faultOf(step.value, heard, types);
      if (error) {
        failure = { error };
        stop();
        break;
      }
      if (isWanted(step.value, name, types)) pass(step.value);
    }
  } catch (error) {
    failure = { error };
  }
  if (signal.aborted) return;
  for (const type of unanswered) pass({ type, addresses: [], ...failure });
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

/** Whether an answer is of a type asked for, and about the name asked for. */
function isWanted(
  { type, name }: Answer,
  asked: string,
  types: readonly RecordType[],
): boolean {
  const isOfOther = typeof name === "string" && !isSameName(name, asked);
  return types.includes(type) && !isOfOther;
}

/** What is wrong with an answer, where a resolver does not keep its word. */
function faultOf(
  answer: Answer,
  heard: number,
  types: readonly RecordType[],
): Error | undefined {
  if (heard >= MOST_ANSWERS) {
    return new RangeError(`Cannot resolve: over ${MOST_ANSWERS} answers`);
  }
  // What an answer of another type has to have is up to that type.
  const isRight = typeof answer?.type === "string" &&
    (!types.includes(answer.type) || Array.isArray(answer.addresses));
  if (isRight) return undefined;
  return new TypeError(
    "Cannot resolve: an answer must have a type and an array of addresses",
  );
}
