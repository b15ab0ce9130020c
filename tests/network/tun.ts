/**
 * TUN devices: network interfaces whose other end is this program.
 *
 * Deno opens `/dev/net/tun` but gives no descriptor to configure it with, so
 * the C library is called directly: `open`, one `ioctl`, `read`, `write`, and
 * `ppoll` to wait. All calls block this thread on purpose. A loop that waits
 * in `ppoll` wakes within some 60 microseconds of a packet or of its deadline,
 * where timers of the event loop count whole milliseconds.
 *
 * For the same reason the thread asks for real-time priority: other programs
 * then cannot make the log late. Where that is not allowed, it goes without.
 *
 * Left out: reading many packets with one call. A testbed is not a router.
 *
 * @module
 */

const libc = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  ppoll: {
    parameters: ["buffer", "u64", "buffer", "pointer"],
    result: "i32",
  },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  sched_setscheduler: { parameters: ["i32", "i32", "buffer"], result: "i32" },
});

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const TUNSETIFF = 0x400454can;
const IFF_TUN = 1;
const IFF_NO_PI = 0x1000;
const POLLIN = 1;
const SCHED_FIFO = 1;
const CLOCK_MONOTONIC = 1;
const STDIN = 0;

/** Larger than any packet of these devices (MTU 1500). */
const LARGEST_PACKET = 2048;

/** One network interface of the namespace that this program runs in. */
export class Tun {
  readonly fd: number;

  /**
   * Creates the interface; it is gone when this program ends, also after it
   * was moved to another namespace.
   *
   * @throws {Error} when the system does not allow it
   */
  constructor(name: string) {
    this.fd = libc.symbols.open(text("/dev/net/tun"), O_RDWR | O_NONBLOCK);
    if (this.fd < 0) throw new Error("Cannot open /dev/net/tun");
    const request = new Uint8Array(40);
    request.set(text(name));
    new DataView(request.buffer).setUint16(16, IFF_TUN | IFF_NO_PI, true);
    if (libc.symbols.ioctl(this.fd, TUNSETIFF, request) < 0) {
      throw new Error(`Cannot create the interface ${name}`);
    }
  }

  /** The next packet that the system sent, `null` when there is none now. */
  read(): Uint8Array<ArrayBuffer> | null {
    const packet = new Uint8Array(LARGEST_PACKET);
    const length = Number(
      libc.symbols.read(this.fd, packet, BigInt(packet.length)),
    );
    return length > 0 ? packet.subarray(0, length) : null;
  }

  /** Gives the system a packet to receive. */
  write(packet: Uint8Array<ArrayBuffer>): void {
    libc.symbols.write(this.fd, packet, BigInt(packet.length));
  }
}

/** The kernel's clock, in milliseconds: what it writes into packets. */
export function kernelTime(): number {
  const time = new DataView(new ArrayBuffer(16));
  libc.symbols.clock_gettime(CLOCK_MONOTONIC, new Uint8Array(time.buffer));
  const nanoseconds = time.getBigInt64(8, true);
  return Number(time.getBigInt64(0, true)) * 1e3 + Number(nanoseconds) / 1e6;
}

/** Has this thread run before all others, as far as the system allows it. */
export function raisePriority(): void {
  libc.symbols.sched_setscheduler(
    0,
    SCHED_FIFO,
    new Uint8Array(Int32Array.of(1).buffer),
  );
}

/** Waits for packets on devices, and for the end of standard input. */
export class Poll {
  readonly #devices: readonly Tun[];
  readonly #set: DataView<ArrayBuffer>;
  readonly #timeout: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(16));

  constructor(devices: readonly Tun[]) {
    this.#devices = devices;
    this.#set = new DataView(new ArrayBuffer(8 * (devices.length + 1)));
    [STDIN, ...devices.map(({ fd }) => fd)].forEach((fd, index) => {
      this.#set.setInt32(8 * index, fd, true);
      this.#set.setInt16(8 * index + 4, POLLIN, true);
    });
  }

  /**
   * The devices that have packets, after waiting at most `ms` milliseconds for
   * the first; `null` when standard input has ended.
   */
  wait(ms: number): Tun[] | null {
    const nanoseconds = BigInt(Math.max(0, Math.round(ms * 1e6)));
    this.#timeout.setBigInt64(0, nanoseconds / 1_000_000_000n, true);
    this.#timeout.setBigInt64(8, nanoseconds % 1_000_000_000n, true);
    const set = new Uint8Array(this.#set.buffer);
    const count = libc.symbols.ppoll(
      set,
      BigInt(this.#devices.length + 1),
      new Uint8Array(this.#timeout.buffer),
      null,
    );
    if (count <= 0) return [];
    if (this.#happened(0)) return null;
    return this.#devices.filter((_, index) => this.#happened(index + 1));
  }

  #happened(index: number): boolean {
    return this.#set.getInt16(8 * index + 6, true) !== 0;
  }
}

function text(string: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(string + "\0");
}
