/**
 * From answers to the next endpoint: when a start is allowed, and where to.
 *
 * Facts are stored as they come in (answers, source addresses, starts and
 * failures); what follows from them is computed when it is needed. A race
 * pulls `next()`, which waits until a start is allowed and then ranks
 * everything known at that moment.
 *
 * A start is allowed when there is an address not yet attempted and
 * - the preferred family has been answered, or every question has (A13), or
 *   the Resolution Delay since the first address is over (A14), and
 * - 10 ms have passed since the last start (A47), and
 * - the source addresses asked for are known, or have had 10 ms, and
 * - fewer attempts are under way than the platform has room for.
 *
 * An answer may hold a hundred thousand addresses. Nothing is asked, sorted or
 * even parsed of those that will not be attempted.
 *
 * @module
 */

import { isLoopback, parseIpAddress } from "./ip_address.ts";
import type { IpAddress } from "./ip_address.ts";
import { type KnownSource, parseSource } from "./address_selection.ts";
import type { Answer, RecordType } from "./answer.ts";
import { after, type Clock } from "./clock.ts";
import type { Endpoint, Family } from "./endpoint.ts";
import { interleave } from "./interleave.ts";
import { type Candidate, rank } from "./rank.ts";
import type { AttemptEvent, RaceSource } from "./race.ts";

/** Two attempts never start closer together, in milliseconds (RFC 8305 section 5). */
const LEAST_DISTANCE = 10;
/** How long a start waits for source addresses, in milliseconds. */
const SOURCE_PATIENCE = 10;
/** How soon after its start a local error comes, in milliseconds. */
const LOCAL_ERROR_TIME = 1;
/** A name with more addresses than this is not worth more packets. */
const MOST_ATTEMPTS = 64;
/**
 * How many entries of one answer are read to find that many addresses: they may
 * be without end, and all the same.
 */
const MOST_READ = 1000;
/** These never left the machine, so they are no load on the network. */
const LOCAL_ERRORS: ReadonlySet<unknown> = new Set([
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "EINVAL",
]);

/** Tells Source(D) of RFC 6724, maybe later; never throws or rejects. */
export type AskSource = (
  destination: IpAddress,
) =>
  | KnownSource
  | null
  | undefined
  | Promise<KnownSource | null | undefined>;

/** What {@linkcode Candidates} is told once. */
export interface CandidatesOptions {
  /** Addresses that need no question: a literal, the loopbacks. */
  readonly addresses: readonly IpAddress[];
  /** The questions asked, in the order their answers rank when nothing else decides. */
  readonly types: readonly RecordType[];
  readonly port: number;
  readonly family: Family | undefined;
  /** Milliseconds. */
  readonly resolutionDelay: number;
  readonly preferredAddressFamilyCount: number;
  readonly localAddresses: readonly IpAddress[];
  readonly allow: ((endpoint: Endpoint) => boolean) | undefined;
  /** How many attempts may be under way at once. */
  readonly mostInFlight: number;
  readonly askSource: AskSource;
  /** Whether the platform's codes tell a local error from one of the network. */
  readonly trustsLocalErrors: () => boolean;
  readonly clock: Clock;
  /**
   * Called when a late answer of the preferred family should start early (A52),
   * with the time of the newest start.
   */
  readonly onUrgent: (newestTime: number) => void;
}

/** An endpoint that is not dialled, and why. */
export interface Refusal {
  readonly endpoint: Endpoint;
  readonly code: "EACCES" | "EADDRNOTAVAIL";
  readonly reason: string;
}

/** A candidate whose source address may still become known. */
interface Known extends Candidate {
  source: KnownSource | null | undefined;
  sourceAsked: boolean;
}

/** The endpoints of one connect, in the order and at the pace to try them. */
export class Candidates implements RaceSource<Endpoint> {
  /** What is known and will not be dialled. */
  readonly refusals: Refusal[] = [];
  /** What was given out, in this order. */
  readonly attempted: Endpoint[] = [];

  readonly #options: CandidatesOptions;
  #stopped = false;

