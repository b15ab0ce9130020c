/**
 * The results as tables (`network.md`, a section for the scenarios and one for
 * the load) and as a chart (`network.svg`).
 *
 * @module
 */

import type { Client } from "./clients.ts";
import type { PhaseReport, Sample } from "./clients/load_client.ts";
import { DEVIATIONS, MEANINGS } from "./deviations.ts";
import {
  allowance,
  type Cell,
  median,
  medianTime,
  usualDeviations,
} from "./judge.ts";
import type { LoadResult } from "./load.ts";
import { schedule } from "./schedule.ts";
import type { Site } from "./world.ts";

/** The scenarios of the chart, with a heading of two lines. */
const CHART: readonly (readonly [name: string, heading: readonly string[]])[] =
  [
    ["healthy", ["healthy", ""]],
    ["IPv6 black hole", ["IPv6", "black hole"]],
    ["IPv6 delayed 300 ms", ["IPv6 takes", "300 ms"]],
    ["both delayed 1000 ms", ["both take", "1000 ms"]],
    ["IPv6 and first IPv4 black holes", ["IPv6 and first", "IPv4 dead"]],
    ["10 and 10, only the last works", ["19 of 20", "dead"]],
    ["AAAA never", ["no answer", "for AAAA"]],
    ["A never", ["no answer", "for A"]],
    ["TLS silent on IPv6", ["TLS silent", "on IPv6"]],
  ];

/** The sections of `network.md`, in their order. */
const SECTIONS = ["Time to connect", "Load"] as const;

/** Writes the table and the chart of the scenarios into a folder. */
export async function writeReport(
  cells: readonly Cell[],
  folder: string,
): Promise<void> {
  const clients = [...new Set(cells.map(([run]) => run.client))];
  const sites = [...new Set(cells.map(([run]) => run.site))];
  const find = (client: Client, site: Site) =>
    cells.find(([run]) => run.client === client && run.site === site);
  const grid: Grid = { clients, sites, find };
  await writeSection(folder, "Time to connect", timeSection(grid));
  await Deno.writeTextFile(`${folder}/network.svg`, chart(grid));
}

/** Writes what the load was like into the same folder. */
export async function writeLoadReport(
  results: readonly LoadResult[],
  folder: string,
): Promise<void> {
  await writeSection(folder, "Load", loadSection(results));
}

