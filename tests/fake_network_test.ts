/**
 * The fakes under test: that the network does what its data says, and that
 * each of the checks after a scenario can fail.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import type { AttemptControl } from "../src/core/race.ts";
import type { Endpoint } from "../src/core/endpoint.ts";
import { happyEyeballs } from "../src/happy_eyeballs.ts";
import { FakeClock } from "./fake_clock.ts";
import {
  CountedAbort,
  FakeNetwork,
  type Host,
  long,
  play,
  settled,
  short,
  type World,
} from "./fake_network.ts";
import { test } from "./harness.ts";

/** Dials one host and tells what came of it, and when. */
async function dial(
  host: Host,
  abortAt?: number,
): Promise<
  { outcome: unknown; time: number; holds: string[]; closed: number }
> {
  const clock = new FakeClock();
  const network = new FakeNetwork({ hosts: { "6.1": host } }, clock, 250);
  const caller = new AbortController();
  const reason = "aborted";
  if (abortAt !== undefined) clock.at(abortAt, () => caller.abort(reason));
  const holds: string[] = [];
  const control: AttemptControl = {
    index: 0,
    holdNext: (ms) => holds.push(`${ms}@${clock.now()}`),
  };
  const endpoint: Endpoint = { address: long("6.1"), family: 6, port: 443 };
  const result = await clock.run(
    settled(network.attempt(endpoint, caller.signal, control)),
  );
  const time = clock.now();
  await clock.finish();
  return {
    outcome: "value" in result
      ? "socket"
      : (result.error as { code?: string }).code ?? result.error,
    time,
    holds,
    closed: network.sockets.reduce((sum, { closed }) => sum + closed, 0),
  };
}

test("FakeNetwork dials as its data says", async () => {
  const rows: [Host, number | undefined, string, number, string[], number][] = [
    [{ accept: 20 }, undefined, "socket", 20, [], 0],
    [{ refuse: 5 }, undefined, "ECONNREFUSED", 5, [], 0],
    [{ refuse: 5, code: "EINVAL" }, undefined, "EINVAL", 5, [], 0],
    [{ accept: 20, tls: 30 }, undefined, "socket", 50, ["250@20"], 0],
    [{ accept: 100, tls: 30 }, undefined, "socket", 130, ["400@100"], 0],
    [{ accept: 900, tls: 30 }, undefined, "socket", 930, ["2000@900"], 0],
    [{ accept: 9, tls: 3, hold: 7 }, undefined, "socket", 12, ["7@9"], 0],
    [{ accept: 9, tls: 3, tlsError: "E" }, undefined, "E", 12, ["250@9"], 1],
    [{}, 70, "aborted", 70, [], 0],
    [{ accept: 90 }, 70, "aborted", 70, [], 0],
    [{ accept: 20, tls: 90 }, 70, "aborted", 70, ["250@20"], 1],
    [{ accept: 90, deaf: true }, 70, "socket", 90, [], 0],
    [{ refuse: 90, deaf: true }, 70, "ECONNREFUSED", 90, [], 0],
  ];
  for (const [host, abortAt, outcome, time, holds, closed] of rows) {
    assertEquals(
      await dial(host, abortAt),
      { outcome, time, holds, closed },
      JSON.stringify(host),
    );
  }
});

test("FakeNetwork writes addresses short and long", () => {
  for (
    const [brief, full] of [
      ["6.1", "2001:db8::1"],
      ["4.27", "192.0.2.27"],
      ["::1", "::1"],
      ["198.51.100.1", "198.51.100.1"],
    ] as const
  ) {
    assertStrictEquals(long(brief), full);
    assertStrictEquals(short(full), brief);
  }
});

test("FakeNetwork resolves as its data says", async () => {
  const clock = new FakeClock();
  const error = new Error("no");
  const network = new FakeNetwork(
    {
      dns: [
        { at: 10, A: ["4.1"], name: "cdn.example.net" },
        { at: 10, AAAA: [], error },
        { at: 30, throws: error },
      ],
    },
    clock,
    250,
  );
  const seen: unknown[] = [];
  const { signal } = new AbortController();
  const read = async () => {
    const options = { types: ["AAAA", "A"] as const, port: 1, signal };
    for await (const answer of network.resolver("example.com", options)) {
      seen.push([clock.now(), answer]);
    }
  };
  assertEquals(await clock.run(settled(read())), { error });
  assertStrictEquals(clock.now(), 30);
  assertEquals(seen, [
    [10, { type: "A", addresses: ["192.0.2.1"], name: "cdn.example.net" }],
    [10, { type: "AAAA", addresses: [], error }],
  ]);
});

test("CountedAbort counts the listeners on its signal", () => {
  const caller = new CountedAbort();
  const { signal } = caller;
  const listener = () => {};
  const other = new AbortController();
  signal.addEventListener("abort", listener);
  signal.addEventListener("abort", listener);
  assertStrictEquals(caller.listeners, 1, "the same one twice is one");
  signal.addEventListener("abort", () => {}, { once: true });
  signal.addEventListener("abort", () => {}, { signal: other.signal });
  assertStrictEquals(caller.listeners, 3);
  other.abort();
  assertStrictEquals(caller.listeners, 2);
  signal.removeEventListener("abort", listener);
  assertStrictEquals(caller.listeners, 1);
  caller.abort();
  assertStrictEquals(caller.listeners, 0);

  const attribute = new CountedAbort();
  attribute.signal.onabort = () => {};
  assert(attribute.listeners > 0);
});

