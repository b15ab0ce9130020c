/**
 * `connect()`: one TCP or TLS connection to a host, however many addresses it
 * has and whichever of them work.
 *
 * The whole story on one screen: check the options, load the platform's
 * adapter, race its attempts. TLS is part of the attempt, so an address whose
 * TCP answers and whose TLS does not loses the race like any other. Where the
 * platform does not let us dial addresses, the one attempt goes by name.
 *
 * @module
 */

import { nameOf } from "./ask.ts";
import type { Connection } from "./connection.ts";
import { ConnectError } from "./errors.ts";
import {
  knownAddresses,
  raceEndpoints,
  startEndpointRace,
  withTls,
} from "./happy_eyeballs.ts";
import {
  checkConnectNames,
  checkDialOptions,
  checkOptions,
  type ConnectOptions,
  type Settings,
} from "./options.ts";
import { detectRuntime } from "./runtime/detect.ts";
import type { Dialler, DialOptions, Runtime } from "./runtime/runtime.ts";

/**
 * Connects to `hostname` and `port` by TCP, or by TLS over TCP with `tls`.
 *
 * Asks for IPv6 and IPv4 addresses at the same time, tries them with a
 * staggered start in the order of RFC 8305 and RFC 6724, and returns the first
 * connection that is ready to use. Every other attempt is cancelled or closed.
 *
 * ```ts
 * import { connect } from "@stagger/happy-eyeballs";
 *
 * async function greet(hostname: string): Promise<string> {
 *   await using connection = await connect({
 *     hostname,
 *     port: 25,
 *     signal: AbortSignal.timeout(5000),
 *   });
 *   const { value } = await connection.readable.getReader().read();
 *   return new TextDecoder().decode(value);
 * }
 * ```
 *
 * @throws {TypeError | RangeError} when an option is wrong, before anything
 * starts.
 * @throws {ConnectError} when nothing worked.
 * @throws `signal.reason` when the caller aborts; what `allow` throws.
 */
export function connect(options: ConnectOptions): Promise<Connection> {
  return connectOn(detectRuntime, options);
}

/** {@linkcode connect} on the platform that `detect` gives. */
export function connectOn(
  detect: () => Runtime,
  options: ConnectOptions,
): Promise<Connection> {
  return connectBy(detect, options, discard);
}

/**
 * The same by any way to dial, whatever comes out of it: what `connect()` and
 * the doors share. `discard` gets what came too late.
 */
export async function connectBy<T>(
  detect: () => Dialler<T>,
  options: ConnectOptions,
  discard: (value: T) => unknown,
): Promise<T> {
  checkConnectNames(options);
  const settings = checkOptions(options);
  const dial = checkDialOptions(options, settings.host);
  const dialler = detect();
  dialler.check?.(dial, settings.localAddresses.map(({ text }) => text));

  if (mustDelegate(dialler, settings, dial)) {
    return await startEndpointRace(
      settings,
      withTls(settings, (_host: null, signal, onTcp) => {
        const { port } = settings;
        return dialler.connectByName!(
          nameOf(settings),
          port,
          dial,
          signal,
          onTcp,
        );
      }),
      discard,
      {
        source: [null].values(),
        endpointOf: () => null,
        delay: () => Infinity,
        facts: () => ({ answers: [], refusals: [] }),
      },
    ).value;
  }
  return await raceEndpoints(
    settings,
    withTls(
      settings,
      (endpoint, signal, onTcp) =>
        dialler.connect(endpoint, dial, signal, onTcp),
    ),
    discard,
    dialler.mostInFlight,
  );
}

/** A connection that came too late: closed at once, without farewell. */
function discard(connection: Connection): Promise<void> {
  return connection.close(new DOMException("Lost the race", "AbortError"))
    .catch(() => {});
}

/**
 * Whether the platform has to find the addresses itself: because it dials
 * names, or for want of a permission to dial addresses.
 *
 * @throws {TypeError | ConnectError} when an option rules that out.
 */
function mustDelegate(
  dialler: Dialler<unknown>,
  settings: Settings,
  dial: DialOptions,
): boolean {
  const { hostname, host, port, resolver } = settings;
  const isLiteral = host.kind === "literal";
  const addresses = knownAddresses(settings);
  if (dialler.needsName) {
    const option = addressOption(settings);
    // Even localhost is left to the platform, unless an option asks.
    const hasAddresses = isLiteral ||
      (option !== undefined && Boolean(addresses ?? resolver));
    const needed = dialler.needsName(dial, hasAddresses);
    if (needed === undefined) return false;
    if (!option) return true;
    throw new TypeError(`Cannot connect: ${option} ${needed}`);
  }

  // Each endpoint of a resolver of the caller's is checked when dialled, and a
  // literal has no other way.
  if (isLiteral || (resolver && !addresses)) return false;
  const missing = dialler.missingPermission?.(
    port,
    addresses?.map(({ text }) => text),
  );
  if (missing === undefined) return false;
  const option = addressOption(settings);
  if (!option) return true;
  throw new ConnectError({
    hostname,
    port,
    attempts: [],
    answers: [],
    refusals: [{
      endpoint: null,
      code: "EACCES",
      reason: `the option ${option} needs a permission: ${missing}`,
    }],
  });
}

/** The first option given that has a meaning only for addresses of ours. */
function addressOption(
  { allow, family, resolver, localAddresses, sourceAddress }: Settings,
): string | undefined {
  const options = {
    allow,
    family,
    resolver,
    localAddresses: localAddresses.length > 0 ? localAddresses : undefined,
    sourceAddress,
  };
  return Object.entries(options).find(([, value]) => value !== undefined)?.[0];
}
