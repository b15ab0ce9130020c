/**
 * `connect()` on a platform that is data: TLS as part of the attempt, and the
 * attempt by name, in exact virtual time. Real sockets: `runtime_test.ts`.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";

import { connectOn } from "../src/connect.ts";
import type { Connection } from "../src/connection.ts";
import { ConnectError } from "../src/errors.ts";
import type { HappyEyeballsEvent } from "../src/events.ts";
import type { ConnectOptions } from "../src/options.ts";
import { staticResolver } from "../src/resolvers/static.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import { FakeClock } from "./fake_clock.ts";
import { codeError } from "./fake_network.ts";
import { test } from "./harness.ts";

/** When TCP is up and when TLS is, in ms after the start of the attempt. */
interface Host {
  readonly tcp: number;
  readonly tls?: number;
  /** What the attempt ends with instead of a connection. */
  readonly error?: Error;
}

interface Played {
  /** `address@start` of each attempt, then the result and its time. */
  readonly story: string;
  readonly events: readonly HappyEyeballsEvent[];
  readonly error: unknown;
}

/** Connects in a world of `hosts` and tells what happened when. */
async function play(
  hosts: Record<string, Host>,
  options: Partial<ConnectOptions> = {},
  platform: Partial<Runtime> = {},
): Promise<Played> {
  const clock = new FakeClock();
  const events: HappyEyeballsEvent[] = [];
  const open = new Set<string>();

  async function dial(
    address: string,
    isTls: boolean,
    signal: AbortSignal,
    onTcp: () => void,
  ): Promise<Connection> {
    const { tcp, tls = 0, error } = hosts[address]!;
    await clock.sleep(tcp, signal);
    signal.throwIfAborted();
    if (isTls) {
      onTcp();
      await clock.sleep(tls, signal);
      signal.throwIfAborted();
    }
    if (error) throw error;
    open.add(address);
    return { remoteAddr: address } as unknown as Connection;
  }

  const runtime: Runtime = {
    name: "node",
    connect: ({ address }, { tls }, signal, onTcp) =>
      dial(address, tls !== null, signal, onTcp),
    connectByName: (hostname, _port, { tls }, signal, onTcp) =>
      dial(hostname, tls !== null, signal, onTcp),
    lookup: () => Promise.resolve([]),
    sourceAddress: () => undefined,
    ...platform,
  };
  const result = connectOn(() => runtime, {
    hostname: "example.test",
    port: 443,
    clock,
    onEvent: (event) => events.push(event),
    ...options,
  });
  const outcome = await clock.run(result.then(
    ({ remoteAddr }) => ({ end: String(remoteAddr), error: undefined }),
    (error: unknown) => ({ end: "failed", error }),
  ));
  const starts = events.flatMap((event) =>
    event.type === "attempt-start"
      ? [`${event.endpoint?.address ?? "by name"}@${event.time}`]
      : []
  );
  const { error, end } = outcome;
  assertEquals([...open], end === "failed" ? [] : [end]);
  assertEquals(clock.pending, 0);
  return { story: [...starts, end].join(" "), events, error };
}

const resolver = staticResolver(["2001:db8::1", "192.0.2.1"]);
const [six, four] = ["2001:db8::1", "192.0.2.1"];

