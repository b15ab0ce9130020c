/**
 * Alternating address families.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import type { Family } from "../src/core/endpoint.ts";
import { interleave } from "../src/core/interleave.ts";
import { test } from "./harness.ts";

interface Entry {
  readonly family: Family;
  readonly name: string;
}

/** `"6.1"` is the first entry of family 6. */
function entries(text: string): Entry[] {
  return text.split(" ").filter(Boolean).map((name) => ({
    family: name.startsWith("6") ? 6 : 4,
    name,
  }));
}

test("interleave() alternates the families (A39, A40; RFC 8305 section 4)", () => {
  const rows: [sorted: string, count: number, expected: string][] = [
    ["", 1, ""],
    ["6.1", 1, "6.1"],
    ["6.1 6.2 6.3", 1, "6.1 6.2 6.3"],
    ["4.1 4.2", 3, "4.1 4.2"],
    // A39: the second entry is the first one of the other family.
    ["6.1 6.2 4.1 4.2", 1, "6.1 4.1 6.2 4.2"],
    // The family of the first entry leads, whichever it is.
    ["4.1 4.2 6.1 6.2", 1, "4.1 6.1 4.2 6.2"],
    // Sorting may have mixed them already; within a family the order stays.
    ["6.1 4.1 4.2 6.2", 1, "6.1 4.1 6.2 4.2"],
    ["6.2 4.2 6.1 4.1", 1, "6.2 4.2 6.1 4.1"],
    // What is left of the longer family comes last.
    ["6.1 6.2 6.3 4.1", 1, "6.1 4.1 6.2 6.3"],
    ["6.1 4.1 4.2 4.3", 1, "6.1 4.1 4.2 4.3"],
    // A40: the preferred family gets more entries, once.
    ["6.1 6.2 6.3 6.4 4.1 4.2", 2, "6.1 6.2 4.1 6.3 4.2 6.4"],
    ["4.1 4.2 4.3 6.1 6.2", 2, "4.1 4.2 6.1 4.3 6.2"],
    // A40: more than there are.
    ["6.1 6.2 4.1 4.2", 9, "6.1 6.2 4.1 4.2"],
  ];
  for (const [sorted, count, expected] of rows) {
    const names = interleave(entries(sorted), count).map(({ name }) => name);
    assertEquals(names.join(" "), expected, `${sorted} count ${count}`);
  }
});

const families = fc.array(fc.constantFrom<Family>(4, 6), { maxLength: 12 });

test("interleave() loses nothing and keeps the order within a family", () => {
  fc.assert(
    fc.property(families, fc.integer({ min: 1, max: 5 }), (list, count) => {
      const sorted = list.map((family, index) => ({ family, index }));
      const copy = [...sorted];
      const result = interleave(sorted, count);
      assertEquals(sorted, copy, "the argument was changed");
      for (const family of [4, 6]) {
        const ofFamily = (entry: { family: Family }) => entry.family === family;
        assertEquals(result.filter(ofFamily), sorted.filter(ofFamily));
      }
      assertEquals(result.length, sorted.length);
    }),
  );
});

test("interleave() alternates after the preferred entries until a family ends", () => {
  fc.assert(
    fc.property(families, fc.integer({ min: 1, max: 5 }), (list, count) => {
      const result = interleave(list.map((family) => ({ family })), count);
      const leading = list.filter((family) => family === list[0]).length;
      const other = list.length - leading;
      const preferred = Math.min(count, leading);
      const alternating = 2 * Math.min(leading - preferred, other);
      result.forEach(({ family }, i) => {
        const isLeading = family === list[0];
        if (i < preferred) {
          assert(isLeading, `entry ${i} is preferred`);
        } else if (i < preferred + alternating) {
          assert(isLeading === ((i - preferred) % 2 === 1), `entry ${i}`);
        } else {
          assert(isLeading === (leading - preferred > other), `entry ${i}`);
        }
      });
    }),
  );
});
