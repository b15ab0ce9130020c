/**
 * Time that a user's test fakes after it has imported this package: the
 * network does not stand still, so neither may a race (platforms.md's traps of
 * fake timers: globals replaced, `performance` as an object or its method).
 *
 * Nothing here waits for a time to be over: an attempt that never starts makes
 * its test hang, which is how the fault showed.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";

import { readFileSync } from "node:fs";
import net from "node:net";

import {
  connect,
  type HappyEyeballsEvent,
  type Resolver,
  staggeredRace,
} from "../mod.ts";
import { connectNode } from "../src/entry/node.ts";
import { runProgram } from "./child.ts";
import { runtimeName, test } from "./harness.ts";
import type { BlackHole } from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

/** Begins to fake; the result ends it. */
type Fake = () => () => void;

/** Replaces members of `target`, which need not be its own. */
function replace(target: object, members: Record<string, unknown>): () => void {
  const before = Object.keys(members).map((name) =>
    [name, Object.getOwnPropertyDescriptor(target, name)] as const
  );
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(target, name, {
      value,
      writable: true,
      configurable: true,
    });
  }
  return () => {
    for (const [name, property] of before) {
      if (property) Object.defineProperty(target, name, property);
      else Reflect.deleteProperty(target, name);
    }
  };
}

class FrozenDate extends Date {
  constructor() {
    super(0);
  }

  static override now(): number {
    return 0;
  }
}

const fakes: Record<string, Fake> = {
  "timers that never fire": () =>
    replace(globalThis, {
      ...{ setTimeout: () => 1, clearTimeout() {} },
      ...{ setInterval: () => 1, clearInterval() {} },
      ...{ setImmediate: () => 1, clearImmediate() {} },
      queueMicrotask() {},
    }),
  "a clock that stands still": () =>
    replace(globalThis, {
      performance: { now: () => 0, timeOrigin: 0 },
      Date: FrozenDate,
    }),
  "performance.now() that stands still": () =>
    replace(performance, { now: () => 0 }),
  "performance.now() that runs back": () => {
    let now = 1e6;
    return replace(performance, { now: () => --now });
  },
  "FakeTime of @std/testing": () => {
    const time = new FakeTime();
    return () => time.restore();
  },
};

if (runtimeName === "node") {
  const { mock } = await import("node:test");
  fakes["mock.timers of node:test"] = () => {
    mock.timers.enable();
    return () => mock.timers.reset();
  };
}
if (runtimeName === "bun") {
  const name = "bun:test";
  const { jest, setSystemTime } = await import(name);
  fakes["setSystemTime() of bun:test"] = () => {
    setSystemTime(new Date(0));
    return () => setSystemTime();
  };
  // Below JavaScript, so that nothing kept can help; older ones fake no timers.
  if (jest.advanceTimersByTime) {
    test("staggeredRace() obeys the fake timers of bun:test", async () => {
      jest.useFakeTimers();
      try {
        const race = staggeredRace([never, () => "second"], { delay: 1e6 });
        jest.advanceTimersByTime(1e6);
        assertEquals(await race, "second");
      } finally {
        jest.useRealTimers();
      }
    });
  }
}

/** Never settles, unless it is aborted. */
function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

/** A server on 127.0.0.2 at the port of the black hole on 127.0.0.1. */
async function serveBeside(
  { endpoint: { port } }: BlackHole,
): Promise<AsyncDisposable> {
  const server = net.createServer((socket) => socket.on("error", () => {}));
  await new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.2", port }, resolve);
  });
  return {
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => void server.close(() => resolve())),
  };
}

/** Tells A at once and AAAA never, so that there is a Resolution Delay. */
const resolver: Resolver = async function* (_hostname, { signal }) {
  yield { type: "A", addresses: ["127.0.0.1", "127.0.0.2"] };
  await never(signal).catch(() => {});
};

for (const [what, fake] of Object.entries(fakes)) {
  test(`staggeredRace() starts its second attempt beside ${what}`, async () => {
    const starts: number[] = [];
    const restore = fake();
    try {
      const winner = await staggeredRace([never, () => "second"], {
        delay: 20,
        onEvent({ type, time }) {
          if (type === "attempt-start") starts.push(time);
        },
      });
      assertEquals(winner, "second");
      // Timers of some platforms count whole milliseconds.
      assert(starts[1]! - starts[0]! >= 19, `${starts}`);
    } finally {
      restore();
    }
  });

  test(`connect() passes over a dead address beside ${what}`, async () => {
    await using hole = await loopback.blackHole?.();
    if (!hole) return;
    await using _server = await serveBeside(hole);
    const times: number[] = [];
    const options = {
      hostname: "a.test",
      port: hole.endpoint.port,
      resolver,
      connectionAttemptDelay: 20,
      onEvent: ({ time }: HappyEyeballsEvent) => void times.push(time),
    };
    const restore = fake();
    try {
      const connection = await connect(options);
      assertEquals(connection.remoteAddr?.hostname, "127.0.0.2");
      await connection[Symbol.asyncDispose]();
      const socket = await connectNode(options);
      assertEquals(socket.remoteAddress, "127.0.0.2");
      socket.destroy();
    } finally {
      restore();
    }
    assertEquals(times, [...times].sort((a, b) => a - b));
  });
}

test("startTls() settles what it replaces beside a faked queueMicrotask()", async () => {
  await using server = await loopback.serve(async (peer) => {
    await peer.startTls();
  });
  const { address: hostname, port } = server.endpoint;
  const connection = await connect({ hostname, port });
  const { closed } = connection;
  const restore = replace(globalThis, { queueMicrotask() {} });
  try {
    const secure = await connection.startTls({
      serverName: "example.test",
      caCerts: [loopback.certificates.ca],
    });
    await closed;
    await secure[Symbol.asyncDispose]();
  } finally {
    restore();
  }
  await server.idle();
});

const doors = Object.values<string>(
  JSON.parse(readFileSync(new URL("../deno.json", import.meta.url), "utf8"))
    .exports,
);

for (const door of doors) {
  test(`${door} brings the clock along when it is imported`, async () => {
    const url = new URL(`../${door}`, import.meta.url).href;
    const flags = runtimeName === "deno" ? ["--allow-read"] : [];
    const result = await runProgram("imports/clock.ts", [url], flags);
    assertEquals(
      [result.stdout, result.status],
      ["waited\n", 0],
      result.stderr,
    );
  });
}
