/**
 * `staggeredRace()` in exact virtual time: every ability of the model (C.1),
 * and the hazards of schedulers (numbers as in the test names).
 *
 * A race of the tables is a list of jobs, each with the time after which it
 * succeeds or fails. After every race: no timer, no listener on the caller's
 * signal, every late value discarded once, the source closed.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { setImmediate } from "node:timers";
import {
  type RaceAttempt,
  type RaceOptions,
  staggeredRace,
} from "../src/staggered_race.ts";
import { FakeClock, turn } from "./fake_clock.ts";
import { CountedAbort, settled } from "./fake_network.ts";
import { test } from "./harness.ts";

type Event = Parameters<NonNullable<RaceOptions<unknown>["onEvent"]>>[0];

/** One attempt; times are milliseconds after its start. */
interface Job {
  readonly ok?: number;
  readonly fail?: number;
  /** Ignores the abort. */
  readonly deaf?: boolean;
  /** Calls of `holdNext(ms)`, each at its time. */
  readonly holds?: readonly { readonly at: number; readonly ms: number }[];
  /** How long the source takes to give this attempt. */
  readonly pull?: number;
}

interface Race {
  readonly jobs: readonly Job[];
  readonly options?: Omit<RaceOptions<Prize>, "clock" | "signal">;
  readonly abortAt?: number;
  /** The source throws after the last job, so long after it is asked. */
  readonly sourceFails?: number;
}

/** What an attempt gives. */
class Prize {
  readonly index: number;
  disposed = 0;
  constructor(index: number) {
    this.index = index;
  }
}

interface Raced {
  /** `"0@0 1@250"`. */
  readonly starts: string;
  /** When the source was asked, `"0 250"`. */
  readonly pulls: string;
  /** `"0@600"`, `"failed@300"` or `"aborted@100"`. */
  readonly end: string;
  readonly error: unknown;
  readonly events: readonly Event[];
  readonly signals: readonly AbortSignal[];
}

const enough = new Error("enough");
const sourceError = new Error("the source broke");

/** The error of attempt `index`. */
const failures: readonly Error[] = Array.from(
  { length: 20 },
  (_, index) => new Error(`attempt ${index}`),
);

/** Runs a race in virtual time and checks what has to hold after each. */
async function race(
  { jobs, options, abortAt, sourceFails }: Race,
): Promise<Raced> {
  const clock = new FakeClock();
  const caller = new CountedAbort();
  const starts: string[] = [];
  const pulls: number[] = [];
  const events: Event[] = [];
  const signals: AbortSignal[] = [];
  const prizes: Prize[] = [];
  let returns = 0;
  let isExhausted = false;
  if (abortAt !== undefined) clock.at(abortAt, () => caller.abort(enough));

  const later = (ms: number) =>
    new Promise<void>((resolve) => {
      clock.at(clock.now() + ms, resolve);
    });
  const attempt =
    (job: Job, at: number): RaceAttempt<Prize> =>
    (signal, { index, holdNext }) => {
      assertStrictEquals(index, at);
      starts.push(`${index}@${clock.now()}`);
      signals.push(signal);
      return new Promise((resolve, reject) => {
        for (const { at, ms } of job.holds ?? []) {
          clock.at(clock.now() + at, () => holdNext(ms));
        }
        if (!job.deaf) {
          signal.addEventListener("abort", () => reject(signal.reason));
        }
        if (job.fail !== undefined) {
          clock.at(clock.now() + job.fail, () => reject(failures[index]));
        }
        if (job.ok !== undefined) {
          clock.at(clock.now() + job.ok, () => {
            const prize = new Prize(index);
            if (job.deaf || !signal.aborted) prizes.push(prize);
            resolve(prize);
          });
        }
      });
    };
  let pulling = false;
  const source: AsyncIterable<RaceAttempt<Prize>> = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        assert(!pulling, "next() while next() was pending");
        pulling = true;
        const index = pulls.push(clock.now()) - 1;
        const job = jobs[index];
        if (job?.pull !== undefined) await later(job.pull);
        if (job === undefined && sourceFails) await later(sourceFails);
        pulling = false;
        if (job !== undefined) {
          return { done: false, value: attempt(job, index) };
        }
        isExhausted = true;
        if (sourceFails !== undefined) throw sourceError;
        return { done: true, value: undefined };
      },
      return() {
        returns++;
        return Promise.reject(new Error("return() rejects, nobody cares"));
      },
    }),
  };

  const outcome = await clock.run(settled(staggeredRace(source, {
    onDiscard: (prize) => prize.disposed++,
    ...options,
    signal: caller.signal,
    clock,
    onEvent: (event) => {
      events.push(event);
      options?.onEvent?.(event);
    },
  })));
  const time = clock.now();
  const wasExhausted = isExhausted;
  assertStrictEquals(clock.pending, 0, "timers left");
  assertStrictEquals(caller.listeners, 0, "listeners left");
  await clock.finish();
  caller.abort();
  await turn();
  assertStrictEquals(returns, wasExhausted ? 0 : 1, "calls of return()");
  const winner = "value" in outcome ? outcome.value : undefined;
  for (const prize of prizes) {
    assertStrictEquals(prize.disposed, prize === winner ? 0 : 1, "disposals");
  }
  if (winner) assert(!signals[winner.index]?.aborted, "the winner was aborted");
  checkEvents(events, starts.length, winner?.index);
  const error = "error" in outcome ? outcome.error : undefined;
  return {
    starts: starts.join(" "),
    pulls: pulls.join(" "),
    end: `${
      winner?.index ?? (error === enough ? "aborted" : "failed")
    }@${time}`,
    error,
    events,
    signals,
  };
}

