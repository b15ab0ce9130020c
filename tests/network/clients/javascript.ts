/**
 * Every client in JavaScript: ours, and what each runtime brings along.
 *
 *     <deno|bun|node> javascript.ts <dialer> jobs.json
 *
 * All jobs run in one process, one after another, so that no start-up time is
 * in any result; the first job is there to warm up.
 *
 * @module
 */

import { subscribe } from "node:diagnostics_channel";
import { readFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import tls from "node:tls";

import type { Job, Result } from "./job.ts";
import { listLiveSockets } from "./socket_table.ts";

/** What a dialer gives. */
interface Dialed {
  readonly address: string;
  close(): unknown;
}

type Dialer = (job: Job, signal: AbortSignal) => Promise<Dialed>;

/** How soon losers have to be gone. */
const LOSERS_TIME = 50;

const dialers: Record<string, () => Dialer | Promise<Dialer>> = {
  ours: async () => {
    const { connect } = await import("../../../mod.ts");
    return async ({ host, port, ca }, signal) => {
      const connection = await connect({
        hostname: host,
        port,
        tls: ca !== null && { caCerts: [readFileSync(ca, "utf8")] },
        signal,
      });
      return {
        address: connection.remoteAddr!.hostname,
        close: () => connection.close(),
      };
    };
  },
  "Deno.connect": () => async ({ host, port, ca }, signal) => {
    const connection = ca === null
      ? await Deno.connect({ hostname: host, port, signal })
      : await Deno.connectTls({
        hostname: host,
        port,
        caCerts: [readFileSync(ca, "utf8")],
      });
    if ("handshake" in connection) await connection.handshake();
    return {
      address: connection.remoteAddr.hostname,
      close: () => connection.close(),
    };
  },
  "Bun.connect": () => dialBun,
  "node:net": () => dialNodeNet,
  undici: () => dialUndici,
};

/** What is used of Bun's own sockets. */
interface BunSocket {
  readonly remoteAddress: string;
  end(): void;
}

function dialBun({ host, port, ca }: Job): Promise<Dialed> {
  const { Bun } = globalThis as unknown as {
    Bun: { connect(options: unknown): Promise<BunSocket> };
  };
  return new Promise((resolve, reject) => {
    const won = (socket: BunSocket) =>
      resolve({ address: socket.remoteAddress, close: () => socket.end() });
    Bun.connect({
      hostname: host,
      port,
      tls: ca !== null && { ca: readFileSync(ca, "utf8") },
      socket: {
        [ca === null ? "open" : "handshake"]: won,
        data() {},
        connectError: (_: BunSocket, error: unknown) => reject(error),
      },
    }).catch(reject);
  });
}

function dialNodeNet({ host, port, ca }: Job): Promise<Dialed> {
  return new Promise((resolve, reject) => {
    const socket = ca === null
      ? net.connect({ host, port })
      : tls.connect({ host, port, servername: host, ca: readFileSync(ca) });
    socket.once(ca === null ? "connect" : "secureConnect", () => {
      resolve({
        address: socket.remoteAddress!,
        close: () => socket.destroy(),
      });
    });
    socket.on("error", reject);
  });
}

/** Node's `fetch` is undici, and tells when one of its sockets is connected. */
function dialUndici({ host, port, ca }: Job): Promise<Dialed> {
  const aborter = new AbortController();
  return new Promise((resolve, reject) => {
    subscribe("undici:client:connected", (message) => {
      const { socket, connectParams } = message as {
        socket: net.Socket;
        connectParams: { hostname: string };
      };
      if (connectParams.hostname !== host) return;
      const address = socket.remoteAddress!;
      resolve({ address, close: () => aborter.abort() });
    });
    fetch(`${ca === null ? "http" : "https"}://${host}:${port}/`, {
      signal: aborter.signal,
    }).catch(reject);
  });
}

async function run(dial: Dialer, job: Job): Promise<Result> {
  const start = performance.timeOrigin + performance.now();
  const before = performance.now();
  const took = () => ({ start, ms: performance.now() - before });
  const patience = new AbortController();
  const hung = new Promise<null>((resolve) => {
    const timer = setTimeout(() => {
      patience.abort(new Error("out of patience"));
      resolve(null);
    }, job.patience);
    patience.signal.addEventListener("abort", () => clearTimeout(timer));
  });
  try {
    const attempt = dial(job, patience.signal);
    attempt.catch(() => {});
    const dialed = await Promise.race([attempt, hung]);
    const result = took();
    if (!dialed) return { ...result, hung: true, others: await others() };
    const { address } = dialed;
    const found = await others(address);
    await dialed.close();
    return { ...result, address, others: found };
  } catch (error) {
    const result = took();
    return { ...result, error: describe(error), others: await others() };
  } finally {
    patience.abort();
  }
}

async function others(winner?: string): Promise<string[]> {
  await sleep(LOSERS_TIME);
  const sockets = listLiveSockets();
  const own = sockets.findIndex(({ state, remoteAddress }) =>
    state === "ESTABLISHED" && remoteAddress === winner
  );
  if (own >= 0) sockets.splice(own, 1);
  return sockets.map(({ state, remoteAddress }) => `${state} ${remoteAddress}`);
}

function describe(error: unknown): string {
  const { code, message, cause } = error as {
    code?: string;
    message?: string;
    cause?: unknown;
  };
  if (code) return String(code);
  return cause ? describe(cause) : String(message ?? error);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const [name, file] = process.argv.slice(2);
const jobs: Job[] = JSON.parse(readFileSync(file!, "utf8"));
const dial = await dialers[name!]!();
for (const job of jobs) {
  console.log(JSON.stringify(await run(dial, job)));
  await sleep(job.rest);
}
// An abandoned lookup would keep the process for seconds.
process.exit();
