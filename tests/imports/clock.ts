/**
 * Imports the module it is given, then fakes time, then waits by the system's
 * clock. It ends only if that clock was there before the fakes; if it was to
 * be loaded later, its timer never fires. `fake_timers_test.ts` starts it,
 * because a process imports a module once.
 *
 * @module
 */

import process from "node:process";

await import(process.argv[2]!);
Object.assign(globalThis, { setTimeout: () => 0 });
const { systemClock } = await import("../../src/runtime/system_clock.ts");
await systemClock.sleep(1);
console.log("waited");
