/**
 * Tries the ways to the network and prints what came of each: a line of JSON,
 * `[way, code, message]`. `permission_test.ts` starts it where something is
 * denied; an exception that nobody catches ends it with another status than 0.
 *
 * @module
 */

import process from "node:process";

import {
  connect,
  type ConnectOptions,
  happyEyeballs,
  type Resolver,
  staticResolver,
  systemResolver,
} from "../../mod.ts";
import { connectNode } from "../../src/entry/node.ts";
import { detectRuntime } from "../../src/runtime/detect.ts";

const [hostname, ca] = [process.argv[2]!, process.argv[4]!];
const place = { hostname: "a.test", port: Number(process.argv[3]) };
const resolver = staticResolver([hostname]);

/** The default resolver, asked for a name that takes no network. */
const system: Resolver = (_hostname, options) =>
  systemResolver()("localhost", options);

async function open(options: Partial<ConnectOptions>): Promise<void> {
  const connection = await connect({ ...place, ...options });
  await connection[Symbol.asyncDispose]();
}

const ways: Record<string, () => unknown> = {
  literal: () => open({ hostname }),
  addresses: () => open({ resolver }),
  local: () => open({ resolver, localAddresses: ["127.0.0.1"] }),
  tls: () => {
    const tls = { serverName: "example.test", caCerts: [ca] };
    return open({ resolver, tls });
  },
  node: async () => (await connectNode({ ...place, resolver })).destroy(),
  name: () => happyEyeballs(() => {}, { ...place, resolver: system }),
  "name by node": async () =>
    (await connectNode({ ...place, resolver: system })).destroy(),
  source: async () => {
    const source = await detectRuntime().sourceAddress(hostname);
    if (!source) throw { code: String(source), message: "" };
  },
};

for (const [way, run] of Object.entries(ways)) {
  let outcome: unknown[] = ["done"];
  try {
    await run();
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    outcome = [code, message];
  }
  console.log(JSON.stringify([way, ...outcome]));
}
