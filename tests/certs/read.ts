/**
 * The certificates and keys beside this file, which `make.sh` made.
 *
 * @module
 */

import { readFileSync } from "node:fs";

/** The text of the PEM file of that name. */
export function certificate(name: string): string {
  return readFileSync(new URL(`${name}.pem`, import.meta.url), "utf8");
}
