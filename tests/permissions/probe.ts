/**
 * Runs one job under the permissions of its own process and prints as JSON
 * what came of it. `permissions_deno_test.ts` starts it, because a process
 * cannot give up its permissions and get them back.
 *
 * @module
 */

import { connect } from "../../src/connect.ts";
import type { HappyEyeballsEvent } from "../../src/events.ts";
import { happyEyeballs } from "../../src/happy_eyeballs.ts";
import type { ConnectOptions } from "../../src/options.ts";
import { concurrentResolver } from "../../src/resolvers/concurrent.ts";
import { staticResolver } from "../../src/resolvers/static.ts";
import { runtime } from "../../src/runtime/deno.ts";

/** What to do, and with what. */
export type Job =
  | { do: "missingPermission"; port: number; addresses?: string[] }
  | { do: "dial"; address: string; port: number; hostname: string }
  | { do: "dialFrom"; localAddress: string; port: number }
  | { do: "lookup"; hostname: string }
  | { do: "sourceAddress"; destination: string }
  | { do: "resolve"; hostname: string; throws?: "NotCapable" }
  | { do: "connect"; hostname: string; port: number; option?: Option };

/** Options of `connect()` that a name alone cannot satisfy. */
export type Option =
  | "allow"
  | "family"
  | "localAddresses"
  | "resolver"
  | "sourceAddress";

/** What came of it. */
export interface Report {
  value?: unknown;
  error?: { name: string; message: string; code?: string };
  /** Where `Deno.connect` was called to, in order. */
  dialled: string[];
  /** How many permissions were asked for. */
  requests: number;
}

const options: Record<Option, Partial<ConnectOptions>> = {
  allow: { allow: () => true },
  family: { family: 4 },
  localAddresses: { localAddresses: ["127.0.0.1"] },
  resolver: { resolver: staticResolver(["127.0.0.1"]) },
  sourceAddress: { sourceAddress: () => undefined },
};

if (import.meta.main) {
  const report: Report = { dialled: [], requests: 0 };
  watch(report);
  try {
    report.value = await run(JSON.parse(Deno.args[0]!));
  } catch (error) {
    const { name, message, code } = error as Error & { code?: string };
    report.error = { name, message, ...(code && { code }) };
  }
  console.log(JSON.stringify(report));
}

function run(job: Job): unknown {
  switch (job.do) {
    case "missingPermission":
      return runtime.missingPermission!(job.port, job.addresses);
    case "dial":
      return dial(job.hostname, { address: job.address, port: job.port });
    case "dialFrom": {
      const address = "127.0.0.1";
      const { localAddress, port } = job;
      return dial(address, { address, port, localAddress });
    }
    case "lookup":
      return runtime.lookup(job.hostname, 4);
    case "sourceAddress":
      return runtime.sourceAddress(job.destination);
    case "resolve":
      return happyEyeballs(() => {}, {
        hostname: job.hostname,
        port: 80,
        resolver: job.throws && concurrentResolver(() => {
          throw new Deno.errors[job.throws!]("Requires net access");
        }),
      });
    case "connect":
      return connectAndTell(job.hostname, job.port, job.option);
  }
}

async function dial(
  hostname: string,
  endpoint: { address: string; port: number; localAddress?: string },
): Promise<string> {
  const connection = await runtime.connect(
    { ...endpoint, family: endpoint.address.includes(":") ? 6 : 4 },
    {
      hostname,
      tls: null,
      allowHalfOpen: false,
      noDelay: true,
      keepAlive: false,
    },
    new AbortController().signal,
    () => {},
  );
  await connection.close(new Error("Done")).catch(() => {});
  return "connected";
}

/** The endpoints of the attempts; `null` is one by name. */
async function connectAndTell(
  hostname: string,
  port: number,
  option?: Option,
): Promise<unknown[]> {
  const attempts: unknown[] = [];
  const connection = await connect({
    hostname,
    port,
    ...(option && options[option]),
    onEvent(event: HappyEyeballsEvent) {
      if (event.type !== "attempt-start") return;
      attempts.push(event.endpoint?.address ?? null);
    },
  });
  await connection.close(new Error("Done")).catch(() => {});
  return attempts;
}

/** Counts what Deno is asked for. */
function watch(report: Report): void {
  const { connect, permissions } = Deno;
  Deno.connect = ((options: Deno.ConnectOptions) => {
    report.dialled.push(`${options.hostname} ${options.port}`);
    return connect(options);
  }) as typeof connect;
  for (const method of ["request", "requestSync"] as const) {
    Object.defineProperty(permissions, method, {
      value() {
        report.requests++;
        throw new Error("A permission was requested");
      },
    });
  }
}
