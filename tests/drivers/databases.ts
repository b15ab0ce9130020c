/**
 * PostgreSQL, Redis, MariaDB, Mosquitto and RabbitMQ from Debian's packages, on
 * free ports of 127.0.0.1, as an ordinary user, with all they write in one
 * directory.
 *
 * A server is a program to start and a way to tell that it takes connections;
 * what it needs before is made here. A package that is missing is installed if
 * that is allowed (as root, with apt), else its clients are skipped.
 *
 * @module
 */

import { globSync } from "node:fs";

import { certificate } from "../certs/read.ts";
import type { Service } from "./scene.ts";

/** A Debian package and the server in it. */
export interface Database {
  readonly package: string;
  readonly services: readonly Service[];
  /** The program, as a glob: PostgreSQL has one for each major version. */
  readonly binary: string;
  /** What it prints when it takes connections. */
  readonly ready: RegExp;
  /** How to stop it without waiting for clients. @default "SIGTERM" */
  readonly signal?: Deno.Signal;
  /** Makes what the server needs; returns its command line. */
  prepare(place: Place): Promise<readonly string[]>;
  /** Its variables, where the command line is not enough. */
  env?(place: Place): Record<string, string>;
}

/** Where a server runs. */
export interface Place {
  readonly binary: string;
  /** A directory that is its own. */
  readonly dir: string;
  readonly ports: Readonly<Record<Service, number>>;
  readonly certificates: { ca: string; cert: string; key: string };
  /** Runs a program to its end as the user of the servers. */
  run(command: string, ...args: string[]): Promise<void>;
}

/** All of them. */
export const databases: readonly Database[] = [
  {
    package: "postgresql",
    services: ["postgres"],
    binary: "/usr/lib/postgresql/*/bin/postgres",
    ready: /ready to accept connections/,
    signal: "SIGINT",
    async prepare({ binary, dir, ports, certificates, run }) {
      const data = `${dir}/data`;
      await run(
        binary.replace(/postgres$/, "initdb"),
        ...["--pgdata", data, "--username=postgres", "--auth=trust"],
        ...["--no-sync", "--locale=C", "--encoding=UTF8"],
      );
      const settings = {
        listen_addresses: "127.0.0.1",
        port: ports.postgres,
        unix_socket_directories: dir,
        fsync: "off",
        ssl: "on",
        ssl_cert_file: certificates.cert,
        ssl_key_file: certificates.key,
      };
      return [
        ...["-D", data],
        ...Object.entries(settings).flatMap(([name, value]) => [
          "-c",
          `${name}=${value}`,
        ]),
      ];
    },
  },
  {
    package: "redis-server",
    services: ["redis", "rediss"],
    binary: "/usr/bin/redis-server",
    ready: /Ready to accept connections/,
    prepare({ dir, ports, certificates }) {
      return Promise.resolve([
        ...["--bind", "127.0.0.1", "--port", `${ports.redis}`],
        ...["--tls-port", `${ports.rediss}`, "--tls-auth-clients", "no"],
        ...["--tls-cert-file", certificates.cert],
        ...["--tls-key-file", certificates.key],
        ...["--tls-ca-cert-file", certificates.ca],
        ...["--dir", dir, "--save", "", "--daemonize", "no"],
      ]);
    },
  },
  {
    package: "mariadb-server",
    services: ["mysql"],
    binary: "/usr/sbin/mariadbd",
    ready: /ready for connections/,
    async prepare({ dir, ports, certificates, run }) {
      const data = `${dir}/data`;
      await run(
        "/usr/bin/mariadb-install-db",
        ...["--no-defaults", `--datadir=${data}`],
        ...["--auth-root-authentication-method=normal", "--skip-test-db"],
      );
      const users = `${dir}/users.sql`;
      await Deno.writeTextFile(
        users,
        "create user 'test'@'%' identified by 'test';\n",
      );
      return [
        ...["--no-defaults", `--datadir=${data}`, `--init-file=${users}`],
        ...["--bind-address=127.0.0.1", `--port=${ports.mysql}`],
        ...[`--socket=${dir}/socket`, `--pid-file=${dir}/pid`],
        `--ssl-ca=${certificates.ca}`,
        `--ssl-cert=${certificates.cert}`,
        `--ssl-key=${certificates.key}`,
      ];
    },
  },
  {
    package: "mosquitto",
    services: ["mqtt", "mqtts"],
    binary: "/usr/sbin/mosquitto",
    ready: /mosquitto version \S+ running/,
    async prepare({ dir, ports, certificates }) {
      const config = `${dir}/mosquitto.conf`;
      await Deno.writeTextFile(
        config,
        `allow_anonymous true
listener ${ports.mqtt} 127.0.0.1
listener ${ports.mqtts} 127.0.0.1
certfile ${certificates.cert}
keyfile ${certificates.key}
`,
      );
      return ["-c", config];
    },
  },
  {
    package: "rabbitmq-server",
    services: ["amqp", "amqps"],
    binary: "/usr/lib/rabbitmq/bin/rabbitmq-server",
    ready: /Server startup complete/,
    signal: "SIGKILL",
    async prepare({ dir, ports, certificates }) {
      await Deno.writeTextFile(
        `${dir}/rabbitmq.conf`,
        `listeners.tcp.1 = 127.0.0.1:${ports.amqp}
listeners.ssl.1 = 127.0.0.1:${ports.amqps}
ssl_options.cacertfile = ${certificates.ca}
ssl_options.certfile = ${certificates.cert}
ssl_options.keyfile = ${certificates.key}
log.console = true
`,
      );
      return [];
    },
    env: ({ dir, ports }) => ({
      HOME: dir,
      RABBITMQ_CONFIG_FILE: `${dir}/rabbitmq.conf`,
      RABBITMQ_CONF_ENV_FILE: `${dir}/none`,
      RABBITMQ_ENABLED_PLUGINS_FILE: `${dir}/none`,
      RABBITMQ_LOG_BASE: dir,
      RABBITMQ_LOGS: "-",
      RABBITMQ_MNESIA_BASE: dir,
      RABBITMQ_NODENAME: "drivers@localhost",
      // One process, not a shell that waits for it.
      RUNNING_UNDER_SYSTEMD: "true",
      // Without Erlang's daemon, which would outlive it: the port by which its
      // nodes meet is fixed, on an address where nobody else is.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: [
        `-sname drivers@localhost -erl_epmd_port ${ports.amqp}`,
        "-kernel inet_dist_use_interface {127,0,0,2}",
      ].join(" "),
      // For what it starts later, too: each minute it looks for the daemon.
      ERL_FLAGS: "-start_epmd false",
    }),
  },
];

