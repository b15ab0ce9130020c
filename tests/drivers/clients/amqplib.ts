/** `amqplib`. @module */

import { equal, rejects } from "node:assert/strict";
import { Buffer } from "node:buffer";

import { type Case, npm, type Scene } from "../scene.ts";

const { default: amqp } = await npm("amqplib");

/** Its sockets are Node's; they ask ours for addresses. */
export const hook = "lookup";

async function roundTrip(
  url: string,
  options: Record<string, unknown>,
): Promise<void> {
  const connection = await amqp.connect(url, options);
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true });
  const arrived = new Promise<{ content: Uint8Array }>((resolve) =>
    void channel.consume(queue, resolve, { noAck: true })
  );
  channel.sendToQueue(queue, Buffer.from("hello"));
  equal(String((await arrived).content), "hello");
  await connection.close();
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "amqp:"({ hostname, ports, lookup }) {
    await roundTrip(`amqp://${hostname}:${ports.amqp}`, { lookup });
  },

  async "amqps:"({ hostname, ports, ca, lookup }) {
    await roundTrip(`amqps://${hostname}:${ports.amqps}`, { ca, lookup });
  },
};

/** A connection to where nobody listens. */
export function failure(
  { hostname, refused, lookup }: Scene,
): Promise<unknown> {
  return amqp.connect(`amqp://${hostname}:${refused}`, { lookup })
    .catch((error: unknown) => error);
}

/** A connection that gives up. */
export async function abort(
  { hostname, ports, lookup }: Scene,
): Promise<"amqp"> {
  const url = `amqp://${hostname}:${ports.amqp}`;
  const connection = amqp.connect(url, { lookup, timeout: 50 });
  await rejects(connection, /ETIMEDOUT/);
  return "amqp";
}
