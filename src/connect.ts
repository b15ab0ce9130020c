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

import type { Connection } from "./connection.ts";
import { ConnectError } from "./errors.ts";
import {
  knownAddresses,
  nameOf,
  raceEndpoints,
  startRace,
  withTls,
} from "./happy_eyeballs.ts";
import {
  checkDialOptions,
  checkOptions,
  type ConnectOptions,
  type Settings,
} from "./options.ts";
import { loadedRuntime, loadRuntime } from "./runtime/detect.ts";
import type { Runtime } from "./runtime/runtime.ts";

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
  return connectOn(() => loadedRuntime() ?? loadRuntime(), options);
}

/** {@linkcode connect} on the platform that `load` gives. */
export async function connectOn(
  load: () => Runtime | Promise<Runtime>,
  options: ConnectOptions,
): Promise<Connection> {
  const settings = checkOptions(options);
  const dial = checkDialOptions(options, settings.host);
  const runtime = await load();
  runtime.check?.(dial, settings.localAddresses.map(({ text }) => text));

  if (mustDelegate(runtime, settings, options)) {
    return await startRace(
      settings,
      withTls(settings, (_host: null, signal, onTcp) => {
        const { port } = settings;
        return runtime.connectByName!(
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
        facts: () => ({ answers: [], refusals: [] }),
      },
    ).result;
  }
  return await raceEndpoints(
    settings,
    withTls(
      settings,
      (endpoint, signal, onTcp) =>
        runtime.connect(endpoint, dial, signal, onTcp),
    ),
    discard,
  );
}

/** A connection that came too late: closed at once, without farewell. */
function discard(connection: Connection): Promise<void> {
  return connection.close(new DOMException("Lost the race", "AbortError"))
    .catch(() => {});
}

/**
 * Whether the platform has to find the addresses itself, for want of a
 * permission to dial them.
 *
 * @throws {ConnectError} when an option rules that out.
 */
function mustDelegate(
  runtime: Runtime,
  settings: Settings,
  options: ConnectOptions,
): boolean {
  const { hostname, port, localAddresses } = settings;
  const addresses = knownAddresses(settings);
  // With a resolver of the caller's, each endpoint is checked when dialled.
  if (!runtime.missingPermission || (options.resolver && !addresses)) {
    return false;
  }
  const missing = runtime.missingPermission(
    port,
    addresses?.map(({ text }) => text),
  );
  if (missing === undefined) return false;

  const { allow, family, resolver, sourceAddress } = options;
  const given = Object.entries({
    allow,
    family,
    resolver,
    localAddresses: localAddresses.length > 0 ? localAddresses : undefined,
    sourceAddress,
  }).find(([, value]) => value !== undefined);
  if (!given) return true;
  throw new ConnectError({
    hostname,
    port,
    attempts: [],
    answers: [],
    refusals: [{
      endpoint: null,
      code: "EACCES",
      reason: `the option ${given[0]} needs a permission: ${missing}`,
    }],
  });
}