/** Every start has one end; the decision is told in one run; then discards. */
function checkEvents(
  events: readonly Event[],
  started: number,
  winner: number | undefined,
): void {
  const indices = (type: Event["type"], outcome?: string) =>
    events.flatMap((event) =>
      event.type === type && "index" in event &&
        (outcome === undefined ||
          "outcome" in event && event.outcome === outcome)
        ? [event.index]
        : []
    );
  const all = Array.from({ length: started }, (_, index) => index);
  assertEquals(indices("attempt-start"), all);
  assertEquals(
    indices("attempt-end").toSorted((a, b) => Number(a) - Number(b)),
    all,
  );
  assertEquals(
    indices("attempt-end", "won"),
    winner === undefined ? [] : [winner],
  );
  const end = events.findIndex(({ type }) => type === "end");
  const canceled = indices("attempt-end", "canceled");
  assertEquals(
    events.slice(end - canceled.length, end).map((event) =>
      event.type === "attempt-end" ? event.index : event.type
    ),
    canceled.toSorted((a, b) => Number(a) - Number(b)),
  );
  assert(events.slice(end + 1).every(({ type }) => type === "discard"));
}

interface Row extends Race {
  readonly name: string;
  readonly starts: string;
  readonly end: string;
  readonly pulls?: string;
}

function table(topic: string, rows: readonly Row[]): void {
  for (const row of rows) {
    test(`staggeredRace() ${row.name} (${topic})`, async () => {
      const { starts, end, pulls } = await race(row);
      assertEquals({ starts, end }, { starts: row.starts, end: row.end });
      if (row.pulls !== undefined) assertEquals(pulls, row.pulls);
    });
  }
}

const never: Job = {};
const ok = (ms: number): Job => ({ ok: ms });
const fail = (ms: number): Job => ({ fail: ms });

table("C.1.5, C.1.6: when the next attempt starts", [
  {
    name: "starts one attempt after the other, 250 ms apart",
    jobs: [never, never, ok(20)],
    starts: "0@0 1@250 2@500",
    end: "2@520",
  },
  {
    name: "never stops a slow attempt because another one began (A44)",
    jobs: [ok(700), never, never],
    starts: "0@0 1@250 2@500",
    end: "0@700",
  },
  {
    // A slow source postpones; what it gives late starts at once, and the
    // clock for the one after it runs from that start (hazard 20).
    name: "waits for a slow source without adding a delay",
    jobs: [never, { pull: 400 }, ok(5)],
    starts: "0@0 1@650 2@900",
    pulls: "0 250 900",
    end: "2@905",
  },
  {
    name: "starts the next at once when the newest fails",
    jobs: [fail(30), fail(70), ok(10)],
    starts: "0@0 1@30 2@100",
    end: "2@110",
  },
  {
    // Hazard 26: a timer that is not cancelled would start 2 at 250.
    name: "re-arms the timer at a fast-forward",
    jobs: [fail(100), never, ok(10)],
    starts: "0@0 1@100 2@350",
    end: "2@360",
  },
  {
    // Hazard 23 and hazard 15: it neither starts one nor clears the timer.
    name: "lets an older attempt's failure start nothing",
    jobs: [fail(300), never, ok(10)],
    starts: "0@0 1@250 2@500",
    end: "2@510",
  },
  {
    // Hazard 27: one start, not two.
    name: "starts once when the newest fails as its delay fires",
    jobs: [fail(250), never, ok(10)],
    starts: "0@0 1@250 2@500",
    end: "2@510",
  },
  {
    name: "pulls the source only when a start is due",
    jobs: [never, fail(20), ok(1)],
    starts: "0@0 1@250 2@270",
    pulls: "0 250 270",
    end: "2@271",
  },
  {
    name: "pulls nothing while the first attempt may still be the only one",
    jobs: [ok(240), never],
    starts: "0@0",
    pulls: "0",
    end: "0@240",
  },
  {
    name: "waits for running attempts when the source is exhausted (C.1.8)",
    jobs: [ok(1000), fail(10)],
    starts: "0@0 1@250",
    pulls: "0 250 260",
    end: "0@1000",
  },
  {
    name: "fails as soon as the last running attempt has failed (C.1.8)",
    jobs: [fail(400), fail(10)],
    starts: "0@0 1@250",
    end: "failed@400",
  },
]);

table("C.1.7 and hazard 19: delay", [
  {
    name: "starts them back to back with a delay of 0",
    jobs: [never, never, ok(5)],
    options: { delay: 0 },
    starts: "0@0 1@0 2@0",
    end: "2@5",
  },
  {
    name: "runs strictly one after another with a delay of Infinity",
    jobs: [fail(5000), fail(0), ok(1)],
    options: { delay: Infinity },
    starts: "0@0 1@5000 2@5000",
    pulls: "0 5000 5000",
    end: "2@5001",
  },
  {
    name: "takes undefined for the default of 250",
    jobs: [never, ok(1)],
    options: { delay: undefined },
    starts: "0@0 1@250",
    end: "1@251",
  },
  {
    name: "keeps fractions of a millisecond",
    jobs: [never, never, ok(1)],
    options: { delay: 0.5 },
    starts: "0@0 1@0.5 2@1",
    end: "2@2",
  },
  {
    name: "takes a delay that depends on the attempt that has just started",
    jobs: [never, never, never, ok(1)],
    options: { delay: (index) => [100, 0, 40][index] ?? 7 },
    starts: "0@0 1@100 2@100 3@140",
    end: "3@141",
  },
]);

