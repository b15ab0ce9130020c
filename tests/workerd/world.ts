/**
 * The `World` of tests that run in workerd: its servers are on `host.ts`.
 *
 * A server's behaviour runs here, and its peer asks the host for everything it
 * does.
 *
 * @module
 */

import type { Endpoint } from "../../src/core/endpoint.ts";
import type {
  Behaviour,
  Peer,
  Server,
  ServerOptions,
  World,
} from "../runtime_conformance.ts";

interface Description {
  readonly id: number;
  readonly remoteAddress: string;
  readonly serverName: string | null;
}

let url: string;

/** Has to be called first, with the host's address. */
export function useHost(host: string): void {
  url = host;
}

/** The loopback interface of the host. */
export const loopback: World = {
  serve,
  refusing: async (address) => await ask("refusing", 0, address) as Endpoint,
  // What follows is for tests that are left out, see `conformance.ts`.
  blackHole: () => Promise.reject(new Error("see openHole()")),
  secondLocalAddress: "127.0.0.2",
  linkLocalAddress: "fe80::1%lo",
  // The authority is in the worker's configuration.
  certificates: { ca: "", client: "", clientKey: "" },
  turn: () => new Promise((resolve) => void setImmediate(resolve)),
};

/** A port at which SYNs get no answer. */
export interface Hole {
  readonly port: number;
  /** Lets all in, at the next SYN that their systems repeat. */
  wake(): Promise<void>;
  /** How many sockets of workerd's try to get in, or are in. */
  count(): Promise<{ readonly dialling: number; readonly open: number }>;
  close(): Promise<void>;
}

/** `address` 0.0.0.0 is every one of 127/8; `port` 0 is any. */
export async function openHole(address: string, port = 0): Promise<Hole> {
  const hole = await ask("hole", 0, { address, port }) as {
    id: number;
    port: number;
  };
  return {
    port: hole.port,
    wake: async () => void await ask("wake", hole.id),
    count: async () =>
      await ask("count", hole.id) as { dialling: number; open: number },
    close: async () => void await ask("close", hole.id),
  };
}

async function serve(
  behaviour: Behaviour,
  options: ServerOptions = {},
): Promise<Server> {
  const { id, endpoint } = await ask("serve", 0, options) as {
    id: number;
    endpoint: Endpoint;
  };
  return new RemoteServer(id, endpoint, behaviour);
}

class RemoteServer implements Server {
  readonly endpoint: Endpoint;
  /** As of the last `idle()`. */
  accepted = 0;
  readonly #id: number;
  readonly #behaviour: Behaviour;
  readonly #failures: unknown[] = [];

  constructor(id: number, endpoint: Endpoint, behaviour: Behaviour) {
    this.#id = id;
    this.endpoint = endpoint;
    this.#behaviour = behaviour;
    this.#meetAll();
  }

  async idle(): Promise<void> {
    const { accepted } = await ask("idle", this.#id) as { accepted: number };
    this.accepted = accepted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await ask("stop", this.#id);
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  async #meetAll(): Promise<void> {
    for (;;) {
      const peer = await ask("accept", this.#id);
      if (!peer) return;
      this.#meet(new RemotePeer(peer as Description));
    }
  }

  async #meet(peer: Peer): Promise<void> {
    try {
      await this.#behaviour(peer);
    } catch (error) {
      // What the host could not do is the client's doing, and its test's.
      if (!(error instanceof HostError)) this.#failures.push(error);
    }
  }
}

class RemotePeer implements Peer {
  readonly remoteAddress: string;
  readonly serverName: string | null;
  /** workerd has no certificate to show. */
  readonly clientName = null;
  readonly #id: number;

  constructor({ id, remoteAddress, serverName }: Description) {
    this.#id = id;
    this.remoteAddress = remoteAddress;
    this.serverName = serverName;
  }

  async read(): Promise<Uint8Array | null> {
    return await request("read", this.#id);
  }

  async write(bytes: Uint8Array): Promise<void> {
    await request("write", this.#id, bytes);
  }

  async end(): Promise<void> {
    await request("end", this.#id);
  }

  reset(): void {
    request("reset", this.#id);
  }

  destroy(): void {
    request("destroy", this.#id);
  }

  async startTls(...options: Parameters<Peer["startTls"]>): Promise<Peer> {
    const peer = await ask("startTls", this.#id, options[0]);
    return new RemotePeer(peer as Description);
  }
}

/** What the host said when it could not do it. */
class HostError extends Error {}

async function ask(what: string, id: number, body?: unknown): Promise<unknown> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const reply = await request(what, id, text);
  return reply && JSON.parse(new TextDecoder().decode(reply));
}

async function request(
  what: string,
  id: number,
  body: string | Uint8Array = "",
): Promise<Uint8Array | null> {
  const init = { method: "POST", body: body as BodyInit };
  const response = await fetch(`${url}/${what}/${id}`, init);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.ok) return response.status === 204 ? null : bytes;
  throw new HostError(new TextDecoder().decode(bytes));
}
