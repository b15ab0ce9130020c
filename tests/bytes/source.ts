/**
 * Bytes by a seed, for both ends: neither has to send the other what it
 * expects, and a shifted, lost or foreign byte changes the hash.
 *
 * @module
 */

/** Numbers that look random, the same for the same seed (xorshift32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    // Zero would stay zero.
    this.#state = seed | 0 || 1;
  }

  /** Any 32 bits. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return this.#state = x;
  }

  /** An integer from 0 to `end`, exclusive. */
  below(end: number): number {
    return (this.next() >>> 0) % end;
  }

  /** How large a chunk to send: often near the size of a record or buffer. */
  chunkSize(): number {
    const near = [1, 100, 16_384, 65_536, 131_072][this.below(5)]!;
    return this.below(4) === 0
      ? 1 + this.below(200_000)
      : Math.max(1, near + this.below(5) - 2);
  }
}

const BLOCK_SIZE = 65_536;

/** An endless stream of bytes. */
export class ByteSource {
  readonly #random: Random;
  readonly #words = new Uint32Array(BLOCK_SIZE / 4);
  readonly #block = new Uint8Array(this.#words.buffer);
  #used = BLOCK_SIZE;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** Overwrites `into` with what comes next. */
  fill(into: Uint8Array): void {
    for (let done = 0; done < into.length;) {
      if (this.#used === BLOCK_SIZE) this.#refill();
      const end = this.#used + into.length - done;
      const part = this.#block.subarray(this.#used, end);
      into.set(part, done);
      done += part.length;
      this.#used += part.length;
    }
  }

  #refill(): void {
    const words = this.#words;
    for (let i = 0; i < words.length; i++) words[i] = this.#random.next();
    this.#used = 0;
  }
}

/**
 * What a client says first, as three 32-bit numbers: the seed of its bytes, of
 * which it will send `size`, and that of the bytes the server is to send.
 */
export interface Hello {
  readonly up: number;
  readonly size: number;
  readonly down: number;
}

/** The length of a {@linkcode Hello} in bytes. */
export const HELLO_SIZE = 12;

/** The length of a hash in bytes. */
export const HASH_SIZE = 32;

/** A hello in bytes. */
export function encodeHello({ up, size, down }: Hello): Uint8Array {
  return new Uint8Array(Uint32Array.of(up, size, down).buffer);
}

/** The hello in these bytes. */
export function decodeHello(bytes: Uint8Array): Hello {
  const [up, size, down] = new Uint32Array(new Uint8Array(bytes).buffer);
  return { up: up!, size: size!, down: down! };
}
