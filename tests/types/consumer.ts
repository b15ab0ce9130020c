/**
 * What a user's compiler makes of the package: each call site as the
 * documentation writes it, with the type it must infer.
 *
 * Nothing here runs. The test command compiles this file with `deno check`
 * against the source, and with `tsc` against what npm users of JSR get: no
 * newer library than ES2022 and DOM, no `@types`, `skipLibCheck` off,
 * `exactOptionalPropertyTypes` on. `await using` is in `using.ts`, because it
 * needs a newer library.
 *
 * @module
 */

import {
  type Answer,
  type Clock,
  concurrentResolver,
  connect,
  ConnectError,
  type ConnectFailure,
  type Connection,
  type ConnectOptions,
  type Endpoint,
  happyEyeballs,
  type HappyEyeballsEvent,
  type HappyEyeballsOptions,
  type RaceOptions,
  type RecordType,
  type Resolver,
  staggeredRace,
  staticResolver,
  systemResolver,
  type TlsOptions,
} from "@stagger/happy-eyeballs";
import {
  connect as connectSocket,
  type Socket,
  SocketError,
  type SocketInfo,
} from "@stagger/happy-eyeballs/sockets";

/** Compiles only where `A` and `B` are exactly the same type. */
function same<A, B>(
  _: (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2)
    ? true
    : false,
): void {}

declare const signal: AbortSignal | undefined;
declare const milliseconds: number | undefined;
declare const flag: boolean | undefined;
declare const text: string | undefined;

// staggeredRace: a tuple of attempts with different results
const tuple = await staggeredRace([
  () => 1,
  () => Promise.resolve("two"),
  (signal, control) => {
    same<typeof signal, AbortSignal>(true);
    same<typeof control.index, number>(true);
    same<ReturnType<typeof control.holdNext>, void>(true);
    return Promise.resolve(signal.aborted);
  },
]);
same<typeof tuple, string | number | boolean>(true);

const one = await staggeredRace([(signal) => signal], { delay: 20 });
same<typeof one, AbortSignal>(true);

const none = staggeredRace([]);
same<typeof none, Promise<never>>(true);

// staggeredRace: lazy sources
type Mirror = (signal: AbortSignal) => Promise<Uint8Array>;
declare const array: readonly Mirror[];
declare const set: Set<Mirror>;
declare const generator: Generator<Mirror, void, undefined>;
declare const asyncGenerator: AsyncGenerator<Mirror | (() => null)>;

const fromArray = await staggeredRace(array);
same<typeof fromArray, Uint8Array>(true);
const fromSet = await staggeredRace(set, { delay: (index) => index * 10 });
same<typeof fromSet, Uint8Array>(true);
const fromGenerator = await staggeredRace(generator);
same<typeof fromGenerator, Uint8Array>(true);
const fromAsyncGenerator = await staggeredRace(asyncGenerator);
same<typeof fromAsyncGenerator, Uint8Array | null>(true);

// staggeredRace: options
const race = await staggeredRace([() => 1, () => Promise.resolve("two")], {
  delay: Infinity,
  signal,
  onDiscard: (value) => same<typeof value, string | number>(true),
  onEvent: (event) => {
    if (event.type !== "attempt-end") return;
    same<typeof event.outcome, "won" | "failed" | "canceled">(true);
  },
});
same<typeof race, string | number>(true);

const optional: RaceOptions<number> = {
  delay: milliseconds,
  signal,
  onDiscard: undefined,
  onEvent: undefined,
  clock: undefined,
};
const withOptionals = await staggeredRace([() => 1], optional);
same<typeof withOptionals, number>(true);

// @ts-expect-error: an attempt is a function
staggeredRace(["not a function"]);
// @ts-expect-error: there is no such option; a signal does this
staggeredRace([() => 1], { timeout: 1000 });

// happyEyeballs: generic in what an attempt returns
interface Session {
  end(): void;
}
declare function open(endpoint: Endpoint, signal: AbortSignal): Session;

const session = await happyEyeballs(
  (endpoint, signal, control) => {
    same<typeof endpoint, Endpoint>(true);
    same<typeof endpoint.family, 4 | 6>(true);
    same<typeof endpoint.localAddress, string | undefined>(true);
    control.holdNext(100);
    return open(endpoint, signal);
  },
  {
    hostname: "example.com",
    port: 443,
    onDiscard: (value) => {
      same<typeof value, Session>(true);
      value.end();
    },
  },
);
same<typeof session, Session>(true);

const addresses = await happyEyeballs(
  ({ address }) => Promise.resolve(address),
  { hostname: "::1", port: 1, onDiscard: undefined },
);
same<typeof addresses, string>(true);

// connect: plain, TLS, every option
const plain = await connect({ hostname: "example.com", port: 80 });
same<typeof plain, Connection>(true);

const secure = await connect({
  hostname: "example.com",
  port: 443,
  tls: { alpnProtocols: ["h2", "http/1.1"], serverName: "example.com" },
});
same<typeof secure.alpnProtocol, string | null>(true);

const settings: HappyEyeballsOptions = {
  hostname: "example.com",
  port: 443,
  signal,
  family: 6,
  resolver: staticResolver(["2001:db8::1", "192.0.2.1"]),
  connectionAttemptDelay: milliseconds,
  resolutionDelay: milliseconds,
  preferredAddressFamilyCount: milliseconds,
  localAddresses: new Set(["192.0.2.7"]),
  allow: ({ address, port }) => address !== "127.0.0.1" && port === 443,
  sourceAddress: (destination) =>
    destination.includes(":") ? null : { address: "192.0.2.7" },
  onEvent: undefined,
};
connect({ ...settings, tls: true, noDelay: flag });
connect({
  ...settings,
  sourceAddress: () =>
    Promise.resolve({ address: "2001:db8::2", prefixLength: 64 }),
});

