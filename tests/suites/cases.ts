/**
 * All cases of the suites.
 *
 * @module
 */

import { httpCases } from "./http_agent.ts";
import { httpsCases } from "./https_agent.ts";
import { netCases } from "./net.ts";
import { processCases } from "./process.ts";
import type { Case } from "./scene.ts";
import { tlsCases } from "./tls.ts";

export const cases: readonly Case[] = [
  ...netCases,
  ...tlsCases,
  ...httpCases,
  ...httpsCases,
  ...processCases,
];
