/**
 * A picture of one `connect()`: a line per DNS question and per attempt, all
 * on one time axis, and a sentence that says how it ended.
 *
 * Events in, text out, nothing else, so the picture shows what the events say
 * and a test can hold it against the exact text. Plain ASCII and no colour: it
 * looks the same in every terminal, log and README.
 *
 * Left out: what happens after the decision. A late success that is disposed
 * of stays the canceled attempt it was.
 *
 * @module
 */

import type { Endpoint } from "../core/endpoint.ts";
import type { HappyEyeballsEvent } from "../events.ts";
import { printable } from "./printable.ts";

/** One line of the picture. Instants are those of the events. */
interface Bar {
  readonly label: string;
  /** What was under way, each from its instant on. */
  readonly strokes: { readonly time: number; readonly fill: string }[];
  /** Each answer of a question, or how the attempt ended. */
  readonly marks: { readonly time: number; readonly mark: string }[];
  note: string;
}

/** The part of time that is drawn, and in how many columns. */
interface Scale {
  readonly start: number;
  readonly end: number;
  readonly width: number;
}

type EventOf<T> = Extract<HappyEyeballsEvent, { type: T }>;

const GAP = "  ";

/** In fewer columns a bar tells nothing; lines get longer than wanted then. */
const LEAST_BAR_WIDTH = 20;

/** Columns from one tick of the axis to the next, at least. */
const TICK_WIDTH = 8;

/** Milliseconds that the axis spans, at least. */
const LEAST_SPAN = 1;

/**
 * Draws the events of one `connect()`, up to the decision, and adds the
 * verdict; the empty string where nothing happened.
 *
 * ```text
 * ms             0          100        200
 * AAAA           .|                                  5 ms  1 address
 * A              ..|                                20 ms  1 address
 * [::1]:443       ------------------------------/  275 ms  canceled
 * 127.0.0.1:443                              ===*   25 ms  connected
 *
 * Connected to 127.0.0.1:443 by IPv4 after 280 ms (attempt 2 of 2)
 * ```
 *
 * A dot is a DNS question, a dash TCP, `=` a TLS handshake; `|` is an answer,
 * `*` the winner, `x` a failure, `/` an attempt canceled. A bar's line takes
 * at most `width` columns, unless its text leaves no room for a bar.
 */
export function waterfall(
  events: readonly HappyEyeballsEvent[],
  width: number,
): string {
  const [first] = events;
  if (!first) return "";
  const decision = events.find((event) => event.type === "end");
  const end = (decision ?? events.at(-1)!).time;
  const lines = draw(barsOf(events), first.time, end, width);
  const sentence = decision
    ? printable(verdict(decision, events))
    : "Not decided yet";
  return [...lines, "", sentence, ""].join("\n");
}

/** How it ended, as one sentence. */
function verdict(
  { outcome, index, time, error }: EventOf<"end">,
  events: readonly HappyEyeballsEvent[],
): string {
  const after = `after ${milliseconds(time - events[0]!.time)}`;
  if (outcome === "aborted") return `Gave up ${after}`;
  if (outcome === "failed") return messageOf(error);
  const starts = events.filter((event) => event.type === "attempt-start");
  const endpoint = starts.find((event) => event.index === index)?.endpoint;
  const place = endpoint
    ? `to ${show(endpoint)} by IPv${endpoint.family}`
    : show(null);
  const attempt = `attempt ${index! + 1} of ${starts.length}`;
  return `Connected ${place} ${after} (${attempt})`;
}

/** A bar per question and per attempt, in the order in which they began. */
function barsOf(events: readonly HappyEyeballsEvent[]): Bar[] {
  const bars = new Map<string | number, Bar>();
  for (const event of events) {
    const { time } = event;
    switch (event.type) {
      case "resolve-start":
        for (const type of event.types) {
          bars.set(type, newBar(type, time, ".", "no answer"));
        }
        break;
      case "answer":
        finish(bars.get(event.recordType), time, "|", answerNote(event));
        break;
      case "attempt-start":
        bars.set(event.index, newBar(show(event.endpoint), time, "-", "open"));
        break;
      case "attempt-progress":
        bars.get(event.index)?.strokes.push({ time, fill: "=" });
        break;
      case "attempt-end": {
        const [mark, note] = attemptEnd(event);
        finish(bars.get(event.index), time, mark, note);
      }
    }
  }
  return [...bars.values()];
}

