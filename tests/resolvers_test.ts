/**
 * The resolvers that come with the library: what they ask, what they answer,
 * and that an abort ends them.
 *
 * `systemResolver()` is asked about `localhost` on the real system; everything
 * about time and order is tested with lookups made by hand.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import type { Answer, RecordType, Resolver } from "../src/core/answer.ts";
import type { Family } from "../src/core/endpoint.ts";
import { happyEyeballs } from "../src/happy_eyeballs.ts";
import { concurrentResolver } from "../src/resolvers/concurrent.ts";
import { staticResolver } from "../src/resolvers/static.ts";
import { systemResolver } from "../src/resolvers/system.ts";
import { FakeClock, turn } from "./fake_clock.ts";
import { CountedAbort } from "./fake_network.ts";
import { test } from "./harness.ts";

const both: readonly RecordType[] = ["AAAA", "A"];

/** Every answer, in the order it came. */
async function answersOf(
  resolver: Resolver,
  types: readonly RecordType[] = both,
  signal: AbortSignal = new AbortController().signal,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for await (
    const answer of resolver("example.com", { types, port: 443, signal })
  ) answers.push(answer);
  return answers;
}

/** A promise and what settles it. */
interface Deferred {
  readonly promise: Promise<readonly string[]>;
  resolve(addresses: readonly string[]): void;
  reject(error: unknown): void;
}