  /** Every address that was ever chosen, by its canonical text. */
  readonly #known = new Map<string, Known>();
  /** The answers that stand now, by the question. */
  readonly #facts = new Map<RecordType | "given", readonly IpAddress[]>();
  /** What may be dialled of them, each address once. */
  #standing: readonly Known[] = [];
  readonly #unanswered: Set<RecordType>;
  /** Whether answers, late ones too, may still come. */
  #open: boolean;
  #firstAddressTime = Infinity;
  #sourcesPending = 0;
  #sourcesDue = -Infinity;

  readonly #taken = new Set<Endpoint>();
  readonly #running = new Set<Endpoint>();
  #newest: Endpoint | undefined;
  #newestTime = -Infinity;
  #floor = -Infinity;
  /** The family of an answer that came while only the other one was tried. */
  #late: Family | undefined;
  /** Ends the wait in `next()` early. */
  #wake: (() => void) | undefined;
  /** Ends the wait for the sources of a late answer. */
  #endPatience: (() => void) | undefined;

  constructor(options: CandidatesOptions) {
    this.#options = options;
    this.#unanswered = new Set(options.types);
    this.#open = options.types.length > 0;
  }

  /**
   * Takes the answer to a question; a later one of the same type replaces it.
   * Throws what `allow` throws.
   */
  answer({ type, addresses }: Answer): void {
    this.#unanswered.delete(type);
    this.#learn(type, this.#read(type, addresses));
  }

  /** No more answers will come; questions still open have none. */
  close(): void {
    this.#open = false;
    this.#unanswered.clear();
    this.#onChange();
  }

  /** Takes what happened to an endpoint it gave out. */
  observe(event: AttemptEvent, endpoint: Endpoint): void {
    if (event.type === "attempt-start") {
      this.#running.add(endpoint);
      this.#newest = endpoint;
      this.#newestTime = event.time;
      this.#late = undefined;
      const { address } = this.#known.get(endpoint.address)!;
      this.#floor = isLoopback(address)
        ? -Infinity
        : event.time + LEAST_DISTANCE;
    } else {
      this.#running.delete(endpoint);
      if (endpoint === this.#newest && this.#neverLeft(event)) {
        this.#floor = -Infinity;
      }
      this.#onChange();
    }
  }

  /** Throws what `allow` throws about an address that needs no question. */
  next():
    | IteratorResult<Endpoint, undefined>
    | Promise<IteratorResult<Endpoint, undefined>> {
    this.#learnGiven();
    if (this.#ended()) return { done: true, value: undefined };
    return this.#startTime() <= this.#options.clock.now()
      ? this.#take()
      : this.#takeLater();
  }

  /** All that may be dialled, best first, once every question is answered. */
  async order(): Promise<Endpoint[]> {
    const { clock, preferredAddressFamilyCount } = this.#options;
    this.#learnGiven();
    for (;;) {
      const time = this.#unanswered.size > 0 ? Infinity : this.#sourcesTime();
      const wait = time - clock.now();
      if (wait <= 0) return rank(this.#standing, preferredAddressFamilyCount);
      await this.#pause(wait);
    }
  }

  return(): void {
    this.#stopped = true;
    this.#wake?.();
    this.#endPatience?.();
  }

  /** Whether anything may come after an attempt that is about to start. */
  mayGoOn(): boolean {
    return !this.#hasHadEnough() && (this.#open || this.#hasFresh());
  }

  /** Updates of answers are not waited for, but count while attempts run. */
  #ended(): boolean {
    const mayLearn = this.#unanswered.size > 0 ||
      (this.#open && this.#running.size > 0);
    return this.#hasHadEnough() || (!mayLearn && !this.#hasFresh());
  }

  #hasHadEnough(): boolean {
    return this.#stopped || this.attempted.length >= MOST_ATTEMPTS;
  }

  async #takeLater(): Promise<IteratorResult<Endpoint, undefined>> {
    const { clock } = this.#options;
    while (!this.#ended()) {
      const wait = this.#startTime() - clock.now();
      if (wait <= 0) return this.#take();
      await this.#pause(wait);
    }
    return { done: true, value: undefined };
  }

