/**
 * How a socket that waits takes over the connection of another one.
 *
 * Node's own `autoSelectFamily` dials each address by a new handle, and puts it
 * into the waiting socket by a method under a symbol, `kReinitializeHandle`.
 * The race does the same with its winner, so that what a program holds is a
 * socket of the platform in every respect. The method is not documented: it is
 * looked for when this module is loaded. Where it is missing, or where somebody
 * has wrapped the waiting socket's handle in the meantime (as
 * `tls.connect({ socket })` does, and a swapped handle would crash the process
 * then), the platform dials the winner's address once more.
 *
 * The platforms differ in what else refers to a handle's owner. Node asks the
 * handle, Deno asks the handle or the socket it was made for, Bun asks `data`.
 * Each line below that is for one of them says so.
 *
 * @module
 */

import net from "node:net";
import { nextTick } from "node:process";
import tls from "node:tls";

import { detectRuntime } from "../../runtime/detect.ts";

/** What is used of the inside of a socket. */
type Inside = net.Socket & Record<PropertyKey, unknown> & {
  _handle: Handle | null;
  readonly _readableState: { readonly ended: boolean };
  readonly _tlsOptions?: object;
  setServername(name: string): void;
  _finishInit(): void;
  _unrefTimer(): void;
};

/** What is used of a handle. */
interface Handle extends Record<PropertyKey, unknown> {
  ref?(): void;
  unref?(): void;
  setNoDelay?(isOn: boolean): void;
  setKeepAlive?(isOn: boolean, delay: unknown): void;
  setTypeOfService?(value: unknown): void;
}

/** What is used of the functions that Bun calls for a socket. */
interface BunHandlers {
  handshake(handle: Handle, isDone: boolean, verifyError: unknown): void;
}

/** The request behind `handle.connect()`. */
interface ConnectRequest {
  oncomplete(
    status: number,
    handle: Handle,
    request: ConnectRequest,
    readable: boolean,
    writable: boolean,
  ): void;
}

/** What Node is told of a name: `dns.lookup()`'s callback. */
export type LookupDone = (
  error: Error | null,
  address: string,
  family: number,
) => void;

/** The symbol of that description among the object's own. */
function symbolOf(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object)
    .find((symbol) => symbol.description === description);
}

const reinitializeHandle = symbolOf(
  net.Socket.prototype,
  "kReinitializeHandle",
);

/**
 * Runs `action` while a method of `socket` does nothing.
 *
 * `emit`: what was emitted before is not emitted again. `_undestroy`: a new
 * handle makes the platform forget that `end()` was called.
 */
export function withShadow(
  socket: net.Socket,
  method: "emit" | "_undestroy",
  action: () => void,
): void {
  const own = Object.getOwnPropertyDescriptor(socket, method);
  const nothing = { value: () => false, configurable: true, writable: true };
  Object.defineProperty(socket, method, nothing);
  try {
    action();
  } finally {
    if (own) Object.defineProperty(socket, method, own);
    else delete (socket as Partial<Inside>)[method];
  }
}

/**
 * Refuses platforms without sockets that ask a `lookup` of ours.
 *
 * @throws {TypeError} on these.
 */
export function checkSockets(): void {
  const { name } = detectRuntime();
  if (name !== "bun" || reinitializeHandle) return;
  throw new TypeError(
    "Cannot connect: createConnection() and LazySocket take Bun 1.3 or later",
  );
}

/** Corrects what `tls.connect()` was told of the server. */
export function correctServer(
  socket: tls.TLSSocket,
  server: Pick<tls.ConnectionOptions, "host" | "port" | "servername">,
): void {
  const inside = socket as unknown as Inside;
  const { servername } = server;
  const options = symbolOf(socket, "connect-options");
  if (options) Object.assign(inside[options] as object, server);
  if (servername) inside.setServername(servername);
  // What Deno says when it is connected, and Bun from the start.
  if (inside._tlsOptions) Object.assign(inside._tlsOptions, { servername });
  if (typeof inside.servername === "string") {
    inside.servername = servername ?? "";
  }
}

/**
 * Whether {@linkcode adopt} can do its work. A platform that has no such method
 * for TLS (Deno before 2.9) ends its handshake in a way of its own, and on Bun a
 * handle learns of `onread` when it is made.
 */
export function canAdopt(
  waiting: net.Socket,
  opened: net.Socket,
  { onread }: { readonly onread?: unknown },
): boolean {
  const handle = (opened as Inside)._handle;
  if (!reinitializeHandle || !handle || isWrapped(waiting)) return false;
  if (handle.data) return !onread;
  return !(opened instanceof tls.TLSSocket) ||
    symbolOf(tls.TLSSocket.prototype, "kReinitializeHandle") !== undefined;
}

/**
 * Makes `waiting`, for which the platform waits for an address by `done`, the
 * owner of the connection that `opened` holds. `connect` follows, and with TLS
 * `secureConnect`, without another handshake. With `isRef` the connection keeps
 * the process alive.
 */
