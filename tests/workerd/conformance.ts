/**
 * The conformance suite on workerd, less what the platform cannot do.
 *
 * Where it can do a thing but wants it said in another way, it is said in that
 * way here: the suite dials addresses and brings its authority, workerd verifies
 * only names that it resolved itself and trusts what its configuration names.
 *
 * @module
 */

import type { Runtime } from "../../src/runtime/runtime.ts";
import { runtime } from "../../src/runtime/workerd.ts";
import { runtimeConformance } from "../runtime_conformance.ts";
import { loopback } from "./world.ts";

/**
 * The tests of the suite that are left out, by what the platform lacks. What it
 * does instead is tested in `adapter.ts`. Two more are left out by the suite
 * itself, see its `Abilities` at the end of this file.
 */
export const omissions: Readonly<Record<string, readonly string[]>> = {
  "It tells no local address": [
    "connect() opens 127.0.0.1",
    "connect() opens ::1",
  ],
  "It dials no address with a zone id": [
    "connect() opens an address with a zone id",
  ],
  "It takes no local address; check() refuses it": [
    "connect() connects from the local address",
    "connect() fails with EADDRNOTAVAIL from an address that is not ours",
    "connect() takes a local address of the wrong family as a failure (hazard 6)",
    "a reset amid a write is ECONNRESET, from a local address too",
  ],
  "It cancels no dial; what opens is closed then": [
    "connect() that is aborted takes its SYN back (hazard 11)",
  ],
  "It verifies what is dialled and no other name": [
    "connect() verifies the hostname and sends it, whatever the address (hazard 55)",
    "connect() verifies serverName instead of the hostname",
  ],
  "It takes no list of protocols; check() refuses it": [
    "connect() agrees on a protocol by ALPN, or on none",
  ],
  "It tells no reason: each failure is ECONNREFUSED, or ERR_TLS_HANDSHAKE after startTls()":
    [
      "connect() fails with ERR_TLS_CERT at another name",
      "connect() fails with ERR_TLS_CERT at another serverName",
      "connect() fails with ERR_TLS_CERT at another address",
      "connect() fails with ERR_TLS_CERT at an unknown authority",
      "connect() fails with ERR_TLS_CERT at a date in the past",
      "connect() fails with ERR_TLS_HANDSHAKE when the server does not speak TLS",
      "connect() fails with ERR_TLS_HANDSHAKE when the server leaves",
      "connect() fails with ERR_TLS_HANDSHAKE when the server resets",
      "startTls() that fails tells where, and closes the connection",
    ],
  "It does not tell when TCP is up and TLS begins": [
    "connect() calls onTcp once, when TLS begins, and never without TLS",
    "connect() aborted in onTcp rejects with the reason",
  ],
  "It has no getaddrinfo": [
    "lookup() finds localhost, once, in the family asked for",
    "lookup() fails with a code when there is no such name",
    "lookup() gives no address of the other family",
  ],
  "It tells no source address": [
    "sourceAddress() tells the local address towards a destination",
  ],
};

/** Dials by name, and by the configured authority, where TLS is or may be. */
const byName: Runtime = {
  ...runtime,
  async connect(endpoint, options, signal, onTcp) {
    const { hostname } = options;
    const tls = options.tls && { ...options.tls, caCerts: undefined };
    const connection = hostname === endpoint.address
      ? await runtime.connect(endpoint, { ...options, tls }, signal, onTcp)
      : await runtime.connectByName!(
        hostname,
        endpoint.port,
        { ...options, tls },
        signal,
        onTcp,
      );
    const startTls = connection.startTls.bind(connection);
    connection.startTls = (options) =>
      startTls({ ...options, caCerts: undefined });
    return connection;
  },
};

runtimeConformance(byName, loopback, {
  // check() refuses them.
  clientCertificates: false,
  // A handshake goes on until the peer ends it.
  endsHandshakes: false,
  // The handshake fails.
  knowsBuffered: false,
});
