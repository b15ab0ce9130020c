/**
 * The one shape in which every adapter says why an attempt failed.
 *
 * Platforms disagree on codes and error classes, so an adapter wraps what it
 * got: a portable `code` to branch on, the platform's own error as `cause`.
 * Codes that are not portable are kept as they are, because an unknown truth
 * is worth more than a known guess. What an adapter alone can know, such as a
 * platform's habit of reporting the wrong code, stays in that adapter.
 *
 * A mistake in a program, such as a bad argument or a function that is not
 * there, is not wrapped: a code would blame the network for it.
 *
 * @module
 */

/** Why an attempt, or later its connection, failed. */
export interface AttemptError extends Error {
  /**
   * The same on every platform for `ECONNREFUSED`, `EHOSTUNREACH`,
   * `ENETUNREACH`, `ETIMEDOUT`, `ECONNRESET`, `EADDRNOTAVAIL`, `EACCES`,
   * `EINVAL`, `EAFNOSUPPORT`, `ERR_TLS_CERT` (chain, name or dates of the
   * certificate) and `ERR_TLS_HANDSHAKE` (all else in TLS); otherwise the
   * platform's own, or `ERR_CONNECT_FAILED` where it has none.
   */
  readonly code: string;
}

/** The code of an error of which nothing is known. */
export const UNKNOWN = "ERR_CONNECT_FAILED";

/**
 * Wraps a platform's error: `code` as given, the error itself as `cause`, its
 * message (or else the code) as message. A mistake in a program comes back as
 * it is.
 */
export function attemptError(code: string, cause: unknown): Error {
  if (isMistake(cause)) return cause;
  const message = cause instanceof Error ? cause.message : "";
  return Object.assign(new Error(message || code, { cause }), { code });
}

/** The `code` of a platform's error, where it has one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === "string" && code !== "" ? code : undefined;
}

/** The classes of errors that no network causes. */
const MISTAKES: ReadonlySet<string> = new Set([
  "AssertionError",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
]);

/**
 * Whether an error is a mistake in a program: of a user, of ours or of the
 * platform. Told by name, because each realm has classes of its own. Deno has
 * TypeErrors for what the system refuses, which have the system's code.
 */
function isMistake(error: unknown): error is Error {
  const { name } = (error ?? {}) as { name?: unknown };
  if (typeof name !== "string" || !MISTAKES.has(name)) return false;
  const code = errorCode(error);
  return code === undefined ||
    // Node has a SyntaxError for a name in the peer's certificate.
    (code.startsWith("ERR_") && !isCertificateCode(code));
}

/**
 * Whether it says that the peer has reset the connection, which the system
 * tells but once: who comes after gets EPIPE.
 */
export function isBrokenPipe(error: unknown): boolean {
  return errorCode(error) === "EPIPE";
}

/**
 * OpenSSL's verdicts on a certificate, as Node and Bun name them: those of
 * `X509_verify_cert` that are about the peer's chain, its name and its dates.
 */
const CERTIFICATE_CODES: ReadonlySet<string> = new Set([
  "CERT_CHAIN_TOO_LONG",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REJECTED",
  "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "CRL_HAS_EXPIRED",
  "CRL_NOT_YET_VALID",
  "CRL_SIGNATURE_FAILURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERROR_IN_CERT_NOT_AFTER_FIELD",
  "ERROR_IN_CERT_NOT_BEFORE_FIELD",
  "ERROR_IN_CRL_LAST_UPDATE_FIELD",
  "ERROR_IN_CRL_NEXT_UPDATE_FIELD",
  "ERR_TLS_CERT_ALTNAME_FORMAT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "HOSTNAME_MISMATCH",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  "UNABLE_TO_DECRYPT_CRL_SIGNATURE",
  "UNABLE_TO_GET_CRL",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** Whether a code of Node or Bun is a verdict on the peer's certificate. */
export function isCertificateCode(code: string | undefined): boolean {
  return code !== undefined && CERTIFICATE_CODES.has(code);
}
