/**
 * A Worker of an early compatibility date, that has no `process` and none of
 * Node's modules: the adapter has to get at `cloudflare:sockets` all the same.
 *
 * @module
 */

import { connect } from "../../src/connect.ts";

/** Asks the host by hand. */
async function askHost(
  _controller: unknown,
  { HOST }: { readonly HOST: string },
): Promise<void> {
  const { hostname, port } = new URL(HOST);
  const connection = await connect({ hostname, port: Number(port) });
  const writer = connection.writable.getWriter();
  const request =
    `POST /refusing HTTP/1.0\r\nContent-Length: 11\r\n\r\n"127.0.0.1"`;
  await writer.write(new TextEncoder().encode(request));
  const answer = await new Response(connection.readable).text();
  await connection.closed;
  const outcome =
    answer.startsWith("HTTP/1.1 200") && !("process" in globalThis)
      ? "ok"
      : answer;
  const name = "connect() works in a Worker of an early compatibility date";
  console.log(`RESULT ${JSON.stringify([name, 0, outcome])}`);
}

/** What workerd calls. */
const handlers: { readonly test: typeof askHost } = { test: askHost };
export default handlers;