/**
 * Starts a server in a directory of its own, as `user` if we are root.
 *
 * @throws {Missing} when its package is not there and may not be installed.
 */
export async function start(
  database: Database,
  ports: Place["ports"],
): Promise<AsyncDisposable> {
  const binary = await find(database);
  const dir = await Deno.makeTempDir({ prefix: `${database.package}-` });
  try {
    const certificates = await copyCertificates(dir);
    await giveAway(dir);
    const run = async (command: string, ...args: string[]) => {
      const { success, stdout, stderr } = await new Deno.Command(command, {
        args,
        ...user,
        cwd: dir,
      }).output();
      const decoder = new TextDecoder();
      if (success) return;
      throw new Error(decoder.decode(stdout) + decoder.decode(stderr));
    };
    const place = { binary, dir, ports, certificates, run };
    const args = await database.prepare(place);
    const child = new Deno.Command(binary, {
      args: [...args],
      env: database.env?.(place) ?? {},
      ...user,
      cwd: dir,
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    await untilReady(child, database.ready);
    return {
      async [Symbol.asyncDispose]() {
        child.kill(database.signal ?? "SIGTERM");
        await child.status;
        await Deno.remove(dir, { recursive: true });
      },
    };
  } catch (error) {
    await Deno.remove(dir, { recursive: true });
    throw error;
  }
}

/** A package is missing. */
export class Missing extends Error {}

const isRoot = Deno.uid() === 0;

/** These servers refuse to run as root, or should; 65534 is `nobody`. */
const user: { uid?: number; gid?: number } = isRoot
  ? { uid: 65534, gid: 65534 }
  : {};

/** The program, after its package was installed if need be. */
async function find({ package: name, binary }: Database): Promise<string> {
  const found = () => globSync(binary).sort().at(-1);
  const present = found();
  if (present) return present;
  if (!isRoot || globSync("/usr/bin/apt-get").length === 0) {
    throw new Missing(`the package ${name} is not installed`);
  }
  // One after another: apt-get fails while another one holds its lock.
  await (installing = installing.then(() => install(name)));
  const installed = found();
  if (!installed) throw new Missing(`the package ${name} cannot be installed`);
  return installed;
}

let installing = Promise.resolve();

async function install(name: string): Promise<void> {
  console.log(`Installing ${name}`);
  const apt = (...args: string[]) =>
    new Deno.Command("apt-get", {
      args: ["-qq", ...args],
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
  await apt("update");
  await apt("install", "--yes", "--no-install-recommends", name);
}

/** Keys that only their owner can read, as PostgreSQL wants them. */
async function copyCertificates(dir: string): Promise<Place["certificates"]> {
  const copies = { ca: "ca", cert: "server", key: "server_key" };
  for (const [copy, name] of Object.entries(copies)) {
    await Deno.writeTextFile(`${dir}/${copy}.pem`, certificate(name), {
      mode: 0o600,
    });
  }
  return {
    ca: `${dir}/ca.pem`,
    cert: `${dir}/cert.pem`,
    key: `${dir}/key.pem`,
  };
}

/** Makes the user of the servers the owner. */
async function giveAway(dir: string): Promise<void> {
  if (user.uid === undefined) return;
  for (const { name } of Deno.readDirSync(dir)) {
    await Deno.chown(`${dir}/${name}`, user.uid, user.gid!);
  }
  await Deno.chown(dir, user.uid, user.gid!);
}

/** Waits for the line; keeps reading, because a full pipe would stop it. */
function untilReady(child: Deno.ChildProcess, ready: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    const read = async (stream: ReadableStream<Uint8Array>) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) {
        output += text;
        if (ready.test(output)) resolve();
      }
    };
    Promise.all([read(child.stdout), read(child.stderr)])
      .then(() => reject(new Error(output)), reject);
  });
}
