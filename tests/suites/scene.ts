/**
 * What a case of the suites is written in: a door that makes the sockets, the
 * servers, and a log of what a program sees.
 *
 * A case runs once with the platform's own and once with each door of ours,
 * and the logs have to be equal. So it says only what a client can see, in an
 * order that does not hang on chance; ports are replaced by a word.
 *
 * @module
 */

import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

import { type Resolver, staticResolver } from "../../mod.ts";
import {
  createConnection,
  type CreateConnectionCallback,
  type CreateConnectionOptions,
  LazySocket,
} from "../../src/entry/node.ts";
import { certificate } from "../certs/read.ts";

/** One behaviour. */
export interface Case {
  /** A sentence; unique in all suites. */
  readonly name: string;
  /** The test of Node's own suite that is about it. */
  readonly from: string;
  readonly run: (scene: Scene) => unknown;
  /** Milliseconds it may take. @default 3000 */
  readonly limit?: number;
  /** The doors that have it. @default all */
  readonly doors?: readonly DoorName[];
}

/** The last line of a case that took too long. */
export const noEnd = "there was no end";

export const doorNames = [
  "platform",
  "LazySocket",
  "createConnection",
] as const;

export type DoorName = typeof doorNames[number];

/** Options as they come: cases try out wrong ones too. */
// deno-lint-ignore no-explicit-any
export type Options = Record<string, any>;

// deno-lint-ignore no-explicit-any
type Arguments = any[];

/** Makes the sockets, in Node's words whoever makes them. */
export interface Door {
  readonly name: DoorName;
  /** As `new net.Socket()`. */
  socket(options?: Options): net.Socket;
  /** As `net.connect()`. */
  connect(...args: Arguments): net.Socket;
  /** As `tls.connect()`. */
  secure(options: Options, callback?: () => void): tls.TLSSocket;
  /** As a hook that calls back with the socket when it is connected. */
  call(
    options: Options,
    callback: (error: unknown, socket?: net.Socket) => void,
  ): void;
  agent(options?: Options): http.Agent;
  secureAgent(options?: Options): https.Agent;
  /** Options by which any name has these addresses; without, there is no answer. */
  names(addresses?: readonly string[]): Options;
}

const platform: Door = {
  name: "platform",
  socket: (options) => new net.Socket(options),
  connect: (...args) => net.connect(...args as [net.NetConnectOpts]),
  secure: (options, callback) => tls.connect(options, callback),
  call(options, callback) {
    const socket = net.connect(options as net.NetConnectOpts);
    socket.once("connect", () => callback(null, socket));
    socket.once("error", callback);
  },
  agent: (options) => new http.Agent(options),
  secureAgent: (options) => new https.Agent(options),
  names: (addresses) => ({
    lookup(
      _hostname: string,
      { all }: { all?: boolean },
      callback: (error: null, ...answer: unknown[]) => void,
    ) {
      if (!addresses) return;
      const answers = addresses.map((address) => ({
        address,
        family: net.isIP(address),
      }));
      const { address, family } = answers[0]!;
      if (all) setImmediate(callback, null, answers);
      else setImmediate(callback, null, address, family);
    },
  }),
};

/** Never answers. */
const silent: Resolver = (_hostname, { signal }) => ({
  [Symbol.asyncIterator]: () => ({
    next: () =>
      new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason))
      ),
  }),
});

/** With it an address is raced too; it would be left to the platform. */
const raced = { onEvent() {} };

/** For cases about what is left to the platform. */
export const unraced: Options = { onEvent: undefined };

/** What the doors of ours have in common. */
const ours = {
  socket: (options) =>
    new LazySocket({ ...raced, ...options }) as unknown as net.Socket,
  secure(options, callback) {
    const socket = createConnection({
      ...raced,
      ...options,
      protocol: "https:",
    });
    if (callback) socket.once("secureConnect", callback);
    return socket as unknown as tls.TLSSocket;
  },
  call: (options, callback) => void createConnection(options, callback),
  agent: (options) =>
    Object.assign(new http.Agent(options), { createConnection }),
  secureAgent: (options) =>
    Object.assign(new https.Agent(options), { createConnection }),
  names: (addresses) => ({
    resolver: addresses ? staticResolver(addresses) : silent,
  }),
} satisfies Partial<Door>;

