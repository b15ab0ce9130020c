/**
 * A second, independent reading of the standards: what a call has to do in a
 * given world, worked out as a plain simulation on data.
 *
 * No promises, no clock, nothing of `src/`: a list of things that will happen,
 * a state, and after each thing the question whether a start is due. It is
 * slow and simple on purpose. `oracle_test.ts` lets it and the engine play the
 * same random worlds.
 *
 * Left out: local addresses and vetoes. Addresses are all global and so are
 * their sources, so RFC 6724 says "IPv6, then IPv4, as DNS gave them"; sources
 * cost time and nothing else. Two things never happen at the same instant in
 * these worlds unless one causes the other.
 *
 * @module
 */

import type { DnsEvent, Host } from "./fake_network.ts";

/** A world and the options of the call, nothing left to default. */
export interface Scenario {
  readonly hosts: Readonly<Record<string, Host>>;
  readonly dns: readonly DnsEvent[];
  /** How long the source address of a destination takes to be told. */
  readonly sources: Readonly<Record<string, number>>;
  /** `"localhost"`, a literal such as `"192.0.2.1"`, or a name. */
  readonly hostname: string;
  readonly family: 4 | 6 | undefined;
  readonly connectionAttemptDelay: number;
  readonly resolutionDelay: number;
  readonly preferredAddressFamilyCount: number;
  readonly abortAt: number;
}

/** What has to come of it, in the words of `play()`. */
export interface Prediction {
  readonly starts: string;
  readonly end: string;
  /** How many late successes have to be discarded. */
  readonly discards: number;
}

interface Attempt {
  readonly address: string;
  readonly start: number;
  readonly host: Host;
}

interface Happening {
  readonly time: number;
  readonly what: () => void;
}

const LOCAL = ["ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"];

