/**
 * The clock that everything runs on by default.
 *
 * Where it matters what a timer was asked for, `setTimeout` is replaced and the
 * clock's module evaluated anew, for a clock keeps the timers it was made with.
 * Where timers are real, the tests say that they fire and never how late. What
 * a connection makes of fakes is in `fake_timers_test.ts`.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { FakeTime } from "@std/testing/time";

import { after, type Clock } from "../src/core/clock.ts";
import { systemClock } from "../src/runtime/system_clock.ts";
import { staggeredRace } from "../src/staggered_race.ts";
import { FakeClock, turn } from "./fake_clock.ts";
import { test } from "./harness.ts";

/** The longest delay that a platform's timer takes, in milliseconds. */
const LONGEST_TIMEOUT = 2e9;

let clocks = 0;

/** A clock made now, with the timers that are there now. */
async function newClock(): Promise<Clock> {
  // Not by an absolute URL: Bun 1.4 takes no notice of its query.
  return (await import(`../src/runtime/system_clock.ts?${++clocks}`))
    .systemClock;
}

/** Timers that fire when the test says so. */
interface ManualTimers {
  /** What the timers that are set were asked for, in milliseconds. */
  delays(): number[];
  /** Fires the timer that was set first. */
  fire(): void;
}

/** Runs `action` with manual timers and a clock made of them. */
async function withManualTimers(
  action: (timers: ManualTimers, clock: Clock) => Promise<void>,
): Promise<void> {
  const { setTimeout, clearTimeout } = globalThis;
  const timers = new Map<number, { delay: number; callback: () => void }>();
  let last = 0;
  Object.assign(globalThis, {
    setTimeout(callback: () => void, delay: number): number {
      timers.set(++last, { delay, callback });
      return last;
    },
    clearTimeout: (id: number) => void timers.delete(id),
  });
  try {
    await action({
      delays: () => Array.from(timers.values(), ({ delay }) => delay),
      fire() {
        for (const [id, { callback }] of timers) {
          timers.delete(id);
          return callback();
        }
      },
    }, await newClock());
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
}

test("systemClock.now() never goes backwards", () => {
  let before = systemClock.now();
  for (let i = 0; i < 1000; i++) {
    const now = systemClock.now();
    assert(now >= before);
    before = now;
  }
});

test("systemClock.sleep() lasts as long as it is asked to", async () => {
  const start = systemClock.now();
  await deadline(systemClock.sleep(20), 20_000);
  // Timers of some platforms count whole milliseconds.
  assert(systemClock.now() - start >= 19);
});

test("systemClock.sleep() ends when its time has come, not before", async () => {
  using time = new FakeTime();
  let isOver = false;
  (await newClock()).sleep(250).then(() => isOver = true);
  await time.tickAsync(249);
  assertEquals(isOver, false);
  await time.tickAsync(1);
  assertEquals(isOver, true);
});

test("systemClock.sleep() that is aborted ends at once and leaves no timer, and clears its own only (hazards 14 and 15)", async () => {
  await withManualTimers(async (timers, clock) => {
    const [one, other] = [new AbortController(), new AbortController()];
    const slept = clock.sleep(10, one.signal);
    const kept = clock.sleep(20, other.signal);
    assertEquals(timers.delays(), [10, 20]);
    one.abort();
    await slept;
    assertEquals(timers.delays(), [20]);
    timers.fire();
    await kept;
    other.abort();
    assertEquals(timers.delays(), []);
  });
});

test("a delay past the longest timeout is no delay of 0 (hazard 25)", async () => {
  await withManualTimers(async (timers, clock) => {
    const controller = new AbortController();
    let started = 0;
    const attempt = () => new Promise<never>(() => started++);
    const race = staggeredRace([attempt, attempt], {
      delay: 2 * LONGEST_TIMEOUT,
      signal: controller.signal,
      clock,
    });
    assertEquals([started, timers.delays()], [1, [LONGEST_TIMEOUT]]);
    timers.fire();
    await turn();
    assertEquals(started, 1);
    assertEquals(timers.delays().length, 1);
    assert(timers.delays()[0]! <= LONGEST_TIMEOUT);
    controller.abort();
    await assertRejects(() => race);
    assertEquals(timers.delays(), []);
  });
});

test("a delay of Infinity takes no timer (hazard 25)", async () => {
  await withManualTimers(async (timers, clock) => {
    const controller = new AbortController();
    const race = staggeredRace([() => new Promise(() => {}), () => 1], {
      delay: Infinity,
      signal: controller.signal,
      clock,
    });
    assertEquals(timers.delays(), []);
    controller.abort();
    await assertRejects(() => race);
  });
});

test("after() tells a clock that it need not wait any longer", async () => {
  const clock = new FakeClock();
  const calls: number[] = [];
  const cancel = after(clock, 10, () => calls.push(10));
  after(clock, 20, () => calls.push(20));
  await turn();
  cancel();
  await turn();
  assertEquals(clock.pending, 1);
  await clock.finish();
  assertEquals([calls, clock.now(), clock.pending], [[20], 20, 0]);
});