table("A67, A68: holdNext", [
  {
    name: "moves the next start to the hold's end",
    jobs: [{ holds: [{ at: 200, ms: 500 }] }, ok(1)],
    starts: "0@0 1@700",
    end: "1@701",
  },
  {
    name: "never brings the next start forward by a hold",
    jobs: [{ holds: [{ at: 100, ms: 10 }] }, ok(1)],
    starts: "0@0 1@250",
    end: "1@251",
  },
  {
    name: "keeps the later of two holds",
    jobs: [{ holds: [{ at: 100, ms: 500 }, { at: 200, ms: 100 }] }, ok(1)],
    starts: "0@0 1@600",
    end: "1@601",
  },
  {
    name: "lets an older attempt hold, too",
    jobs: [{ holds: [{ at: 300, ms: 900 }] }, never, ok(1)],
    starts: "0@0 1@250 2@1200",
    end: "2@1201",
  },
  {
    name: "ends a hold with its attempt, back to the timer",
    jobs: [{ holds: [{ at: 300, ms: 900 }], fail: 400 }, never, ok(1)],
    starts: "0@0 1@250 2@500",
    end: "2@501",
  },
  {
    name: "starts at once when the hold ends after the timer would have fired",
    jobs: [{ holds: [{ at: 300, ms: 900 }], fail: 600 }, never, ok(1)],
    starts: "0@0 1@250 2@600",
    end: "2@601",
  },
  {
    name: "keeps the other attempt's hold when one ends",
    jobs: [
      { holds: [{ at: 300, ms: 900 }], fail: 400 },
      { holds: [{ at: 60, ms: 500 }] },
      ok(1),
    ],
    starts: "0@0 1@250 2@810",
    end: "2@811",
  },
  {
    name: "starts the next at once when the newest fails, whatever is held",
    jobs: [{ holds: [{ at: 260, ms: 5000 }] }, fail(20), ok(1)],
    starts: "0@0 1@250 2@270",
    end: "2@271",
  },
  {
    name: "clears all holds with a start",
    jobs: [{ holds: [{ at: 260, ms: 5000 }] }, fail(20), never, ok(1)],
    starts: "0@0 1@250 2@270 3@520",
    end: "3@521",
  },
  {
    name: "ignores the hold of an attempt that has ended",
    jobs: [{ fail: 100, holds: [{ at: 150, ms: 5000 }] }, never, ok(1)],
    starts: "0@0 1@100 2@350",
    end: "2@351",
  },
  {
    name: "lets no hold make an infinite delay finite",
    jobs: [{ holds: [{ at: 10, ms: 20 }], fail: 3000 }, ok(1)],
    options: { delay: Infinity },
    starts: "0@0 1@3000",
    end: "1@3001",
  },
  {
    name: "holds for ever with Infinity, until that attempt ends",
    jobs: [{ holds: [{ at: 10, ms: Infinity }], fail: 4000 }, ok(1)],
    starts: "0@0 1@4000",
    end: "1@4001",
  },
]);

table("C.1.9, C.1.10: sources that fail", [
  {
    name: "lets a running attempt win after the source threw (hazard 30)",
    jobs: [ok(900)],
    sourceFails: 0,
    starts: "0@0",
    pulls: "0 250",
    end: "0@900",
  },
  {
    name: "ignores a pull that is pending at the decision (hazard 29)",
    jobs: [ok(300), { pull: 400 }],
    starts: "0@0",
    pulls: "0 250",
    end: "0@300",
  },
  {
    name: "ignores a source that throws after the decision (hazard 29)",
    jobs: [ok(300)],
    sourceFails: 400,
    starts: "0@0",
    end: "0@300",
  },
]);

table("C.1.14, C.1.16, hazards 2 and 11: losers and aborts", [
  {
    name: "does not wait for a loser that ignores the abort",
    jobs: [{ ok: 1260, deaf: true }, ok(10)],
    starts: "0@0 1@250",
    end: "1@260",
  },
  {
    name: "discards every late success, once",
    jobs: [{ ok: 1260, deaf: true }, { ok: 600, deaf: true }, ok(10)],
    starts: "0@0 1@250 2@500",
    end: "2@510",
  },
  {
    name: "swallows the late failure of a loser (hazard 16)",
    jobs: [{ fail: 1260, deaf: true }, ok(10)],
    starts: "0@0 1@250",
    end: "1@260",
  },
  {
    name: "rejects at once with the reason while an attempt runs",
    jobs: [never, never],
    abortAt: 100,
    starts: "0@0",
    end: "aborted@100",
  },
  {
    name: "rejects at once with the reason while the source is asked",
    jobs: [never, { pull: 400 }],
    abortAt: 300,
    starts: "0@0",
    pulls: "0 250",
    end: "aborted@300",
  },
  {
    name: "rejects at once with the reason while an attempt is deaf",
    jobs: [{ ok: 5000, deaf: true }, never],
    abortAt: 300,
    starts: "0@0 1@250",
    end: "aborted@300",
  },
]);

