/**
 * The wire between clients and servers: reads what one side sends, decides by
 * its destination what becomes of it, and writes down when it saw what.
 *
 * A process of its own, with one loop that only waits in `ppoll`, because its
 * clock is the measure of everything else: a SYN-ACK is held back for the
 * time that its scenario says within a fraction of a millisecond. It
 * ends when standard input does, so it cannot outlive the testbed.
 *
 * On a busy machine even such a loop is late to read a packet, so the log takes
 * the time of a SYN from the kernel's own clock in it, whole milliseconds.
 *
 *     deno run -A link.ts plan.json log.jsonl
 *
 * Left out: bandwidth, queues, reordering. Happy Eyeballs is about handshakes.
 *
 * @module
 */

import { parseMessage } from "./dns_message.ts";
import {
  ACK,
  craftReset,
  craftUnreachable,
  FIN,
  type Packet,
  parsePacket,
  RST,
  SYN,
} from "./packets.ts";
import type { Fate } from "./scenarios.ts";
import { kernelTime, Poll, raisePriority, Tun } from "./tun.ts";
import type { WireEvent } from "./wire_log.ts";

/** What the link has to know, as JSON. */
export interface LinkPlan {
  /** The interface of the servers. */
  readonly server: string;
  /** The clients' interfaces, and what addresses each has. */
  readonly clients: readonly {
    readonly device: string;
    readonly addresses: readonly string[];
  }[];
  /** By server address; what is not listed is a black hole. */
  readonly fates: Readonly<Record<string, Fate>>;
  /** Starts the sequence that decides which SYNs are lost. */
  readonly seed: number;
  /** Whether to write the log; a load test does not want it. */
  readonly logs: boolean;
}

/** A packet that waits for its time. */
interface Held {
  readonly due: number;
  readonly packet: Packet;
}

const DNS = 53;
const ROUTERS = {
  4: Uint8Array.of(203, 0, 113, 1),
  6: Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, ...new Uint8Array(11), 1),
};

class Link {
  readonly #plan: LinkPlan;
  readonly #log: Deno.FsFile;
  readonly #server: Tun;
  readonly #clients = new Map<string, Tun>();
  readonly #devices: readonly Tun[];
  /** In the order they are due. */
  readonly #held: Held[] = [];
  readonly #random: () => number;
  readonly #encoder = new TextEncoder();

  constructor(plan: LinkPlan, log: Deno.FsFile) {
    this.#plan = plan;
    this.#log = log;
    this.#random = randomSequence(plan.seed);
    this.#server = new Tun(plan.server);
    const clients = plan.clients.map(({ device, addresses }) => {
      const tun = new Tun(device);
      for (const address of addresses) this.#clients.set(address, tun);
      return tun;
    });
    this.#devices = [this.#server, ...clients];
  }