/** A hook as people wrap it. */
const wrapped = {
  createConnection: (
    options: CreateConnectionOptions,
    callback: CreateConnectionCallback,
  ) => createConnection({ ...options }, callback),
};

const lazy: Door = {
  ...ours,
  name: "LazySocket",
  agent: (options) => Object.assign(new http.Agent(options), wrapped),
  secureAgent: (options) => Object.assign(new https.Agent(options), wrapped),
  connect(...args) {
    const { options, callback } = parse(args);
    const socket = ours.socket(forConstructor(options));
    if (options.timeout) socket.setTimeout(options.timeout);
    return socket.connect(
      options as net.NetConnectOpts,
      ...callback ? [callback] : [],
    );
  },
};

const created: Door = {
  ...ours,
  name: "createConnection",
  connect(...args) {
    const { options, callback } = parse(args);
    const socket = createConnection({ ...raced, ...options });
    if (callback) socket.once("connect", callback);
    return socket as unknown as net.Socket;
  },
};

export const doors: Readonly<Record<DoorName, Door>> = {
  platform,
  LazySocket: lazy,
  createConnection: created,
};

/** `(options)` or `(port, host)`, and a callback at the end. */
function parse(args: Arguments): {
  options: Options;
  callback: (() => void) | undefined;
} {
  const callback = typeof args.at(-1) === "function" ? args.at(-1) : undefined;
  const [first, second] = args;
  if (typeof first === "object" && first) return { options: first, callback };
  const host = typeof second === "string" ? { host: second } : {};
  return { options: { port: first, ...host }, callback };
}

/** What the constructor takes of the options of `net.connect()`. */
function forConstructor(options: Options): Options {
  const names = [
    ...["allowHalfOpen", "signal", "onread", "highWaterMark", "blockList"],
    ...["noDelay", "keepAlive", "keepAliveInitialDelay", "resolver"],
    "onEvent",
  ];
  return Object.fromEntries(
    names.filter((name) => name in options).map((name) => [
      name,
      options[name],
    ]),
  );
}

/** Deno's own emits them for several addresses only. */
export const attemptEvents: readonly string[] = [
  "connectionAttempt",
  "connectionAttemptFailed",
];

/** What is logged of a socket, unless a case wants other events. */
export const events: readonly string[] = [
  ...["lookup", "connectionAttemptTimeout", "connect", "secureConnect"],
  ...["ready", "timeout", "end", "finish", "error", "close"],
  ...("Deno" in globalThis ? [] : attemptEvents),
];

/** A promise and what settles it, which Node 20 has not. */
export function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
} {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((resolveIt) => resolve = resolveIt);
  return { promise, resolve };
}

/** The place where one case runs once. */
export class Scene {
  readonly door: Door;
  readonly lines: string[] = [];
  readonly ca: string = certificate("ca");
  /** Words for what chance decides. */
  readonly #words = new Map<string, string>();
  readonly #sockets = new Set<net.Socket>();
  readonly #closers: (() => unknown)[] = [];
  #onUncaught: () => void = () => {};

  constructor(door: Door) {
    this.door = door;
  }

  /** Adds a line to the log. */
  log(...values: unknown[]): void {
    this.lines.push(
      values.map((value, index) =>
        index === 0 && typeof value === "string"
          ? this.#replace(value)
          : this.#format(value)
      ).join(" "),
    );
  }

  /** Logs the events of a socket, and closes it in the end. */
  watch<T extends net.Socket>(
    socket: T,
    names: readonly string[] = events,
    label = "",
  ): T {
    this.keep(socket);
    for (const name of names) {
      socket.on(name, (...args) => this.log(`${label}${name}`, ...args));
    }
    return socket;
  }

  /** Closes a socket in the end. */
  keep<T extends net.Socket>(socket: T): T {
    this.#sockets.add(socket);
    return socket;
  }

  /** Does something in the end. */
  defer(close: () => unknown): void {
    this.#closers.unshift(close);
  }

  /** Logs members of an object. */
  members(label: string, object: object, ...names: string[]): void {
    const values = object as Options;
    this.log(label, names.map((name) => [name, values[name]]));
  }

  /** Logs how a call ends, and returns what it returned. */
  try<T>(label: string, call: () => T): T | undefined {
    try {
      const value = call();
      this.log(`${label}: returned`);
      return value;
    } catch (error) {
      this.log(`${label}: threw`, error);
      return undefined;
    }
  }

