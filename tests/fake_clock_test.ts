/**
 * The fake clock is itself checked: every exact time in the other tests rests
 * on it.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeClock, turn } from "./fake_clock.ts";
import { test } from "./harness.ts";

test("FakeClock jumps to the next timer when nothing else can run", async () => {
  const clock = new FakeClock();
  const times: number[] = [];
  async function waits(): Promise<string> {
    for (const ms of [250, 0.5, 3_600_000]) {
      await clock.sleep(ms);
      times.push(clock.now());
    }
    return "done";
  }
  assertEquals(await clock.run(waits()), "done");
  assertEquals(times, [250, 250.5, 3_600_250.5]);
  assertEquals(clock.sleeps, [250, 0.5, 3_600_000]);
});

test("FakeClock fires timers of one instant in the order they were set", async () => {
  const clock = new FakeClock();
  const seen: string[] = [];
  clock.at(20, () => seen.push("world 20"));
  clock.at(10, () => {
    seen.push("world 10");
    clock.at(20, () => seen.push("set later, fires last"));
  });
  const slept = clock.sleep(20).then(() => seen.push("sleep 20"));
  await clock.run(slept);
  await clock.finish();
  assertEquals(seen, [
    "world 10",
    "world 20",
    "sleep 20",
    "set later, fires last",
  ]);
});

test("FakeClock lets every promise settle between two timers of one instant", async () => {
  const clock = new FakeClock();
  const seen: string[] = [];
  clock.at(5, () => {
    let chain = Promise.resolve();
    for (let i = 0; i < 1000; i++) chain = chain.then(() => {});
    chain.then(() => seen.push("chain"));
  });
  clock.at(5, () => seen.push("second timer"));
  await clock.finish();
  assertEquals(seen, ["chain", "second timer"]);
});

test("FakeClock ends a sleep at once when its signal aborts, and keeps no listener", async () => {
  const clock = new FakeClock();
  const abort = new AbortController();
  clock.at(30, () => abort.abort());
  await clock.run(clock.sleep(Infinity, abort.signal));
  assertStrictEquals(clock.now(), 30);
  assertStrictEquals(clock.pending, 0);

  await clock.run(clock.sleep(10, abort.signal));
  assertStrictEquals(clock.now(), 30, "an aborted signal: no wait");
  assertStrictEquals(clock.pending, 0);
});

test("FakeClock counts the sleeps under way, and not the world's events", async () => {
  const clock = new FakeClock();
  clock.at(1000, () => {});
  const long = clock.sleep(100);
  const endless = new AbortController();
  const forever = clock.sleep(Infinity, endless.signal);
  assertStrictEquals(clock.pending, 2);
  await clock.run(long);
  assertStrictEquals(clock.pending, 1);
  endless.abort();
  await clock.run(forever);
  assertStrictEquals(clock.pending, 0);
  assertStrictEquals(clock.now(), 100);
});

test("FakeClock tells a deadlock from a slow run", async () => {
  const clock = new FakeClock();
  const stuck = clock.sleep(40).then(() => clock.sleep(Infinity));
  const error = await assertRejects(() => clock.run(stuck), Error);
  assertEquals(
    error.message,
    "deadlock at t=40: nothing is scheduled, 1 endless sleeps",
  );
});

test("FakeClock tells when timers only set timers for the same instant", async () => {
  const clock = new FakeClock();
  const again = () => {
    clock.at(clock.now(), again);
  };
  again();
  let steps = 0;
  const error = await assertRejects(
    () => clock.finish().finally(() => steps++),
    Error,
  );
  assertEquals(error.message, "time is stuck at t=0: timers set timers");
  assertStrictEquals(steps, 1);
});

test("FakeClock runs up to an instant and stops there", async () => {
  const clock = new FakeClock();
  const seen: number[] = [];
  for (const time of [10, 20, 30]) clock.at(time, () => seen.push(time));
  await clock.finish(20);
  assertEquals(seen, [10, 20]);
  await clock.finish(25);
  assertStrictEquals(clock.now(), 25);
  await clock.finish();
  assertEquals(seen, [10, 20, 30]);
});

test("FakeClock fires what came due during a stall late, in order", async () => {
  const clock = new FakeClock();
  const seen: string[] = [];
  clock.at(250, () => seen.push(`first ${clock.now()}`));
  clock.at(10, () => clock.stall(1000));
  clock.at(260, () => seen.push(`second ${clock.now()}`));
  await clock.finish();
  assertEquals(seen, ["first 1010", "second 1010"]);
});

test("FakeClock refuses what a real timer would get wrong", () => {
  const clock = new FakeClock();
  assertThrows(() => clock.sleep(NaN), RangeError);
  assertThrows(() => clock.sleep(-1), RangeError);
  assertThrows(() => clock.at(-1, () => {}), RangeError);
});

test("turn() comes after every microtask", async () => {
  let done = false;
  let chain = Promise.resolve();
  for (let i = 0; i < 100; i++) chain = chain.then(() => {});
  chain.then(() => {
    done = true;
  });
  await turn();
  assert(done);
});
