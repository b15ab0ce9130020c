/**
 * Text of others on its way to a terminal.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { printable } from "../src/entry/printable.ts";
import { test } from "./harness.ts";

test("printable() shows what a terminal obeys, and leaves the rest", () => {
  for (
    const [text, shown] of [
      ["", ""],
      ['plain ASCII ~ \\ "', 'plain ASCII ~ \\ "'],
      ["münchen \u{1f441} 日本", "münchen \u{1f441} 日本"],
      ["a\0b", "a\\u0000b"],
      ["\x1b[31mred", "\\u001b[31mred"],
      ["one\r\ntwo\tthree", "one\\u000d\\u000atwo\\u0009three"],
      ["\x7f\x80\x9b31m\x9f", "\\u007f\\u0080\\u009b31m\\u009f"],
      ["\u2028\u2029", "\\u2028\\u2029"],
      ["\u202Egnp.exe\u202C", "\\u202egnp.exe\\u202c"],
      ["\u200b\u2066\ufeff", "\\u200b\\u2066\\ufeff"],
      ["\u{e0041}", "\\udb40\\udc41"],
      ["\ud800 and \udc00", "\\ud800 and \\udc00"],
    ] as const
  ) {
    assertEquals(printable(text), shown);
    const json = printable(JSON.stringify(text));
    assertEquals(JSON.parse(json), text);
    assertEquals(printable(json), json);
  }
});