  /** Puts a word in the place of what chance decides. */
  hide(value: unknown, word: string): void {
    this.#words.set(String(value), word);
  }

  /** A server on 127.0.0.1 that passes each connection on; returns its port. */
  async serve(
    onConnection: (socket: net.Socket) => void = (socket) => socket.resume(),
    options: net.ServerOpts = {},
  ): Promise<number> {
    return await this.listen(net.createServer(options, onConnection));
  }

  /** The same with TLS, for example.test. */
  async serveTls(
    onConnection: (socket: tls.TLSSocket) => void = (socket) => socket.resume(),
    options: Options = {},
  ): Promise<number> {
    const server = tls.createServer({
      cert: certificate("server"),
      key: certificate("server_key"),
      ...options,
    }, onConnection);
    server.on("tlsClientError", () => {});
    return await this.listen(server);
  }

  /** Lets a server listen until the end. */
  async listen(
    server: net.Server,
    host: string | undefined = "127.0.0.1",
  ): Promise<number> {
    server.on("connection", (socket) => {
      this.keep(socket);
      // What a client does to its server is its own business.
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    this.defer(() => new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as net.AddressInfo;
    this.hide(port, "<port>");
    return port;
  }

  /** A port at which nobody listens. */
  async refused(): Promise<number> {
    const server = net.createServer();
    await new Promise<void>((resolve) =>
      server.listen(0, "127.0.0.1", resolve)
    );
    const { port } = server.address() as net.AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    this.hide(port, "<refused>");
    return port;
  }

  /** Waits for an event, but no longer than until the socket is closed. */
  event(emitter: net.Socket, name: string): Promise<void> {
    return new Promise((resolve) => {
      emitter.once(name, () => resolve());
      if (emitter.closed) resolve();
      else emitter.once("close", () => resolve());
    });
  }

  /** Waits for the end of a socket, and of what follows it at once. */
  async closed(socket: net.Socket): Promise<void> {
    await this.event(socket, "close");
    await this.turn();
  }

  /** Lets what is due be done. */
  async turn(times = 3): Promise<void> {
    for (let i = 0; i < times; i++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Waits where nothing is to happen. */
  pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  /** Waits for the next exception that nobody catches; it is logged. */
  uncaught(): Promise<void> {
    const { promise, resolve } = deferred<void>();
    this.#onUncaught = resolve;
    return promise;
  }

  /** Logs what nobody caught. */
  logUncaught(origin: string, error: unknown): void {
    this.log(origin, error);
    this.#onUncaught();
  }

  /** Closes all that was opened. */
  async end(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const close of this.#closers) await close();
  }

  #replace(text: string): string {
    for (const [value, word] of this.#words) {
      // A number may be a part of a longer one.
      const pattern = /^\d+$/.test(value)
        ? new RegExp(`\\b${value}\\b`, "g")
        : value;
      text = text.replaceAll(pattern, word);
    }
    return text;
  }

  #format(value: unknown): string {
    if (value instanceof Error) return this.#formatError(value);
    if (typeof value === "function") return "a function";
    if (Array.isArray(value)) {
      const parts = value.map((each) => this.#format(each));
      return `[${parts.join(", ")}]`;
    }
    if (value instanceof Uint8Array) {
      return `bytes ${JSON.stringify(String(value))}`;
    }
    if (typeof value === "object" && value !== null) {
      const parts = Object.entries(value)
        .map(([name, each]) => `${name}: ${this.#format(each)}`);
      return `{${parts.join(", ")}}`;
    }
    const text = typeof value === "bigint"
      ? `${value}n`
      : JSON.stringify(value) ?? String(value);
    return this.#replace(text);
  }

  /** What programs look at; a `cause` is one of ours. */
  #formatError(error: Error): string {
    const kind =
      [AggregateError, RangeError, TypeError].find((kind) =>
        error instanceof kind
      ) ?? Error;
    const names = [
      ...["name", "code", "errno", "syscall", "hostname", "host"],
      ...["address", "port", "localAddress", "localPort", "message", "errors"],
      ...["reason", "library"],
    ];
    const members = names.map((name) => [name, (error as Options)[name]])
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}: ${this.#format(value)}`);
    return `${kind.name}{${members.join(", ")}}`;
  }
}
