/**
 * Each test in a line, with its error where it failed, as soon as it is known.
 *
 * Of Node's own reporters, `spec` tells errors at the end, which a process that
 * hangs never reaches, and `tap` takes five lines for each test that passed.
 *
 * @module
 */

import { inspect } from "node:util";

export default async function* report(events) {
  const count = { "test:pass": 0, "test:fail": 0 };
  for await (const { type, data } of events) {
    if (!(type in count)) continue;
    count[type]++;
    if (type === "test:pass") yield `ok ${data.name}\n`;
    else yield `not ok ${data.name}\n${inspect(errorOf(data.details))}\n`;
  }
  yield `${count["test:pass"]} passed, ${count["test:fail"]} failed\n`;
}

/** The error of the test, out of the runner's own. */
function errorOf({ error }) {
  return error.cause ?? error;
}
