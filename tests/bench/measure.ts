/**
 * Two ways to do the same, measured beside each other.
 *
 * In each of five rounds the two take turns. A round's amount is the median of
 * its turns, and the medians of the rounds are compared: a machine that is busy
 * for a moment slows a few turns of both. Before that both run until the
 * compiler has seen enough of them; what they take then does not count. No
 * garbage collection is forced between the rounds, for with it V8 throws away
 * compiled code.
 *
 * @module
 */

/** What measures itself once, and tells the amount; in a hurry for a warm-up. */
export type Measure = (isWarmUp: boolean) => Promise<number>;

/** What is compared. */
export interface Case extends Pick<Measurement, "name" | "unit" | "limit"> {
  readonly raw: Measure;
  readonly ours: Measure;
  /** How often each is measured in a round. */
  readonly turns: number;
  /** How often each is measured before the first round. */
  readonly warmUp: number;
}

/** The result of a case, each side in `unit`. */
export interface Measurement {
  readonly name: string;
  readonly unit: string;
  readonly raw: number;
  readonly ours: number;
  /** The most that ours may be: a multiple of raw, or in `unit`. */
  readonly limit?: { readonly ratio: number } | { readonly value: number };
}

const ROUNDS = 5;

/** Runs a case. */
export async function measure(
  { raw, ours, turns, warmUp, ...rest }: Case,
): Promise<Measurement> {
  await measureRound(raw, ours, warmUp, true);
  const rounds: { raw: number; ours: number }[] = [];
  while (rounds.length < ROUNDS) {
    rounds.push(await measureRound(raw, ours, turns, false));
  }
  return {
    ...rest,
    raw: median(rounds.map(({ raw }) => raw)),
    ours: median(rounds.map(({ ours }) => ours)),
  };
}

async function measureRound(
  raw: Measure,
  ours: Measure,
  turns: number,
  isWarmUp: boolean,
): Promise<{ raw: number; ours: number }> {
  const amounts: { raw: number[]; ours: number[] } = { raw: [], ours: [] };
  while (amounts.ours.length < turns) {
    amounts.raw.push(await raw(isWarmUp));
    amounts.ours.push(await ours(isWarmUp));
  }
  return { raw: median(amounts.raw), ours: median(amounts.ours) };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
