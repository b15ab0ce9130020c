/**
 * curl, one process per job; the time is the one it measures itself.
 *
 *     deno run -A curl.ts jobs.json
 *
 * @module
 */

import type { Job, Result } from "./job.ts";

/** Exit code 28 of curl. */
const TIMED_OUT = 28;

const jobs: Job[] = JSON.parse(Deno.readTextFileSync(Deno.args[0]!));
for (const job of jobs) console.log(JSON.stringify(await run(job)));

async function run({ host, port, ca, patience }: Job): Promise<Result> {
  const start = Date.now();
  const { code, stdout } = await new Deno.Command("curl", {
    args: [
      ...["--silent", "--output", "/dev/null", "--noproxy", "*"],
      ...["--max-time", String(patience / 1000)],
      ...(ca === null ? [] : ["--cacert", ca]),
      ...["--write-out", "%{json}"],
      `${ca === null ? "http" : "https"}://${host}:${port}/`,
    ],
  }).output();
  const { time_connect, time_appconnect, time_total, remote_ip, errormsg } =
    JSON.parse(new TextDecoder().decode(stdout));
  const connected = ca === null ? time_connect : time_appconnect;
  if (connected > 0) {
    return { start, ms: 1000 * connected, address: remote_ip };
  }
  const ms = 1000 * time_total;
  return code === TIMED_OUT
    ? { start, ms, hung: true }
    : { start, ms, error: errormsg ?? `exit code ${code}` };
}
