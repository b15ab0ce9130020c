/**
 * Source(D) of RFC 6724: which local address the system would use towards a
 * destination.
 *
 * The order of addresses depends on it, and asking costs a system call or two
 * per destination, so an answer is kept for a second: long enough for a burst
 * of connections, short enough to notice that a network came or went.
 *
 * @module
 */

import {
  type KnownSource,
  parseSource,
  type Source,
} from "./core/address_selection.ts";
import type { AskSource } from "./core/candidates.ts";
import type { Clock } from "./core/clock.ts";
import type { HappyEyeballsOptions } from "./options.ts";
import { detectRuntime } from "./runtime/detect.ts";

/** How long an answer is kept, in milliseconds. */
const KEPT_FOR = 1000;
/** How many answers are kept before the old ones are thrown away. */
const MOST_KEPT = 1000;

type SourceAddress = NonNullable<HappyEyeballsOptions["sourceAddress"]>;
interface KeptSource {
  readonly time: number;
  readonly source: KnownSource | null | undefined;
}

/** The answers of each function, for as long as it lives. */
const kept = new WeakMap<SourceAddress, Map<string, KeptSource>>();

/** Asks the system, where the runtime has a way to. */
const systemSourceAddress: SourceAddress = (destination) =>
  detectRuntime().sourceAddress(destination);

/** Makes `ask` safe (what it throws means unknown) and remembers its answers. */
export function sourceAsker(
  clock: Clock,
  ask: SourceAddress = systemSourceAddress,
): AskSource {
  let answers = kept.get(ask)!;
  if (!answers) kept.set(ask, answers = new Map());

  function keep(destination: string, said: Source | null | undefined) {
    const source = parseSource(said);
    if (answers.size >= MOST_KEPT) answers.clear();
    answers.set(destination, { time: clock.now(), source });
    return source;
  }

  return ({ text }) => {
    const answer = answers.get(text);
    const age = clock.now() - (answer?.time ?? -Infinity);
    if (answer && age >= 0 && age < KEPT_FOR) return answer.source;
    try {
      const said = ask(text);
      return said instanceof Promise
        ? said.then((said) => keep(text, said), () => undefined)
        : keep(text, said);
    } catch {
      return undefined;
    }
  };
}