/** Writes one section of `network.md` and leaves the others as they are. */
async function writeSection(
  folder: string,
  title: typeof SECTIONS[number],
  lines: readonly string[],
): Promise<void> {
  const file = `${folder}/network.md`;
  const old = await Deno.readTextFile(file).catch(() => "");
  const section = [`## ${title}`, "", ...lines].join("\n");
  const parts = [...old.split(/^(?=## )/m), section];
  const sections = SECTIONS.flatMap((name) =>
    parts.findLast((part) => part.startsWith(`## ${name}\n`))?.trimEnd() ?? []
  );
  const heading = "# What each client makes of a broken network";
  const text = [heading, ...sections].join("\n\n");
  await Deno.writeTextFile(file, text + "\n");
}

function row(cells: readonly unknown[]): string {
  return `| ${cells.join(" | ")} |`;
}

interface Grid {
  readonly clients: readonly Client[];
  readonly sites: readonly Site[];
  readonly find: (client: Client, site: Site) => Cell | undefined;
}

function timeSection({ clients, sites, find }: Grid): string[] {
  const runs = Math.max(
    ...sites.flatMap((site) =>
      clients.map((client) => find(client, site)?.length ?? 0)
    ),
  );
  return [
    `Made by \`deno task network --report\`: the median of ${runs} runs, from the ` +
    "call to the connection, in milliseconds, with the address family that won. " +
    "*Schedule* is what RFC 8305 and its successor prescribe with the default " +
    "delays, on a machine and a network that need no time themselves; it is " +
    "computed from the scenario. A mark is a departure from RFC 8305, seen on " +
    "the wire in most of the runs; with † or ‡ a client can be faster than the " +
    "schedule, and is by breaking the standard:",
    "",
    ...DEVIATIONS.map((mark) => `- ${mark} ${MEANINGS[mark]}`),
    "",
    clients.flatMap((client) =>
      describeHaste(
        client,
        sites.map((site) => find(client, site))
          .filter((cell) => cell !== undefined),
      )
    ).join(" "),
    "",
    "The clients:",
    "",
    ...clients.map(({ name, version }) => `- ${name}: ${version}`),
    "",
    row(["", "schedule", ...clients.map(({ name }) => name)]),
    row(Array(clients.length + 2).fill("---")),
    ...sites.map((site) =>
      row([
        site.scenario.name,
        scheduled(site),
        ...clients.map((client) => describe(find(client, site))),
      ])
    ),
  ];
}

function loadSection(results: readonly LoadResult[]): string[] {
  return [
    "Made by `deno task network --load=100000 --report`: connects through " +
    "`connect()`, 64 at a time, half of them to hosts that are broken in one of " +
    "ten ways, while 200 idle connections are held. What the process holds is " +
    "counted before / at most during / after, TLS included; *accepted* is what " +
    "the servers say. Each connection was either handed over to a caller or " +
    "closed by us, but for the TLS handshakes that Deno keeps when they are " +
    "given up, until their peer closes (*D4*). *Overhead* is the time of " +
    "connects to healthy hosts, in rounds by turns with the runtime's own " +
    "`connect` to an address, as a ratio.",
    "",
    ...loadTable(results),
  ];
}

/** A line per runtime, and what is wrong. */
export function loadTable(results: readonly LoadResult[]): string[] {
  const columns = [
    ...["connects", "time", "descriptors", "sockets", "timers", "heap, MB"],
    ...["accepted", "handed over", "closed by us", "left to D4", "overhead"],
  ];
  return [
    row(["", ...columns]),
    row(Array(columns.length + 1).fill("---")),
    ...results.map((result) => row(loadRow(result))),
    ...results.flatMap(({ runtime, faults }) =>
      faults.map((fault) => `\n${runtime} failed: ${fault}`)
    ),
  ];
}

function loadRow(
  { runtime, connects, phases, unclosed, ...result }: LoadResult,
): unknown[] {
  const seconds = phases.reduce((sum, { seconds }) => sum + seconds, 0);
  return [
    ...[runtime, connects, `${seconds.toFixed(0)} s`],
    ...(["descriptors", "sockets", "timers", "heap"] as const).map((key) =>
      course(phases, key)
    ),
    ...[result.accepted, result.handedOver],
    result.accepted - result.handedOver - unclosed,
    ...[unclosed, result.overhead.toFixed(2)],
  ];
}

function course(
  phases: readonly PhaseReport[],
  key: "descriptors" | "sockets" | "timers" | "heap",
): string {
  const values = (samples: readonly Sample[]) =>
    samples.map((each) => each[key]);
  const most = Math.max(...phases.flatMap(({ during }) => values(during)));
  return [phases[0]!.before[key], most, phases.at(-1)!.after[key]]
    .map(Math.round).join(" / ");
}

/** How a client got ahead of the schedule, where it did. */
function describeHaste({ name }: Client, cells: readonly Cell[]): string[] {
  const hasty = cells.filter((cell) =>
    schedule(cell[0].site).winner && shadeOf(cell) === HASTY.shade
  );
  if (hasty.length === 0) return [];
  const found = hasty.flatMap(usualDeviations);
  const marks = DEVIATIONS.filter((mark) => found.includes(mark)).join(" and ");
  const count = `${hasty.length} of ${cells.length} scenarios`;
  return [
    `${name} is sooner than the standard allows in ${count}` +
    (marks ? ` (${marks}).` : "."),
  ];
}

function scheduled(site: Site): string {
  const { scenario } = site;
  const { end, winner } = schedule(site);
  const isChance = [...scenario.aaaa.hosts, ...scenario.a.hosts]
    .some((fate) => typeof fate === "object" && "loss" in fate);
  if (isChance) return "by chance";
  if (winner) return `${end} ${familyOf(winner)}`;
  return end === Infinity ? "–" : `fails at ${end}`;
}

/** A cell of the table. */
function describe(cell: Cell | undefined): string {
  if (!cell) return "";
  const mark = marksOf(cell);
  const hung = cell.filter(({ result }) => result.hung).length;
  if (hung > 0) {
    const share = hung < cell.length ? ` (${hung} of ${cell.length})` : "";
    return `– in ${seconds(cell)} s${share}${mark}`;
  }
  const time = Math.round(medianTime(cell)!);
  const winners = cell.flatMap(({ result }) => result.address ?? []);
  if (winners.length < cell.length) {
    const share = winners.length > 0
      ? ` (${cell.length - winners.length} of ${cell.length})`
      : "";
    return `fails at ${time}${share}${mark}`;
  }
  return `${time} ${[...new Set(winners.map(familyOf))].join(", ")}${mark}`;
}

/** With a space before, where there are any. */
function marksOf(cell: Cell): string {
  const marks = usualDeviations(cell).join("");
  return marks && ` ${marks}`;
}

function seconds(cell: Cell): number {
  return Math.round(median(cell.map(({ result }) => result.ms)) / 1000);
}

function familyOf(address: string): string {
  return address.includes(":") ? "v6" : "v4";
}

/** Pixels. */
const LEFT = 160;
const TOP = 84;
const WIDTH = 84;
const HEIGHT = 30;
const LINE = 22;
/** What an entry of the legend needs beside its words. */
const SQUARE = 30;

/**
 * How late a cell is, in milliseconds beyond what any machine needs itself, by
 * the class that paints it.
 */
const SHADES = [
  { upTo: 10, shade: "good", meaning: "on time" },
  { upTo: 500, shade: "late", meaning: "up to 0.5 s late" },
  { upTo: Infinity, shade: "later", meaning: "later" },
] as const;
const HASTY = { shade: "hasty", meaning: "sooner than the standard allows" };
const FAILED = { shade: "bad", meaning: "not at all" };
/** Milliseconds before the schedule that count as sooner. */
const SOONER = 5;

const LEGEND = [...SHADES, HASTY, FAILED];
/** Shorter than their meanings in the table. */
const NOTE = "not as RFC 8305: † next attempt too soon, ‡ IPv4 before IPv6, " +
  "° waits for both answers, § IPv4 not as DNS orders it";

const STYLE = `<style>
  text { fill: #1f2328 } .card { fill: #ffffff }
  .good { fill: #b7e3c0 } .late { fill: #fdf0b0 } .later { fill: #f9cf9c }
  .bad { fill: #f2a3a3 } .hasty { fill: #d3cdf2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .card { fill: #0d1117 }
    .good { fill: #1e5a33 } .late { fill: #6a5a12 } .later { fill: #85491a }
    .bad { fill: #82303a } .hasty { fill: #473f7d }
  }
</style>`;

function chart(grid: Grid): string {
  const { clients, sites } = grid;
  const columns = CHART.flatMap(([name, heading]) => {
    const site = sites.find(({ scenario }) => scenario.name === name);
    return site ? [{ site, heading }] : [];
  });
  const width = LEFT + WIDTH * columns.length + 16;
  const bottom = TOP + HEIGHT * clients.length;
  const height = bottom + 2 * LINE + 14;
  const headings = columns.flatMap(({ heading }, x) =>
    heading.map((line, y) =>
      text(LEFT + WIDTH * (x + 0.5), 52 + 16 * y, line, "middle")
    )
  );
  const rows = clients.flatMap((client, y) => [
    text(LEFT - 10, TOP + HEIGHT * (y + 0.65), client.name, "end", {
      isBold: client.runtime !== undefined,
    }),
    ...columns.map(({ site }, x) => square(x, y, grid.find(client, site))),
  ]);
  const title = "Time to connect in broken networks, in milliseconds";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
    'font-family="system-ui, sans-serif" font-size="13" role="img">',
    `<title>${title}</title>`,
    STYLE,
    `<rect width="${width}" height="${height}" rx="8" class="card"/>`,
    text(16, 26, title, "start", { isBold: true }),
    ...headings,
    ...rows,
    ...legend(bottom + 16, width),
    text(LEFT, bottom + 27 + LINE, NOTE, "start"),
    "</svg>",
    "",
  ].join("\n");
}

function square(x: number, y: number, cell: Cell | undefined): string {
  if (!cell) return "";
  const left = LEFT + WIDTH * x;
  const top = TOP + HEIGHT * y;
  return `<rect x="${left + 1}" y="${top + 1}" width="${WIDTH - 2}" ` +
    `height="${HEIGHT - 2}" rx="4" class="${shadeOf(cell)}"/>` +
    text(left + WIDTH / 2, top + HEIGHT * 0.65, labelOf(cell), "middle");
}

function labelOf(cell: Cell): string {
  if (cell.every(({ result }) => result.address)) {
    return `${Math.round(medianTime(cell)!)}${marksOf(cell)}`;
  }
  const isHung = cell.some(({ result }) => result.hung);
  return isHung ? `> ${seconds(cell)} s` : "fails";
}

function shadeOf(cell: Cell): string {
  if (!cell.every(({ result }) => result.address)) return FAILED.shade;
  const { end, starts } = schedule(cell[0].site);
  const late = medianTime(cell)! - end;
  if (late < -SOONER) return HASTY.shade;
  return SHADES.find(({ upTo }) => late - allowance(starts) <= upTo)!.shade;
}

/** The entries share the width of the chart by the length of their words. */
function legend(top: number, width: number): string[] {
  const letters = LEGEND.reduce((sum, { meaning }) => sum + meaning.length, 0);
  const spare = width - LEFT - 16 - SQUARE * LEGEND.length;
  let left = LEFT;
  return LEGEND.flatMap(({ shade, meaning }) => {
    const at = left;
    left += SQUARE + spare * meaning.length / letters;
    return [
      `<rect x="${
        at.toFixed(1)
      }" y="${top}" width="12" height="12" rx="3" class="${shade}"/>`,
      text(at + 18, top + 11, meaning, "start"),
    ];
  });
}

function text(
  x: number,
  y: number,
  content: string,
  anchor: "start" | "middle" | "end",
  { isBold = false } = {},
): string {
  const weight = isBold ? ' font-weight="600"' : "";
  const escaped = content.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const [left, top] = [x, y].map((each) => +each.toFixed(1));
  return `<text x="${left}" y="${top}" text-anchor="${anchor}"${weight}>${escaped}</text>`;
}
