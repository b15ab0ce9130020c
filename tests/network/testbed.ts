/**
 * Builds the testbed and takes it away again.
 *
 * One namespace holds the link and the servers; each client has one of its
 * own, with its own addresses, hosts file and resolver, joined to the link by
 * a TUN device. The devices are created by the link next to the servers and
 * moved to the clients. No namespace has any other interface, so nothing
 * leaves.
 *
 * Whatever ends this program, nothing stays behind: the link and the servers
 * end with their standard input, and what a killed run could not remove (names
 * carry its process id) is removed by the next one.
 *
 * @module
 */

import type { LinkPlan } from "./link.ts";
import { type Profile, type Scenario, warmUp } from "./scenarios.ts";
import { readWireLog, type WireEvent } from "./wire_log.ts";
import {
  clientAddresses,
  DNS_SERVERS,
  fatesOf,
  layOut,
  SERVER_NETWORKS,
  type Site,
  UNROUTED,
  zonesOf,
} from "./world.ts";

/** What to build. */
export interface TestbedOptions {
  readonly scenarios: readonly Scenario[];
  /** How many clients run at the same time. */
  readonly slots: number;
  /** For what chance decides. */
  readonly seed: number;
  /** Whether the link writes its log. @default true */
  readonly logs?: boolean;
}

/** The certificate that signed the servers'. */
export const CA: string = new URL("tls/ca.pem", import.meta.url).pathname;

/** Where `ip netns exec` looks for a namespace's own files of `/etc`. */
const SETTINGS = "/etc/netns";
const FILES = "/tmp";
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The network, while it stands. */
export class Testbed implements AsyncDisposable {
  /** In the order of the scenarios. */
  readonly sites: readonly Site[];
  readonly warmUp: Site;
  /** A place for files; gone with the testbed. */
  readonly folder: string = `${FILES}/he-${Deno.pid}-files`;

  readonly #options: TestbedOptions;
  readonly #children: Deno.ChildProcess[] = [];
  #servers: Deno.ChildProcess | undefined;
  #removed: Promise<void> | undefined;
  readonly #onSignal = () => this.#abandon();

  private constructor(options: TestbedOptions) {
    this.#options = options;
    const [first, ...sites] = layOut([warmUp, ...options.scenarios]);
    this.warmUp = first!;
    this.sites = sites;
  }

  /** Why this machine cannot have one, `undefined` where it can. */
  static async obstacle(): Promise<string | undefined> {
    if (Deno.build.os !== "linux") return "network namespaces are Linux only";
    if (Deno.uid() !== 0) return "network namespaces take root";
    const probe = `he-${Deno.pid}-probe`;
    try {
      await ip("netns", "add", probe);
      await ip(
        ..."netns exec".split(" "),
        probe,
        "ip",
        ..."tuntap add dev probe mode tun".split(" "),
      );
    } catch (error) {
      return `no network namespace with a TUN device can be made (${
        (error as Error).message
      })`;
    } finally {
      await ip("netns", "del", probe).catch(() => {});
    }
  }

