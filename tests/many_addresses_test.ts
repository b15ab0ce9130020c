/**
 * Answers of a hundred thousand addresses: only what will be attempted is read,
 * asked for its source, shown to a guard, sorted and dialled.
 *
 * Nothing is timed, everything is counted: the answers are arrays that count
 * how many of their entries were read, and make each when it is.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import type { Answer, Resolver } from "../src/core/answer.ts";
import type { Endpoint } from "../src/core/endpoint.ts";
import { ConnectError } from "../src/errors.ts";
import type { HappyEyeballsEvent } from "../src/events.ts";
import { happyEyeballs } from "../src/happy_eyeballs.ts";
import type { HappyEyeballsOptions } from "../src/options.ts";
import { concurrentResolver } from "../src/resolvers/concurrent.ts";
import { staticResolver } from "../src/resolvers/static.ts";
import { FakeClock } from "./fake_clock.ts";
import { codeError, settled } from "./fake_network.ts";
import { test } from "./harness.ts";

const MANY = 100_000;

/** A list of `MANY`, and how many of its entries were read. */
interface Counted {
  readonly list: readonly string[];
  reads: number;
}

/** Each entry is made when it is read. */
function counted(entry: (index: number) => string): Counted {
  const list = new Proxy(Array<string>(MANY), {
    get(target, key) {
      const index = typeof key === "string" ? Number(key) : NaN;
      if (Number.isNaN(index)) return Reflect.get(target, key);
      result.reads++;
      return entry(index);
    },
  });
  const result: Counted = { list, reads: 0 };
  return result;
}

const group = (index: number) => (index + 1).toString(16);
const six = (index: number) =>
  `2001:db8::${group(index >> 12)}:${group(index & 0xfff)}`;
const four = (index: number) =>
  `198.${18 + (index >> 16)}.${index >> 8 & 255}.${index & 255}`;

interface Outcome {
  readonly error: unknown;
  /** Where each attempt went, in the order of starts. */
  readonly dialled: readonly string[];
  /** Whose sources were asked for. */
  readonly probes: readonly string[];
  /** What `allow` saw. */
  readonly shown: readonly Endpoint[];
  readonly events: readonly HappyEyeballsEvent[];
}

/** A resolver that may take its time. */
type Said = (
  clock: FakeClock,
  ...question: Parameters<Resolver>
) => AsyncIterable<Answer>;

/** Lets every attempt fail after 5 ms, in virtual time. */
async function run(
  resolver: Said,
  options: Partial<HappyEyeballsOptions> = {},
): Promise<Outcome> {
  const clock = new FakeClock();
  const dialled: string[] = [];
  const probes: string[] = [];
  const shown: Endpoint[] = [];
  const events: HappyEyeballsEvent[] = [];
  const outcome = await clock.run(settled(happyEyeballs(
    async ({ address }) => {
      dialled.push(address);
      await clock.sleep(5);
      throw codeError("ECONNREFUSED");
    },
    {
      hostname: "example.com",
      port: 443,
      resolver: (...question) => resolver(clock, ...question),
      sourceAddress(destination) {
        probes.push(destination);
        const address = destination.includes(":") ? "2001:db8::1" : "192.0.2.1";
        return Promise.resolve({ address });
      },
      allow(endpoint) {
        shown.push(endpoint);
        return true;
      },
      onEvent: (event) => void events.push(event),
      clock,
      ...options,
    },
  )));
  const error = "error" in outcome ? outcome.error : undefined;
  return { error, dialled, probes, shown, events };
}

async function* answers(...list: Answer[]): AsyncGenerator<Answer> {
  for (const answer of list) yield await Promise.resolve(answer);
}

function families(addresses: readonly string[]): string {
  return addresses.map((it) => it.includes(":") ? "6" : "4").join("");
}

test("happyEyeballs() reads, asks about and dials 64 of 100 000 addresses", async () => {
  for (
    const [type, entry] of [["AAAA", six], ["A", four]] as const
  ) {
    const many = counted(entry);
    const other: Answer = {
      type: type === "A" ? "AAAA" : "A",
      addresses: [],
    };
    const { dialled, probes, shown, error, events } = await run(() =>
      answers(other, { type, addresses: many.list })
    );
    const first = Array.from({ length: 64 }, (_, index) => entry(index));
    assertStrictEquals(many.reads, 64);
    assertEquals(new Set(dialled), new Set(first));
    assertStrictEquals(dialled.length, 64);
    assertEquals(probes, first);
    assertEquals(shown.map(({ address }) => address), first);
    // Kept as they were received, and named as far as they were attempted.
    assertInstanceOf(error, ConnectError);
    assertStrictEquals(error.answers[1]?.addresses, many.list);
    assertStrictEquals(many.reads, 64);
    assertStrictEquals(error.attempts.length, 64);
    assert(error.message.length < 64 * 50, error.message);
    const told = events.filter((event) => event.type === "answer");
    assertStrictEquals(told[1]?.addresses, many.list);
  }
});

test("happyEyeballs() deals the families in turn where both have 100 000 addresses", async () => {
  const [aaaa, a] = [counted(six), counted(four)];
  const { dialled } = await run(() =>
    answers(
      { type: "A", addresses: a.list },
      { type: "AAAA", addresses: aaaa.list },
    )
  );
  assertStrictEquals(families(dialled), "64".repeat(32));
  assertEquals([aaaa.reads, a.reads], [64, 64]);
  for (let index = 0; index < 32; index++) {
    assert(dialled.includes(six(index)), `${six(index)} is dialled`);
    assert(dialled.includes(four(index)), `${four(index)} is dialled`);
  }
});

