/** `http2.connect`. @module */

import { equal } from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { text } from "node:stream/consumers";

import { connectNode, LazySocket } from "../../../src/entry/node.ts";
import { type Case, errorOf, type Scene, type Watched } from "../scene.ts";

async function echo(session: http2.ClientHttp2Session): Promise<void> {
  const stream = session.request({ ":method": "POST", ":path": "/" });
  stream.end("hello");
  equal(await text(stream), "hello");
  session.close();
  await once(session, "close");
}

/** The cases. */
export const cases: Record<string, Case> = {
  async "h2c"({ hostname, ports, watch }) {
    const { onEvent } = watch();
    const port = ports.h2c;
    const socket = await connectNode({ hostname, port, onEvent });
    await echo(http2.connect(`http://${hostname}:${port}`, {
      createConnection: () => socket,
    }));
  },

  async "h2c, LazySocket"({ hostname, ports, watch }) {
    const { onEvent } = watch();
    await echo(http2.connect(`http://${hostname}:${ports.h2c}`, {
      createConnection: () =>
        new LazySocket({ hostname, port: ports.h2c, onEvent }).connect(),
    }));
  },

  async "h2, LazySocket"({ hostname, ports, ca, watch }) {
    const { onEvent } = watch();
    const tls = { caCerts: [ca], alpnProtocols: ["h2"] };
    await echo(http2.connect(`https://${hostname}:${ports.h2}`, {
      createConnection: ({ hostname, port }) =>
        new LazySocket({ hostname, port: Number(port), tls, onEvent })
          .connect(),
    }));
  },

  async "h2"({ hostname, ports, ca, watch }) {
    const { onEvent } = watch();
    const port = ports.h2;
    const tls = { caCerts: [ca], alpnProtocols: ["h2"] };
    const socket = await connectNode({ hostname, port, tls, onEvent });
    await echo(http2.connect(`https://${hostname}:${port}`, {
      createConnection: () => socket,
    }));
  },
};

/** A session to where nobody listens. */
export function failure({ hostname, refused, watch }: Scene): Promise<unknown> {
  const { onEvent } = watch();
  return errorOf(http2.connect(`http://${hostname}:${refused}`, {
    createConnection: () =>
      new LazySocket({ hostname, port: refused, onEvent }).connect(),
  }));
}

/** A session whose socket gives up; its own `destroy()` waits for the socket. */
export async function abort(
  { hostname, ports }: Scene,
  { onEvent }: Watched,
  hasBegun: Promise<void>,
): Promise<"h2c"> {
  const controller = new AbortController();
  const { signal } = controller;
  const target = { hostname, port: ports.h2c };
  const session = http2.connect(`http://${hostname}:${ports.h2c}`, {
    createConnection: () =>
      new LazySocket({ ...target, signal, onEvent }).connect(),
  });
  const failed = errorOf(session);
  await hasBegun;
  controller.abort();
  equal((await failed as Error).name, "AbortError");
  return "h2c";
}
