/**
 * Runs cases on the runtime at hand: `child.ts [[INDEX, DOOR], ...]`.
 *
 * Prints a line of JSON before and after each run of a case, so that one which
 * ends the process is known by what was said last.
 *
 * @module
 */

import process from "node:process";

import { cases } from "./cases.ts";
import { doorNames, doors, noEnd, Scene } from "./scene.ts";

const wanted: [index: number, door: string][] = JSON.parse(
  process.argv[2] ?? "[]",
);

/** Cases in which the platform's own has no end; ours then proves nothing. */
const endless = new Set<number>();

for (const [index, name] of wanted) {
  const { run, limit = 3000 } = cases[index]!;
  const door = doorNames.find((each) => each === name)!;
  if (endless.has(index)) {
    print({ index, door, lines: [] });
    continue;
  }
  print({ index, door });
  const scene = new Scene(doors[door]);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      scene.log(noEnd);
      if (door === "platform") endless.add(index);
      resolve();
    }, limit);
  });
  for (const origin of ["uncaughtException", "unhandledRejection"]) {
    process.on(origin, (error) => scene.logUncaught(origin, error));
  }
  await Promise.race([late, attempt(() => run(scene), scene)]);
  clearTimeout(timer);
  const lines = [...scene.lines];
  await Promise.race([late, scene.end()]);
  process.removeAllListeners("uncaughtException");
  process.removeAllListeners("unhandledRejection");
  print({ index, door, lines });
}
process.exit(0);

async function attempt(run: () => unknown, scene: Scene): Promise<void> {
  try {
    await run();
  } catch (error) {
    scene.log("the case failed", error);
  }
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
