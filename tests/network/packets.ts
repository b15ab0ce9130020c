/**
 * IP packets: the few fields the link looks at, and the two it answers with.
 *
 * Pure functions over bytes. Left out: fragments and IPv6 extension headers,
 * which none of the clients sends in a handshake or a DNS query.
 *
 * @module
 */

/** TCP's flag bits (RFC 9293 section 3.1). */
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

/** TCP's options (RFC 9293 section 3.1, RFC 7323 section 3). */
const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;
const TIMESTAMP = 8;

const TCP = 6;
const UDP = 17;

/** A TCP or UDP packet, taken apart. */
export interface Packet {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly family: 4 | 6;
  readonly protocol: "TCP" | "UDP";
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** TCP's flags; 0 for UDP. */
  readonly flags: number;
  /** TCP's sequence number; 0 for UDP. */
  readonly sequence: number;
  /** The sender's clock in a TCP packet (RFC 7323), where it has one. */
  readonly timestamp: number | undefined;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** Reads a packet; `null` where it is neither TCP nor UDP. */
export function parsePacket(bytes: Uint8Array<ArrayBuffer>): Packet | null {
  const family = bytes[0]! >> 4;
  if (family !== 4 && family !== 6) return null;
  const protocol = bytes[family === 4 ? 9 : 6];
  if (protocol !== TCP && protocol !== UDP) return null;
  const start = headerLength(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset + start);
  const isTcp = protocol === TCP;
  const length = isTcp ? (view.getUint8(12) >> 4) * 4 : 8;
  const [source, destination] = addresses(bytes);
  return {
    bytes,
    family,
    protocol: isTcp ? "TCP" : "UDP",
    source: formatAddress(source),
    destination: formatAddress(destination),
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    flags: isTcp ? view.getUint8(13) : 0,
    sequence: isTcp ? view.getUint32(4) : 0,
    timestamp: isTcp
      ? readTimestamp(bytes.subarray(start + 20, start + length))
      : undefined,
    payload: bytes.subarray(start + length),
  };
}

/** The refusal of a SYN: a RST as its destination would send it. */
export function craftReset(syn: Packet): Uint8Array<ArrayBuffer> {
  const [source, destination] = addresses(syn.bytes);
  const segment = new DataView(new ArrayBuffer(20));
  segment.setUint16(0, syn.destinationPort);
  segment.setUint16(2, syn.sourcePort);
  segment.setUint32(8, syn.sequence + 1);
  segment.setUint8(12, 5 << 4);
  segment.setUint8(13, RST | ACK);
  return craft(destination, source, TCP, segment, 16);
}

/** ICMP "host unreachable" about a packet, as `router` would send it. */
export function craftUnreachable(
  { bytes, family }: Packet,
  router: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const quoted = family === 4
    ? bytes.subarray(0, headerLength(bytes) + 8)
    : bytes;
  const message = new Uint8Array(8 + quoted.length);
  // Destination unreachable: host (RFC 792), address (RFC 4443 section 3.1).
  message.set(family === 4 ? [3, 1] : [1, 3]);
  message.set(quoted, 8);
  const [source] = addresses(bytes);
  const view = new DataView(message.buffer);
  return craft(router, source, family === 4 ? 1 : 58, view, 2);
}

/** RFC 5952 for the addresses of a testbed, a dotted quad for IPv4. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = [];
  for (let i = 0; i < 16; i += 2) {
    groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16));
  }
  return groups.join(":").replace(/\b0(:0)+\b/, ":").replace(/:{3,}/, "::");
}

function readTimestamp(options: Uint8Array): number | undefined {
  for (let at = 0; at < options.length;) {
    const kind = options[at];
    if (kind === END_OF_OPTIONS) return undefined;
    if (kind === TIMESTAMP) {
      return new DataView(options.buffer, options.byteOffset).getUint32(at + 2);
    }
    at += kind === NO_OPERATION ? 1 : Math.max(2, options[at + 1]!);
  }
}

function headerLength(bytes: Uint8Array): number {
  return bytes[0]! >> 4 === 4 ? (bytes[0]! & 15) * 4 : 40;
}

function addresses(
  bytes: Uint8Array<ArrayBuffer>,
): [source: Uint8Array<ArrayBuffer>, destination: Uint8Array<ArrayBuffer>] {
  return bytes[0]! >> 4 === 4
    ? [bytes.subarray(12, 16), bytes.subarray(16, 20)]
    : [bytes.subarray(8, 24), bytes.subarray(24, 40)];
}

/** An IP packet around `payload`, whose checksum is set at `checksumOffset`. */
function craft(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  payload: DataView<ArrayBuffer>,
  checksumOffset: number,
): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(payload.buffer);
  const pseudoHeader = protocol === 1
    ? [] // ICMP for IPv4 has none.
    : [
      ...source,
      ...destination,
      0,
      protocol,
      body.length >> 8,
      body.length & 255,
    ];
  payload.setUint16(
    checksumOffset,
    checksum(Uint8Array.of(...pseudoHeader, ...body)),
  );
  const isIPv4 = source.length === 4;
  const header = new DataView(new ArrayBuffer(isIPv4 ? 20 : 40));
  const bytes = new Uint8Array(header.buffer);
  bytes.set(source, isIPv4 ? 12 : 8);
  bytes.set(destination, isIPv4 ? 16 : 24);
  if (isIPv4) {
    header.setUint8(0, 0x45);
    header.setUint16(2, 20 + body.length);
    header.setUint8(8, 64);
    header.setUint8(9, protocol);
    header.setUint16(10, checksum(bytes));
  } else {
    header.setUint8(0, 0x60);
    header.setUint16(4, body.length);
    header.setUint8(6, protocol);
    header.setUint8(7, 64);
  }
  return Uint8Array.of(...bytes, ...body);
}

/** The Internet checksum (RFC 1071). */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