test("staggeredRace() pulls and starts the first attempt at once", async () => {
  const clock = new FakeClock();
  let isStarted = false;
  const result = staggeredRace([() => {
    isStarted = true;
    return 1;
  }], { clock });
  await turn();
  assert(isStarted);
  assertStrictEquals(clock.now(), 0);
  assertStrictEquals(await result, 1);
});

test("staggeredRace() takes arrays, iterables and async iterables (C.1.1)", async () => {
  const attempts = [() => Promise.reject(new Error("no")), () => "yes"];
  function* sync() {
    yield* attempts;
  }
  async function* async() {
    yield* attempts;
  }
  for (const source of [attempts, new Set(attempts), sync(), async()]) {
    const clock = new FakeClock();
    assertStrictEquals(
      await clock.run(staggeredRace(source, { clock })),
      "yes",
    );
  }
});

test("staggeredRace() types the result by what the attempts give", async () => {
  const clock = new FakeClock();
  const tuple: number | string = await clock.run(staggeredRace(
    [() => 1, () => Promise.resolve("one"), async () => await "two"],
    { clock, onDiscard: (value: number | string) => value },
  ));
  assertStrictEquals(tuple, 1);
  const attempts: Iterable<() => Promise<URL>> = [
    () => Promise.resolve(new URL("https://example.com")),
  ];
  const url: URL = await clock.run(staggeredRace(attempts, { clock }));
  assertStrictEquals(url.host, "example.com");
});

test("staggeredRace() lets a winner give undefined or null (C.1.2)", async () => {
  const clock = new FakeClock();
  const none = await clock.run(staggeredRace([() => undefined], { clock }));
  assertStrictEquals(none, undefined);
  const nil = await clock.run(staggeredRace([() => null], { clock }));
  assertStrictEquals(nil, null);
});

test("staggeredRace() tells how each started attempt ended (C.1.3)", async () => {
  const { events } = await race({
    jobs: [fail(300), never, ok(20), never],
  });
  assertEquals(events, [
    { type: "attempt-start", time: 0, index: 0 },
    { type: "attempt-start", time: 250, index: 1 },
    {
      type: "attempt-end",
      time: 300,
      index: 0,
      startTime: 0,
      outcome: "failed",
      error: failures[0],
    },
    { type: "attempt-start", time: 500, index: 2 },
    {
      type: "attempt-end",
      time: 520,
      index: 2,
      startTime: 500,
      outcome: "won",
    },
    {
      type: "attempt-end",
      time: 520,
      index: 1,
      startTime: 250,
      outcome: "canceled",
    },
    { type: "end", time: 520, outcome: "connected", index: 2 },
  ]);
});

test("staggeredRace() rejects with no errors when there are no attempts (C.1.4, hazard 40)", async () => {
  for (const source of [[], new Set<() => number>()]) {
    const clock = new FakeClock();
    const error = await assertRejects(
      () => clock.run(staggeredRace(source, { clock })),
      AggregateError,
    );
    assertEquals(error.errors, []);
    assertStrictEquals(error.message, "Cannot race: there are no attempts");
  }
});

test("staggeredRace() says in its message what each attempt failed of", async () => {
  const thrown: readonly (readonly [unknown, string])[] = [
    [new Error("a is down"), "a is down"],
    [new TypeError(""), "TypeError"],
    [Object.assign(new AggregateError([]), { code: "EX" }), "EX"],
    ["a text", "a text"],
    [{ code: "ENOENT" }, "ENOENT"],
    [{}, "object"],
    [Object.create(null), "object"],
    [{ message: Object.create(null) }, "object"],
    [undefined, "undefined"],
    [null, "null"],
    [0, "0"],
    [Symbol("s"), "Symbol(s)"],
    [{ name: "Odd" }, "Odd"],
  ];
  const clock = new FakeClock();
  const attempts = thrown.map(([error]) => () => {
    throw error;
  });
  const { error } = await clock.run(settled(
    staggeredRace<readonly unknown[]>(attempts, { clock }),
  )) as { error: AggregateError };
  assertStrictEquals(
    error.message,
    "Cannot race: all attempts failed: " +
      thrown.map(([, said]) => said).join(", "),
  );
  assertEquals(error.errors, thrown.map(([error]) => error));

  const long = [..."abc"].map((letter) => () => {
    throw new Error(letter.repeat(100_000));
  });
  const bounded = await clock.run(settled(
    staggeredRace<readonly unknown[]>(long, { clock }),
  )) as { error: AggregateError };
  assert(bounded.error.message.length < 1100, "a message without end");
});

test("staggeredRace() lists the errors in start order, all failed", async () => {
  const { end, error, events } = await race({
    jobs: [fail(700), fail(10), fail(20)],
  });
  assertInstanceOf(error, AggregateError);
  assertEquals(error.errors, failures.slice(0, 3));
  assertStrictEquals(end, "failed@700");
  assertEquals(events.at(-1), {
    type: "end",
    time: 700,
    outcome: "failed",
    error,
  });
});

test("staggeredRace() lists the source's error last and as the cause (C.1.9, hazard 30)", async () => {
  const one = await race({ jobs: [fail(5)], sourceFails: 0 });
  assertInstanceOf(one.error, AggregateError);
  assertEquals(one.error.errors, [failures[0], sourceError]);
  assertStrictEquals(one.error.cause, sourceError);
  assert(one.error.message.endsWith(sourceError.message), one.error.message);
  assertStrictEquals(one.end, "failed@5");

  const none = await race({ jobs: [], sourceFails: 0 });
  assertInstanceOf(none.error, AggregateError);
  assertEquals(none.error.errors, [sourceError]);
  assertStrictEquals(none.error.cause, sourceError);
});