for (
  const [what, hosts, options, story] of [
    [
      "is done with TCP where no TLS is asked for (A65)",
      { [six]: { tcp: 20, tls: 900 }, [four]: { tcp: 20 } },
      { tls: false },
      `${six}@0 ${six}`,
    ],
    [
      "holds the next attempt back while TLS is under way (A67)",
      { [six]: { tcp: 100, tls: 390 }, [four]: { tcp: 20 } },
      {},
      // 100 ms of TCP are worth 400 ms from then on.
      `${six}@0 ${six}`,
    ],
    [
      "starts the next attempt when TLS takes longer than held (A68)",
      { [six]: { tcp: 100, tls: 5000 }, [four]: { tcp: 20, tls: 40 } },
      {},
      `${six}@0 ${four}@500 ${four}`,
    ],
    [
      "holds for the attempt delay at least (A67)",
      { [six]: { tcp: 10, tls: 5000 }, [four]: { tcp: 20, tls: 40 } },
      {},
      `${six}@0 ${four}@260 ${four}`,
    ],
    [
      "holds for 2 s at most (A49)",
      { [six]: { tcp: 800, tls: 9000 }, [four]: { tcp: 20, tls: 40 } },
      { connectionAttemptDelay: 900 },
      `${six}@0 ${four}@2800 ${four}`,
    ],
    [
      "lets an address win whose TCP is slow and whose TLS is first (A64)",
      { [six]: { tcp: 10, tls: 700 }, [four]: { tcp: 200, tls: 100 } },
      {},
      `${six}@0 ${four}@260 ${four}`,
    ],
    [
      "tries the next address at once when TLS fails (A64, hazard 5)",
      {
        [six]: { tcp: 50, tls: 50, error: codeError("ERR_TLS_CERT") },
        [four]: { tcp: 20, tls: 40 },
      },
      {},
      `${six}@0 ${four}@100 ${four}`,
    ],
  ] as const
) {
  test(`connect() ${what}`, async () => {
    const played = await play(hosts, {
      tls: true,
      resolver,
      sourceAddress: () => undefined,
      ...options,
    });
    assertEquals(played.story, story);
  });
}

test("connect() tells when TLS begins", async () => {
  const { events } = await play({ [six]: { tcp: 30, tls: 20 } }, {
    tls: true,
    resolver: staticResolver([six]),
  });
  const endpoint = { address: six, family: 6 as const, port: 443 };
  assertEquals(events.filter(({ type }) => type === "attempt-progress"), [
    {
      type: "attempt-progress",
      time: 30,
      hostname: "example.test",
      port: 443,
      index: 0,
      endpoint,
      phase: "tls",
    },
  ]);
});

const missing = "net access to every host";
const byNameOnly: Partial<Runtime> = { missingPermission: () => missing };

test("connect() goes by name where the platform must resolve by itself", async () => {
  const { story, events } = await play(
    { "example.test.": { tcp: 30 } },
    { hostname: "example.test." },
    byNameOnly,
  );
  assertEquals(story, "by name@0 example.test.");
  const target = { hostname: "example.test.", port: 443 };
  assertEquals(events, [
    {
      type: "attempt-start",
      time: 0,
      ...target,
      index: 0,
      endpoint: null,
      delegated: true,
    },
    {
      type: "attempt-end",
      time: 30,
      ...target,
      index: 0,
      endpoint: null,
      startTime: 0,
      outcome: "won",
    },
    {
      type: "end",
      time: 30,
      ...target,
      outcome: "connected",
      index: 0,
      endpoint: null,
    },
  ]);
});

test("connect() tells the platform's reason where it went by name", async () => {
  const error = Object.assign(new Error("prompt declined"), { code: "EACCES" });
  const played = await play(
    { "example.test": { tcp: 30, error } },
    {},
    byNameOnly,
  );
  assertInstanceOf(played.error, ConnectError);
  assertEquals(
    played.error.message,
    'Cannot connect to "example.test" port 443: EACCES (prompt declined)',
  );
  assertEquals(played.error.attempts[0]?.endpoint, null);
});

for (
  const options of [
    { allow: () => true },
    { family: 4 },
    { localAddresses: ["192.0.2.2"] },
    { sourceAddress: () => undefined },
  ] satisfies Partial<ConnectOptions>[]
) {
  const [name] = Object.keys(options);
  test(`connect() does not go by name against ${name}`, async () => {
    const error = await assertRejects(
      () =>
        connectOn(() => ({ ...byNameOnly } as Runtime), {
          hostname: "example.test",
          port: 443,
          ...options,
        }),
      ConnectError,
    );
    assertEquals(error.code, "EACCES");
    assert(error.message.includes(`${name} needs a permission: ${missing}`));
  });
}
