/**
 * All servers, each on a port of 127.0.0.1 that is a black hole on `[::1]`.
 *
 * @module
 */

import { type Database, databases, Missing, start } from "./databases.ts";
import { type Scene, type Service, services } from "./scene.ts";

/** What there is. */
export interface World extends AsyncDisposable {
  readonly ports: Scene["ports"];
  /**
   * Waits for a server, which is started if it was not yet; resolves with the
   * reason if it cannot be had.
   */
  ready(service: Service): Promise<string | undefined>;
}

const here = import.meta.dirname!;

/** Starts our own servers; disposal stops all, also when this fails half-way. */
export async function startWorld(node: string): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const ports = await blackHoles(node, stack);
  await startLocalServers(node, ports, stack);
  const starts = new Map<Database, Promise<AsyncDisposable>>();
  stack.defer(async () => {
    const started = await Promise.allSettled(starts.values());
    for (const result of started) {
      if (result.status === "rejected") continue;
      await result.value[Symbol.asyncDispose]();
    }
  });
  const running = stack.move();
  return {
    ports,
    async ready(service) {
      const database = databases.find(({ services }) =>
        services.includes(service)
      );
      if (!database) return undefined;
      if (!starts.has(database)) starts.set(database, start(database, ports));
      try {
        await starts.get(database);
      } catch (error) {
        if (error instanceof Missing) return error.message;
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** One for each service; two connections fill the queue of each. */
async function blackHoles(
  node: string,
  stack: AsyncDisposableStack,
): Promise<Scene["ports"]> {
  const child = spawn(stack, node, "black_hole.ts", `${services.length}`);
  const numbers: number[] = JSON.parse(await firstLine(child.stdout));
  for (const port of numbers) {
    for (let times = 0; times < 2; times++) {
      stack.use(await Deno.connect({ hostname: "::1", port }));
    }
  }
  return Object.fromEntries(
    services.map((service, index) => [service, numbers[index]!]),
  ) as Record<Service, number>;
}

async function startLocalServers(
  node: string,
  ports: Scene["ports"],
  stack: AsyncDisposableStack,
): Promise<void> {
  const child = spawn(stack, node, "local_servers.ts", JSON.stringify(ports));
  if (await firstLine(child.stdout) !== "ready") {
    throw new Error("Cannot start: the HTTP and SMTP servers failed");
  }
}

/** Starts a program of ours, which is killed when all is over. */
function spawn(
  stack: AsyncDisposableStack,
  node: string,
  ...args: string[]
): Deno.ChildProcess {
  const child = new Deno.Command(node, {
    args,
    cwd: here,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  stack.defer(async () => {
    child.kill("SIGKILL");
    await child.stdin.abort().catch(() => {});
    await child.status;
  });
  return child;
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("\n")) break;
  }
  return text.split("\n")[0]!;
}