test("staggeredRace() takes a synchronous source that throws like any other (hazard 30)", async () => {
  function* source() {
    yield () => Promise.reject(failures[0]);
    throw sourceError;
  }
  const clock = new FakeClock();
  const error = await assertRejects(
    () => clock.run(staggeredRace(source(), { clock })),
    AggregateError,
  );
  assertEquals(error.errors, [failures[0], sourceError]);
});

test("staggeredRace() closes a synchronous source on a win, not after its end (C.1.11, hazard 28)", async () => {
  for (const [attempts, expected] of [[2, 1], [1, 0]] as const) {
    const clock = new FakeClock();
    let returns = 0;
    const iterator = Array.from(
      { length: attempts },
      (_, index) => () => {
        if (index === 0 && attempts === 1) throw failures[0];
        return index;
      },
    )[Symbol.iterator]();
    const source = {
      [Symbol.iterator]: () => ({
        next: () => iterator.next(),
        return: () => {
          returns++;
          return { done: true as const, value: undefined };
        },
      }),
    };
    await clock.run(settled(staggeredRace(source, { clock })));
    assertStrictEquals(returns, expected);
  }
});

test("staggeredRace() ignores a return() that throws (hazard 28)", async () => {
  const clock = new FakeClock();
  const source = {
    [Symbol.iterator]: () => ({
      next: () => ({ done: false as const, value: () => 7 }),
      return: () => {
        throw new Error("return() throws");
      },
    }),
  };
  assertStrictEquals(await clock.run(staggeredRace(source, { clock })), 7);
});

test("staggeredRace() does not wait for a generator busy with a pull (hazard 29)", async () => {
  const clock = new FakeClock();
  let isClosed = false;
  async function* source() {
    try {
      yield () => clock.sleep(300).then(() => "won");
      // The generator cannot be closed while it waits here.
      await new Promise((resolve) => {
        clock.at(5000, () => resolve(undefined));
      });
      yield () => "too late";
    } finally {
      isClosed = true;
    }
  }
  assertStrictEquals(
    await clock.run(staggeredRace(source(), { clock })),
    "won",
  );
  assertStrictEquals(clock.now(), 300);
  await clock.finish();
  assert(isClosed, "return() was queued behind the pull");
});

test("staggeredRace() counts an AbortError of an attempt's own as a failure (C.1.12)", async () => {
  const clock = new FakeClock();
  const own = new DOMException("my own", "AbortError");
  const result = staggeredRace(
    [() => Promise.reject(own), () => "second"],
    { clock },
  );
  assertStrictEquals(await clock.run(result), "second");
  assertStrictEquals(clock.now(), 0);
});

test("staggeredRace() takes whatever a factory does for an attempt (C.1.13, hazards 6 and 22)", async () => {
  const thrown = new Error("thrown");
  const then = new Error("in then");
  const both = {
    then(
      resolve: (value: string) => void,
      reject: (error: unknown) => void,
    ): void {
      reject(thrown);
      resolve("never");
      throw then;
    },
  };
  const throwing = {
    then(): void {
      throw then;
    },
  };
  const attempts: unknown[] = [
    () => {
      throw thrown;
    },
    () => both,
    () => throwing,
    "not a function",
    undefined,
    () => Promise.reject("no Error (hazard 53)"),
    () => Promise.reject(undefined),
  ];
  const clock = new FakeClock();
  const error = await assertRejects(
    () =>
      clock.run(
        staggeredRace(attempts as Iterable<RaceAttempt>, { clock }),
      ),
    AggregateError,
  );
  const { errors } = error;
  assertEquals(errors.slice(0, 3), [thrown, thrown, then]);
  assertInstanceOf(errors[3], TypeError);
  assertInstanceOf(errors[4], TypeError);
  assertEquals(errors.slice(5), ["no Error (hazard 53)", undefined]);
  assertStrictEquals(clock.now(), 0);
});

test("staggeredRace() accepts plain values and thenables, once (hazard 22)", async () => {
  const clock = new FakeClock();
  const thenable = {
    then(
      resolve: (value: string) => void,
      reject: (error: unknown) => void,
    ): void {
      resolve("first call counts");
      reject(new Error("second call"));
      resolve("third call");
    },
  } as PromiseLike<string>;
  const discarded: unknown[] = [];
  const options = { clock, onDiscard: (it: unknown) => discarded.push(it) };
  assertStrictEquals(
    await clock.run(staggeredRace([() => thenable, () => "b"], options)),
    "first call counts",
  );
  let isStarted = false;
  const plain = staggeredRace([() => "plain", () => {
    isStarted = true;
    return "b";
  }], { ...options, delay: 0 });
  assertStrictEquals(await clock.run(plain), "plain");
  assertEquals(discarded, []);
  assert(!isStarted, "a success that is there at once starts no other");
});