  /** Waits for `ms` milliseconds or until a fact has changed. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = ms < Infinity
        ? after(this.#options.clock, ms, resolve)
        : undefined;
      this.#wake = () => {
        cancel?.();
        resolve();
      };
    });
  }

  #take(): IteratorResult<Endpoint, undefined> {
    const endpoint = this.#firstFresh()!;
    this.attempted.push(endpoint);
    this.#taken.add(endpoint);
    return { done: false, value: endpoint };
  }

  /** When the next start is allowed, as far as is known now. */
  #startTime(): number {
    const isFull = this.#running.size >= this.#options.mostInFlight;
    if (isFull || !this.#hasFresh()) return Infinity;
    const preferred = this.#preferredFamily() === 6 ? "AAAA" : "A";
    return Math.max(
      // A13, A14; a question that was not asked needs no answer.
      this.#unanswered.has(preferred)
        ? this.#firstAddressTime + this.#options.resolutionDelay
        : -Infinity,
      this.#floorTime(),
      this.#sourcesTime(),
    );
  }

  /** A47, unless the newest attempt has failed for want of a route (A54). */
  #floorTime(): number {
    const newest = this.#newest;
    const hadNoRoute = newest && !this.#running.has(newest) &&
      this.#known.get(newest.address)!.source === null;
    return hadNoRoute ? -Infinity : this.#floor;
  }

  /** When sources are known or no longer waited for. */
  #sourcesTime(): number {
    return this.#sourcesPending > 0 ? this.#sourcesDue : -Infinity;
  }

  #learnGiven(): void {
    const { addresses } = this.#options;
    if (addresses.length > 0 && !this.#facts.has("given")) {
      this.#learn("given", addresses);
    }
  }

  /** The first addresses of an answer that are of use, each once. */
  #read(type: RecordType, texts: readonly string[]): IpAddress[] {
    const { family } = this.#options;
    const found = new Map<string, IpAddress>();
    const end = Math.min(texts.length, MOST_READ);
    for (let i = 0; i < end && found.size < MOST_ATTEMPTS; i++) {
      const address = parseAnswer(type, texts[i]!);
      if (!address || (family && address.family !== family)) continue;
      found.set(address.text, address);
    }
    return [...found.values()];
  }

  #learn(
    question: RecordType | "given",
    addresses: readonly IpAddress[],
  ): void {
    this.#facts.set(question, addresses);
    const isAll = this.#standing.length === 0 && addresses.length < 2;
    this.#standing = (isAll ? addresses : this.#choose())
      .map((address) => this.#know(address))
      .filter(({ endpoints }) => endpoints.some((endpoint) => endpoint));
    const usable = isAll ? this.#standing : this.#among(addresses);
    if (usable.length > 0) {
      const now = this.#options.clock.now();
      this.#firstAddressTime = Math.min(this.#firstAddressTime, now);
    }
    if (this.#running.size > 0) this.#noteLate(usable);
    this.#askSources();
    this.#onChange();
    if (this.#late && this.#sourcesPending > 0) this.#lookAgain();
  }

  /** Those of the addresses that may be dialled. */
  #among(addresses: readonly IpAddress[]): readonly Known[] {
    const texts = new Set(addresses.map(({ text }) => text));
    return this.#standing.filter(({ address }) => texts.has(address.text));
  }

  /** An answer of a family that nobody is trying, while others are tried. */
  #noteLate(usable: readonly Known[]): void {
    const running = [...this.#running];
    const late = usable.find(({ address }) =>
      running.every(({ family }) => family !== address.family)
    );
    if (late) this.#late = late.address.family;
  }

  /** Looks again when sources that were not told are no longer waited for. */
  #lookAgain(): void {
    const { clock } = this.#options;
    const wait = Math.max(0, this.#sourcesDue - clock.now());
    this.#endPatience?.();
    this.#endPatience = after(clock, wait, () => this.#onChange());
  }

  /**
   * Of all answers that stand, what was attempted and what still may be: the
   * families are dealt in turn, each in the resolver's order.
   */
  #choose(): IpAddress[] {
    const questions = ["given" as const, ...this.#options.types];
    const all = questions.flatMap((asked) => this.#facts.get(asked) ?? []);
    const distinct = new Map(all.map((address) => [address.text, address]));
    const attempted = new Set(this.attempted.map(({ address }) => address));
    let room = MOST_ATTEMPTS - attempted.size;
    return interleave([...distinct.values()], 1)
      .filter(({ text }) => attempted.has(text) || room-- > 0);
  }

  #know(address: IpAddress): Known {
    let known = this.#known.get(address.text);
    if (!known) {
      const locals = this.#options.localAddresses.filter(({ family }) =>
        family === address.family
      );
      known = {
        address,
        endpoints: this.#endpointsOf(address, locals),
        source: locals[0] && parseSource({ address: locals[0].text }),
        sourceAsked: false,
      };
      this.#known.set(address.text, known);
    }
    return known;
  }

  #endpointsOf(
    { text, family }: IpAddress,
    locals: readonly IpAddress[],
  ): (Endpoint | null)[] {
    const { port, localAddresses } = this.#options;
    const endpoint: Endpoint = { address: text, family, port };
    if (localAddresses.length === 0) return [this.#permit(endpoint)];
    if (locals.length === 0) {
      const reason = "no local address of its family";
      this.refusals.push({ endpoint, code: "EADDRNOTAVAIL", reason });
    }
    return locals.map((local) =>
      this.#permit({ ...endpoint, localAddress: local.text })
    );
  }

  #permit(endpoint: Endpoint): Endpoint | null {
    const { allow } = this.#options;
    // Frozen, so that what was allowed is what is dialled.
    if (!allow || allow(Object.freeze(endpoint)) === true) return endpoint;
    const reason = "refused by allow";
    this.refusals.push({ endpoint, code: "EACCES", reason });
    return null;
  }

  /** Asks for all sources at once, where there is an order to find. */
  #askSources(): void {
    const { localAddresses, askSource, clock } = this.#options;
    if (this.#standing.length < 2 || localAddresses.length > 0) return;
    for (const known of this.#standing) {
      if (known.sourceAsked) continue;
      known.sourceAsked = true;
      const source = askSource(known.address);
      if (!(source instanceof Promise)) {
        known.source = source;
        continue;
      }
      this.#sourcesPending++;
      this.#sourcesDue = clock.now() + SOURCE_PATIENCE;
      source.then((source) => {
        known.source = source;
        this.#sourcesPending--;
        this.#onChange();
      });
    }
  }

  #onChange(): void {
    this.#wake?.();
    const now = this.#options.clock.now();
    if (this.#stopped || !this.#late || now < this.#sourcesTime()) return;
    const isUrgent = this.#late === this.#preferredFamily() &&
      this.#late === this.#firstFresh()?.family;
    if (isUrgent) this.#options.onUrgent(this.#newestTime);
  }

  /** IPv6 unless the caller or the routes say otherwise (A20). */
  #preferredFamily(): Family {
    const { family } = this.#options;
    if (family) return family;
    const sources = (family: Family) =>
      this.#standing.filter(({ address }) => address.family === family)
        .map(({ source }) => source);
    const [four, six] = [sources(4), sources(6)];
    const lacksIPv6 = six.length > 0 && six.every((source) => source === null);
    return lacksIPv6 && four.some((source) => source) ? 4 : 6;
  }

  #hasFresh(): boolean {
    return this.#standing.some(({ endpoints }) =>
      endpoints.some((endpoint) => endpoint && !this.#taken.has(endpoint))
    );
  }

  #firstFresh(): Endpoint | undefined {
    return rank(this.#standing, this.#options.preferredAddressFamilyCount)
      .find((endpoint) => !this.#taken.has(endpoint));
  }

  /** Whether an attempt failed before any packet left the machine (A54). */
  #neverLeft(event: Extract<AttemptEvent, { type: "attempt-end" }>): boolean {
    const error = event.error as { code?: unknown } | null | undefined;
    return event.outcome === "failed" && LOCAL_ERRORS.has(error?.code) &&
      event.time - event.startTime <= LOCAL_ERROR_TIME &&
      this.#options.trustsLocalErrors();
  }
}

/** The address in an answer's text; none where it does not belong there. */
function parseAnswer(type: RecordType, text: string): IpAddress | null {
  // A resolver's types are only a promise.
  const address = typeof text === "string" ? parseIpAddress(text) : null;
  // An AAAA answer may hold an IPv4-mapped address, which counts as IPv4.
  if (!address) return null;
  const fits = type === "AAAA" ? text.includes(":") : address.family === 4;
  return fits ? address : null;
}