test("happyEyeballs() gives the few of one family their place among 100 000 of the other", async () => {
  const aaaa = counted(six);
  const { dialled } = await run(() =>
    answers(
      { type: "AAAA", addresses: aaaa.list },
      { type: "A", addresses: [four(0), four(1), four(2)] },
    )
  );
  assertStrictEquals(families(dialled), "646464" + "6".repeat(58));
});

test("happyEyeballs() takes of a late answer what is left of 64", async () => {
  const [aaaa, a] = [counted(six), counted(four)];
  const { dialled, probes } = await run(async function* (clock) {
    yield { type: "AAAA", addresses: aaaa.list };
    yield { type: "A", addresses: [] };
    // Ten attempts have been started by then, the tenth at 90 ms.
    await clock.sleep(95);
    yield { type: "A", addresses: a.list };
  });
  assertStrictEquals(dialled.length, 64);
  assertStrictEquals(families(dialled.slice(0, 10)), "6".repeat(10));
  // Dealt in turn, those attempted among them: half of each family in the end.
  assertStrictEquals(families(dialled).replaceAll("6", "").length, 32);
  assertStrictEquals(probes.length, 64 + 32);
});

test("happyEyeballs() reads 64 of each update, however many there are", async () => {
  const updates = Array.from(
    { length: 20 },
    (_, round) => counted((index) => six(round * 1000 + index)),
  );
  const { dialled, error } = await run(async function* (clock) {
    yield { type: "A", addresses: [] };
    for (const { list } of updates) {
      yield { type: "AAAA", addresses: list };
      await clock.sleep(15);
    }
  });
  assertStrictEquals(dialled.length, 64);
  assertStrictEquals(new Set(dialled).size, 64);
  for (const { reads } of updates) assert(reads <= 64, `${reads} reads`);
  assertInstanceOf(error, ConnectError);
  assertStrictEquals(error.attempts.length, 64);
});

test("happyEyeballs() counts each address once, and reads on for others within a thousand entries", async () => {
  // Every address three times, in two spellings.
  const thrice = counted((index) => {
    const text = six(Math.floor(index / 3));
    return index % 3 === 1 ? text.toUpperCase() : text;
  });
  const repeated = await run(() =>
    answers({ type: "AAAA", addresses: thrice.list })
  );
  assertStrictEquals(repeated.dialled.length, 64);
  assertStrictEquals(new Set(repeated.dialled).size, 64);
  assert(thrice.reads < 3 * 64, `${thrice.reads} reads`);

  for (const junk of ["the same", "2001:db8::1", "192.0.2.1"]) {
    const all = counted((index) => index === 999 ? six(0) : junk);
    const { dialled } = await run(() =>
      answers({ type: "AAAA", addresses: all.list })
    );
    assertStrictEquals(all.reads, 1000);
    assertEquals(dialled.includes(six(0)), true);
  }
});

test("happyEyeballs() counts what allow() refuses as one of the 64", async () => {
  const many = counted(six);
  const shown: string[] = [];
  const { dialled, error } = await run(
    () => answers({ type: "AAAA", addresses: many.list }),
    {
      allow({ address }) {
        shown.push(address);
        return shown.length > 60;
      },
    },
  );
  assertStrictEquals(shown.length, 64);
  assertStrictEquals(dialled.length, 4);
  assertInstanceOf(error, ConnectError);
  assertStrictEquals(error.message.split("refused by allow").length, 61);
});

test("ConnectError names 64 addresses that were refused, however many answers had some", async () => {
  const { error } = await run(
    async function* (clock) {
      yield { type: "A", addresses: [] };
      for (let round = 0; round < 90; round++) {
        const { list } = counted((index) => six(round * 1000 + index));
        yield { type: "AAAA", addresses: list };
        await clock.sleep(1);
      }
    },
    { allow: ({ address }) => address === six(0) },
  );
  assertInstanceOf(error, ConnectError);
  assertStrictEquals(error.code, "ECONNREFUSED");
  assert(error.message.length < 10_000, `${error.message.length} letters`);
  assert(/, 251 more refused$/.test(error.message), error.message.slice(-99));
});

test("concurrentResolver() and staticResolver() hand 100 000 addresses on as they are", async () => {
  const many = counted(six);
  const concurrent = concurrentResolver((_hostname, family) =>
    family === 6 ? many.list : []
  );
  const looked = await run((_clock, ...question) => concurrent(...question));
  assertStrictEquals(many.reads, 64);
  assertStrictEquals(looked.dialled.length, 64);

  const resolver = staticResolver(
    Array.from({ length: MANY }, (_, i) => six(i)),
  );
  const options = {
    types: ["AAAA"] as const,
    port: 443,
    signal: new AbortController().signal,
  };
  const lists = new Set<readonly string[]>();
  for (let round = 0; round < 2; round++) {
    for await (const { addresses } of resolver("example.com", options)) {
      lists.add(addresses);
    }
  }
  const [list] = lists;
  assertStrictEquals(lists.size, 1);
  assertStrictEquals(list?.length, MANY);
});
