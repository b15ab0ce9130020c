/**
 * A resolver written down as one line of text: which answer comes when.
 *
 * Slow, missing and failing answers are what Happy Eyeballs is about and what
 * a name server rarely gives on demand. So the command line takes
 * `6@30=::1,4@10=127.0.0.1` in place of a name server: the AAAA answer after
 * 30 ms, the A answer after 10 ms.
 *
 * @module
 */

import type { RecordType, Resolver } from "../core/answer.ts";
import type { Clock } from "../core/clock.ts";
import { parseIpAddress } from "../core/ip_address.ts";
import { systemClock } from "../runtime/system_clock.ts";

/** One answer and how many milliseconds after the question it comes. */
interface TimedAnswer {
  readonly type: RecordType;
  readonly delay: number;
  readonly addresses: string[];
  error?: unknown;
}

/**
 * Makes a resolver of entries `TYPE@MS=ADDRESS`, separated by commas; it gives
 * these answers whatever the name.
 *
 * `TYPE` is 6 for AAAA or 4 for A; `@MS` may be left out for "at once".
 * Entries of the same type and time are one answer with several addresses. In
 * place of the address there may be nothing, which is an answer without
 * addresses, or a code such as `ENOTFOUND`, which is an error. `TYPE@never`
 * leaves the question open. A type without any entry is answered with "none"
 * after the last answer.
 *
 * @throws {TypeError} when an entry is none of these.
 */
export function scriptedResolver(
  list: string,
  clock: Clock = systemClock,
): Resolver {
  const script = parseScript(list);
  return async function* (_hostname, { types, signal }) {
    const start = clock.now();
    for (const { delay, ...answer } of script) {
      if (!types.includes(answer.type)) continue;
      const wait = start + delay - clock.now();
      if (wait > 0 && !signal.aborted) await clock.sleep(wait, signal);
      if (signal.aborted) return;
      yield answer;
    }
  };
}

/** The answers in the order of time. */
function parseScript(list: string): TimedAnswer[] {
  const answers = new Map<string, TimedAnswer>();
  for (const entry of list.split(",")) {
    const { family, delay, value } = parseEntry(entry);
    const type = family === "6" ? "AAAA" : "A";
    const answer = answers.get(type + delay) ?? { type, delay, addresses: [] };
    answers.set(type + delay, answer);
    const address = parseIpAddress(value);
    if (address && String(address.family) === family) {
      answer.addresses.push(address.text);
    } else if (/^[A-Z][A-Z_]*$/.test(value)) {
      const error = new Error(`${value} by the script`);
      answer.error = Object.assign(error, { code: value });
    } else if (value !== "") {
      throw new TypeError(`No IPv${family} address or error code: ${entry}`);
    }
  }
  return [...answers.values()].sort((a, b) => a.delay - b.delay);
}

function parseEntry(
  entry: string,
): { family: string; delay: number; value: string } {
  const [, family, delay = "0", value] =
    /^([46])(?:@(\d+|never))?(?:=(.*))?$/.exec(entry) ?? [];
  const isNever = delay === "never";
  if (family === undefined || isNever !== (value === undefined)) {
    throw new TypeError(`Not of the form TYPE@MS=ADDRESS: ${entry}`);
  }
  return {
    family,
    delay: isNever ? Infinity : Number(delay),
    value: value ?? "",
  };
}
