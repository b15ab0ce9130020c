/**
 * The clock that everything runs on by default.
 *
 * Where it matters what a timer was asked for, `setTimeout` is replaced for the
 * time of a test. Where timers are real, the tests say that they fire and
 * never how late.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { FakeTime } from "@std/testing/time";

import { systemClock } from "../src/runtime/system_clock.ts";
import { turn } from "./fake_clock.ts";
import { CountedAbort } from "./fake_network.ts";
import { test } from "./harness.ts";

/** The longest delay that a platform's timer takes, in milliseconds. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** Timers that fire when the test says so. */
interface ManualTimers {
  /** What the timers that are set were asked for, in milliseconds. */
  delays(): number[];
  /** Fires the timer that was set first. */
  fire(): void;
}

async function withManualTimers(
  action: (timers: ManualTimers) => Promise<void>,
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
    });
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
}

/** Whether `promise` has settled when everything else has run. */
async function isSettled(promise: Promise<void>): Promise<boolean> {
  let settled = false;
  promise.then(() => {
    settled = true;
  });
  await turn();
  return settled;
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
  const time = new FakeTime();
  try {
    const slept = systemClock.sleep(250);
    await time.tickAsync(249);
    assertEquals(await isSettled(slept), false);
    await time.tickAsync(1);
    await slept;
  } finally {
    time.restore();
  }
});

test("systemClock.after() calls back once, unless it is cancelled", async () => {
  const time = new FakeTime();
  try {
    const calls: string[] = [];
    systemClock.after(10, () => calls.push("kept"));
    const cancel = systemClock.after(5, () => calls.push("cancelled"));
    cancel();
    await time.tickAsync(1000);
    assertEquals(calls, ["kept"]);
  } finally {
    time.restore();
  }
});

test("systemClock.sleep() ends when its signal aborts, and leaves no timer (hazard 14)", async () => {
  await withManualTimers(async (timers) => {
    const controller = new CountedAbort();
    const slept = systemClock.sleep(60_000, controller.signal);
    assertEquals(timers.delays(), [60_000]);
    assertEquals(await isSettled(slept), false);
    controller.abort();
    await slept;
    assertEquals(timers.delays(), []);
    assertEquals(controller.listeners, 0);
  });
});

test("systemClock.sleep() leaves no listener when its time is over (hazard 12)", async () => {
  await withManualTimers(async (timers) => {
    const controller = new CountedAbort();
    const slept = systemClock.sleep(10, controller.signal);
    assertEquals(controller.listeners, 1);
    timers.fire();
    await slept;
    assertEquals(controller.listeners, 0);
  });
});

test("systemClock.sleep() clears its own timer only (hazard 15)", async () => {
  await withManualTimers(async (timers) => {
    const controller = new AbortController();
    const short = systemClock.sleep(10, controller.signal);
    const long = systemClock.sleep(20, controller.signal);
    const other = systemClock.sleep(30);
    timers.fire();
    await short;
    controller.abort();
    await long;
    assertEquals(timers.delays(), [30]);
    timers.fire();
    await other;
  });
});

test("systemClock.sleep() with an aborted signal sets no timer", async () => {
  await withManualTimers(async (timers) => {
    const controller = new CountedAbort();
    controller.abort();
    await systemClock.sleep(60_000, controller.signal);
    assertEquals(timers.delays(), []);
    assertEquals(controller.listeners, 0);
  });
});

test("systemClock.sleep() goes on past the longest timeout (hazard 25)", async () => {
  await withManualTimers(async (timers) => {
    const controller = new AbortController();
    const slept = systemClock.sleep(2 * LONGEST_TIMEOUT, controller.signal);
    assertEquals(timers.delays(), [LONGEST_TIMEOUT]);
    timers.fire();
    assertEquals(timers.delays().length, 1);
    assert(timers.delays()[0]! <= LONGEST_TIMEOUT);
    assertEquals(await isSettled(slept), false);
    controller.abort();
    await slept;
    assertEquals(timers.delays(), []);
  });
});

test("systemClock.sleep(Infinity) takes no timer, only its signal (hazard 25)", async () => {
  await withManualTimers(async (timers) => {
    const controller = new AbortController();
    const slept = systemClock.sleep(Infinity, controller.signal);
    assertEquals(timers.delays(), []);
    assertEquals(await isSettled(slept), false);
    controller.abort();
    await slept;
  });
});