  /** Builds a testbed; it stands until it is disposed of. */
  static async create(options: TestbedOptions): Promise<Testbed> {
    await removeStale();
    const testbed = new Testbed(options);
    for (const signal of SIGNALS) {
      Deno.addSignalListener(signal, testbed.#onSignal);
    }
    try {
      await Deno.mkdir(testbed.folder);
      await testbed.#build();
    } catch (error) {
      await testbed[Symbol.asyncDispose]();
      throw error;
    }
    return testbed;
  }

  /** The namespace of a client. */
  namespace(profile: Profile, slot: number): string {
    return `he-${Deno.pid}-${profile}${slot}`;
  }

  /**
   * Starts a program in a namespace; its errors go to ours. It goes before
   * other programs, so that the network is measured and not the machine.
   */
  spawn(namespace: string, command: readonly string[]): Deno.ChildProcess {
    return new Deno.Command("nice", {
      args: ["-n", "-20", "ip", "netns", "exec", namespace, ...command],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
      env: {
        NO_COLOR: "1",
        // It would ask the network.
        DENO_NO_UPDATE_CHECK: "1",
        NODE_EXTRA_CA_CERTS: CA,
      },
    }).spawn();
  }

  /** What the link has seen so far. */
  readLog(): WireEvent[] {
    return readWireLog(`${this.folder}/wire.jsonl`);
  }

  /** How many connections the servers have accepted, and how many are open. */
  async countConnections(): Promise<{ accepted: number; open: number }> {
    const servers = this.#servers!;
    servers.kill("SIGUSR2");
    return JSON.parse(await this.#readLine(servers));
  }

  /** Takes everything away, once, however often it is called. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#removed ??= this.#remove();
  }

  async #remove(): Promise<void> {
    for (const child of this.#children) {
      await child.stdin.close().catch(() => {});
    }
    await Promise.all(this.#children.map((child) => child.status));
    await removeOf(Deno.pid);
    for (const signal of SIGNALS) {
      Deno.removeSignalListener(signal, this.#onSignal);
    }
  }

  #abandon(): void {
    this[Symbol.asyncDispose]().finally(() => Deno.exit(130));
  }

  async #build(): Promise<void> {
    const { seed, logs = true } = this.#options;
    const server = `he-${Deno.pid}-server`;
    await ip("netns", "add", server);
    await shell(server, "ip link set lo up");
    const clients = this.#clients();
    await this.#start(
      server,
      "link.ts",
      {
        server: "server",
        clients,
        fates: fatesOf([this.warmUp, ...this.sites]),
        seed,
        logs,
      } satisfies LinkPlan,
      `${this.folder}/wire.jsonl`,
    );
    await shell(server, serverSetup());
    for (const client of clients) await setUpClient(server, client);
    this.#servers = await this.#start(
      server,
      "servers.ts",
      zonesOf([this.warmUp, ...this.sites]),
    );
  }

  /** One client per slot and profile that a scenario wants. */
  #clients() {
    const profiles = new Set(
      this.sites.map(({ scenario }) => scenario.profile ?? "dual"),
    );
    const { slots } = this.#options;
    return [...profiles].flatMap((profile) =>
      Array.from({ length: slots }, (_, slot) => ({
        profile,
        device: `${profile}${slot}`,
        namespace: this.namespace(profile, slot),
        addresses: clientAddresses(profile, slot),
      }))
    );
  }

  /** Starts one of our own programs, with its plan as a file, until it is ready. */
  async #start(
    namespace: string,
    program: string,
    plan: unknown,
    ...args: string[]
  ): Promise<Deno.ChildProcess> {
    const file = `${this.folder}/${program}.json`;
    await Deno.writeTextFile(file, JSON.stringify(plan));
    const path = new URL(program, import.meta.url).pathname;
    const child = this.spawn(namespace, [
      ...[Deno.execPath(), "run", "-A", "--unstable-net", path, file],
      ...args,
    ]);
    this.#children.push(child);
    child.status.then(() => {
      if (this.#removed) return;
      console.error(`Cannot go on: ${program} has ended`);
      this.#abandon();
    });
    const line = await this.#readLine(child);
    if (line !== "ready") throw new Error(`${program} did not start: ${line}`);
    return child;
  }

  async #readLine(child: Deno.ChildProcess): Promise<string> {
    const reader = child.stdout.getReader();
    let text = "";
    while (!text.endsWith("\n")) {
      const { value, done } = await reader.read();
      if (done) break;
      text += new TextDecoder().decode(value);
    }
    reader.releaseLock();
    return text.trim();
  }
}

function serverSetup(): string {
  return [
    "for f in all default; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; done",
    "echo 16384 > /proc/sys/net/core/somaxconn",
    "echo 16384 > /proc/sys/net/ipv4/tcp_max_syn_backlog",
    "ip link set server txqueuelen 10000 up",
    ...Object.values(DNS_SERVERS).map((address) =>
      `ip addr add ${address} dev lo`
    ),
    ...SERVER_NETWORKS[4].map((net) => `ip route add local ${net} dev lo`),
    ...SERVER_NETWORKS[6].map((net) => `ip -6 route add local ${net} dev lo`),
    "ip route add default dev server",
    "ip -6 route add default dev server",
  ].join("\n");
}