  /** Forwards packets until standard input ends. */
  run(): void {
    const poll = new Poll(this.#devices);
    for (;;) {
      const now = performance.now();
      while (this.#held.length > 0 && this.#held[0]!.due <= now) {
        this.#deliver(this.#held.shift()!.packet);
      }
      const wait = (this.#held[0]?.due ?? now + 1000) - now;
      const ready = poll.wait(wait);
      if (ready === null) return;
      for (const tun of ready) {
        const bytes = tun.read();
        const packet = bytes && parsePacket(bytes);
        if (!packet) continue;
        if (tun === this.#server) this.#fromServer(packet);
        else this.#fromClient(packet, tun);
      }
    }
  }

  #fromClient(packet: Packet, client: Tun): void {
    const time = sendTime(packet);
    const fate = this.#plan.fates[packet.destination] ?? "black hole";
    const isLost = this.#isLost(packet, fate);
    if (isLost) {
      // Nothing happens.
    } else if (fate === "refused") {
      client.write(craftReset(packet));
    } else if (fate === "unreachable") {
      client.write(craftUnreachable(packet, ROUTERS[packet.family]));
    } else {
      this.#server.write(packet.bytes);
    }
    this.#note(time, "out", packet, isLost);
    if (!isLost && fate === "refused") this.#noteReply("RST", packet);
    if (!isLost && fate === "unreachable") {
      this.#noteReply("unreachable", packet);
    }
  }

  #isLost(packet: Packet, fate: Fate): boolean {
    if (fate === "black hole" || fate === "no route") return true;
    if (typeof fate === "string" || !("loss" in fate)) return false;
    return (packet.flags & SYN) !== 0 && this.#random() < fate.loss;
  }

  #fromServer(packet: Packet): void {
    const fate = this.#plan.fates[packet.source];
    if (fate === "mute" && packet.payload.length > 0) return;
    const isSynAck = (packet.flags & (SYN | ACK)) === (SYN | ACK);
    if (!isSynAck || typeof fate !== "object" || !("delay" in fate)) {
      return this.#deliver(packet);
    }
    const due = performance.now() + fate.delay;
    const index = this.#held.findIndex((held) => held.due > due);
    this.#held.splice(index < 0 ? this.#held.length : index, 0, {
      due,
      packet,
    });
  }

  #deliver(packet: Packet): void {
    const time = now();
    this.#clients.get(packet.destination)?.write(packet.bytes);
    this.#note(time, "in", packet, false);
  }

  #note(
    time: number,
    direction: "in" | "out",
    packet: Packet,
    isLost: boolean,
  ): void {
    if (!this.#plan.logs) return;
    const question = isDns(packet) ? readQuestion(packet) : undefined;
    const kind = question
      ? (direction === "out" ? "query" : "answer")
      : nameFlags(packet.flags);
    if (!kind) return;
    this.#write({
      time,
      kind,
      direction,
      ...ends(packet, direction),
      ...question,
      ...(isLost ? { lost: true } : {}),
    });
  }

  #noteReply(kind: "RST" | "unreachable", syn: Packet): void {
    if (!this.#plan.logs) return;
    const time = now();
    this.#write({ time, kind, direction: "in", ...ends(syn, "out") });
  }

  #write(event: WireEvent): void {
    this.#log.writeSync(this.#encoder.encode(JSON.stringify(event) + "\n"));
  }
}

/** Milliseconds since 1970, with fractions: what clients can compare theirs to. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * When a packet was sent, whenever it is read: now, unless the clock in it says
 * that it was more than a millisecond ago. That clock wraps.
 */
function sendTime({ flags, timestamp }: Packet): number {
  if (!(flags & SYN) || timestamp === undefined) return now();
  const age = (kernelTime() - timestamp) % 2 ** 32;
  return now() - Math.max(0, (age < 0 ? age + 2 ** 32 : age) - 1);
}

function ends(packet: Packet, direction: "in" | "out") {
  const { source, sourcePort, destination, destinationPort } = packet;
  return direction === "out"
    ? {
      client: source,
      clientPort: sourcePort,
      server: destination,
      serverPort: destinationPort,
    }
    : {
      client: destination,
      clientPort: destinationPort,
      server: source,
      serverPort: sourcePort,
    };
}

function isDns({ sourcePort, destinationPort }: Packet): boolean {
  return sourcePort === DNS || destinationPort === DNS;
}

/** The question of a DNS message, which over TCP stands behind its length. */
function readQuestion(
  { protocol, payload }: Packet,
): Pick<WireEvent, "name" | "type"> | undefined {
  const message = parseMessage(
    protocol === "TCP" ? payload.subarray(2) : payload,
  );
  return message && { name: message.name, type: message.type };
}

function nameFlags(flags: number): WireEvent["kind"] | undefined {
  if (flags & RST) return "RST";
  if (flags & SYN) return flags & ACK ? "SYN-ACK" : "SYN";
  return flags & FIN ? "FIN" : undefined;
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function randomSequence(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

if (import.meta.main) {
  const [plan, log] = Deno.args;
  const link = new Link(
    JSON.parse(Deno.readTextFileSync(plan!)),
    Deno.openSync(log!, { append: true, create: true }),
  );
  raisePriority();
  console.log("ready");
  link.run();
}
