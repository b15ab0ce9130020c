/** `kafkajs`. @module */

import { deepEqual, equal } from "node:assert/strict";

import { LazySocket, type LazySocketOptions } from "../../../src/entry/node.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { Kafka, logLevel } = await npm("kafkajs");

/** What a socket is asked for with. */
interface Asking {
  readonly host: string;
  readonly port: number;
  readonly ssl: unknown;
  onConnect(): void;
}

function adminOf(
  { hostname, watch }: Scene,
  port: number,
  { tls, signal }: Pick<LazySocketOptions, "tls" | "signal"> = {},
): typeof Kafka {
  const socketFactory = ({ host, port, ssl, onConnect }: Asking) => {
    const { onEvent } = watch();
    const options = { hostname: host, port, tls, signal, onEvent };
    return new LazySocket(options).connect()
      .once(ssl ? "secureConnect" : "connect", onConnect);
  };
  const kafka = new Kafka({
    brokers: [`${hostname}:${port}`],
    ssl: Boolean(tls),
    // One second if nothing is said.
    connectionTimeout: 10_000,
    retry: { retries: 0 },
    logLevel: logLevel.NOTHING,
    socketFactory,
  });
  return kafka.admin();
}

/** Goes to the broker it was given, then to the one that this one names. */
async function list(admin: typeof Kafka): Promise<void> {
  await admin.connect();
  deepEqual(await admin.listTopics(), ["greetings"]);
  await admin.disconnect();
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "plain"(scene) {
    await list(adminOf(scene, scene.ports.kafka));
  },

  async "ssl"(scene) {
    const tls = { caCerts: [scene.ca] };
    await list(adminOf(scene, scene.ports.kafkas, { tls }));
  },
};

/** Its error takes the code and drops ours. */
export const keeps = "code";

/** The cause of what `connect()` rejects with, which counts the retries. */
export async function failure(scene: Scene): Promise<unknown> {
  return (await failureOf(adminOf(scene, scene.refused))).cause;
}

/** A socket that gives up; `connectionTimeout` only ends it once it is open. */
export async function abort(scene: Scene, watched: Watched): Promise<"kafka"> {
  const signal = AbortSignal.timeout(50);
  const watch = () => watched;
  const admin = adminOf({ ...scene, watch }, scene.ports.kafka, { signal });
  equal((await failureOf(admin)).name, "KafkaJSNumberOfRetriesExceeded");
  return "kafka";
}

async function failureOf(admin: typeof Kafka): Promise<Error> {
  return await admin.connect().catch((error: Error) => error);
}
