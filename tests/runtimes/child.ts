/**
 * A program, run to its end and no longer.
 *
 * Whoever waits for the end of a program's output waits for everything the
 * program has started, too: a process left behind holds the pipe open. And a
 * test that failed may leave a socket open, which keeps its process alive for
 * good. So each program leads a process group of its own. When the program is
 * over, or has been silent for too long, the whole group is killed, and its
 * output ends with it.
 *
 * @module
 */

/** How to run a program. */
export interface RunOptions {
  /** The working directory. @default this process's */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** How long it may print nothing, in milliseconds. @default 60 000 */
  readonly silence?: number;
  /** Kills the program; its run rejects with the reason. */
  readonly signal?: AbortSignal;
  /** Hears of the last line printed so far. */
  readonly onLine?: (line: string) => void;
}

/** A program that said itself that it failed. */
export class Failure extends Error {}

/** A program that was killed: by a crash, or because it hung. */
export class Crash extends Failure {}

/** How much of the output of a program that was killed is worth reading. */
const LAST_LINES = 60;

/**
 * How long output may follow the program's end, in milliseconds. A process that
 * has left the group may hold the pipe for ever.
 */
const LINGER = 1000;

/** The process groups that run. */
const groups = new Set<number>();

/**
 * Runs a program and returns its output, `stdout` first.
 *
 * @throws {Failure} when it fails; the message is all its output.
 * @throws {Crash} when a signal ends it, or when it printed nothing for
 * `silence`; the message is the end of its output.
 */
export async function run(
  command: string,
  args: readonly string[],
  { cwd, env, silence = 60_000, signal, onLine }: RunOptions = {},
): Promise<string> {
  signal?.throwIfAborted();
  const child = new Deno.Command(command, {
    args: [...args],
    ...cwd !== undefined && { cwd },
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();
  groups.add(child.pid);
  let isSilent = false;
  const endSilence = () => {
    isSilent = true;
    killGroup(child.pid);
  };
  let timer = setTimeout(endSilence, silence);
  const abort = () => killGroup(child.pid);
  signal?.addEventListener("abort", abort);
  const outputs = [child.stdout, child.stderr].map((stream) =>
    new Output(stream, (line) => {
      clearTimeout(timer);
      timer = setTimeout(endSilence, silence);
      onLine?.(line);
    })
  );
  const status = await child.status;
  clearTimeout(timer);
  signal?.removeEventListener("abort", abort);
  killGroup(child.pid);
  groups.delete(child.pid);
  await Promise.all(outputs.map((output) => output.end()));
  signal?.throwIfAborted();

  const output = outputs.map(({ text }) => text).join("");
  const what = `${command} ${args.join(" ")}`;
  if (isSilent) {
    const how = `printed nothing for ${silence / 1000} s`;
    throw new Crash(`${lastLines(output)}\n${what}: ${how}`);
  }
  if (status.signal) {
    throw new Crash(`${lastLines(output)}\n${what}: ${status.signal}`);
  }
  if (status.success) return output;
  throw new Failure(`${output}\n${what}: exit code ${status.code}`);
}

/** Kills whatever runs, for a process that is about to end. */
export function killAll(): void {
  for (const group of groups) killGroup(group);
}

/** What is left of a process and of all that it started. */
function killGroup(leader: number): void {
  try {
    Deno.kill(-leader, "SIGKILL");
  } catch {
    // Nothing is left of it.
  }
}

/** A stream that is read as it comes. */
class Output {
  text = "";
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #read: Promise<void>;

  constructor(
    stream: ReadableStream<Uint8Array<ArrayBuffer>>,
    onLine: (line: string) => void,
  ) {
    this.#reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    this.#read = this.#readAll(onLine);
  }

  /** Waits for the end of the stream, but not for ever. */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.#reader.cancel(), LINGER);
    await this.#read;
    clearTimeout(timer);
  }

  async #readAll(onLine: (line: string) => void): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return;
      this.text += value;
      onLine(lastLines(value, 1));
    }
  }
}

function lastLines(text: string, count = LAST_LINES): string {
  return text.trimEnd().split("\n").slice(-count).join("\n");
}
