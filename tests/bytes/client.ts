/**
 * The doors of one runtime: `client.ts '<Task as JSON>'`.
 *
 * For each, 8 connections at once move their share of the bytes both ways,
 * beside a TLS connection of the platform's own that does the same. What is
 * written must stay as it is until the write is done and may change then; what
 * was read must not change any more. Prints an {@linkcode Outcome} for each
 * case, as a line of JSON.
 *
 * @module
 */

import { createHash } from "node:crypto";
import process from "node:process";

import {
  builtIn,
  type Door,
  doors,
  exception,
  type Pipe,
  pooled,
} from "./doors.ts";
import { ByteSource, encodeHello, HASH_SIZE, Random } from "./source.ts";

/** What is asked of the doors. */
export interface Task {
  readonly ports: Readonly<Record<"plain" | "tls", number>>;
  /** How many bytes go each way in each case. */
  readonly size: number;
  readonly seed: number;
}

/** What became of a case. */
export interface Outcome {
  readonly door: string;
  readonly isTls: boolean;
  /** Milliseconds. */
  readonly time: number;
  readonly error?: string | undefined;
  /** Why it was left out. */
  readonly skipped?: string | undefined;
}

const CONNECTIONS = 8;
/** How many chunks are kept to the end by a connection. */
const KEPT = 16;
/** The most bytes of a chunk that is put into a pool. */
const POOLED = 1_000;

const { ports, size, seed }: Task = JSON.parse(process.argv[2]!);
const random = new Random(seed);
for (const [door, open] of Object.entries(doors)) {
  for (const isTls of [false, true]) {
    const skipped = exception(door, isTls);
    const start = performance.now();
    const error = skipped ? undefined : await run(open, isTls).then(
      () => undefined,
      (error) => String(error),
    );
    const time = performance.now() - start;
    const outcome: Outcome = { door, isTls, time, error, skipped };
    console.log(JSON.stringify(outcome));
  }
}
process.exit();

async function run(open: Door, isTls: boolean): Promise<void> {
  // Readers of wide elements want a multiple of two.
  const share = Math.ceil(size / CONNECTIONS / 2) * 2;
  const port = isTls ? ports.tls : ports.plain;
  await Promise.all([
    ...Array.from(
      { length: CONNECTIONS },
      (_, index) => exchange("connection", open, { port, isTls, index }, share),
    ),
    exchange(
      "the platform's own connection",
      builtIn,
      { port: ports.tls, isTls: true, index: 0 },
      share,
    ),
  ]);
}

async function exchange(
  name: string,
  open: Door,
  target: { port: number; isTls: boolean; index: number },
  share: number,
): Promise<void> {
  const seeds = { up: random.next() >>> 0, down: random.next() >>> 0 };
  const own = new Random(random.next());
  try {
    const pipe = await open({ ...target, random: own });
    const [sent, answer] = await Promise.all([
      send(pipe, seeds, share, own),
      receive(pipe, seeds.down, share),
    ]);
    if (sent !== answer) throw new Error("what was sent is not what arrived");
    await pipe.close();
  } catch (error) {
    throw new Error(`${name} ${target.index}: ${(error as Error).message}`);
  }
}

/** Returns the hash of what was sent. */
async function send(
  pipe: Pipe,
  { up, down }: { up: number; down: number },
  share: number,
  own: Random,
): Promise<string> {
  await pipe.write(encodeHello({ up, size: share, down }));
  const source = new ByteSource(up);
  const hash = createHash("sha256");
  for (let left = share; left > 0;) {
    const copy = new Uint8Array(Math.min(left, own.chunkSize()));
    source.fill(copy);
    hash.update(copy);
    left -= copy.length;
    const chunk = chunkOf(copy, own);
    await pipe.write(chunk);
    if (!isSame(chunk, copy)) throw new Error("a chunk was changed or taken");
    chunk.fill(0);
  }
  return hash.digest("hex");
}

/** The bytes in a buffer of their own, amid a larger one, or in a pool. */
function chunkOf(bytes: Uint8Array, own: Random): Uint8Array {
  if (bytes.length < POOLED) return pooled(bytes);
  if (own.below(2) === 0) return new Uint8Array(bytes);
  const larger = new Uint8Array(bytes.length + 100);
  larger.set(bytes, 50);
  return larger.subarray(50, 50 + bytes.length);
}

/** Returns the hash that the server has of what it got. */
async function receive(
  { chunks, isOwned }: Pipe,
  seed: number,
  share: number,
): Promise<string> {
  const received = createHash("sha256");
  const kept: [chunk: Uint8Array, copy: Uint8Array][] = [];
  let left = share;
  let answer = "";
  for await (const chunk of chunks) {
    const bytes = chunk.subarray(0, left);
    received.update(bytes);
    answer += toHex(chunk.subarray(bytes.length));
    left -= bytes.length;
    if (kept.length < KEPT) kept.push([chunk, chunk.slice()]);
    else if (isOwned) {
      structuredClone(chunk.buffer, {
        transfer: [chunk.buffer as ArrayBuffer],
      });
    }
  }
  if (left > 0) throw new Error(`the end came ${left} bytes too early`);
  if (answer.length !== 2 * HASH_SIZE) throw new Error("the end is not whole");
  if (received.digest("hex") !== hashOf(seed, share)) {
    throw new Error("what arrived is not what was sent");
  }
  for (const [chunk, copy] of kept) {
    if (!isSame(chunk, copy)) throw new Error("a chunk changed after its read");
  }
  return answer;
}

function hashOf(seed: number, size: number): string {
  const source = new ByteSource(seed);
  const hash = createHash("sha256");
  const block = new Uint8Array(65_536);
  for (let left = size; left > 0; left -= block.length) {
    source.fill(block);
    hash.update(block.subarray(0, left));
  }
  return hash.digest("hex");
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
