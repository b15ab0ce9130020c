/**
 * The waterfall on fixed events: its exact text.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Endpoint } from "../src/core/endpoint.ts";
import { printable } from "../src/entry/printable.ts";
import { waterfall } from "../src/entry/waterfall.ts";
import type { HappyEyeballsEvent } from "../src/events.ts";
import { test } from "./harness.ts";

const v6: Endpoint = { address: "2001:db8::1", family: 6, port: 443 };
const v4: Endpoint = { address: "192.0.2.1", family: 4, port: 443 };

const target = { hostname: "example.com", port: 443 };

const question = (
  time: number,
  types: readonly ("AAAA" | "A")[] = ["AAAA", "A"],
): HappyEyeballsEvent => (
  { type: "resolve-start", time, ...target, types }
);

const answer = (
  time: number,
  recordType: "AAAA" | "A",
  addresses: readonly string[],
  error?: unknown,
): HappyEyeballsEvent => ({
  type: "answer",
  time,
  ...target,
  recordType,
  name: "example.com",
  addresses,
  error,
});

const start = (
  time: number,
  index: number,
  endpoint: Endpoint | null,
): HappyEyeballsEvent => ({
  type: "attempt-start",
  time,
  ...target,
  index,
  endpoint,
});

const tls = (
  time: number,
  index: number,
  endpoint: Endpoint | null,
): HappyEyeballsEvent => (
  { type: "attempt-progress", time, ...target, index, endpoint, phase: "tls" }
);

const ended = (
  time: number,
  index: number,
  endpoint: Endpoint | null,
  outcome: "won" | "failed" | "canceled",
  error?: unknown,
): HappyEyeballsEvent => (
  {
    type: "attempt-end",
    time,
    ...target,
    index,
    endpoint,
    startTime: 0,
    outcome,
    error,
  }
);

const end = (
  time: number,
  outcome: "connected" | "failed" | "aborted",
  more: { index?: number; error?: unknown } = {},
): HappyEyeballsEvent => ({ type: "end", time, ...target, outcome, ...more });

const failure = (code: string): Error =>
  Object.assign(new Error(`connect ${code}`), { code });

/** The text as lines, so that a failed comparison shows them as such. */
function lines(events: readonly HappyEyeballsEvent[], width = 72): string[] {
  return waterfall(events, width).split("\n");
}

test("waterfall() draws questions, attempts, TLS and the winner on one axis", () => {
  const events = [
    question(1000),
    answer(1005, "AAAA", ["2001:db8::1"]),
    start(1005, 0, v6),
    answer(1020, "A", ["192.0.2.1", "192.0.2.2"]),
    start(1255, 1, v4),
    tls(1265, 1, v4),
    ended(1300.4, 1, v4, "won"),
    ended(1300.4, 0, v6, "canceled"),
    end(1300.4, "connected", { index: 1 }),
  ];
  assertEquals(lines(events), [
    "ms                 0         100        200",
    "AAAA               .|                                  5 ms  1 address",
    "A                  ..|                                20 ms  2 addresses",
    "[2001:db8::1]:443   ------------------------------/  295 ms  canceled",
    "192.0.2.1:443                                -====*   45 ms  connected",
    "",
    "Connected to 192.0.2.1:443 by IPv4 after 300 ms (attempt 2 of 2)",
    "",
  ]);
});

test("waterfall() names what failed by its code and ends with the error's message", () => {
  const refused = failure("ECONNREFUSED");
  const timeout = failure("EAI_AGAIN");
  const error = new Error(
    'Cannot connect to "example.com" port 443: 192.0.2.1 ECONNREFUSED',
  );
  const events = [
    question(0),
    answer(4, "AAAA", [], timeout),
    answer(8, "A", ["192.0.2.1"]),
    start(8, 0, v4),
    ended(8.5, 0, v4, "failed", refused),
    end(8.5, "failed", { error }),
  ];
  assertEquals(lines(events), [
    "ms             0       2       4       6       8",
    "AAAA           ................|                      4 ms  EAI_AGAIN",
    "A              ................................|      8 ms  1 address",
    "192.0.2.1:443                                  --x  0.5 ms  ECONNREFUSED",
    "",
    'Cannot connect to "example.com" port 443: 192.0.2.1 ECONNREFUSED',
    "",
  ]);
});

test("waterfall() shows a question that nobody answered and what was cut off", () => {
  const events = [
    question(0),
    answer(10, "A", []),
    end(1500, "aborted"),
  ];
  assertEquals(lines(events), [
    "ms    0              500           1000",
    "AAAA  .............................................  1500 ms  no answer",
    "A     |                                                10 ms  no address",
    "",
    "Gave up after 1500 ms",
    "",
  ]);
});

test("waterfall() marks every answer to a question and counts the last one", () => {
  const events = [
    question(0, ["A"]),
    answer(10, "A", ["192.0.2.1"]),
    start(10, 0, v4),
    answer(60, "A", ["192.0.2.1", "192.0.2.2"]),
    ended(100, 0, v4, "won"),
    end(100, "connected", { index: 0 }),
  ];
  assertEquals(lines(events), [
    "ms             0                 50",
    "A              ....|.................|                60 ms  2 addresses",
    "192.0.2.1:443      --------------------------------*  90 ms  connected",
    "",
    "Connected to 192.0.2.1:443 by IPv4 after 100 ms (attempt 1 of 1)",
    "",
  ]);
});

