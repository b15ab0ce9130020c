/**
 * DNS messages: reads a question, writes its answer (RFC 1035 section 4).
 *
 * As much as the testbed's server and its log need: one question per message,
 * class IN, A and AAAA records without compression but for the owner's name.
 *
 * @module
 */

/** What is known of a message by its header and question. */
export interface Message {
  /** In lower case, without a trailing dot. */
  readonly name: string;
  /** `"A"`, `"AAAA"`, or the number of another type. */
  readonly type: string;
}

/** What to answer. */
export interface Reply {
  readonly rcode: "NOERROR" | "SERVFAIL" | "NXDOMAIN";
  /** Each of 4 or 16 bytes. */
  readonly addresses: readonly Uint8Array[];
  /** Set the TC bit and leave the addresses out. */
  readonly truncated: boolean;
}

const HEADER = 12;
const RCODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3 } as const;
const TYPES: Readonly<Record<number, string>> = { 1: "A", 28: "AAAA" };

/** Reads a query or an answer; `undefined` where `bytes` is none. */
export function parseMessage(
  bytes: Uint8Array<ArrayBuffer>,
): Message | undefined {
  const end = questionEnd(bytes);
  if (end === undefined) return undefined;
  const labels: string[] = [];
  for (let at = HEADER; bytes[at]! > 0; at += bytes[at]! + 1) {
    const label = bytes.subarray(at + 1, at + 1 + bytes[at]!);
    labels.push(new TextDecoder().decode(label));
  }
  const type = (bytes[end - 4]! << 8) | bytes[end - 3]!;
  return {
    name: labels.join(".").toLowerCase(),
    type: TYPES[type] ?? String(type),
  };
}

/** The answer to `query`, which `parseMessage` could read. */
export function buildReply(
  query: Uint8Array<ArrayBuffer>,
  { rcode, addresses, truncated }: Reply,
): Uint8Array<ArrayBuffer> {
  const records = truncated ? [] : addresses;
  const head = query.slice(0, questionEnd(query));
  const view = new DataView(head.buffer);
  const recursionDesired = head[2]! & 1;
  // QR, AA, TC, RD; RA and the response code.
  head[2] = 0x84 | (truncated ? 2 : 0) | recursionDesired;
  head[3] = 0x80 | RCODES[rcode];
  view.setUint16(6, records.length);
  view.setUint32(8, 0);
  return Uint8Array.of(...head, ...records.flatMap(record));
}

function record(address: Uint8Array): number[] {
  const type = address.length === 4 ? 1 : 28;
  // Pointer to the question's name, type, class IN, TTL 60 s, data.
  return [
    0xc0,
    HEADER,
    0,
    type,
    0,
    1,
    0,
    0,
    0,
    60,
    0,
    address.length,
    ...address,
  ];
}

function questionEnd(bytes: Uint8Array): number | undefined {
  let at = HEADER;
  while (bytes[at]! > 0) at += bytes[at]! + 1;
  // The root label, the type and the class.
  return at + 5 <= bytes.length ? at + 5 : undefined;
}
