/**
 * The resolver written down as a line of text: which answer comes when.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import type { RecordType } from "../src/core/answer.ts";
import { scriptedResolver } from "../src/entry/scripted_resolver.ts";
import { FakeClock } from "./fake_clock.ts";
import { test } from "./harness.ts";

type Told = readonly [
  time: number,
  type: RecordType,
  addresses: string,
  error?: string,
];

/** The answers with their times, until the end or the abort at `abortTime`. */
async function ask(
  list: string,
  types: readonly RecordType[] = ["AAAA", "A"],
  abortTime?: number,
): Promise<{ told: Told[]; endTime: number }> {
  const clock = new FakeClock();
  const controller = new AbortController();
  const { signal } = controller;
  if (abortTime !== undefined) clock.at(abortTime, () => controller.abort());
  const answers = scriptedResolver(list, clock)("a.test", {
    types,
    port: 80,
    signal,
  });
  const told: Told[] = [];
  await clock.run((async () => {
    for await (const { type, addresses, error } of answers) {
      const code = (error as { code?: string } | undefined)?.code;
      const entry = [clock.now(), type, addresses.join(" ")] as const;
      told.push(code === undefined ? entry : [...entry, code]);
    }
  })());
  assertEquals(clock.pending, 0);
  return { told, endTime: clock.now() };
}

const scripts: readonly [list: string, told: readonly Told[]][] = [
  // in the order of time, not of the list
  ["6@30=::1,4@10=127.0.0.1", [[10, "A", "127.0.0.1"], [30, "AAAA", "::1"]]],
  // at once
  ["6=::1,4@0=127.0.0.1", [[0, "AAAA", "::1"], [0, "A", "127.0.0.1"]]],
  // one answer with two addresses, then one that replaces it
  ["6@5=::1,6@5=::2,6@9=::3", [[5, "AAAA", "::1 ::2"], [9, "AAAA", "::3"]]],
  // none, and an error
  ["6@5=,4@7=ENOTFOUND", [[5, "AAAA", ""], [7, "A", "", "ENOTFOUND"]]],
  // canonical form
  ["6=2001:DB8:0:0::1", [[0, "AAAA", "2001:db8::1"]]],
];

test("scriptedResolver() gives each answer at its time", async () => {
  for (const [list, told] of scripts) {
    const endTime = Math.max(...told.map(([time]) => time));
    assertEquals(await ask(list), { told: [...told], endTime }, list);
  }
});

test("scriptedResolver() answers only what it is asked for", async () => {
  assertEquals(await ask("6@30=::1,4@10=127.0.0.1", ["AAAA"]), {
    told: [[30, "AAAA", "::1"]],
    endTime: 30,
  });
});

test("scriptedResolver() leaves a question open until the answer is not needed", async () => {
  assertEquals(await ask("6@never,4@10=127.0.0.1", ["AAAA", "A"], 500), {
    told: [[10, "A", "127.0.0.1"]],
    endTime: 500,
  });
});

test("scriptedResolver() ends at the abort, whatever was still to come", async () => {
  assertEquals(await ask("6@900=::1,4@never", ["AAAA", "A"], 20), {
    told: [],
    endTime: 20,
  });
});

const bad: readonly [list: string, message: string][] = [
  ["", "Not of the form TYPE@MS=ADDRESS: "],
  ["6", "Not of the form TYPE@MS=ADDRESS: 6"],
  ["6=::1,", "Not of the form TYPE@MS=ADDRESS: "],
  ["6@30", "Not of the form TYPE@MS=ADDRESS: 6@30"],
  ["6@=::1", "Not of the form TYPE@MS=ADDRESS: 6@=::1"],
  ["6@-1=::1", "Not of the form TYPE@MS=ADDRESS: 6@-1=::1"],
  ["6@never=::1", "Not of the form TYPE@MS=ADDRESS: 6@never=::1"],
  ["AAAA@30=::1", "Not of the form TYPE@MS=ADDRESS: AAAA@30=::1"],
  ["6=127.0.0.1", "No IPv6 address or error code: 6=127.0.0.1"],
  ["4=::1", "No IPv4 address or error code: 4=::1"],
  ["4=localhost", "No IPv4 address or error code: 4=localhost"],
];

test("scriptedResolver() refuses what is no script and says why", () => {
  for (const [list, message] of bad) {
    assertThrows(() => scriptedResolver(list), TypeError, message, list);
  }
});
