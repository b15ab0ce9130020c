/**
 * Where a socket of ours is not as the platform's own, and why.
 *
 * @module
 */

import type { DoorName } from "./scene.ts";

/** A difference that stays. */
export interface Difference {
  readonly reason: string;
  /** The runtimes it shows on. @default all */
  readonly on?: readonly RuntimeName[];
  /** The doors it shows with. @default all of ours */
  readonly doors?: readonly DoorName[];
}

export type RuntimeName = "Node" | "Bun" | "Deno";

/** By the name of the case. */
export const differences: Readonly<Record<string, Difference>> = {};

/** Why a case may differ there, if it may. */
export function reasonFor(
  name: string,
  runtime: RuntimeName,
  door: DoorName,
): string | undefined {
  const difference = differences[name];
  const { reason, on = [runtime], doors = [door] } = difference ?? {};
  return on.includes(runtime) && doors.includes(door) ? reason : undefined;
}