const tls: TlsOptions = {
  serverName: text,
  alpnProtocols: undefined,
  caCerts: text === undefined ? undefined : [text],
  cert: text,
  key: text,
  session: flag ? undefined : false,
};
const undefineds: ConnectOptions = {
  hostname: "example.com",
  port: 443,
  signal: undefined,
  family: undefined,
  resolver: undefined,
  connectionAttemptDelay: undefined,
  resolutionDelay: undefined,
  preferredAddressFamilyCount: undefined,
  localAddresses: undefined,
  allow: undefined,
  sourceAddress: undefined,
  onEvent: undefined,
  clock: undefined,
  tls: flag ?? tls,
  allowHalfOpen: flag,
  noDelay: flag,
  keepAlive: flag,
};
connect(undefineds);

// @ts-expect-error: the port is required
connect({ hostname: "example.com" });
// @ts-expect-error: sessions come and go by themselves
connect({ hostname: "example.com", port: 443, tls: { session: true } });
// @ts-expect-error: a family is 4 or 6
connect({ hostname: "example.com", port: 443, family: "IPv6" });

// The connection
same<typeof plain.readable, ReadableStream<Uint8Array<ArrayBuffer>>>(true);
same<typeof plain.writable, WritableStream<Uint8Array>>(true);
const reader = plain.readable.getReader({ mode: "byob" });
const chunk = await reader.read(new Uint8Array(1024));
same<typeof chunk.value, Uint8Array<ArrayBuffer> | undefined>(true);
await plain.writable.getWriter().write(new TextEncoder().encode("hello"));
new Response(plain.readable);
const upgraded = await plain.startTls({
  serverName: text,
  signal: AbortSignal.timeout(1000),
});
same<typeof upgraded, Connection>(true);
plain.remoteAddr?.port.toFixed();
plain.localAddr?.hostname.endsWith("1");
await plain.close(new Error("enough"));
await plain.closed;
const { remoteAddress } = await plain.opened;
remoteAddress?.toString();

// Errors
try {
  await connect({ hostname: "localhost", port: 9 });
} catch (error) {
  if (!(error instanceof ConnectError)) throw error;
  same<typeof error.code, string>(true);
  for (const { index, endpoint, startTime, duration } of error.attempts) {
    same<typeof endpoint, Endpoint | null>(true);
    (index + startTime + duration).toFixed();
  }
  same<typeof error.answers, readonly Answer[]>(true);
  (error satisfies AggregateError).errors.at(0);
}

const failure: ConnectFailure = { hostname: "localhost", port: 9 };
new ConnectError({ ...failure, attempts: undefined, answers: [] });
// @ts-expect-error: a failure is one of a host
new ConnectError({ port: 9 });

// Events: a discriminated union
const onEvent = (event: HappyEyeballsEvent): string => {
  same<typeof event.hostname, string>(true);
  same<typeof event.port, number>(true);
  switch (event.type) {
    case "resolve-start":
      return event.types.join();
    case "answer":
      return `${event.recordType} ${event.name} ${event.addresses.join()}`;
    case "attempt-start":
    case "attempt-progress":
      return event.endpoint?.address ?? "";
    case "attempt-end":
      return `${event.outcome} ${event.time - event.startTime} ${event.error}`;
    case "discard":
      return `${event.index} ${event.error}`;
    case "end":
      same<typeof event.outcome, "connected" | "failed" | "aborted">(true);
      return `${event.outcome} ${event.index} ${event.endpoint?.address}`;
  }
};
connect({ ...undefineds, onEvent });

// Resolvers and clocks of one's own
const own: Resolver = async function* (hostname, { types, port, signal }) {
  same<typeof types, readonly RecordType[]>(true);
  signal.throwIfAborted();
  yield {
    type: "AAAA",
    addresses: [],
    error: new Error(`${hostname}:${port}`),
  };
  yield { type: "A", addresses: ["192.0.2.1"], ttl: milliseconds, name: text };
};
const resolvers: Resolver[] = [
  own,
  systemResolver(),
  concurrentResolver((hostname, family, signal) => {
    same<typeof family, 4 | 6>(true);
    signal.throwIfAborted();
    return Promise.resolve([hostname]);
  }),
];
const clock: Clock = {
  now: () => 0,
  sleep: (ms, signal) => Promise.resolve(void (signal?.aborted || ms)),
};
connect({ ...undefineds, resolver: resolvers[0], clock });

// Sockets
const socket = connectSocket("example.com:5432", {
  secureTransport: "starttls",
  allowHalfOpen: true,
});
same<typeof socket, Socket>(true);
same<Socket["opened"], Promise<SocketInfo>>(true);
await socket.writable.getWriter().write(new Uint8Array(8));
const encrypted = socket.startTls({ expectedServerHostname: text });
new Response(encrypted.readable);
await encrypted.closed.catch((error) => error instanceof SocketError);
connectSocket({ hostname: "example.com", port: 443 }, {
  secureTransport: "on",
  sni: text,
  alpn: ["h2"],
});
// @ts-expect-error: there are three kinds
connectSocket("example.com:443", { secureTransport: "tls" });
