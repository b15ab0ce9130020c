/**
 * The conformance suite on the fake runtime, which proves two things: the fake
 * keeps every promise an adapter makes, and the suite asks for nothing that
 * only a kernel could do.
 *
 * @module
 */

import { FakeRuntime } from "./fake_runtime.ts";
import { runtimeConformance } from "./runtime_conformance.ts";

const runtime = new FakeRuntime();

runtimeConformance(runtime, runtime.world, {
  clientCertificates: true,
  endsHandshakes: true,
  knowsBuffered: true,
});
