/**
 * What becomes of each kind of error in each adapter: the network's get a code
 * that is the same everywhere, and what is a mistake in a program stays as it
 * is, because no code of the network is true for it.
 *
 * @module
 */

import { AssertionError } from "node:assert";

import { assertEquals, assertStrictEquals } from "@std/assert";

import { attemptError } from "../src/runtime/attempt_error.ts";
import { explain, explainTls } from "../src/runtime/deno.ts";
import { explainSocketError } from "../src/runtime/node_socket.ts";
import { explain as explainOnWorkerd } from "../src/runtime/workerd.ts";
import { test } from "./harness.ts";

/** How each adapter explains an error of plain TCP, and one of TLS. */
const explainers: Readonly<Record<string, (error: unknown) => Error>> = {
  "node:net": (error) => explainSocketError(error, false),
  "node:tls": (error) => explainSocketError(error, true),
  Deno: explain,
  "Deno, TLS": explainTls,
  workerd: explainOnWorkerd,
};

function named(name: string, message = "", code?: string): Error {
  const error = Object.assign(new Error(message), code && { code });
  return Object.defineProperty(error, "name", { value: name });
}

/** An error as it is caught, of a call that cannot work. */
function caught(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

const missing = undefined as unknown as { connect(): void };
const mistakes: readonly [what: string, error: unknown][] = [
  ["a function that is not there", caught(() => missing.connect())],
  ["a name that is not there", caught(() => Function("return nowhere")())],
  ["a wrong argument", new TypeError("The argument must be a string")],
  ["a number out of range", new RangeError("Invalid port: 99999")],
  ["what cannot be parsed", caught(() => JSON.parse("{"))],
  ["what cannot be decoded", caught(() => decodeURIComponent("%"))],
  ["an assertion", new AssertionError({ message: "never" })],
  ["eval", new EvalError("no eval")],
  [
    "a wrong argument, as Node has it",
    Object.assign(new TypeError("no"), { code: "ERR_INVALID_ARG_TYPE" }),
  ],
  [
    "a wrong port, as Node has it",
    Object.assign(new RangeError("no"), { code: "ERR_SOCKET_BAD_PORT" }),
  ],
  ["a TypeError of another realm", named("TypeError")],
  ["an empty code", Object.assign(new TypeError("no"), { code: "" })],
];

test("no adapter gives a mistake in a program a code of the network", () => {
  for (const [adapter, explain] of Object.entries(explainers)) {
    for (const [what, error] of mistakes) {
      assertStrictEquals(explain(error), error, `${adapter}: ${what}`);
    }
  }
});

test("no code is given to a mistake, whichever it is", () => {
  for (const [what, error] of mistakes) {
    assertStrictEquals(attemptError("ECONNREFUSED", error), error, what);
  }
});

/** What comes out of `node:net`, `node:tls`, Deno, its TLS, and workerd. */
type Codes = readonly [string, string, string, string, string];

const TLS = "ERR_TLS_HANDSHAKE";
const NONE = "ERR_CONNECT_FAILED";
const REFUSED = "ECONNREFUSED";

/** The same code wherever there is no TLS, but on workerd, which tells none. */
function system(code: string): readonly [string, Error, Codes] {
  return [code, named("Error", "", code), [code, TLS, code, TLS, REFUSED]];
}

const failures: readonly (readonly [string, unknown, Codes])[] = [
  system("ECONNREFUSED"),
  system("ECONNRESET"),
  system("EHOSTUNREACH"),
  system("ETIMEDOUT"),
  // Not portable, but true.
  system("EMFILE"),
  [
    // Deno: what the system refuses may be a TypeError.
    "EINVAL of Deno",
    named("TypeError", "Invalid argument (os error 22)", "EINVAL"),
    ["EINVAL", TLS, "EINVAL", TLS, REFUSED],
  ],
  [
    "a code of Node's that is no mistake",
    named("Error", "", "ERR_SOCKET_CLOSED"),
    ["ERR_SOCKET_CLOSED", TLS, "ERR_SOCKET_CLOSED", TLS, REFUSED],
  ],
  // An alert that came after the handshake.
  [
    "an alert",
    named("Error", "", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    [TLS, TLS, "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", TLS, REFUSED],
  ],
  [
    "a certificate",
    named("Error", "", "CERT_HAS_EXPIRED"),
    ["ERR_TLS_CERT", "ERR_TLS_CERT", "CERT_HAS_EXPIRED", TLS, REFUSED],
  ],
  [
    // Node: a SyntaxError, but the peer's.
    "a name in a certificate",
    named("SyntaxError", "", "ERR_TLS_CERT_ALTNAME_FORMAT"),
    [
      "ERR_TLS_CERT",
      "ERR_TLS_CERT",
      "ERR_TLS_CERT_ALTNAME_FORMAT",
      TLS,
      REFUSED,
    ],
  ],
  [
    "a certificate on Deno",
    named("InvalidData", "invalid peer certificate: UnknownIssuer"),
    [NONE, TLS, TLS, "ERR_TLS_CERT", REFUSED],
  ],
  [
    "the end of TLS on Deno",
    named("UnexpectedEof", "peer closed without close_notify"),
    [NONE, TLS, "ECONNRESET", TLS, REFUSED],
  ],
  ["a class of Deno's", named("TimedOut"), [
    NONE,
    TLS,
    "ETIMEDOUT",
    TLS,
    REFUSED,
  ]],
  ["a permission", named("NotCapable"), [NONE, TLS, "EACCES", TLS, REFUSED]],
  [
    "a name that Deno does not find",
    named("Error", "failed to lookup address information: not known"),
    [NONE, TLS, "ENOTFOUND", TLS, REFUSED],
  ],
  // The one kind there is on workerd.
  [
    "an Error that tells nothing",
    new Error("cannot connect to the specified address"),
    [NONE, TLS, NONE, TLS, REFUSED],
  ],
  ["no Error at all", "lost", [NONE, TLS, NONE, TLS, REFUSED]],
  ["nothing", undefined, [NONE, TLS, NONE, TLS, REFUSED]],
];

test("each adapter gives what the network did a code, and keeps the cause", () => {
  for (const [what, error, codes] of failures) {
    const explained = Object.values(explainers).map((explain) =>
      explain(error) as Error & { code: string }
    );
    assertEquals(explained.map(({ code }) => code), [...codes], what);
    for (const { cause } of explained) assertStrictEquals(cause, error, what);
  }
});