/** Says what `scenario` has to lead to. */
export function predict(
  scenario: Scenario,
  trustsLocalErrors: boolean,
): Prediction {
  const { family, connectionAttemptDelay, resolutionDelay } = scenario;
  const preferred = family ?? 6;
  const future: Happening[] = [];
  const attempts: Attempt[] = [];
  const running = new Set<Attempt>();
  const holds = new Map<Attempt, number>();
  const given = new Map<4 | 6, readonly string[]>();
  const unanswered = new Set<4 | 6>();
  let now = 0;
  let end: string | undefined;
  let firstAddressTime = Infinity;
  /** The race wants the next endpoint. */
  let isPulled = true;
  /** When it will, if nothing else happens. */
  let due = Infinity;
  let floor = -Infinity;
  /** A late answer of the preferred family came, and nothing has started since. */
  let isLate = false;
  const asked = new Set<string>();
  let untoldSources = 0;
  let sourcesDue = -Infinity;

  function at(time: number, what: () => void): void {
    future.push({ time, what });
    future.sort((a, b) => a.time - b.time);
  }

  function familyOf(address: string): 4 | 6 {
    return address.startsWith("6.") || address.includes(":") ? 6 : 4;
  }

  function learn(question: 4 | 6, addresses: readonly string[]): void {
    unanswered.delete(question);
    given.set(question, [...new Set(addresses)]);
    if (addresses.length === 0) return;
    firstAddressTime = Math.min(firstAddressTime, now);
    isLate ||= running.size > 0 && question === preferred &&
      [...running].every(({ address }) => familyOf(address) !== preferred);
  }

  /** Asks for the sources of all there is, where there is an order to find. */
  function askSources(): void {
    const known = [...given.get(6) ?? [], ...given.get(4) ?? []];
    if (known.length < 2) return;
    for (const address of known) {
      const delay = scenario.sources[address] ?? 0;
      if (asked.has(address)) continue;
      asked.add(address);
      if (delay === 0) continue;
      untoldSources++;
      sourcesDue = now + 10;
      at(now + 10, () => {});
      at(now + delay, () => {
        untoldSources--;
      });
    }
  }

  /** A52: the newest attempt gets no more than 100 ms of a head start. */
  function hurry(): void {
    const newest = attempts[attempts.length - 1];
    const next = fresh()[0];
    if (!isLate || now < sourcesTime() || !newest || !next) return;
    // With an endless delay, that stays endless.
    if (familyOf(next) !== preferred || due === Infinity) return;
    due = Math.min(due, newest.start + 100);
  }

  function sourcesTime(): number {
    return untoldSources > 0 ? sourcesDue : -Infinity;
  }

  /** What was not attempted yet, of the whole list in its order. */
  function fresh(): string[] {
    const order: string[] = [];
    const six = [...given.get(6) ?? []];
    const four = [...given.get(4) ?? []];
    const [lead, other] = six.length > 0 ? [six, four] : [four, six];
    order.push(...lead.splice(0, scenario.preferredAddressFamilyCount));
    while (lead.length > 0 || other.length > 0) {
      order.push(...other.splice(0, 1), ...lead.splice(0, 1));
    }
    return order.filter((address) =>
      !attempts.some((attempt) => attempt.address === address)
    );
  }

  /** When the next start may be, as far as is known; or never. */
  function nextStart(): number {
    if (fresh().length === 0 || attempts.length >= 64) return Infinity;
    const answered = unanswered.has(preferred)
      ? firstAddressTime + resolutionDelay
      : -Infinity;
    return Math.max(answered, floor, sourcesTime(), now);
  }

  /** When the race will want the next endpoint. */
  function nextPull(): number {
    return Math.max(now, due, ...holds.values());
  }

  function start(): void {
    const address = fresh()[0] as string;
    const host = scenario.hosts[address] as Host;
    const attempt: Attempt = { address, start: now, host };
    attempts.push(attempt);
    running.add(attempt);
    holds.clear();
    isPulled = false;
    isLate = false;
    due = now + connectionAttemptDelay;
    const isLoopback = address === "::1" || address.startsWith("127.");
    floor = isLoopback ? -Infinity : now + 10;
    if (host.refuse !== undefined) {
      at(now + host.refuse, () => fail(attempt, host.code));
    } else if (host.accept !== undefined) {
      at(now + host.accept, () => tcpIsUp(attempt));
    }
  }

  function tcpIsUp(attempt: Attempt): void {
    const { tls, tlsError, hold = 0 } = attempt.host;
    if (tls === undefined) return succeed(attempt);
    if (!running.has(attempt)) return;
    holds.set(attempt, now + hold);
    at(now + tls, () => tlsError ? fail(attempt, tlsError) : succeed(attempt));
  }

  function succeed(attempt: Attempt): void {
    end ??= `${attempt.address}@${now}`;
    running.delete(attempt);
  }

  function fail(attempt: Attempt, code: string | undefined): void {
    running.delete(attempt);
    holds.delete(attempt);
    if (attempt !== attempts[attempts.length - 1]) return;
    isPulled = true;
    const wasLocal = LOCAL.includes(code ?? "") && now - attempt.start <= 1;
    if (wasLocal && trustsLocalErrors) floor = -Infinity;
  }

  function ask(): void {
    for (const question of [6, 4] as const) {
      if (!family || family === question) unanswered.add(question);
    }
    const isOpen = { value: true };
    for (const event of scenario.dns) {
      at(event.at, () => {
        if (!isOpen.value) return;
        if ("AAAA" in event && family !== 4) learn(6, event.AAAA);
        if ("A" in event && family !== 6) learn(4, event.A);
        if ("end" in event || "throws" in event) {
          isOpen.value = false;
          unanswered.clear();
        }
      });
    }
  }

  /** Everything that follows at once from what has just happened. */
  function settle(): void {
    askSources();
    hurry();
    while (end === undefined) {
      if (isPulled && nextStart() <= now) start();
      else if (!isPulled && nextPull() <= now) isPulled = true;
      else break;
    }
    const isOver = running.size === 0 && unanswered.size === 0 &&
      nextStart() === Infinity;
    if (isOver) end ??= `failed@${now}`;
  }

  at(scenario.abortAt, () => {
    end ??= `aborted@${now}`;
  });
  if (scenario.hostname === "localhost") {
    if (family !== 4) given.set(6, ["::1"]);
    if (family !== 6) given.set(4, ["127.0.0.1"]);
  } else if (/^[46]\.\d+$/.test(scenario.hostname)) {
    given.set(familyOf(scenario.hostname), [scenario.hostname]);
  } else {
    ask();
  }
  settle();
  while (end === undefined) {
    const own = isPulled ? nextStart() : nextPull();
    const next = future[0];
    if (next !== undefined && next.time < own) {
      future.shift();
      now = next.time;
      next.what();
    } else {
      now = own;
    }
    settle();
  }

  const discards =
    [...running].filter(({ host }) =>
      host.deaf && host.accept !== undefined && host.refuse === undefined &&
      host.tls !== Infinity && host.tlsError === undefined
    ).length;
  return {
    starts: attempts.map(({ address, start }) => `${address}@${start}`)
      .join(" "),
    end,
    discards,
  };
}
