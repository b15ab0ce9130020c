/**
 * Where a socket of ours is not as the platform's own, and why.
 *
 * The reasons stand in `.github/drivers.md` word for word.
 *
 * @module
 */

import type { DoorName } from "./scene.ts";

/** A difference that stays. */
export interface Difference {
  /** Sentences for who uses a socket of ours. */
  readonly reason: string;
  /** The names of the cases that show it. */
  readonly cases: readonly string[];
  /** The runtimes it shows on. @default all */
  readonly on?: readonly RuntimeName[];
  /** The doors it shows with. @default all of ours */
  readonly doors?: readonly DoorName[];
}

export type RuntimeName = "Node" | "Bun" | "Deno";

export const differences: readonly Difference[] = [
  {
    reason:
      "Each address is told by `lookup` just before it is dialled. The platform tells all of them at once, and dials afterwards.",
    cases: [
      "each address of a name is attempted, and the second wins",
      "two addresses of one family are attempted in turn",
      "a name whose every address refuses is an AggregateError",
    ],
  },
  {
    reason:
      "The message of an `AggregateError` names every address; the platform's own is empty.",
    cases: ["a name whose every address refuses is an AggregateError"],
  },
  {
    reason:
      "`autoSelectFamilyAttemptedAddresses` is there for a single address too, because others may follow when it is dialled.",
    cases: ["a name emits lookup before it connects"],
  },
  {
    reason:
      "`connectionAttempt` is emitted for a single address too, as on Node.",
    cases: ["the attempt at a single address is told"],
    on: ["Deno"],
  },
  {
    reason:
      "An address that is not dialled, because a `blockList` blocks it or there is no such `localAddress`, is told by `connectionAttempt` and `connectionAttemptFailed` like any other. A `blockList` blocks on Node 20 and 22.6 as well, whose own sockets know none.",
    cases: [
      "a blockList blocks an address",
      "a blockList blocks the address of a name",
      "a localAddress that is not this host's",
    ],
    on: ["Node", "Bun"],
  },
  {
    reason: "What a `blockList` blocks is told in the words of Node.",
    cases: [
      "a blockList blocks an address",
      "a blockList blocks the address of a name",
    ],
    on: ["Deno"],
  },
  {
    reason:
      "TLS is part of an attempt. So `connect` and `ready` come when the first TCP connection is up, while `connecting` is still true, and a server that hangs up then is an `error` without `end`.",
    cases: [
      "a server that closes in the handshake",
      "what a TLS socket is while and after it is connected",
    ],
  },
  {
    reason:
      "A handshake that fails is a failed attempt, told by `connectionAttemptFailed`.",
    cases: ["a certificate for another name"],
    on: ["Node", "Bun"],
  },
  {
    reason:
      "Of a handshake that is broken off, by the server or by `destroy()`, no `end` is emitted.",
    cases: [
      "destroy() while it connects, and in the handshake",
      "timeout is emitted while a handshake gets no answer",
    ],
    on: ["Bun"],
  },
  {
    reason:
      "Of a handshake that is broken off, by the server or by `destroy()`, no `end` is emitted.",
    cases: ["a server that resets in the handshake"],
    on: ["Deno"],
  },
  {
    reason:
      "What a listener throws while a socket connects is an `uncaughtException`, as on Node. Bun makes it the socket's `error` or is silent, as Deno is.",
    cases: [
      "an exception in a connect listener is an uncaughtException",
      "an exception in a ready listener of a name",
      "an exception in a connectionAttemptFailed listener of a name",
    ],
    on: ["Bun", "Deno"],
  },
  {
    reason:
      "The `timeout` of a request or an agent counts while the socket connects, as on Node. Bun's does not.",
    cases: [
      "the agent's timeout counts while it looks up",
      "a request's timeout counts while it looks up",
      "a request's timeout counts in a handshake",
      "an HTTPS agent's timeout counts in a handshake",
    ],
    on: ["Bun"],
  },
  {
    reason:
      "A server that hangs up in a handshake is `ECONNRESET`, as on Node. Bun's HTTPS agent says `ERR_SOCKET_CLOSED`.",
    cases: [
      "a server that hangs up in a handshake is an error of the request",
    ],
    on: ["Bun"],
  },
  {
    reason:
      "Listeners of what happens until a socket is connected, or secure, run in the async context of the caller. Deno's own lose it with TLS, and where a name has several addresses.",
    cases: [
      "listeners of a TLS socket run in the async context of the caller",
      "listeners of a socket to a name run in the async context",
    ],
    on: ["Deno"],
  },
  {
    reason:
      "The name of the host is sent to the server (SNI). By itself Node's `tls.connect()` sends a `servername` only.",
    cases: [
      "with a name, lookup comes first, and the name is verified",
      "the name sent is servername, or the host, but no address",
    ],
    on: ["Node"],
  },
  {
    reason:
      "With a `signal` that is aborted already nothing is dialled. Node and Deno destroy the socket, and connect it all the same.",
    cases: ["a signal that is aborted already destroys it at once"],
    on: ["Node", "Deno"],
    doors: ["createConnection"],
  },
  {
    reason:
      "The `signal` of a `LazySocket` is that of `connect()`: it ends the establishment only, and its reason is the error.",
    cases: [
      "a signal that is aborted already destroys it at once",
      "a signal aborts while it connects",
      "a signal aborts a socket that is connected",
      "a signal that is none is refused",
    ],
    doors: ["LazySocket"],
  },
  {
    reason:
      "`connect()` while it connects begins anew, and ends what was under way. Node and Deno dial twice by one handle, which fails (`EALREADY`).",
    cases: [
      "connect() again while it connects to 127.0.0.1",
      "connect() again while it connects to example.test",
    ],
    doors: ["LazySocket"],
  },
  {
    reason:
      "A `LazySocket` that nobody has used closes when it is ended, because no connection will ever end it.",
    cases: ["end() on a socket that nobody connects"],
    doors: ["LazySocket"],
  },
  {
    reason:
      "On Bun, ciphers that are none are refused in the words of `tls.createSecureContext()`, because one context serves all attempts.",
    cases: ["ciphers that are none are refused before anything starts"],
    on: ["Bun"],
  },
  {
    reason:
      "On Deno, a socket under TLS is closed in the end. Deno's own leaves it open if it had several addresses.",
    cases: ["TLS over a socket that looks up a name with two addresses"],
    on: ["Deno"],
  },
];

/** Why a case may differ there, if it may. */
export function reasonFor(
  name: string,
  runtime: RuntimeName,
  door: DoorName,
): string | undefined {
  return differences.find(({ cases, on = [runtime], doors = [door] }) =>
    cases.includes(name) && on.includes(runtime) && doors.includes(door)
  )?.reason;
}
