/**
 * The packets and messages that the testbed makes by hand.
 *
 * @module
 */

import { assertEquals } from "@std/assert";

import { test } from "../harness.ts";
import { buildReply, parseMessage } from "./dns_message.ts";
import {
  ACK,
  craftReset,
  craftUnreachable,
  formatAddress,
  parsePacket,
  RST,
  SYN,
} from "./packets.ts";

/** A SYN from 203.0.113.101 port 4660 to 192.0.2.1 port 80. */
const syn4 = fromHex(
  "45000028000040004006 0000 cb007165 c0000201" +
    "1234 0050 01020304 00000000 5002ffff 0000 0000",
);
/** A SYN from 2001:db8:ffff:1::2 port 4660 to 2001:db8:8::1 port 80. */
const syn6 = fromHex(
  "60000000 0014 0640 20010db8ffff00010000000000000002" +
    "20010db8000800000000000000000001" +
    "1234 0050 01020304 00000000 5002ffff 0000 0000",
);

for (
  const [syn, client, server] of [
    [syn4, "203.0.113.101", "192.0.2.1"],
    [syn6, "2001:db8:ffff:1::2", "2001:db8:8::1"],
  ] as const
) {
  test(`parsePacket() reads a SYN to ${server}`, () => {
    const packet = parsePacket(syn)!;
    assertEquals(
      [packet.source, packet.sourcePort, packet.flags, packet.sequence],
      [client, 0x1234, SYN, 0x01020304],
    );
    assertEquals([packet.destination, packet.destinationPort], [server, 80]);
    assertEquals(packet.payload.length, 0);
  });

  test(`craftReset() refuses the SYN to ${server}, with right checksums`, () => {
    const reset = parsePacket(craftReset(parsePacket(syn)!))!;
    assertEquals(
      [reset.source, reset.sourcePort, reset.destination],
      [server, 80, client],
    );
    assertEquals([reset.destinationPort, reset.flags], [0x1234, RST | ACK]);
    // The acknowledgement is of the SYN.
    assertEquals(word(reset.bytes, reset.bytes.length - 12), 0x01020305);
    assertEquals(checksums(reset.bytes), [0, 0]);
  });

  test(`craftUnreachable() quotes the SYN to ${server}, with right checksums`, () => {
    const router = parsePacket(syn)!.family === 4
      ? Uint8Array.of(203, 0, 113, 1)
      : Uint8Array.of(0x20, 1, 0xd, 0xb8, ...new Uint8Array(11), 1);
    const message = craftUnreachable(parsePacket(syn)!, router);
    const header = router.length === 4 ? 20 : 40;
    const quoted = message.subarray(header + 8);
    assertEquals(quoted, syn.subarray(0, quoted.length));
    assertEquals(checksums(message), [0, 0]);
  });
}

test("parsePacket() finds the sender's clock among TCP's options", () => {
  const header = "4500003c000040004006 0000 cb007165 c0000201" +
    "1234 0050 01020304 00000000 a002ffff 0000 0000";
  const timestamp = (options: string) =>
    parsePacket(fromHex(header + options))!.timestamp;
  // Largest segment, selective ACK, timestamps, padding, window scale.
  assertEquals(
    timestamp("020405b4 0402 080a 80000001 00000000 01 030307"),
    0x80000001,
  );
  // The end of the list, and what only looks like the option behind it.
  assertEquals(
    timestamp("020405b4 00 080a 80000001 00000000" + "0".repeat(10)),
    undefined,
  );
  assertEquals(parsePacket(syn4)!.timestamp, undefined);
});

test("parsePacket() leaves alone what is neither TCP nor UDP", () => {
  assertEquals(parsePacket(Uint8Array.of(0, 1, 2)), null);
});

test("formatAddress() writes the longest run of zeros as ::", () => {
  const loopback = new Uint8Array(16);
  loopback[15] = 1;
  assertEquals(formatAddress(loopback), "::1");
  assertEquals(formatAddress(Uint8Array.of(192, 0, 2, 1)), "192.0.2.1");
});

/** `r1-s7.he.test`, AAAA. */
const query = fromHex(
  "abcd 0100 0001 0000 0000 0000 05 72312d7337 02 6865 04 74657374 00 001c 0001",
);

test("parseMessage() reads the question", () => {
  assertEquals(parseMessage(query), { name: "r1-s7.he.test", type: "AAAA" });
});

test("parseMessage() refuses what is cut off", () => {
  assertEquals(parseMessage(query.slice(0, 20)), undefined);
});

test("buildReply() answers with each address", () => {
  const address = Uint8Array.of(0x20, 1, 0xd, 0xb8, ...new Uint8Array(12));
  const reply = buildReply(query, {
    rcode: "NOERROR",
    addresses: [address, address],
    truncated: false,
  });
  assertEquals(parseMessage(reply), { name: "r1-s7.he.test", type: "AAAA" });
  assertEquals(word(reply, 0), 0xabcd8580);
  assertEquals(word(reply, 4), 0x00010002);
  assertEquals(reply.slice(-16), address);
  assertEquals(reply.length, query.length + 2 * (12 + 16));
});

test("buildReply() sets TC and leaves the addresses out", () => {
  const reply = buildReply(query, {
    rcode: "NOERROR",
    addresses: [new Uint8Array(16)],
    truncated: true,
  });
  assertEquals(word(reply, 0), 0xabcd8780);
  assertEquals(word(reply, 4), 0x00010000);
});

test("buildReply() says NXDOMAIN", () => {
  const reply = buildReply(query, {
    rcode: "NXDOMAIN",
    addresses: [],
    truncated: false,
  });
  assertEquals(word(reply, 0), 0xabcd8583);
});

/**
 * What is left of the two checksums of a packet when all that they cover is
 * summed up: nothing. IPv6 has no checksum of its own.
 */
function checksums(bytes: Uint8Array): [header: number, payload: number] {
  const isIPv4 = bytes[0]! >> 4 === 4;
  const start = isIPv4 ? 20 : 40;
  const protocol = bytes[isIPv4 ? 9 : 6]!;
  const payload = bytes.subarray(start);
  const pseudoHeader = protocol === 1 ? [] : [
    ...bytes.subarray(isIPv4 ? 12 : 8, start),
    ...[0, protocol, 0, payload.length],
  ];
  return [
    isIPv4 ? remainder(bytes.subarray(0, start)) : 0,
    remainder(Uint8Array.of(...pseudoHeader, ...payload)),
  ];
}

/** Modulo 65535, where one's complement has a second zero. */
function remainder(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) {
    sum += bytes[i]! * (i % 2 === 0 ? 256 : 1);
  }
  return sum % 65535;
}

function word(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replaceAll(" ", "").match(/../g)!;
  return Uint8Array.from(digits, (pair) => parseInt(pair, 16));
}
