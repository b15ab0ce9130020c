/**
 * Deno's permissions (hazard 56): what is granted is raced, what is not
 * granted is never dialled by address, and nobody is asked but once, by an
 * attempt by name.
 *
 * Each case is a process of its own, which reports what it did.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { test } from "./harness.ts";
import type { Job, Option, Report } from "./permissions/probe.ts";

const probe = new URL("permissions/probe.ts", import.meta.url).href;

/** The report of a job that returned `undefined` and asked for nothing. */
const silent: Report = { dialled: [], requests: 0 };

test("missingPermission() is silent when everything is granted", async () => {
  const job = { do: "missingPermission", port: 80 } as const;
  assertEquals(await run(["--allow-net"], job), silent);
});

// What is denied fails its own attempt; the others may still be raced.
test("missingPermission() is silent when a part of the full grant is denied", async () => {
  const job = { do: "missingPermission", port: 80 } as const;
  const flags = ["--allow-net", "--deny-net=192.0.2.1"];
  assertEquals(await run(flags, job), silent);
});

test("missingPermission() wants every host when the addresses are unknown", async () => {
  const job = { do: "missingPermission", port: 80 } as const;
  const flags = ["--allow-net=example.com:80,192.0.2.1:80"];
  assertEquals((await run(flags, job)).value, "net access to every host");
});

/** Addresses of port 80, what is granted, and what is missing of it. */
const grants: readonly (readonly [string[], string, string | undefined])[] = [
  [["192.0.2.1"], "192.0.2.1:80", undefined],
  // Without a port, all ports.
  [["192.0.2.1"], "192.0.2.1", undefined],
  [["192.0.2.1"], "192.0.2.0/24", undefined],
  [["192.0.2.1"], "192.0.2.1:81", '"192.0.2.1:80"'],
  [["2001:db8::1"], "[2001:db8::1]:80", undefined],
  [["2001:db8::1"], "[2001:DB8:0:0:0:0:0:1]", undefined],
  [["2001:db8::1"], "[2001:db8::2]:80", '"[2001:db8::1]:80"'],
  // Permissions know no zones.
  [["fe80::1%eth0"], "[fe80::1]:80", undefined],
  [["fe80::1%eth0"], "[fe80::2]:80", '"[fe80::1]:80"'],
  // The addresses of localhost are not its name.
  [
    ["::1", "127.0.0.1"],
    "localhost:80",
    '"[::1]:80" and "127.0.0.1:80"',
  ],
  [["::1", "127.0.0.1"], "127.0.0.1:80", '"[::1]:80"'],
  [["::1", "127.0.0.1"], "127.0.0.1:80,[::1]:80", undefined],
];
for (const [addresses, granted, missing] of grants) {
  test(`missingPermission() for ${addresses} with ${granted} granted`, async () => {
    const job = { do: "missingPermission", port: 80, addresses } as const;
    const value = missing && `net access to ${missing}`;
    const report = await run([`--allow-net=${granted}`], job);
    assertEquals(report, { ...silent, ...(value && { value }) });
  });
}

test("connect() fails with EACCES and does not dial an address that is not granted", async () => {
  using server = listen();
  const { port } = server.addr;
  const hostname = "example.com";
  const report = await run(
    [`--allow-net=127.0.0.1:${port + 1}`],
    { do: "dial", address: "127.0.0.1", port, hostname },
  );
  assertEquals(report, {
    error: {
      name: "Error",
      message: `Requires net access to "127.0.0.1:${port}"`,
      code: "EACCES",
    },
    dialled: [],
    requests: 0,
  });
});

test("connect() fails with EACCES from a local address, too", async () => {
  using server = listen();
  const { port } = server.addr;
  const job = { do: "dialFrom", localAddress: "127.0.0.1", port } as const;
  const { error } = await run(["--allow-net=example.com"], job);
  assertEquals(error?.code, "EACCES");
  assertEquals((await run(["--allow-net"], job)).value, "connected");
});

test("connect() dials an address that is granted, whatever the name", async () => {
  using server = listen();
  const { port } = server.addr;
  const hostname = "example.com";
  const { value } = await run(
    [`--allow-net=127.0.0.1:${port}`],
    { do: "dial", address: "127.0.0.1", port, hostname },
  );
  assertEquals(value, "connected");
});