function deferred(): Deferred {
  let resolve: Deferred["resolve"] = () => {};
  let reject: Deferred["reject"] = () => {};
  const promise = new Promise<readonly string[]>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

test("staticResolver() answers every name with its addresses, by family", async () => {
  const resolver = staticResolver(["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
  assertEquals(await answersOf(resolver), [
    { type: "AAAA", addresses: ["2001:db8::1"] },
    { type: "A", addresses: ["192.0.2.1", "192.0.2.2"] },
  ]);
});

test("staticResolver() answers only the types asked for, with none where it has none", async () => {
  const resolver = staticResolver(new Set(["2001:db8::1"]));
  assertEquals(await answersOf(resolver, ["A"]), [{
    type: "A",
    addresses: [],
  }]);
  assertEquals(await answersOf(resolver, ["AAAA"]), [
    { type: "AAAA", addresses: ["2001:db8::1"] },
  ]);
  assertEquals(await answersOf(staticResolver([])), [
    { type: "AAAA", addresses: [] },
    { type: "A", addresses: [] },
  ]);
});

test("staticResolver() takes a mapped address for IPv4 and refuses what is no literal", async () => {
  assertEquals(await answersOf(staticResolver(["::ffff:192.0.2.1"])), [
    { type: "AAAA", addresses: [] },
    { type: "A", addresses: ["192.0.2.1"] },
  ]);
  for (const wrong of ["example.com", "127.1", "", "192.0.2.1:80"]) {
    assertThrows(() => staticResolver([wrong]), TypeError);
  }
});

test("staticResolver() is usable by happyEyeballs()", async () => {
  const clock = new FakeClock();
  const address = await clock.run(happyEyeballs(({ address }) => address, {
    hostname: "example.com",
    port: 443,
    resolver: staticResolver(["192.0.2.1", "2001:db8::1"]),
    sourceAddress: () => undefined,
    clock,
  }));
  assertStrictEquals(address, "2001:db8::1");
});

test("concurrentResolver() begins all lookups at once, AAAA first (A6, A7, A10)", async () => {
  const calls: unknown[][] = [];
  const { signal } = new AbortController();
  const resolver = concurrentResolver((...call) => {
    calls.push(call);
    return new Promise(() => {});
  });
  const answers = resolver("example.com", { types: both, port: 443, signal });
  answers[Symbol.asyncIterator]().next();
  await turn();
  assertEquals(calls.map(([hostname, family]) => [hostname, family]), [
    ["example.com", 6],
    ["example.com", 4],
  ]);
  for (const [, , given] of calls) assertStrictEquals(given, signal);
});

test("concurrentResolver() looks up only what is asked for (C.3)", async () => {
  const families: Family[] = [];
  const resolver = concurrentResolver((_, family) => {
    families.push(family);
    return ["192.0.2.1"];
  });
  assertEquals(await answersOf(resolver, ["A"]), [
    { type: "A", addresses: ["192.0.2.1"] },
  ]);
  assertEquals(families, [4]);
});

test("concurrentResolver() tells each answer as soon as it is there, in any order (A9)", async () => {
  const lookups = new Map([[6, deferred()], [4, deferred()]]);
  const resolver = concurrentResolver((_, family) =>
    (lookups.get(family) as Deferred).promise
  );
  const { signal } = new AbortController();
  const answers = resolver("example.com", { types: both, port: 443, signal })
    [Symbol.asyncIterator]();
  const first = answers.next();
  lookups.get(4)?.resolve(["192.0.2.1"]);
  assertEquals(await first, {
    done: false,
    value: { type: "A", addresses: ["192.0.2.1"] },
  });
  const second = answers.next();
  lookups.get(6)?.resolve([]);
  assertEquals(await second, {
    done: false,
    value: { type: "AAAA", addresses: [] },
  });
  assertEquals(await answers.next(), { done: true, value: undefined });
});

test("concurrentResolver() makes a negative answer of what a lookup throws, and leaves the other family alone", async () => {
  const thrown = new Error("synchronous");
  const rejected = { code: "EAI_AGAIN" };
  const one = concurrentResolver((_, family) => {
    if (family === 6) throw thrown;
    return ["192.0.2.1"];
  });
  assertEquals(
    new Set(await answersOf(one)),
    new Set<Answer>([
      { type: "A", addresses: ["192.0.2.1"] },
      { type: "AAAA", addresses: [], error: thrown },
    ]),
  );
  const two = concurrentResolver(() => Promise.reject(rejected));
  assertEquals(await answersOf(two), [
    { type: "AAAA", addresses: [], error: rejected },
    { type: "A", addresses: [], error: rejected },
  ]);
});

test("concurrentResolver() ends at once when it is aborted, whatever the lookups do (hazards 11 and 16)", async () => {
  const lookups = [deferred(), deferred()];
  let calls = 0;
  const resolver = concurrentResolver(() => {
    return (lookups[calls++] as Deferred).promise;
  });
  const caller = new CountedAbort();
  const answers = answersOf(resolver, both, caller.signal);
  await turn();
  caller.abort();
  assertEquals(await answers, []);
  // Nobody is left to hear of them.
  lookups[0]?.resolve(["2001:db8::1"]);
  lookups[1]?.reject(new Error("late"));
  await turn();
  assertStrictEquals(caller.listeners, 0);
});

test("concurrentResolver() leaves no listener behind, at its end or when it is closed early (C.3, hazard 12)", async () => {
  const caller = new CountedAbort();
  const resolver = concurrentResolver(() => ["192.0.2.1"]);
  const options = { types: both, port: 443, signal: caller.signal };
  for await (const _ of resolver("example.com", options));
  assertStrictEquals(caller.listeners, 0);
  for await (const _ of resolver("example.com", options)) break;
  assertStrictEquals(caller.listeners, 0);
});

test("concurrentResolver() makes happyEyeballs() start with what comes first", async () => {
  const clock = new FakeClock();
  const starts: string[] = [];
  const lookup = async (_: string, family: Family) => {
    await clock.sleep(family === 6 ? 30 : 10);
    return family === 6 ? ["2001:db8::1"] : ["192.0.2.1"];
  };
  await clock.run(happyEyeballs(({ address }) => {
    starts.push(`${address}@${clock.now()}`);
  }, {
    hostname: "example.com",
    port: 443,
    resolver: concurrentResolver(lookup),
    sourceAddress: () => undefined,
    clock,
  }));
  assertEquals(starts, ["2001:db8::1@30"]);
});

test("systemResolver() asks the real system, one question per type", async () => {
  const { signal } = new AbortController();
  const options = { types: ["A"] as const, port: 443, signal };
  const answers: Answer[] = [];
  for await (const answer of systemResolver()("localhost", options)) {
    answers.push(answer);
  }
  assertStrictEquals(answers.length, 1);
  assertStrictEquals(answers[0]?.type, "A");
  assert(answers[0].addresses.includes("127.0.0.1"), "localhost");
});
