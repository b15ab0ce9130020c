/**
 * Offline stand-in for the part of `jsr:@std/async` that this suite uses; see
 * `tests/std/assert/mod.ts` for why it exists.
 *
 * @module
 */

export * from "./deadline.ts";