test("waterfall() shows an attempt by name and one from a local address", () => {
  const byName = [
    start(0, 0, null),
    tls(10, 0, null),
    ended(20, 0, null, "won"),
    end(20, "connected", { index: 0 }),
  ];
  assertEquals(lines(byName), [
    "ms       0          5          10         15",
    "by name  ----------------------======================*  20 ms  connected",
    "",
    "Connected by name after 20 ms (attempt 1 of 1)",
    "",
  ]);
  const local = { ...v4, localAddress: "192.0.2.77" };
  const fromHere = [
    start(0, 0, local),
    ended(0.04, 0, local, "won"),
    end(0.04, "connected", { index: 0 }),
    { type: "discard", time: 900, ...target, index: 1 } as const,
  ];
  assertEquals(lines(fromHere), [
    "ms                             0           0.5        1",
    "192.0.2.1:443 from 192.0.2.77  -*                        0 ms  connected",
    "",
    "Connected to 192.0.2.1:443 from 192.0.2.77 by IPv4 after 0 ms (attempt 1 of 1)",
    "",
  ]);
});

test("waterfall() draws what there is of an unfinished story", () => {
  assertEquals(waterfall([], 72), "");
  assertEquals(lines([question(5, ["AAAA"])]), [
    "ms    0         0.2      0.4       0.6      0.8       1",
    "AAAA  .                                                  0 ms  no answer",
    "",
    "Not decided yet",
    "",
  ]);
  assertEquals(lines([start(0, 0, v6), start(250, 1, v4)]), [
    "ms                 0              100            200",
    "[2001:db8::1]:443  ---------------------------------------  250 ms  open",
    "192.0.2.1:443                                            -    0 ms  open",
    "",
    "Not decided yet",
    "",
  ]);
});

test("waterfall() takes failures that are no errors", () => {
  const events = [
    start(0, 0, v6),
    ended(1, 0, v6, "failed", "odd"),
    start(1, 1, v4),
    ended(2, 1, v4, "failed", new TypeError("odd")),
    end(2, "failed", { error: "nothing works" }),
  ];
  assertEquals(lines(events), [
    "ms                 0        0.5      1       1.5      2",
    "[2001:db8::1]:443  ------------------x                   1 ms  failed",
    "192.0.2.1:443                        -----------------x  1 ms  TypeError",
    "",
    "nothing works",
    "",
  ]);
});

test("waterfall() stays within its width and keeps a bar in a narrow one", () => {
  const events = [
    question(0),
    answer(3, "AAAA", ["2001:db8::1"]),
    start(3, 0, v6),
    ended(253, 0, v6, "won"),
    end(253, "connected", { index: 0 }),
  ];
  for (let width = 70; width <= 200; width++) {
    const lengths = lines(events, width).map((line) => line.length);
    assertEquals(Math.max(...lengths), width);
  }
  assertEquals(lines(events, 10), [
    "ms                 0              200",
    "AAAA               |                       3 ms  1 address",
    "A                  ....................  253 ms  no answer",
    "[2001:db8::1]:443  -------------------*  250 ms  connected",
    "",
    "Connected to [2001:db8::1]:443 by IPv6 after 253 ms (attempt 1 of 1)",
    "",
  ]);
});

test("waterfall() shows no character that a terminal obeys, whoever said it", () => {
  const orders = Array.from({ length: 0xa0 }, (_, code) => code)
    .filter((code) => code < 0x20 || code >= 0x7f)
    .concat(0x061c, 0x200e, 0x200f, 0x2028, 0x2029, 0xfeff, 0xe0001, 0xd800)
    .concat(0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068)
    .concat(0x2069)
    .map((code) => String.fromCodePoint(code));
  for (const order of orders) {
    const text = `x${order}y`;
    const shown = `x${JSON.stringify(order)}y`;
    const endpoint = { ...v6, address: text, localAddress: text };
    for (
      const error of [
        failure(text),
        text,
        Object.assign(new Error(text), { name: text }),
      ]
    ) {
      const drawn = lines([
        question(0),
        answer(1, "AAAA", [], error),
        start(1, 0, endpoint),
        ended(2, 0, endpoint, "failed", error),
        end(2, "failed", { error }),
      ]);
      assertEquals(drawn.length, 7, shown);
      assertEquals(drawn.join(""), printable(drawn.join("")), shown);
      assertEquals(
        drawn.filter((line) => line.includes("x\\u")).length >= 2,
        true,
      );
    }
    const [, bar, , sentence] = lines([
      start(0, 0, endpoint),
      ended(1, 0, endpoint, "won"),
      end(1, "connected", { index: 0 }),
    ]);
    const place = `[${printable(text)}]:443 from ${printable(text)}`;
    assertEquals(bar!.startsWith(`${place}  `), true, bar);
    assertEquals(sentence!.startsWith(`Connected to ${place} by`), true);
  }
});
