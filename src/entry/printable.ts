/**
 * Text of others made safe for a terminal.
 *
 * What a resolver, a peer or a certificate says may hold characters that are
 * orders to a terminal: they move its cursor, change its title, or turn the
 * direction of what follows, and so show something that nobody said.
 *
 * @module
 */

/**
 * Control characters (C0, DEL, C1), line and paragraph separators, invisible
 * format characters, which include all that turn the direction, and halves of
 * surrogate pairs.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * `text` on one line, what is not printable as `\u001b`: as JSON writes it, so
 * this may be done to JSON too.
 */
export function printable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => character.split("").map(escaped).join(""),
  );
}

/** One UTF-16 unit. */
function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
