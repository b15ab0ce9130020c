/** `mqtt`. @module */

import { deepEqual, match } from "node:assert/strict";
import { once } from "node:events";

import { LazySocket, type LazySocketOptions } from "../../../src/entry/node.ts";
import { type Case, errorOf, npm, type Scene, type Watched } from "../scene.ts";

const { default: mqtt } = await npm("mqtt");

/** What the stream builder is given. */
interface Asking {
  readonly options: { host: string; port: number };
}

function clientOf(
  { hostname, watch }: Scene,
  port: number,
  { tls, ...more }: Record<string, unknown> & Pick<LazySocketOptions, "tls"> =
    {},
): typeof mqtt {
  const stream = ({ options: { host, port } }: Asking) =>
    new LazySocket({ hostname: host, port, tls, onEvent: watch().onEvent });
  return new mqtt.MqttClient(stream, { host: hostname, port, ...more });
}

async function roundTrip(client: typeof mqtt, topic: string): Promise<void> {
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
  async "mqtt:"(scene) {
    await roundTrip(clientOf(scene, scene.ports.mqtt), "plain");
  },

  async "mqtts:"(scene) {
    const tls = { caCerts: [scene.ca] };
    await roundTrip(clientOf(scene, scene.ports.mqtts, { tls }), "secure");
  },
};

/** Its `error` event. */
export async function failure(scene: Scene): Promise<unknown> {
  const more = { reconnectPeriod: 0 };
  return await errorOf(clientOf(scene, scene.refused, more));
}

/** A client that gives up. */
export async function abort(
  scene: Scene,
  watched: Watched,
): Promise<"mqtt"> {
  const more = { connectTimeout: 50, reconnectPeriod: 0 };
  const watch = () => watched;
  const client = clientOf({ ...scene, watch }, scene.ports.mqtt, more);
  match((await errorOf(client) as Error).message, /timeout/);
  client.end();
  return "mqtt";
}