test("staggeredRace() keeps one of two successes of one turn and discards the other (C.1.15, hazard 1)", async () => {
  const clock = new FakeClock();
  const discarded: string[] = [];
  const resolves: ((value: string) => void)[] = [];
  const attempt = () =>
    new Promise<string>((resolve) => {
      resolves.push(resolve);
    });
  clock.at(600, () => {
    for (const [index, resolve] of resolves.entries()) resolve(`#${index}`);
  });
  const winner = await clock.run(staggeredRace([attempt, attempt, attempt], {
    clock,
    onDiscard: (value) => discarded.push(value),
  }));
  assertStrictEquals(winner, "#0");
  assertEquals(discarded, ["#1", "#2"]);
});

test("staggeredRace() decides once when abort and success come in one turn (hazards 3 and 4)", async () => {
  for (const first of ["abort", "success"] as const) {
    const clock = new FakeClock();
    const caller = new CountedAbort();
    const discarded: string[] = [];
    let succeed = (_: string) => {};
    clock.at(10, () => {
      if (first === "abort") caller.abort(enough);
      succeed("value");
      caller.abort(enough);
    });
    const outcome = await clock.run(settled(staggeredRace([
      () =>
        new Promise<string>((resolve) => {
          succeed = resolve;
        }),
    ], {
      clock,
      signal: caller.signal,
      onDiscard: (value) => discarded.push(value),
    })));
    // Either way the abort's listener runs before the value is accepted.
    assertEquals(outcome, { error: enough });
    assertEquals(discarded, ["value"]);
    assertStrictEquals(caller.listeners, 0);
  }
});

test("staggeredRace() keeps the result when the caller aborts after acceptance (hazard 3)", async () => {
  const clock = new FakeClock();
  const caller = new CountedAbort();
  const discarded: string[] = [];
  const result = staggeredRace([() => "value"], {
    clock,
    signal: caller.signal,
    onDiscard: (value) => discarded.push(value),
    onEvent: (event) => {
      if (event.type === "attempt-end") caller.abort(enough);
    },
  });
  assertStrictEquals(await clock.run(result), "value");
  assertEquals(discarded, []);
});

test("staggeredRace() discards a value that arrives when the signal is already aborted", async () => {
  const clock = new FakeClock();
  const caller = new CountedAbort();
  const discarded: string[] = [];
  const result = staggeredRace([() => {
    caller.abort(enough);
    return "value";
  }], {
    clock,
    signal: caller.signal,
    onDiscard: (value) => discarded.push(value),
  });
  assertStrictEquals(await assertRejects(() => clock.run(result)), enough);
  assertEquals(discarded, ["value"]);
});

test("staggeredRace() discards such a value though it could not hear the abort", async () => {
  const clock = new FakeClock();
  const caller = new CountedAbort();
  const discarded: string[] = [];
  caller.signal.addEventListener("abort", (event) => {
    event.stopImmediatePropagation();
  });
  clock.at(10, () => caller.abort(enough));
  const result = staggeredRace([
    () =>
      new Promise<string>((resolve) => {
        clock.at(20, () => resolve("value"));
      }),
  ], {
    clock,
    signal: caller.signal,
    onDiscard: (value) => discarded.push(value),
  });
  assertStrictEquals(await assertRejects(() => clock.run(result)), enough);
  assertEquals(discarded, ["value"]);
});

test("staggeredRace() runs no attempt when the caller aborts as it hears of its start", async () => {
  const clock = new FakeClock();
  const caller = new CountedAbort();
  let runs = 0;
  const result = staggeredRace([() => runs++], {
    clock,
    signal: caller.signal,
    onEvent: ({ type }) => {
      if (type === "attempt-start") caller.abort(enough);
    },
  });
  assertStrictEquals(await assertRejects(() => clock.run(result)), enough);
  await turn();
  assertStrictEquals(runs, 0);
});

test("staggeredRace() keeps no timer when there is nothing left to start (A51)", async () => {
  const clock = new FakeClock();
  const sleep = (ms: number, fails = false) => () =>
    new Promise<string>((resolve, reject) => {
      const settle = fails ? () => reject(enough) : () => resolve("slow");
      clock.at(clock.now() + ms, settle);
    });
  const pending: number[] = [];
  for (const time of [200, 300]) {
    clock.at(time, () => pending.push(clock.pending));
  }
  const winner = await clock.run(
    staggeredRace([sleep(1000), sleep(10, true)], { clock }),
  );
  assertStrictEquals(winner, "slow");
  assertEquals(pending, [1, 0]);
});

test("staggeredRace() aborts the losers' signals and never the winner's", async () => {
  const { signals } = await race({ jobs: [never, never, ok(10), never] });
  assertEquals(signals.map(({ aborted }) => aborted), [true, true, false]);
});

test("staggeredRace() aborts every attempt when the caller aborts (C.1.16)", async () => {
  const { signals, events, error } = await race({
    jobs: [never, never],
    abortAt: 300,
  });
  assertEquals(signals.map(({ aborted }) => aborted), [true, true]);
  assertStrictEquals(error, enough);
  assertEquals(events.slice(2), [
    {
      type: "attempt-end",
      time: 300,
      index: 0,
      startTime: 0,
      outcome: "canceled",
    },
    {
      type: "attempt-end",
      time: 300,
      index: 1,
      startTime: 250,
      outcome: "canceled",
    },
    { type: "end", time: 300, outcome: "aborted", error: enough },
  ]);
});

