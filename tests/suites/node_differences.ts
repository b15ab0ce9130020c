/**
 * Which of Node's own test files may fail with sockets of ours, and why.
 *
 * The reasons stand in `.github/drivers.md` word for word.
 *
 * @module
 */

const order =
  "It expects addresses to be dialled in the order of the answer. Ours are sorted by RFC 6724, and the families take turns.";
const parsed =
  "It replaces `connect()` of `net.Socket`, and looks at arguments in a form that Node's functions give to each other.";
const listening =
  "It counts the listeners of a socket that connects. The one behind the callback of `createConnection()` is among them until it is connected.";
const early =
  "It replaces a binding before `node:tls` is loaded, and the preload has loaded it already.";

/** The reason, by the name of the file. */
export const nodeDifferences: Readonly<Record<string, string>> = {
  "test-http-agent-keepalive.js": listening,
  "test-http-nodelay.js": parsed,
  "test-net-autoselectfamily-ipv4first.js": order,
  "test-net-autoselectfamily.js": order,
  "test-tls-clientcertengine-unsupported.js": early,
  "test-tls-keyengine-unsupported.js": early,
};
