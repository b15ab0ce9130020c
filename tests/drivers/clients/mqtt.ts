/** `mqtt`. @module */

import { deepEqual } from "node:assert/strict";
import { once } from "node:events";

import { LazySocket } from "../../../src/entry/node.ts";
import { type Case, errorOf, npm, type Scene } from "../scene.ts";

const { default: mqtt } = await npm("mqtt");

async function roundTrip(
  stream: () => LazySocket,
  topic: string,
): Promise<void> {
  const client = new mqtt.MqttClient(stream, {});
  await once(client, "connect");
  await client.subscribeAsync(topic);
  const arrived = once(client, "message");
  await client.publishAsync(topic, "hello");
  const [from, message] = await arrived;
  deepEqual([from, String(message)], [topic, "hello"]);
  await client.endAsync();
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "mqtt:"({ hostname, ports, watch }) {
    const port = ports.mqtt;
    await roundTrip(
      () => new LazySocket({ hostname, port, onEvent: watch().onEvent }),
      "plain",
    );
  },

  async "mqtts:"({ hostname, ports, ca, watch }) {
    const port = ports.mqtts;
    const tls = { caCerts: [ca] };
    await roundTrip(
      () => new LazySocket({ hostname, port, tls, onEvent: watch().onEvent }),
      "secure",
    );
  },
};

/** Its `error` event. */
export async function failure(
  { hostname, refused, watch }: Scene,
): Promise<unknown> {
  const client = new mqtt.MqttClient(
    () => new LazySocket({ hostname, port: refused, onEvent: watch().onEvent }),
    { reconnectPeriod: 0 },
  );
  return await errorOf(client);
}