// Deno sees the address only, so it would let this pass.
test("connect() does not dial an address of a name that is denied", async () => {
  using server = listen();
  const { port } = server.addr;
  const job = {
    do: "dial",
    address: "127.0.0.1",
    port,
    hostname: "example.com",
  } as const;
  for (const denied of ["example.com", `example.com:${port}`]) {
    const flags = ["--allow-net", `--deny-net=${denied}`];
    const { error, dialled } = await run(flags, job);
    assertEquals(error?.code, "EACCES");
    assertEquals(
      error?.message,
      `Requires net access to "example.com:${port}"`,
    );
    assertEquals(dialled, []);
  }
});

test("lookup() fails with EACCES instead of asking for a permission", async () => {
  const job = { do: "lookup", hostname: "localhost" } as const;
  const { error } = await run(["--allow-net=localhost:80"], job);
  assertEquals(error?.code, "EACCES");
  assertEquals(error?.message, 'Requires net access to "localhost"');
  const { value } = await run(["--allow-net=localhost"], job);
  assertEquals(value, ["127.0.0.1"]);
});

test("a name that nobody may ask for is ERR_ACCESS_DENIED, with the flag to give", async () => {
  const job = { do: "resolve", hostname: "a.test" } as const;
  const { error, requests } = await run(["--allow-net=b.test"], job);
  assertEquals([error?.code, requests], ["ERR_ACCESS_DENIED", 0]);
  assertMatch(error!.message, /net access to "a\.test".*--allow-net/);
  const own = await run(["--allow-net"], { ...job, throws: "NotCapable" });
  assertEquals(own.error?.code, "ERR_ACCESS_DENIED");
  assertMatch(own.error!.message, /Requires net access/);
});

test("sourceAddress() is unknown without the permission to see the interfaces", async () => {
  const job = { do: "sourceAddress", destination: "127.0.0.1" } as const;
  assertEquals(await run(["--allow-net"], job), silent);
  const granted = await run(["--allow-sys=networkInterfaces"], job);
  assertEquals(granted.value, { address: "127.0.0.1", prefixLength: 8 });
});

test("connect() of the package races when every address of localhost is granted", async () => {
  using server = listen();
  const { port } = server.addr;
  const { value } = await run(
    [`--allow-net=[::1]:${port},127.0.0.1:${port}`],
    { do: "connect", hostname: "localhost", port },
  );
  assertEquals(value, ["::1", "127.0.0.1"]);
});

test("connect() of the package goes by name when only the name is granted", async () => {
  using server = listen();
  const { port } = server.addr;
  const report = await run(
    [`--allow-net=localhost:${port}`],
    { do: "connect", hostname: "localhost", port },
  );
  assertEquals(report, {
    value: [null],
    dialled: [`localhost ${port}`],
    requests: 0,
  });
});

test("connect() of the package goes by name when nothing is granted", async () => {
  const job = { do: "connect", hostname: "example.com", port: 80 } as const;
  const report = await run([], job);
  assertEquals(report.error?.name, "ConnectError");
  assertEquals(report.error?.code, "EACCES");
  assertEquals(report.dialled, ["example.com 80"]);
  assertEquals(report.requests, 0);
});

for (
  const option of [
    "allow",
    "family",
    "localAddresses",
    "sourceAddress",
  ] satisfies Option[]
) {
  test(`connect() of the package names the option ${option}, which a name cannot satisfy`, async () => {
    const report = await run(
      ["--allow-net=example.com:80"],
      { do: "connect", hostname: "example.com", port: 80, option },
    );
    assertEquals(report.error?.name, "ConnectError");
    assertEquals(report.error?.code, "EACCES");
    assertMatch(report.error!.message, new RegExp(`\\b${option}\\b`));
    assertMatch(report.error!.message, /net access to every host/);
    assertEquals(report.dialled, []);
  });
}

test("connect() of the package checks each address of a resolver of the caller's", async () => {
  using server = listen();
  const { port } = server.addr;
  const job = {
    do: "connect",
    hostname: "example.com",
    port,
    option: "resolver",
  } as const;
  const granted = await run([`--allow-net=127.0.0.1:${port}`], job);
  assertEquals(granted.value, ["127.0.0.1"]);
  const refused = await run([`--allow-net=example.com:${port}`], job);
  assertEquals(refused.error?.name, "ConnectError");
  assertEquals(refused.error?.code, "EACCES");
  assertEquals(refused.dialled, []);
});

/** A server on loopback; the system accepts for it. */
function listen(): Deno.TcpListener & { readonly addr: Deno.NetAddr } {
  return Deno.listen({ hostname: "127.0.0.1", port: 0 });
}

async function run(flags: readonly string[], job: Job): Promise<Report> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-config",
      "--no-check",
      "--no-prompt",
      ...flags,
      probe,
      JSON.stringify(job),
    ],
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(text.decode(stderr));
  return JSON.parse(text.decode(stdout));
}
