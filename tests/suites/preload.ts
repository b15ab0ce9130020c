/**
 * Puts sockets of ours in the place of Node's own, for a whole process.
 *
 * `node_files.ts` bundles this into one CommonJS file and hands it to Node as
 * `--require`. Whatever connects afterwards by a host and a port, by `net`,
 * `tls`, `http`, `https` or `http2`, gets a socket of ours: they all look the
 * function up in the module each time. Paths, handles that are already there
 * and TLS over somebody's socket stay Node's.
 *
 * @module
 */

import dns from "node:dns";
import { createRequire, syncBuiltinESMExports } from "node:module";
import type * as NodeNet from "node:net";
import type * as NodeTls from "node:tls";

import { createConnection } from "../../src/entry/node.ts";
import {
  parseConnectArguments,
  RacingSocket,
  remember,
} from "../../src/entry/node/racing_socket.ts";

/** Options as they come: the tests try out wrong ones too. */
type Options = Record<string, unknown>;

/** A module's object, which unlike an import can be written to. */
type Writable<T> = { -readonly [K in keyof T]: T[K] };

const require = createRequire(process.execPath);
const net: Writable<typeof NodeNet> = require("node:net");
const tls: Writable<typeof NodeTls> = require("node:tls");
const platform = { connectNet: net.connect, connectTls: tls.connect };

net.connect = net.createConnection = connectNet as typeof net.connect;
tls.connect = connectTls as typeof tls.connect;
const Socket = ours(net.Socket);
Object.assign(net, { Socket, Stream: Socket });
syncBuiltinESMExports();

function connectNet(...args: unknown[]): NodeNet.Socket {
  const { options, callback } = parse(args);
  if (isElsewhere(options)) {
    return platform.connectNet(...args as Parameters<typeof net.connect>);
  }
  // An agent asks, for which the hook is made.
  if ("_agentKey" in options) {
    return createConnection(withLookup(options), callback);
  }
  const socket = new LocalSocket(options);
  if (options.timeout) socket.setTimeout(options.timeout as number);
  return socket.connect(options as never, callback);
}

/**
 * A socket of ours for which `localhost` is what the system says: the files
 * expect one address, and ours are two unless a lookup is given.
 */
class LocalSocket extends RacingSocket {
  constructor(options: Options) {
    super(options);
    remember(this, {});
  }

  override connect(...args: unknown[]): this {
    const { options, callback } = parseConnectArguments(args);
    return super.connect(withLookup(options) as never, callback);
  }
}

function withLookup(options: Options): Options {
  const { host, lookup } = options;
  const isLocal = host == null || host === "" || host === "localhost";
  return isLocal && lookup === undefined
    ? { ...options, lookup: dns.lookup }
    : options;
}

function connectTls(...args: unknown[]): NodeNet.Socket {
  const { options, callback } = parse(args, true);
  if (isElsewhere(options)) {
    return platform.connectTls(...args as Parameters<typeof tls.connect>);
  }
  const socket = createConnection(
    { ...withLookup(options), protocol: "https:" },
  );
  if (callback) socket.once("secureConnect", callback);
  return socket as unknown as NodeNet.Socket;
}

/**
 * The class of sockets, but that `new` makes a socket of ours where one is
 * made to be connected. A subclass stays what it is.
 */
function ours(Socket: typeof NodeNet.Socket): typeof NodeNet.Socket {
  const proxy: typeof NodeNet.Socket = new Proxy(Socket, {
    construct: (target, [options], newTarget) =>
      newTarget !== proxy || isElsewhere(options ?? {})
        ? Reflect.construct(
          target,
          [options],
          newTarget === proxy ? target : newTarget,
        )
        : new LocalSocket(options ?? {}),
    // By `call()` it is the constructor of somebody's base class.
    apply: (target, self, args) =>
      self instanceof target
        ? Reflect.apply(target, self, args)
        : new proxy(args[0]),
  });
  return proxy;
}

/** Whether there is no host to look up, or the connection is there already. */
function isElsewhere(options: Options): boolean {
  return ["path", "handle", "fd", "socket"].some((name) =>
    options[name] != null
  );
}

/** `(options)`, `(path)` or `(port, host)`, and a callback at the end. */
function parse(
  args: readonly unknown[],
  isTls = false,
): { options: Options; callback: (() => void) | undefined } {
  const last = args.at(-1);
  const callback = typeof last === "function" ? last as () => void : undefined;
  const [first, second, third] = args;
  if (typeof first === "object" && first !== null) {
    return { options: first as Options, callback };
  }
  const isPath = typeof first === "string" && !(Number(first) >= 0);
  const target: Options = isPath ? { path: first } : { port: first };
  if (!isPath && typeof second === "string") target.host = second;
  // Only `tls.connect()` takes options after the rest.
  const rest = isTls ? [second, third].find((each) => isOptions(each)) : {};
  return { options: { ...target, ...rest as Options }, callback };
}

function isOptions(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
