/**
 * Our TLS options in the words of `tls.connect()`.
 *
 * Two traps are handled here. Without a name, `tls.connect()` on an open socket
 * verifies "localhost", so the name is always given. And `ca` replaces the
 * platform's roots where the contract is to add to them, so they are merged;
 * because that makes each context cost up to 45 ms, the last one is kept.
 *
 * @module
 */

import type { TlsOptions } from "../options.ts";
import { builtin, environment } from "./node_builtin.ts";

/** What is used of `node:tls`. */
interface TlsModule {
  createSecureContext(options: Record<string, unknown>): object;
  readonly rootCertificates: readonly string[];
  /** Since Node 22.15. */
  getCACertificates?(type: "default"): readonly string[];
}

/** What is used of `node:net`. */
interface NetModule {
  isIP(text: string): number;
}

/** What is used of `node:fs`. */
interface FsModule {
  readFileSync(path: string, encoding: "utf8"): string;
}

/** What `tls.connect()` is given beside the socket. */
export function nodeTlsOptions(
  hostname: string,
  options: TlsOptions,
): Record<string, unknown> {
  const { caCerts, alpnProtocols, cert, key, session } = options;
  // Certificates know no zone ids.
  const name = (options.serverName ?? hostname).replace(/%.*$/, "");
  const isIp = builtin<NetModule>("node:net").isIP(name) !== 0;
  return {
    host: name,
    // Verified and sent; an IP address is verified by `host` and never sent.
    servername: isIp ? "" : name,
    ALPNProtocols: alpnProtocols,
    session,
    ...caCerts?.length
      ? { secureContext: contextWithRoots(caCerts, cert, key) }
      : { cert, key },
  };
}

let lastContext: { readonly id: string; readonly context: unknown } | undefined;

/** A context that trusts `caCerts` too; one is shared by all that want it. */
function contextWithRoots(
  caCerts: readonly string[],
  cert: string | undefined,
  key: string | undefined,
): unknown {
  const id = JSON.stringify([caCerts, cert, key]);
  if (lastContext?.id !== id) {
    const ca = [...platformRoots(), ...caCerts];
    const { createSecureContext } = builtin<TlsModule>("node:tls");
    const context = createSecureContext({ ca, cert, key });
    contents.set(context, id);
    lastContext = { id, context };
  }
  return lastContext.context;
}

const contents = new WeakMap<object, string>();

/** What a context was made of, if it was made here. */
export function contextContent(context: object): string | undefined {
  return contents.get(context);
}

/**
 * The certificates that are trusted where no `ca` is given. A platform that
 * cannot list them leaves out those of NODE_EXTRA_CA_CERTS; a file it could
 * not read has been complained about by the platform itself.
 */
function platformRoots(): readonly string[] {
  const tls = builtin<TlsModule>("node:tls");
  if (tls.getCACertificates) return tls.getCACertificates("default");
  const path = environment("NODE_EXTRA_CA_CERTS");
  if (!path) return tls.rootCertificates;
  try {
    const extra = builtin<FsModule>("node:fs").readFileSync(path, "utf8");
    return [...tls.rootCertificates, extra];
  } catch {
    return tls.rootCertificates;
  }
}