async function setUpClient(
  server: string,
  { namespace, device, addresses }: {
    namespace: string;
    device: string;
    addresses: readonly string[];
  },
): Promise<void> {
  const isIPv6 = (address: string) => address.includes(":");
  const families = new Set(addresses.map(isIPv6));
  await writeSettings(namespace, DNS_SERVERS[families.has(false) ? 4 : 6]);
  await ip("netns", "add", namespace);
  await shell(server, `ip link set ${device} netns ${namespace}`);
  await shell(
    namespace,
    [
      "ip link set lo up",
      "for f in all default; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; done",
      // What one handshake was like must not change the next one.
      "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save",
      // Each SYN tells the kernel's own time, without a random offset.
      "echo 2 > /proc/sys/net/ipv4/tcp_timestamps",
      "echo '1024 65535' > /proc/sys/net/ipv4/ip_local_port_range",
      `ip link set ${device} txqueuelen 10000 up`,
      ...addresses.map((address) =>
        isIPv6(address)
          ? `ip addr add ${address}/64 dev ${device} nodad`
          : `ip addr add ${address}/32 dev ${device}`
      ),
      ...(families.has(false) ? [`ip route add default dev ${device}`] : []),
      ...(families.has(true)
        ? [
          `ip -6 route add default dev ${device}`,
          `ip -6 route add throw ${UNROUTED}`,
        ]
        : []),
    ].join("\n"),
  );
}

/** What `ip netns exec` mounts over the files of the same name in `/etc`. */
async function writeSettings(namespace: string, dns: string): Promise<void> {
  const folder = `${SETTINGS}/${namespace}`;
  await Deno.mkdir(folder, { recursive: true });
  const files = {
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "resolv.conf": `nameserver ${dns}\n`,
    "nsswitch.conf": "hosts: files dns\n",
    "gai.conf": "",
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${folder}/${name}`, text);
  }
}

/** Removes what runs left behind that did not live to do it. */
async function removeStale(): Promise<void> {
  const traces = [
    ...await namespaces(),
    ...filesIn(SETTINGS),
    ...filesIn(FILES),
  ];
  const pids = traces.map((name) => Number(/^he-(\d+)-/.exec(name)?.[1]));
  for (const pid of new Set(pids)) {
    if (pid > 0 && !isRunning(pid)) await removeOf(pid);
  }
}

/** Removes all that is named after a run, and what still runs in it. */
async function removeOf(pid: number): Promise<void> {
  const isOwn = (name: string) => name.startsWith(`he-${pid}-`);
  for (const name of (await namespaces()).filter(isOwn)) {
    const pids = await ip("netns", "pids", name);
    for (const pid of pids.split("\n").filter(Boolean)) {
      try {
        Deno.kill(Number(pid), "SIGKILL");
      } catch {
        // It has just ended by itself.
      }
    }
    await ip("netns", "del", name);
  }
  for (const folder of [SETTINGS, FILES]) {
    for (const name of filesIn(folder).filter(isOwn)) {
      await Deno.remove(`${folder}/${name}`, { recursive: true });
    }
  }
}

async function namespaces(): Promise<string[]> {
  const lines = (await ip("netns", "list")).split("\n");
  return lines.map((line) => line.split(" ")[0]!);
}

function filesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch {
    return [];
  }
}

function isRunning(pid: number): boolean {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/comm`) !== "";
  } catch {
    return false;
  }
}

/** Runs a few lines of shell in a namespace. */
function shell(namespace: string, script: string): Promise<string> {
  return ip("netns", "exec", namespace, "sh", "-e", "-c", script);
}

async function ip(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("ip", { args })
    .output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout);
  throw new Error(`ip ${args.join(" ")}: ${decoder.decode(stderr).trim()}`);
}