export function adopt(
  waiting: net.Socket,
  opened: net.Socket,
  isRef: boolean,
  done: () => void,
): void {
  const [socket, winner] = [waiting as Inside, opened as Inside];
  const handle = winner._handle!;
  const isTls = socket instanceof tls.TLSSocket;
  const received = takeReceived(winner);
  moveHandle(winner, socket, handle, isTls);
  if (!isRef) handle.unref?.();
  // Bun has let go of it while it was paused.
  else if (handle.data) handle.ref?.();
  if (handle.data) return openOnBun(winner, socket, handle, received);

  // The platform dials, and finds that this handle is connected already.
  const connected = (request: ConnectRequest) => {
    for (const name of DIALLING) delete handle[name];
    nextTick(() => {
      const open = () => request.oncomplete(0, handle, request, true, true);
      if (isTls) open();
      else openWith(socket, received, open);
    });
    return 0;
  };
  handle.connect = handle.connect6 = connected;
  handle.bind = handle.bind6 = () => 0;
  if (isTls) {
    handle.requestOCSP = () => {};
    // What follows a handshake, in a turn of its own as ever.
    handle.start = () => {
      delete handle.start;
      delete handle.requestOCSP;
      nextTick(() => openWith(socket, received, () => socket._finishInit()));
    };
  }
  done();
}

/** The methods by which a platform dials. */
const DIALLING = ["connect", "connect6", "bind", "bind6"] as const;

/** Whether a TLS socket has wrapped the handle: it puts an accessor on it. */
export function isWrapped(socket: net.Socket): boolean {
  const handle = (socket as Inside)._handle;
  const reading = handle && Object.getOwnPropertyDescriptor(handle, "reading");
  return reading?.get !== undefined;
}

/** Tells that the socket is open, whatever a listener throws, and what came. */
function openWith(
  socket: Inside,
  received: readonly (Uint8Array | null)[],
  open: () => void,
): void {
  try {
    open();
  } finally {
    if (!socket.destroyed) { for (const part of received) socket.push(part); }
  }
}

/** What the winner has received, and its end (`null`) if that came too. */
function takeReceived(winner: Inside): (Uint8Array | null)[] {
  const received: (Uint8Array | null)[] = [];
  // Not until there is nothing: that would start to read.
  while (winner.readableLength > 0) received.push(winner.read());
  if (winner._readableState.ended) received.push(null);
  return received;
}

function moveHandle(
  from: Inside,
  to: Inside,
  handle: Handle,
  isTls: boolean,
): void {
  from._handle = null;
  // The method of TLS sockets would wrap the handle in TLS once more.
  const sockets = net.Socket.prototype as unknown as Inside;
  const reinitialize = sockets[reinitializeHandle!] as (to: Handle) => void;
  // The buffer of `onread` was asked for when the socket began to connect.
  const makeBuffer = symbolOf(to, "kBufferGen");
  const generator = makeBuffer && to[makeBuffer];
  if (makeBuffer) to[makeBuffer] = null;
  withShadow(to, "_undestroy", () => reinitialize.call(to, handle));
  if (makeBuffer) to[makeBuffer] = generator;
  if (!isTls) return;
  const resource = symbolOf(to, "res");
  if (resource) to[resource] = handle;
  // Node destroys its SSL, which is the handle, with its owner.
  if (from.ssl === handle) [from.ssl, to.ssl] = [null, handle];
  // Deno.
  if (handle._owner) handle._owner = to;
  // A renegotiation ends like the first handshake.
  handle.onhandshakedone = () => to._finishInit();
}

/**
 * Bun dials without asking the handle, so this is what it does afterwards. Its
 * handles find their socket by `data`.
 */
function openOnBun(
  winner: Inside,
  socket: Inside,
  handle: Handle,
  received: readonly (Uint8Array | null)[],
): void {
  (handle.data as { self: Inside }).self = socket;
  removeBunsListener(socket);
  const connected = () => {
    Object.assign(socket, { connecting: false });
    applyOptions(socket, handle);
    socket._unrefTimer();
    socket.emit("connect");
    socket.emit("ready");
    if (!socket.isPaused()) socket.read(0);
  };
  const open = (how: () => void, parts: readonly (Uint8Array | null)[]) =>
    nextTick(() => {
      if (!socket.destroyed) openWith(socket, parts, how);
    });
  if (!(socket instanceof tls.TLSSocket)) return open(connected, received);
  const handlers = socket[symbolOf(socket, "khandlers")!] as BunHandlers;
  const verdict = symbolOf(winner, "kVerifyError");
  const problem = verdict && winner[verdict];
  open(connected, []);
  open(() => handlers.handshake(handle, true, problem), received);
}

/** What was set on the socket before it had this handle. */
function applyOptions(socket: Inside, handle: Handle): void {
  const valueOf = (name: string) => socket[symbolOf(socket, name) ?? ""];
  const typeOfService = valueOf("kSetTOS");
  if (valueOf("kSetNoDelay")) handle.setNoDelay?.(true);
  if (valueOf("kSetKeepAlive")) {
    handle.setKeepAlive?.(true, valueOf("kSetKeepAliveInitialDelay"));
  }
  if (typeOfService !== undefined) handle.setTypeOfService?.(typeOfService);
}

/** With it, Bun holds our FIN back for a handshake that is over. */
export function removeBunsListener(socket: net.Socket): void {
  for (const listener of socket.listeners("connect")) {
    if (listener.name !== "onConnectStart") continue;
    socket.off("connect", listener as () => void);
  }
}
