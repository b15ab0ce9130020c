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

import { setImmediate, setTimeout } from "node:timers/promises";

import { connect } from "../../mod.ts";
import type { Case } from "./measure.ts";
import { ours, type Subject } from "./subjects.ts";

/** The server, as `run.ts` started it. */
export interface Server {
  readonly ports: Readonly<
    Record<"accept" | "tls" | "source" | "tlsSource" | "sink", number>
  >;
  /** How many bytes the sources send and the sink takes. */
  readonly transfer: number;
  /** A name on its certificate, whose root the platform trusts. */
  readonly serverName: string;
}

/** Milliseconds until both processes are idle. */
const REST = 0.2;
/** How many tickets the server gives for a full handshake. */
const TICKETS = 2;
/** Milliseconds until they are there. */
const TICKET_TIME = 3;
/** "At least as fast", with what two measurements of the same differ by. */
const AS_FAST = { ratio: 1.05 };
const CHUNK_SIZE = 64 * 1024;
const MEBIBYTE = 2 ** 20;

/** The cases of connects and of streams, beside those of `platform`. */
export function socketCases<S>(platform: Subject<S>, server: Server): Case[] {
  return [
    ...connectCases(platform, server),
    // There nothing is resumed.
    ..."Deno" in globalThis ? [] : [resumptionCase(server)],
    ...transferCases(platform, server),
  ];
}

function connectCases<S>(
  platform: Subject<S>,
  { ports, serverName }: Server,
): Case[] {
  const connects = (
    count: number,
    connect: <S>(subject: Subject<S>, signal: AbortSignal) => Promise<S>,
  ) => ({
    unit: "µs",
    raw: (isWarmUp: boolean) =>
      connectTime(platform, connect, count, !isWarmUp),
    ours: (isWarmUp: boolean) => connectTime(ours, connect, count, !isWarmUp),
  });
  return [{
    name: "connect by literal",
    limit: { ratio: 1.5 },
    turns: 21,
    warmUp: 1000,
    ...connects(25, (subject, signal) => subject.connect(ports.accept, signal)),
  }, {
    name: "connect by static resolver",
    limit: { ratio: 2 },
    turns: 21,
    warmUp: 1000,
    ...connects(
      25,
      (subject, signal) => subject.connectByName(ports.accept, signal),
    ),
  }, {
    name: "TLS connect by literal",
    turns: 9,
    warmUp: 10,
    ...connects(
      5,
      (subject, signal) => subject.connectTls(ports.tls, serverName, signal),
    ),
  }];
}

/** A handshake of ours that resumes a session, beside a full one of ours. */
function resumptionCase(server: Server): Case {
  return {
    name: "TLS resumed over full",
    unit: "µs",
    turns: 9,
    warmUp: 10,
    raw: () => handshakeTime(server, { session: false }),
    ours: () => handshakeTime(server, {}),
  };
}

/** Microseconds per handshake, for as many as there may be tickets. */
async function handshakeTime(
  { ports, serverName }: Server,
  options: { session?: false },
): Promise<number> {
  const tls = { serverName, ...options };
  let total = 0;
  for (let i = 0; i <= TICKETS; i++) {
    await rest();
    const start = performance.now();
    const connection = await connect({
      hostname: "127.0.0.1",
      port: ports.tls,
      tls,
    });
    // The first one is full in any case.
    if (i > 0) total += performance.now() - start;
    await setTimeout(TICKET_TIME);
    connection.close("dropped");
  }
  return total * 1000 / TICKETS;
}

function transferCases<S>(
  platform: Subject<S>,
  { ports: { source, tlsSource, sink }, transfer: size, serverName }: Server,
): Case[] {
  const transfers = (port: number, transfer: Transfer, name?: string) => ({
    unit: "µs/MiB",
    turns: 5,
    warmUp: 3,
    raw: () => transferTime(platform, port, name, size, transfer),
    ours: () => transferTime(ours, port, name, size, transfer),
  });
  return [
    {
      name: "read, default reader",
      limit: AS_FAST,
      ...transfers(source, readAll),
    },
    {
      name: "read, BYOB reader",
      limit: AS_FAST,
      ...transfers(source, readAllInto),
    },
    {
      name: "TLS read, default reader",
      limit: AS_FAST,
      ...transfers(tlsSource, readAll, serverName),
    },
    {
      name: "TLS read, BYOB reader",
      limit: AS_FAST,
      ...transfers(tlsSource, readAllInto, serverName),
    },
    { name: "write", ...transfers(sink, writeAll) },
  ];
}

/** Microseconds per connect, `count` times one after another. */
async function connectTime<S>(
  subject: Subject<S>,
  connect: <S>(subject: Subject<S>, signal: AbortSignal) => Promise<S>,
  count: number,
  rests: boolean,
): Promise<number> {
  let total = 0;
  for (let i = 0; i < count; i++) {
    const { signal } = new AbortController();
    const start = performance.now();
    const socket = await connect(subject, signal);
    total += performance.now() - start;
    subject.close(socket);
    if (rests) await rest();
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

/** Microseconds per mebibyte; by TLS where there is a name to verify. */
async function transferTime<S>(
  subject: Subject<S>,
  port: number,
  serverName: string | undefined,
  count: number,
  transfer: Transfer,
): Promise<number> {
  const { signal } = new AbortController();
  const socket = serverName === undefined
    ? await subject.connect(port, signal)
    : await subject.connectTls(port, serverName, signal);
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
