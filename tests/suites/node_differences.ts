/**
 * Which of Node's own test files may fail with sockets of ours, and why.
 *
 * @module
 */

const early =
  "It replaces a binding before `node:tls` is first loaded, and the preload has loaded it";

/** The reason, by the name of the file. */
export const nodeDifferences: Readonly<Record<string, string>> = {
  "test-tls-clientcertengine-unsupported.js": early,
  "test-tls-keyengine-unsupported.js": early,
};
