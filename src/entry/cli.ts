/**
 * A program that connects once and shows what it took:
 * `deno run -N jsr:@stagger/happy-eyeballs/cli example.com:443`.
 *
 * For looking at what a connection really did, at which moment and to which
 * address. It prints a picture drawn from the events, or the events
 * themselves. The exit status is 0 when it connected, 1 when it did not, 2
 * when the arguments are wrong.
 *
 * Importing this module starts nothing: {@linkcode main} is the program
 * without a process around it.
 *
 * @module
 */

import { realpathSync } from "node:fs";
import process from "node:process";

import { connect } from "../connect.ts";
import type { Connection } from "../connection.ts";
import type { HappyEyeballsEvent } from "../events.ts";
import { type Command, parseCommand, USAGE, VERSION } from "./cli_options.ts";
import { printable } from "./printable.ts";
import { waterfall } from "./waterfall.ts";

/** Where the program writes to. */
export interface Output {
  /** What was asked for. */
  write(text: string): void;
  /** What went wrong with the call of the program. */
  writeError(text: string): void;
  /** The width of the terminal; `undefined` where there is none. */
  readonly columns: number | undefined;
}

const SUCCESS = 0, NO_CONNECTION = 1, WRONG_ARGUMENTS = 2;

/** Columns of a picture that goes to no terminal, and of the widest. */
const DEFAULT_WIDTH = 80, LARGEST_WIDTH = 120;

/**
 * Connects as `args` say, shows what happened, closes the connection and
 * returns the exit status.
 */
export async function main(
  args: readonly string[],
  output: Output,
): Promise<number> {
  let command;
  try {
    command = parseCommand(args);
  } catch (error) {
    return complain(error as Error, output);
  }
  if (command) return await run(command, output);
  output.write(args.includes("--version") ? `${VERSION}\n` : USAGE);
  return SUCCESS;
}

async function run(
  { connect: options, timeout, json }: Command,
  output: Output,
): Promise<number> {
  const events: HappyEyeballsEvent[] = [];
  const onEvent = (event: HappyEyeballsEvent) => {
    events.push(event);
    if (!json) return;
    output.write(`${printable(JSON.stringify(event, plainErrors))}\n`);
  };
  const signal = timeout === undefined
    ? undefined
    : AbortSignal.timeout(timeout);
  let connection: Connection | undefined;
  try {
    connection = await connect({ ...options, signal, onEvent });
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      return complain(error, output);
    }
    // Where a permission is missing, there may be no event to show it.
    if (events.length === 0) output.writeError(`${printable(`${error}`)}\n`);
  }
  const width = Math.min(output.columns ?? DEFAULT_WIDTH, LARGEST_WIDTH);
  if (!json) output.write(waterfall(events, width));
  await connection?.[Symbol.asyncDispose]();
  return connection ? SUCCESS : NO_CONNECTION;
}

function complain({ message }: Error, { writeError }: Output): number {
  writeError(`${printable(message)} (see --help)\n`);
  return WRONG_ARGUMENTS;
}

/** For `JSON.stringify`, which leaves nothing of an error. */
function plainErrors(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { name, message } = value;
  const { code } = value as { code?: unknown };
  return typeof code === "string" ? { name, code, message } : { name, message };
}

/** Whether this file is what was run; Node before 24.2 does not tell. */
function isProgram(): boolean {
  if (import.meta.main !== undefined) return import.meta.main;
  const [, path = ""] = process.argv;
  try {
    return realpathSync(path) === import.meta.filename;
  } catch {
    // Where Node's permissions forbid to follow links, it need not be one.
    return path === import.meta.filename;
  }
}

if (isProgram()) {
  const { stdout, stderr } = process;
  const status = await main(process.argv.slice(2), {
    write: (text) => void stdout.write(text),
    writeError: (text) => void stderr.write(text),
    columns: stdout.columns,
  });
  // A lookup that is no longer wanted would keep Node alive for seconds.
  stdout.write("", () => process.exit(status));
}
