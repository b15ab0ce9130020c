/**
 * The results as a table (`.github/network.md`) and a chart
 * (`.github/network.svg`).
 *
 * @module
 */

import type { Client } from "./clients.ts";
import { type Cell, isShortcut, median, medianTime } from "./judge.ts";
import { schedule } from "./schedule.ts";
import type { Site } from "./world.ts";

const folder = new URL("../../.github/", import.meta.url);

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

/** How much later than the schedule a cell is, in milliseconds, and its colour. */
const COLOURS = [
  { upTo: 15, colour: "#b7e3c0", meaning: "as the standard has it" },
  { upTo: 500, colour: "#fdf0b0", meaning: "up to 0.5 s late" },
  { upTo: Infinity, colour: "#f9cf9c", meaning: "later" },
] as const;
const FAILED = { colour: "#f2a3a3", meaning: "not at all" } as const;

/** Writes both files. */
export async function writeReport(cells: readonly Cell[]): Promise<void> {
  const clients = [...new Set(cells.map(([run]) => run.client))];
  const sites = [...new Set(cells.map(([run]) => run.site))];
  const find = (client: Client, site: Site) =>
    cells.find(([run]) => run.client === client && run.site === site);
  const grid: Grid = { clients, sites, find };
  await Deno.writeTextFile(new URL("network.md", folder), table(grid));
  await Deno.writeTextFile(new URL("network.svg", folder), chart(grid));
}

interface Grid {
  readonly clients: readonly Client[];
  readonly sites: readonly Site[];
  readonly find: (client: Client, site: Site) => Cell | undefined;
}

function table({ clients, sites, find }: Grid): string {
  const runs = Math.max(
    ...sites.flatMap((site) =>
      clients.map((client) => find(client, site)?.length ?? 0)
    ),
  );
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    "# What each client makes of a broken network",
    "",
    `Made by \`deno task network --report\`: the median of ${runs} runs, from the ` +
    "call to the connection, in milliseconds, with the address family that won. " +
    "*Schedule* is what RFC 8305 and its successor prescribe with the default " +
    "delays, on a machine and a network that need no time themselves; it is " +
    "computed from the scenario. **†** is ahead of the standard: attempts less " +
    "than 250 ms apart while the first is unanswered, or less than 10 ms after " +
    "a failure.",
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
    "",
  ].join("\n");
}

function scheduled(site: Site): string {
  const { end, winner } = schedule(site);
  if (winner) return `${end} ${familyOf(winner)}`;
  return end === Infinity ? "–" : `fails at ${end}`;
}

/** A cell of the table. */
function describe(cell: Cell | undefined): string {
  if (!cell) return "";
  const mark = isShortcut(cell) ? " †" : "";
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

function seconds(cell: Cell): number {
  return Math.round(median(cell.map(({ result }) => result.ms)) / 1000);
}

function familyOf(address: string): string {
  return address.includes(":") ? "v6" : "v4";
}

const LEFT = 160;
const TOP = 84;
const WIDTH = 84;
const HEIGHT = 30;

function chart(grid: Grid): string {
  const { clients, sites } = grid;
  const columns = CHART.flatMap(([name, heading]) => {
    const site = sites.find(({ scenario }) => scenario.name === name);
    return site ? [{ site, heading }] : [];
  });
  const width = LEFT + WIDTH * columns.length + 16;
  const height = TOP + HEIGHT * clients.length + 48;
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
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
    'font-family="system-ui, sans-serif" font-size="13" role="img">',
    "<title>Time to connect in broken networks, in milliseconds</title>",
    `<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>`,
    text(
      16,
      26,
      "Time to connect in broken networks, in milliseconds",
      "start",
      {
        isBold: true,
      },
    ),
    ...headings,
    ...rows,
    ...legend(TOP + HEIGHT * clients.length + 16),
    "</svg>",
    "",
  ].join("\n");
}

function square(x: number, y: number, cell: Cell | undefined): string {
  if (!cell) return "";
  const left = LEFT + WIDTH * x;
  const top = TOP + HEIGHT * y;
  const { colour, label } = paint(cell);
  return `<rect x="${left + 1}" y="${top + 1}" width="${WIDTH - 2}" ` +
    `height="${HEIGHT - 2}" rx="4" fill="${colour}"/>` +
    text(left + WIDTH / 2, top + HEIGHT * 0.65, label, "middle");
}

function paint(cell: Cell): { colour: string; label: string } {
  const [{ site }] = cell;
  const connected = cell.every(({ result }) => result.address);
  if (!connected) {
    const isHung = cell.some(({ result }) => result.hung);
    return {
      colour: FAILED.colour,
      label: isHung ? `> ${seconds(cell)} s` : "fails",
    };
  }
  const time = medianTime(cell)!;
  const late = time - schedule(site).end;
  const { colour } = COLOURS.find(({ upTo }) => late <= upTo)!;
  return {
    colour,
    label: `${Math.round(time)}${isShortcut(cell) ? " †" : ""}`,
  };
}

function legend(top: number): string[] {
  const entries = [
    ...COLOURS,
    FAILED,
    { colour: "#ffffff", meaning: "† ahead of the standard" },
  ];
  return entries.flatMap(({ colour, meaning }, i) => {
    const left = LEFT + 160 * i;
    return [
      `<rect x="${left}" y="${top}" width="12" height="12" rx="3" fill="${colour}"/>`,
      text(left + 18, top + 11, meaning, "start"),
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
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#1f2328"${weight}>${escaped}</text>`;
}
