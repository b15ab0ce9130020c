/**
 * What the link wrote down, and the connection attempts one can read in it.
 *
 * @module
 */

/** One thing seen on the wire. */
export interface WireEvent {
  /** Milliseconds since 1970, with fractions. */
  readonly time: number;
  readonly kind:
    | "query"
    | "answer"
    | "SYN"
    | "SYN-ACK"
    | "RST"
    | "FIN"
    | "unreachable";
  /** `"out"` is from the client. */
  readonly direction: "in" | "out";
  readonly client: string;
  readonly clientPort: number;
  readonly server: string;
  readonly serverPort: number;
  /** Whether the link dropped it. */
  readonly lost?: boolean;
  /** The name asked for; of queries and answers. */
  readonly name?: string;
  /** The record type asked for; of queries and answers. */
  readonly type?: string;
}

/** One connection attempt, from the packets of one flow. */
export interface Attempt {
  readonly address: string;
  /** When each SYN was sent; all but the first are retransmissions. */
  readonly syns: readonly WireEvent[];
  /** When the client got the SYN-ACK. */
  readonly synAck: number | undefined;
  /** When the client got RST or ICMP for its SYN. */
  readonly refused: number | undefined;
  /** When the client first sent FIN or RST. */
  readonly closed: number | undefined;
}

/** Reads the file that the link writes. */
export function readWireLog(path: string): WireEvent[] {
  const lines = Deno.readTextFileSync(path).split("\n");
  return lines.slice(0, -1).map((line) => JSON.parse(line));
}

/** The connection attempts in a log, by the time of their first SYN. */
export function attemptsOf(events: readonly WireEvent[]): Attempt[] {
  const flows = new Map<string, WireEvent[]>();
  for (const event of events) {
    if (event.serverPort === 53) continue;
    const { client, clientPort, server, serverPort } = event;
    const flow = `${client} ${clientPort} ${server} ${serverPort}`;
    if (!flows.has(flow)) flows.set(flow, []);
    flows.get(flow)!.push(event);
  }
  return [...flows.values()].map((flow) => {
    const first = (kinds: string[], direction: string) =>
      flow.find((event) =>
        kinds.includes(event.kind) && event.direction === direction
      )?.time;
    return {
      address: flow[0]!.server,
      syns: flow.filter(({ kind }) => kind === "SYN"),
      synAck: first(["SYN-ACK"], "in"),
      refused: first(["RST", "unreachable"], "in"),
      closed: first(["FIN", "RST"], "out"),
    };
  }).filter(({ syns }) => syns.length > 0);
}
