/**
 * Who connects in the demo: this package, and what the runtime has built in.
 *
 * All of them tell their story in the same events, so that one function draws
 * them all. `node:net` has events of its own that say the same. `Deno.connect`
 * has none, and no hook for a resolver: it is one attempt by name, to
 * `localhost`, which it must be able to resolve to both loopback addresses.
 *
 * @module
 */

import { lookup as systemLookup } from "node:dns/promises";
import {
  connect as netConnect,
  type LookupFunction,
  type Socket,
} from "node:net";

import {
  connect,
  type ConnectOptions,
  type Endpoint,
  type HappyEyeballsEvent,
} from "../../mod.ts";
import { scriptedResolver } from "../../src/entry/scripted_resolver.ts";

/** Where to connect to. */
export interface Place {
  readonly port: number;
  /** What the resolver says and when, as for `--resolve`. */
  readonly script: string;
  /** The family that the system would list first. */
  readonly firstFamily: 4 | 6;
}

/** Who connects once and closes the connection. */
export interface Client {
  readonly name: string;
  /** What happened, or the reason why this client cannot show it. */
  run(place: Place): Promise<HappyEyeballsEvent[] | string>;
}

/** How long anybody is waited for, in milliseconds. */
export const PATIENCE = 5000;

const HOSTNAME = "demo.test";

/** This package. */
export const ours: Client = {
  name: "happy-eyeballs",
  async run({ port, script, firstFamily }) {
    const events: HappyEyeballsEvent[] = [];
    const noIpv6: ConnectOptions["sourceAddress"] = (destination) =>
      destination.includes(":") ? null : { address: "127.0.0.1" };
    try {
      const connection = await connect({
        hostname: HOSTNAME,
        port,
        resolver: scriptedResolver(script),
        sourceAddress: firstFamily === 4 ? noIpv6 : undefined,
        signal: AbortSignal.timeout(PATIENCE),
        onEvent: (event) => void events.push(event),
      });
      await connection[Symbol.asyncDispose]();
    } catch (error) {
      // A failure to connect is told by an event, anything else is not.
      if (!events.some(({ type }) => type === "end")) throw error;
    }
    return events;
  },
};

/** What the runtime at hand has built in. */
export const builtins: readonly Client[] = [
  ...("Deno" in globalThis
    ? [{ name: "Deno.connect", run: connectByDeno }]
    : []),
  { name: "node:net", run: connectByNodeNet },
];

/** `node:net` with its Happy Eyeballs, `autoSelectFamily`, and our answers. */
async function connectByNodeNet(place: Place): Promise<HappyEyeballsEvent[]> {
  const { events, tell } = recorder(HOSTNAME, place.port);
  const socket = netConnect({
    host: HOSTNAME,
    port: place.port,
    autoSelectFamily: true,
    lookup: scriptedLookup(place, tell),
  });
  watch(socket, tell);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      tell({ type: "end", outcome: "aborted" });
      socket.destroy();
    }, PATIENCE);
    socket.on("connect", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
  return events;
}

/** Makes our events of the socket's own. */
function watch(socket: Socket, tell: Tell): void {
  let index = -1;
  let attempt: { index: number; endpoint: Endpoint; startTime: number };
  const endAttempt = (
    outcome: "won" | "failed" | "canceled",
    error?: unknown,
  ) => tell({ type: "attempt-end", ...attempt, outcome, error });

  socket.on("connectionAttempt", (address, port, family) => {
    const endpoint = { address, port, family: family === 6 ? 6 : 4 } as const;
    attempt = { index: ++index, endpoint, startTime: performance.now() };
    tell({ type: "attempt-start", index, endpoint });
  });
  socket.on("connectionAttemptTimeout", () => endAttempt("canceled"));
  socket.on(
    "connectionAttemptFailed",
    (_address, _port, _family, error) => endAttempt("failed", error),
  );
  socket.on("connect", () => {
    endAttempt("won");
    tell({ type: "end", outcome: "connected", index });
  });
  socket.on("error", (error) => {
    tell({ type: "end", outcome: "failed", error: described(error) });
  });
}

/**
 * Our answers for `node:net`, which waits for all of them, as every caller of
 * getaddrinfo does.
 */
function scriptedLookup(
  { port, script, firstFamily }: Place,
  tell: Tell,
): LookupFunction {
  return async (hostname, _options, callback) => {
    const types = ["AAAA", "A"] as const;
    const { signal } = new AbortController();
    const found: { address: string; family: 4 | 6 }[] = [];
    tell({ type: "resolve-start", types });
    const answers = scriptedResolver(script)(hostname, { types, port, signal });
    for await (const { type, addresses } of answers) {
      tell({ type: "answer", recordType: type, name: hostname, addresses });
      const family = type === "A" ? 4 : 6;
      found.push(...addresses.map((address) => ({ address, family } as const)));
    }
    const rank = ({ family }: { family: 4 | 6 }) =>
      Number(family !== firstFamily);
    callback(null, found.sort((a, b) => rank(a) - rank(b)));
  };
}

/** `Deno.connect`, which tells nothing on its way. */
async function connectByDeno(
  { port, script }: Place,
): Promise<HappyEyeballsEvent[] | string> {
  if (script.includes("@")) {
    return "it takes no resolver, so nobody can be late";
  }
  const known = (await systemLookup("localhost", { all: true }))
    .map(({ address }) => address);
  if (!known.includes("::1") || !known.includes("127.0.0.1")) {
    return `it resolves by itself, and "localhost" is only ${known} here`;
  }
  const hostname = "localhost";
  const { events, tell } = recorder(hostname, port);
  const attempt = { index: 0, endpoint: null } as const;
  tell({ type: "attempt-start", ...attempt });
  const startTime = performance.now();
  const signal = AbortSignal.timeout(PATIENCE);
  try {
    const connection = await Deno.connect({ hostname, port, signal });
    connection.close();
    tell({ type: "attempt-end", ...attempt, startTime, outcome: "won" });
    tell({ type: "end", outcome: "connected", index: 0 });
  } catch (error) {
    if (signal.aborted) {
      tell({ type: "end", outcome: "aborted" });
    } else {
      const outcome = "failed";
      tell({ type: "attempt-end", ...attempt, startTime, outcome, error });
      tell({ type: "end", outcome, error: described(error) });
    }
  }
  return events;
}

/** What a caller of a built-in connect gets to see of an error. */
function described(error: unknown): Error {
  const { name, code, message } = error as Error & { code?: string };
  const text = `Failed: ${name}, code ${code}, message ${
    JSON.stringify(message)
  }`;
  return Object.assign(new Error(text, { cause: error }), { code });
}

type What<Event> = Event extends unknown
  ? Omit<Event, "time" | "hostname" | "port">
  : never;
type Tell = (event: What<HappyEyeballsEvent>) => void;

/** Puts the time and the target on events and keeps them. */
function recorder(
  hostname: string,
  port: number,
): { events: HappyEyeballsEvent[]; tell: Tell } {
  const events: HappyEyeballsEvent[] = [];
  return {
    events,
    tell(event) {
      events.push({ ...event, time: performance.now(), hostname, port });
    },
  };
}