type Engine = typeof happyEyeballs;

/** A race in which everything happens: a late success, a loser, a winner. */
const world: World = {
  dns: [{ at: 0, A: ["4.1"] }, { at: 10, AAAA: ["6.1", "6.2"] }],
  hosts: {
    "6.1": { accept: 2000, deaf: true },
    "4.1": {},
    "6.2": { accept: 5 },
  },
};

/** Engines with one mistake each, and the check that has to see it. */
const mistakes: readonly { said: string; engine: Engine }[] = [
  {
    said: "timers left after settlement",
    engine: (attempt, options) => {
      options.clock?.sleep(60_000);
      return happyEyeballs(attempt, options);
    },
  },
  {
    said: "listeners on the caller's signal",
    engine: (attempt, options) => {
      options.signal?.addEventListener("abort", () => {});
      return happyEyeballs(attempt, options);
    },
  },
  {
    said: "a query goes on after settlement",
    engine: (attempt, { resolver, ...options }) =>
      happyEyeballs(attempt, {
        ...options,
        resolver: (hostname, { types, port }) => {
          const { signal } = new AbortController();
          return resolver!(hostname, { types, port, signal });
        },
      }),
  },
  {
    said: "calls of return()",
    engine: (attempt, { resolver, ...options }) =>
      happyEyeballs(attempt, {
        ...options,
        resolver: (hostname, question) => {
          const answers = resolver!(hostname, question)[Symbol.asyncIterator]();
          return {
            [Symbol.asyncIterator]: () => ({ next: () => answers.next() }),
          };
        },
      }),
  },
  {
    said: "closings of the socket to 2001:db8::1",
    engine: (attempt, options) =>
      happyEyeballs(attempt, { ...options, onDiscard: () => {} }),
  },
  {
    said: "closings of the socket to 2001:db8::2",
    engine: async (attempt, options) => {
      const value = await happyEyeballs(attempt, options);
      options.onDiscard?.(value);
      return value;
    },
  },
  {
    said: "dialled twice",
    engine: (attempt, options) =>
      happyEyeballs((endpoint, signal, control) => {
        if (endpoint.family === 4) {
          attempt({ ...endpoint, address: long("6.1") }, signal, control);
        }
        return attempt(endpoint, signal, control);
      }, options),
  },
  {
    said: "the winner's signal was aborted",
    engine: async (attempt, options) => {
      const controllers: AbortController[] = [];
      const value = await happyEyeballs((endpoint, signal, control) => {
        const own = new AbortController();
        controllers.push(own);
        signal.addEventListener("abort", () => own.abort(signal.reason));
        return attempt(endpoint, own.signal, control);
      }, options);
      for (const controller of controllers) controller.abort();
      return value;
    },
  },
  {
    said: "which is not in this world",
    engine: (attempt, options) =>
      happyEyeballs(
        (endpoint, signal, control) =>
          attempt({ ...endpoint, address: "203.0.113.1" }, signal, control),
        options,
      ),
  },
  {
    said: "every attempt that started ended, once",
    engine: (attempt, { onEvent, ...options }) =>
      happyEyeballs(attempt, {
        ...options,
        onEvent: (event) => {
          if (event.type !== "attempt-end" || event.outcome !== "canceled") {
            onEvent?.(event);
          }
        },
      }),
  },
  {
    said: "no end event",
    engine: (attempt, { onEvent, ...options }) =>
      happyEyeballs(attempt, {
        ...options,
        onEvent: (event) => event.type !== "end" && onEvent?.(event),
      }),
  },
  {
    said: "one discard event for each late success",
    engine: (attempt, { onEvent, ...options }) =>
      happyEyeballs(attempt, {
        ...options,
        onEvent: (event) => event.type !== "discard" && onEvent?.(event),
      }),
  },
  {
    said: "discards are the only events after the end",
    engine: (attempt, { onEvent, ...options }) =>
      happyEyeballs(attempt, {
        ...options,
        onEvent: (event) => {
          if (event.type !== "resolve-start") onEvent?.(event);
          if (event.type === "end") {
            const { time, hostname, port } = event;
            const type = "resolve-start";
            onEvent?.({ type, time, hostname, port, types: [] });
          }
        },
      }),
  },
];

for (const { said, engine } of mistakes) {
  test(`play() fails an engine that gets this wrong: ${said}`, async () => {
    const error = await assertRejects(() => play(world, {}, engine), Error);
    assert(error.message.includes(said), error.message);
  });
}

test("play() passes the engine without a mistake in the same world", async () => {
  const { starts, end } = await play(world);
  assertEquals({ starts, end }, {
    starts: "6.1@10 4.1@260 6.2@510",
    end: "6.2@515",
  });
});

test("play() tells a call that never ends", async () => {
  const engine: Engine = () => new Promise(() => {});
  await assertRejects(() => play(world, {}, engine), Error, "deadlock at t=0");
});
