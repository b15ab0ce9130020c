/**
 * What a connection costs, and what its streams do.
 *
 * Of a connection only the connect is timed, and both processes come to rest
 * before the next one: otherwise the faster side would keep the server awake,
 * and the slower one alone would pay for waking it. A transfer is timed with
 * the making of its streams, until all bytes have arrived.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";

import type { Case, Measure } from "./measure.ts";
import { ours, type Subject } from "./subjects.ts";

/** The server, as `run.ts` started it. */
export interface Server {
  readonly ports: Readonly<
    Record<"accept" | "tls" | "source" | "sink", number>
  >;
  /** How many bytes the source sends and the sink takes. */
  readonly transfer: number;
  /** A name on its certificate, whose root the platform trusts. */
  readonly serverName: string;
}

/** In one turn. */
const CONNECTS = 25;
const HANDSHAKES = 5;
/** Milliseconds until both processes are idle. */
const REST = 0.2;
/** "At least as fast", with what two measurements of the same differ by. */
const AS_FAST = { ratio: 1.05 };
const CHUNK_SIZE = 64 * 1024;
const MEBIBYTE = 2 ** 20;

/** The cases of connects and of streams, beside those of `platform`. */
export function socketCases<S>(
  platform: Subject<S>,
  { ports, transfer, serverName }: Server,
): Case[] {
  const versus = (
    run: <S>(subject: Subject<S>) => Promise<number>,
  ): Record<"raw" | "ours", Measure> => ({
    raw: () => run(platform),
    ours: () => run(ours),
  });
  const connects = { unit: "µs", turns: 21, warmUp: 300 };
  const transfers = { unit: "µs/MiB", turns: 5, warmUp: 3 };
  return [
    {
      name: "connect by literal",
      ...connects,
      limit: { ratio: 1.5 },
      ...versus((subject) =>
        connectTime(
          subject,
          CONNECTS,
          (signal) => subject.connect(ports.accept, signal),
        )
      ),
    },
    {
      name: "connect by static resolver",
      ...connects,
      limit: { ratio: 2 },
      ...versus((subject) =>
        connectTime(
          subject,
          CONNECTS,
          (signal) => subject.connectByName(ports.accept, signal),
        )
      ),
    },
    {
      name: "TLS connect by literal",
      ...connects,
      turns: 9,
      warmUp: 10,
      ...versus((subject) =>
        connectTime(
          subject,
          HANDSHAKES,
          (signal) => subject.connectTls(ports.tls, serverName, signal),
        )
      ),
    },
    {
      name: "read, default reader",
      ...transfers,
      limit: AS_FAST,
      ...versus((subject) =>
        transferTime(subject, ports.source, transfer, readAll)
      ),
    },
    {
      name: "read, BYOB reader",
      ...transfers,
      limit: AS_FAST,
      ...versus((subject) =>
        transferTime(subject, ports.source, transfer, readAllInto)
      ),
    },
    {
      name: "write",
      ...transfers,
      ...versus((subject) =>
        transferTime(subject, ports.sink, transfer, writeAll)
      ),
    },
  ];
}

/** Microseconds per connect, one after another. */
async function connectTime<S>(
  subject: Subject<S>,
  count: number,
  connect: (signal: AbortSignal) => Promise<S>,
): Promise<number> {
  let total = 0;
  for (let i = 0; i < count; i++) {
    const { signal } = new AbortController();
    const start = performance.now();
    const socket = await connect(signal);
    total += performance.now() - start;
    subject.close(socket);
    await rest();
  }
  return total * 1000 / count;
}

async function rest(): Promise<void> {
  await setImmediate();
  const end = performance.now() + REST;
  while (performance.now() < end);
}

/** Makes a stream when it is called. */
type Open<T> = () => T;

/** Moves `count` bytes; tells how many it has seen itself. */
type Transfer = (
  readable: Open<ReadableStream<Uint8Array>>,
  writable: Open<WritableStream<Uint8Array>>,
  count: number,
) => Promise<number>;

/** Microseconds per mebibyte. */
async function transferTime<S>(
  subject: Subject<S>,
  port: number,
  count: number,
  transfer: Transfer,
): Promise<number> {
  const socket = await subject.connect(port, new AbortController().signal);
  const start = performance.now();
  const moved = await transfer(
    () => subject.readable(socket),
    () => subject.writable(socket),
    count,
  );
  const time = performance.now() - start;
  subject.close(socket);
  if (moved !== count) throw new Error(`Moved ${moved} bytes of ${count}`);
  return time * 1000 / (count / MEBIBYTE);
}

const readAll: Transfer = (readable) => drain(readable().getReader());

/** Into one buffer again and again; not every platform's stream takes one. */
const readAllInto: Transfer = (readable) => {
  const stream = readable();
  const reader = byobReader(stream);
  if (!reader) return drain(stream.getReader());
  let buffer = new Uint8Array(CHUNK_SIZE);
  return drain({
    async read() {
      const result = await reader.read(buffer);
      if (result.value) buffer = new Uint8Array(result.value.buffer);
      return result;
    },
  });
};

function byobReader(
  stream: ReadableStream<Uint8Array>,
): ReadableStreamBYOBReader | undefined {
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}

async function drain(
  reader: { read(): Promise<{ done: boolean; value?: Uint8Array }> },
): Promise<number> {
  let count = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done || !value) return count;
    count += value.byteLength;
  }
}

/** Until the sink says that it has everything. */
const writeAll: Transfer = async (readable, writable, count) => {
  const writer = writable().getWriter();
  const chunk = new Uint8Array(CHUNK_SIZE);
  for (let left = count; left > 0; left -= chunk.length) {
    await writer.write(chunk);
  }
  const { done } = await readable().getReader().read();
  return done ? 0 : count;
};
