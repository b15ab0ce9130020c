/**
 * The broken networks, as data.
 *
 * A scenario says what the DNS server answers for a name and what becomes of a
 * handshake with each address it answers; nothing of what a client should do
 * about it. Where its addresses lie is `world.ts`; what RFC 8305 wants of a
 * client is `schedule.ts`.
 *
 * @module
 */

/** What becomes of a handshake with one server address. */
export type Fate =
  | "ok"
  /** The host answers the SYN with RST. */
  | "refused"
  /** A router answers the SYN with ICMP "host unreachable". */
  | "unreachable"
  /** Nothing ever answers the SYN. */
  | "black hole"
  /** The client's own system has no route to it. */
  | "no route"
  /** TCP comes up, then nothing the server says arrives. */
  | "mute"
  /** The SYN-ACK comes this many milliseconds late. */
  | { readonly delay: number }
  /** Each SYN is lost with this probability. */
  | { readonly loss: number };

/** What the DNS server answers for one record type of a name. */
export interface Records {
  /** One address per entry; `[]` is NODATA. `"silence"`: no answer at all. */
  readonly hosts: readonly Fate[] | "NXDOMAIN" | "SERVFAIL" | "silence";
  /** Milliseconds from the query to the answer. @default 0 */
  readonly delay?: number;
  /** Whether the answer over UDP is cut, so that it takes TCP to get it. */
  readonly truncated?: boolean;
}

/** What addresses the client's own machine has. */
export type Profile = "dual" | "ipv4" | "ipv6" | "ula";

/** One broken network. */
export interface Scenario {
  readonly name: string;
  readonly aaaa: Records;
  readonly a: Records;
  /** @default "dual" */
  readonly profile?: Profile;
  /** Whether a TLS handshake is part of connecting. */
  readonly tls?: boolean;
  /** Milliseconds after which the caller gives up. @default 12_000 */
  readonly patience?: number;
}

/** Long enough for glibc's resolver to give up a silent server twice. */
export const PATIENCE = 12_000;

const ok = { hosts: ["ok"] } as const;
const blackHole = { hosts: ["black hole"] } as const;
const none = { hosts: [] } as const;

/** What every client does first, and nobody looks at. */
export const warmUp: Scenario = { name: "warm-up", aaaa: ok, a: ok };

/** In the order of the report. */
export const scenarios: readonly Scenario[] = [
  { name: "healthy", aaaa: ok, a: ok },

  // One family only: of the host, then of the client.
  { name: "host has IPv6 only", aaaa: ok, a: none },
  { name: "host has IPv4 only", aaaa: none, a: ok },
  { name: "client has IPv6 only", profile: "ipv6", aaaa: ok, a: ok },
  { name: "client has IPv4 only", profile: "ipv4", aaaa: ok, a: ok },
  {
    // RFC 6724 puts IPv4 first. AAAA is late so that both are known when the
    // order is decided; alone, IPv6 would rightly start at once.
    name: "client's IPv6 is ULA only",
    profile: "ula",
    aaaa: { ...blackHole, delay: 20 },
    a: ok,
  },

  // The ways IPv6 is broken.
  { name: "IPv6 black hole", aaaa: blackHole, a: ok },
  { name: "IPv6 refused", aaaa: { hosts: ["refused"] }, a: ok },
  { name: "IPv6 unreachable", aaaa: { hosts: ["unreachable"] }, a: ok },
  { name: "no route for IPv6", aaaa: { hosts: ["no route"] }, a: ok },

  // IPv6 is slow; around 250 ms it depends on who is first.
  ...[100, 200, 300, 400, 1000].map((delay) => ({
    name: `IPv6 delayed ${delay} ms`,
    aaaa: { hosts: [{ delay }] },
    a: ok,
  })),

  // Both are slow: a client that aborts one attempt for the next never connects.
  ...[300, 400, 1000].map((delay) => ({
    name: `both delayed ${delay} ms`,
    aaaa: { hosts: [{ delay }] },
    a: { hosts: [{ delay }] },
  })),

  // Several addresses.
  {
    name: "4 IPv6 black holes",
    aaaa: { hosts: repeat("black hole", 4) },
    a: ok,
  },
  {
    name: "first IPv4 black hole, no IPv6",
    aaaa: none,
    a: { hosts: ["black hole", "ok"] },
  },
  {
    name: "IPv6 and first IPv4 black holes",
    aaaa: blackHole,
    a: { hosts: ["black hole", "ok"] },
  },
  {
    name: "10 and 10, only the last works",
    aaaa: { hosts: repeat("black hole", 10) },
    a: { hosts: [...repeat("black hole", 9), "ok"] },
  },
  {
    name: "all 8 refused",
    aaaa: { hosts: repeat("refused", 4) },
    a: { hosts: repeat("refused", 4) },
  },
  {
    name: "all 4 black holes",
    aaaa: { hosts: repeat("black hole", 2) },
    a: { hosts: repeat("black hole", 2) },
    patience: 2_000,
  },

  // One answer is late.
  ...[10, 40, 100, 1000, 5000].map((delay) => ({
    name: `AAAA delayed ${delay} ms`,
    aaaa: { ...ok, delay },
    a: ok,
  })),
  { name: "AAAA never", aaaa: { hosts: "silence" }, a: ok },
  ...[10, 40, 100, 1000, 5000].map((delay) => ({
    name: `A delayed ${delay} ms`,
    aaaa: ok,
    a: { ...ok, delay },
  })),
  { name: "A never", aaaa: ok, a: { hosts: "silence" } },
  ...[100, 200, 400].map((delay) => ({
    name: `AAAA delayed ${delay} ms, IPv4 black hole`,
    aaaa: { ...ok, delay },
    a: blackHole,
  })),

  // Answers without addresses, and large ones.
  { name: "AAAA SERVFAIL", aaaa: { hosts: "SERVFAIL" }, a: ok },
  {
    name: "both NXDOMAIN",
    aaaa: { hosts: "NXDOMAIN" },
    a: { hosts: "NXDOMAIN" },
  },
  {
    name: "truncated answers",
    aaaa: { ...ok, truncated: true },
    a: { ...ok, truncated: true },
  },

  // Packets get lost.
  {
    name: "20 % of SYNs lost",
    aaaa: { hosts: [{ loss: 0.2 }] },
    a: { hosts: [{ loss: 0.2 }] },
  },

  // TCP is up and TLS is not: a proxy in the way of IPv6.
  { name: "TLS, healthy", tls: true, aaaa: ok, a: ok },
  {
    name: "TLS silent on IPv6",
    tls: true,
    aaaa: { hosts: ["mute"] },
    a: ok,
    patience: 5_000,
  },
];

function repeat(fate: Fate, count: number): Fate[] {
  return Array<Fate>(count).fill(fate);
}
