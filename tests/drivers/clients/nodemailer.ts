/** `nodemailer`. @module */

import { deepEqual, rejects } from "node:assert/strict";
import type net from "node:net";

import { connectNode } from "../../../src/entry/node.ts";
import { type Case, npm, type Scene, type Watched } from "../scene.ts";

const { default: nodemailer } = await npm("nodemailer");

type GetSocketCallback = (
  error: unknown,
  socket?: { connection: net.Socket },
) => void;

function transport(
  { hostname, ca, watch }: Scene,
  port: number,
  { signal, ...more }: Record<string, unknown> & { signal?: AbortSignal } = {},
) {
  return nodemailer.createTransport({
    host: hostname,
    port,
    tls: { ca },
    getSocket(
      { host, port }: { host: string; port: number },
      callback: GetSocketCallback,
    ) {
      const { onEvent } = watch();
      connectNode({ hostname: host, port, signal, onEvent }).then(
        (connection) => callback(null, { connection }),
        callback,
      );
    },
    ...more,
  });
}

const mail = {
  from: "a@example.test",
  to: "b@example.test",
  subject: "Hello",
  text: "Hello",
};

async function send(transport: typeof nodemailer): Promise<void> {
  const { accepted, response } = await transport.sendMail(mail);
  deepEqual([accepted, response], [["b@example.test"], "250 taken: Hello"]);
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "smtp:"(scene) {
    const ignoreTLS = true;
    await send(transport(scene, scene.ports.smtp, { ignoreTLS }));
  },

  async "smtp:, STARTTLS"(scene) {
    const requireTLS = true;
    await send(transport(scene, scene.ports.smtp, { requireTLS }));
  },

  async "smtps:"(scene) {
    const secure = true;
    await send(transport(scene, scene.ports.smtps, { secure }));
  },
};

/** A mail to a server that is not there. */
export function failure(scene: Scene): Promise<unknown> {
  return transport(scene, scene.refused).sendMail(mail)
    .catch((error: unknown) => error);
}

/** A mail whose connection gives up. */
export async function abort(
  scene: Scene,
  watched: Watched,
): Promise<"smtp"> {
  const signal = AbortSignal.timeout(50);
  const watch = () => watched;
  const sent = transport({ ...scene, watch }, scene.ports.smtp, { signal })
    .sendMail(mail);
  await rejects(sent, { name: "TimeoutError" });
  return "smtp";
}
