/**
 * The kernel's list of this machine's TCP sockets (`/proc/net/tcp`).
 *
 * @module
 */

import { readFileSync } from "node:fs";

import { formatAddress } from "../packets.ts";

/** A TCP socket, not listening. */
export interface SocketEntry {
  readonly state: string;
  readonly remoteAddress: string;
}

const STATES: Readonly<Record<string, string>> = {
  "01": "ESTABLISHED",
  "02": "SYN_SENT",
  "04": "FIN_WAIT1",
  "05": "FIN_WAIT2",
  "06": "TIME_WAIT",
  "08": "CLOSE_WAIT",
  "09": "LAST_ACK",
  "0B": "CLOSING",
};

/** All sockets of the network namespace this runs in. */
export function listSockets(): SocketEntry[] {
  return ["/proc/self/net/tcp", "/proc/self/net/tcp6"].flatMap((table) =>
    readFileSync(table, "utf8").trim().split("\n").slice(1).flatMap((line) => {
      const [, , remote, code] = line.trim().split(/\s+/);
      const state = STATES[code!];
      const remoteAddress = readAddress(remote!.split(":")[0]!);
      return state ? [{ state, remoteAddress }] : [];
    })
  );
}

/** Those that still do something: not closed, not in TIME_WAIT. */
export function listLiveSockets(): SocketEntry[] {
  const live = ["ESTABLISHED", "SYN_SENT", "CLOSE_WAIT"];
  return listSockets().filter(({ state }) => live.includes(state));
}

/** The kernel prints each 32-bit word in the machine's byte order. */
function readAddress(hex: string): string {
  const bytes = new Uint8Array(hex.length / 2);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += 4) {
    const word = parseInt(hex.slice(2 * at, 2 * at + 8), 16);
    view.setUint32(at, word, true);
  }
  return formatAddress(bytes);
}