function newBar(label: string, time: number, fill: string, note: string): Bar {
  return {
    label: printable(label),
    strokes: [{ time, fill }],
    marks: [],
    note,
  };
}

function finish(
  bar: Bar | undefined,
  time: number,
  mark: string,
  note: string,
): void {
  if (!bar) return;
  bar.marks.push({ time, mark });
  bar.note = printable(note);
}

function answerNote({ addresses, error }: EventOf<"answer">): string {
  if (addresses.length === 1) return "1 address";
  if (addresses.length > 1) return `${addresses.length} addresses`;
  return error === undefined ? "no address" : codeOf(error);
}

function attemptEnd(
  { outcome, error }: EventOf<"attempt-end">,
): [mark: string, note: string] {
  if (outcome === "won") return ["*", "connected"];
  return outcome === "canceled" ? ["/", "canceled"] : ["x", codeOf(error)];
}

/** The axis and the bars: label, bar, duration and note in four columns. */
function draw(
  bars: readonly Bar[],
  start: number,
  end: number,
  width: number,
): string[] {
  const rows = bars.map((bar) => {
    const stop = bar.marks.at(-1)?.time ?? end;
    const duration = milliseconds(stop - bar.strokes[0]!.time);
    return { bar, stop, duration };
  });
  const labelWidth = widest(["ms", ...bars.map(({ label }) => label)]);
  const durationWidth = widest(rows.map(({ duration }) => duration));
  const noteWidth = widest(bars.map(({ note }) => note));
  const scale = {
    start,
    end: Math.max(end, start + LEAST_SPAN),
    width: Math.max(
      LEAST_BAR_WIDTH,
      width - labelWidth - durationWidth - noteWidth - 3 * GAP.length,
    ),
  };
  return [
    ["ms".padEnd(labelWidth), axis(scale)],
    ...rows.map(({ bar, stop, duration }) => [
      bar.label.padEnd(labelWidth),
      drawBar(bar, stop, scale).padEnd(scale.width),
      duration.padStart(durationWidth),
      bar.note,
    ]),
  ].map((columns) => columns.join(GAP));
}

function drawBar({ strokes, marks }: Bar, stop: number, scale: Scale): string {
  const cells = Array<string>(column(stop, scale) + 1).fill(" ");
  for (const { time, fill } of strokes) cells.fill(fill, column(time, scale));
  for (const { time, mark } of marks) cells[column(time, scale)] = mark;
  return cells.join("");
}

/** The ticks of the axis, in ms since its start: 1, 2 or 5 times 10 to the n. */
function axis(scale: Scale): string {
  const span = scale.end - scale.start;
  const least = span * TICK_WIDTH / scale.width;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((n) => n * power).find((ms) => ms >= least)!;
  let line = "";
  for (let tick = 0; tick * step <= span; tick++) {
    const label = String(Number((tick * step).toFixed(2)));
    const at = column(scale.start + tick * step, scale);
    if (at + label.length <= scale.width) line = line.padEnd(at) + label;
  }
  return line;
}

function column(time: number, { start, end, width }: Scale): number {
  return Math.round((time - start) / (end - start) * (width - 1));
}

function show(endpoint: Endpoint | null): string {
  if (!endpoint) return "by name";
  const { address, family, port, localAddress } = endpoint;
  const remote = family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
  return localAddress ? `${remote} from ${localAddress}` : remote;
}

function milliseconds(ms: number): string {
  return `${ms < 9.95 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
}

function codeOf(error: unknown): string {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  return String(code ?? name ?? "failed");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function widest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map(({ length }) => length));
}