test("staggeredRace() starts and pulls nothing when the signal is already aborted (hazard 10)", async () => {
  for (const reason of [enough, "a string", null]) {
    const clock = new FakeClock();
    const caller = new CountedAbort();
    caller.abort(reason);
    let pulls = 0;
    const source = {
      [Symbol.iterator]: () => ({
        next: () => ({ done: pulls++ > 0, value: () => 1 }),
      }),
    };
    const error = await assertRejects(() =>
      clock.run(staggeredRace(source, { clock, signal: caller.signal }))
    );
    assertStrictEquals(error, reason);
    assertStrictEquals(pulls, 0);
    assertStrictEquals(caller.listeners, 0);
    assertEquals(clock.sleeps, []);
  }
});

test("staggeredRace() disposes of late values by their own method by default", async () => {
  const clock = new FakeClock();
  const calls: string[] = [];
  const late = (ms: number, value: unknown) => () =>
    new Promise<unknown>((resolve) => {
      clock.at(ms, () => resolve(value));
    });
  const attempts = [
    late(2000, {
      [Symbol.asyncDispose]: () => Promise.resolve(calls.push("async")),
      [Symbol.dispose]: () => calls.push("not this one"),
    }),
    late(2100, { [Symbol.dispose]: () => calls.push("sync") }),
    late(2200, { nothing: "to call" }),
    late(2300, undefined),
    () => "won",
  ];
  const events: Event[] = [];
  const won = await clock.run(staggeredRace<readonly unknown[]>(attempts, {
    clock,
    onEvent: (event) => events.push(event),
  }));
  assertStrictEquals(won, "won");
  await clock.finish();
  assertEquals(calls, ["async", "sync"]);
  assertEquals(
    events.filter(({ type }) => type === "discard"),
    [0, 1, 2, 3].map((index) => ({
      type: "discard" as const,
      time: 2000 + 100 * index,
      index,
    })),
  );
});

test("staggeredRace() tells what onDiscard threw as an event, and nothing else (hazard 7)", async () => {
  const thrown = new Error("thrown");
  const rejected = new Error("rejected");
  const clock = new FakeClock();
  const events: Event[] = [];
  const late = (ms: number, value: string) => () =>
    new Promise<string>((resolve) => {
      clock.at(ms, () => resolve(value));
    });
  const won = await clock.run(staggeredRace(
    [late(1000, "throws"), late(1100, "rejects"), () => "won"],
    {
      clock,
      onEvent: (event) => events.push(event),
      onDiscard: (value) => {
        if (value === "throws") throw thrown;
        return Promise.reject(rejected);
      },
    },
  ));
  assertStrictEquals(won, "won");
  await clock.finish();
  assertEquals(events.slice(-2), [
    { type: "discard", time: 1000, index: 0, error: thrown },
    { type: "discard", time: 1100, index: 1, error: rejected },
  ]);
});

test("staggeredRace() is not changed by what onEvent throws", async () => {
  const { starts, end } = await race({
    jobs: [fail(10), { ok: 5000, deaf: true }, ok(10)],
    options: {
      onEvent: () => {
        throw new Error("listener");
      },
    },
  });
  assertEquals({ starts, end }, { starts: "0@0 1@10 2@260", end: "2@270" });
});

test("staggeredRace() rejects with what delay() throws, or with a RangeError for its value", async () => {
  const thrown = new Error("no delay today");
  const bad: [(index: number) => number, unknown][] = [
    [() => {
      throw thrown;
    }, thrown],
    [() => NaN, RangeError],
    [() => -1, RangeError],
  ];
  for (const [delay, expected] of bad) {
    const { error, signals, end } = await race({
      jobs: [{ ok: 500, deaf: true }, never],
      options: { delay },
    });
    if (expected === RangeError) assertInstanceOf(error, RangeError);
    else assertStrictEquals(error, expected);
    assert(signals.every(({ aborted }) => aborted));
    assertStrictEquals(end, "failed@0");
  }
  const { error, signals, end } = await race({
    jobs: [{ ok: 500, deaf: true }, { ok: 500, deaf: true }],
    options: {
      delay: (index) => {
        if (index === 1) throw thrown;
        return 100;
      },
    },
  });
  assertStrictEquals(error, thrown);
  assert(signals.every(({ aborted }) => aborted));
  assertStrictEquals(end, "failed@100");
});

test("staggeredRace() throws a RangeError from holdNext() for NaN and negative holds", async () => {
  const clock = new FakeClock();
  const seen: unknown[] = [];
  await clock.run(staggeredRace([(_, { holdNext }) => {
    for (const ms of [NaN, -1]) {
      try {
        holdNext(ms);
      } catch (error) {
        seen.push(error);
      }
    }
  }], { clock }));
  assertStrictEquals(seen.length, 2);
  for (const error of seen) assertInstanceOf(error, RangeError);
});

test("staggeredRace() rejects bad arguments, also when the signal is aborted", async () => {
  const range: unknown[] = [{ delay: NaN }, { delay: -1 }, {
    delay: -Infinity,
  }];
  const type: unknown[] = [
    null,
    5,
    { delay: null },
    { delay: "250" },
    { signal: null },
    { signal: {} },
    { signal: new EventTarget() },
    { onDiscard: null },
    { onDiscard: "close" },
    { onEvent: null },
    { onEvent: {} },
    { clock: null },
    { clock: {} },
    { clock: { now: () => 0 } },
  ];
  const expected = [
    ...range.map((options) => ({ options, class: RangeError })),
    ...type.map((options) => ({ options, class: TypeError })),
  ];
  let starts = 0;
  const attempts = [() => starts++];
  for (const { options, class: ErrorClass } of expected) {
    for (const signal of [undefined, AbortSignal.abort()]) {
      const given = signal && typeof options === "object" && options !== null
        ? { signal, ...options }
        : options;
      await assertRejects(
        () => staggeredRace(attempts, given as RaceOptions<number>),
        ErrorClass,
      );
    }
  }
  for (const source of [undefined, null, 5, {}, () => []]) {
    await assertRejects(
      () =>
        staggeredRace(source as unknown as [], {
          signal: AbortSignal.abort(),
        }),
      TypeError,
    );
  }
  assertStrictEquals(starts, 0);
});

