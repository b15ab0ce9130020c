/**
 * What of races no public function shows: the rest is in
 * `staggered_race_test.ts` and `happy_eyeballs_test.ts`.
 *
 * @module
 */

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";

import { type Race, type RacePlan, startRace } from "../src/core/race.ts";
import { FakeClock } from "./fake_clock.ts";
import { test } from "./harness.ts";

function start(plan: Partial<RacePlan<string, string>>): Race<string> {
  return startRace<string, string>({
    source: ["a"].values(),
    attempt: (item) => item,
    delay: () => 250,
    clock: new FakeClock(),
    signal: undefined,
    discard: () => {},
    failure: (errors, source) => source?.cause ?? errors,
    onEvent: undefined,
    ...plan,
  });
}

test("a race's fail() ends the race with its error", async () => {
  const race = start({ attempt: () => new Promise(() => {}) });
  const failure = new Error("enough");
  race.fail(failure);
  assertStrictEquals(await assertRejects(() => race.value), failure);
});

test("a race's fail() changes nothing after the decision", async () => {
  const events: string[] = [];
  const race = start({ onEvent: ({ type }) => events.push(type) });
  assertEquals(await race.value, "a");
  race.fail(new Error("too late"));
  assertEquals(events, ["attempt-start", "attempt-end", "end"]);
});

test("a race takes a result that cannot be read for the source's error (hazard 30)", async () => {
  const failure = new Error("no such member");
  const result = {
    get done(): boolean {
      throw failure;
    },
    value: "a",
  };
  for (const next of [() => result, () => Promise.resolve(result)]) {
    const race = start({
      source: { next: next as () => IteratorResult<string, unknown> },
    });
    assertStrictEquals(await assertRejects(() => race.value), failure);
  }
});
