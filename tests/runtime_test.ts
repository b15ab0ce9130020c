/**
 * The conformance suite on the runtime at hand, with real sockets.
 *
 * @module
 */

import { detectRuntime } from "../src/runtime/detect.ts";
import { runtimeName } from "./harness.ts";
import { runtimeConformance } from "./runtime_conformance.ts";
import { loopback } from "./servers.ts";

const isDeno = runtimeName === "deno";

runtimeConformance(detectRuntime(), loopback, {
  // Deno 2.9: `Deno.startTls` has no such options.
  clientCertificates: !isDeno,
  // Deno 2.9: the descriptor stays open until the peer closes.
  endsHandshakes: !isDeno,
  // Deno reads no more than it is asked for, so it cannot know.
  knowsBuffered: !isDeno,
});