test("staggeredRace() starts one attempt, not a burst, after a stall (hazard 20)", async () => {
  const clock = new FakeClock();
  const starts: number[] = [];
  const attempt = () => {
    starts.push(clock.now());
    return new Promise<string>((resolve) => {
      if (starts.length === 4) resolve("fourth");
    });
  };
  clock.at(100, () => clock.stall(2000));
  await clock.run(
    staggeredRace([attempt, attempt, attempt, attempt], { clock }),
  );
  assertEquals(starts, [0, 2100, 2350, 2600]);
});

test("staggeredRace() takes 12 attempts that fail at once, and a winner among them (C.1.17)", async () => {
  const clock = new FakeClock();
  const events: Event[] = [];
  const attempts = Array.from({ length: 12 }, (_, index) => () => {
    if (index !== 9) throw failures[index];
    return index;
  });
  const winner = await clock.run(
    staggeredRace(attempts, { clock, onEvent: (event) => events.push(event) }),
  );
  assertStrictEquals(winner, 9);
  assertStrictEquals(
    events.filter(({ type }) => type === "attempt-start").length,
    10,
  );
});

test("staggeredRace() gets through 10 000 instant failures in order, and others get their turn (hazard 21)", async () => {
  const clock = new FakeClock();
  const order: number[] = [];
  let startsAtTurn = 0;
  setImmediate(() => {
    startsAtTurn = order.length;
  });
  const attempts = Array.from({ length: 10_000 }, (_, index) => () => {
    order.push(index);
    throw index;
  });
  const { error } = await clock.run(settled(
    staggeredRace<readonly unknown[]>(attempts, { clock }),
  )) as { error: AggregateError };
  assertEquals(error.errors, order);
  assert(error.message.length < 1100, error.message);
  assertStrictEquals(order.length, 10_000);
  assertEquals(order, order.toSorted((a, b) => a - b));
  assert(startsAtTurn < 10_000, "nobody else got a turn before the end");
  assertStrictEquals(clock.now(), 0);
});

test("staggeredRace() ends when 999, 1000 or 1001 attempts fail, one by one or all under way", async () => {
  for (const count of [999, 1000, 1001]) {
    for (const failTime of [0, 5000]) {
      const clock = new FakeClock();
      const attempts = Array.from(
        { length: count },
        (_, index) => () =>
          new Promise<never>((_, reject) => {
            if (failTime === 0) reject(index);
            else clock.at(failTime, () => reject(index));
          }),
      );
      const { error } = await clock.run(settled(
        staggeredRace<readonly unknown[]>(attempts, { clock, delay: 1 }),
      )) as { error: AggregateError };
      assertStrictEquals(error.errors.length, count);
      assertEquals([clock.now(), clock.pending], [failTime, 0]);
    }
  }
});

test("staggeredRace() gets through 10 000 instant failures with delay 0 and of promises (hazard 21)", async () => {
  const clock = new FakeClock();
  let starts = 0;
  const attempts = Array.from({ length: 10_000 }, (_, index) => () => {
    starts++;
    return index === 9_999 ? Promise.resolve("last") : Promise.reject(index);
  });
  const winner = await clock.run(staggeredRace(attempts, { clock, delay: 0 }));
  assertStrictEquals(winner, "last");
  assertStrictEquals(starts, 10_000);
});

test("staggeredRace() leaves no listener on a signal after 1000 races (hazard 12)", async () => {
  const caller = new CountedAbort();
  const kinds = [
    [never, ok(10)],
    [fail(1)],
    [{ ok: 900, deaf: true }, ok(1)],
  ];
  for (let i = 0; i < 1000; i++) {
    const clock = new FakeClock();
    const jobs = kinds[i % kinds.length] ?? [];
    await clock.run(settled(staggeredRace(
      jobs.map((job, index) => (signal: AbortSignal) =>
        new Promise<number>((resolve, reject) => {
          if (job.ok) clock.at(clock.now() + job.ok, () => resolve(index));
          if (job.fail) clock.at(clock.now() + job.fail, () => reject(index));
          signal.addEventListener("abort", () => reject(signal.reason));
        })
      ),
      { clock, signal: caller.signal },
    )));
    assertStrictEquals(caller.listeners, 0);
  }
});

test("staggeredRace() derives no signal from the caller's (hazard 12)", async () => {
  // AbortSignal.any() would tie each race to a long-lived signal where no
  // listener shows.
  const original = AbortSignal.any;
  let calls = 0;
  AbortSignal.any = (signals: AbortSignal[]) => {
    calls++;
    return original.call(AbortSignal, signals);
  };
  try {
    await race({ jobs: [never, ok(10)] });
  } finally {
    AbortSignal.any = original;
  }
  assertStrictEquals(calls, 0);
});
