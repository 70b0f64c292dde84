/**
 * Reads of files through io_uring: many are handed to the kernel by one system call, and no thread waits for them. Linux only.
 *
 *   read ─► submission queue ─► enter: the kernel takes all of it ─► disk ─► completion queue ─► reap
 *
 *   shared with the kernel    │ heads, tails, masks │ completions │ array: entry n is at n │        one mapping
 *                             │ submissions │                                                     another
 *   submission, in words      │ opcode, flags │ descriptor │ position (2) │ address (2) │ length │ 0 │ slot (2) │ 0 ... │
 *   completion, in words      │ slot (2) │ bytes, or -errno │ flags │
 *
 * The thread that opened the ring uses it alone. `eventDescriptor` becomes readable, once, when reads end: an edge-triggered epoll
 * needs not read from it. The descriptor of the ring does not while completions are deferred (DEFER_TASKRUN).
 *
 * Invariants
 *   RING-1  a slot is free, or its read is under way: the owner keeps its buffer, which does not move
 *   RING-2  at most `size` reads are under way, so neither queue is ever full
 */
import { FFIType, type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { assert } from "../base/assert.ts";
import { openLibc } from "../base/libc.ts";

const { i32, u32, u64, i64_fast: long, ptr: pointer } = FFIType;
const TABLE = {
  syscall: { args: [long, long, long, long, long, long, long], returns: long },
  mmap: { args: [pointer, u64, i32, i32, i32, long], returns: pointer },
  munmap: { args: [pointer, u64], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  close: { args: [i32], returns: i32 },
} as const;
type Calls = NonNullable<ReturnType<typeof openLibc<typeof TABLE>>>;

/** The same numbers on all processors. */
const SETUP_CALL = 425;
const ENTER_CALL = 426;
const REGISTER_CALL = 427;
/** Ended reads are worked on when `enter` is called, and not by interrupting the thread (Linux 6.1). A flag tells of those left. */
const SETUP_DEFERRED = (1 << 9) | (1 << 12) | (1 << 13);
const WORK_LEFT = 1 << 2;
const FEATURE_SINGLE_MMAP = 1;
const REGISTER_EVENTFD = 4;
const GET_EVENTS = 1;
const SUBMISSIONS_AT = 0x10000000;
const OPCODE_READ = 22;
const PROTECTION = 1 | 2;
const MAP_SHARED = 1;
const NONBLOCK_CLOEXEC = 0o2004000;
const TWO_32 = 2 ** 32;
const FAILED_FROM = 2 ** 63;

/** Words of io_uring_params. */
const PARAMS_WORDS = 30;
const SQ_ENTRIES = 0;
const CQ_ENTRIES = 1;
const FLAGS = 2;
const FEATURES = 5;
const SQ_TAIL = 11;
const SQ_MASK = 12;
const SQ_FLAGS = 14;
const SQ_ARRAY = 16;
const CQ_HEAD = 20;
const CQ_TAIL = 21;
const CQ_MASK = 22;
const CQ_COMPLETIONS = 25;

const SUBMISSION_WORDS = 16;
const COMPLETION_WORDS = 4;

/** The mappings of a ring. */
interface Mapped {
  readonly rings: Pointer;
  readonly ringBytes: number;
  readonly entries: Pointer;
  readonly entryBytes: number;
}

export class IoRing {
  private readonly free: number[] = [];
  private readonly words: Uint32Array;
  private readonly submissions: Uint32Array;
  /** In words: the submissions' tail and flags, the completions' head and tail, and the first completion. */
  private readonly tailAt: number;
  private readonly flagsAt: number;
  private readonly doneHeadAt: number;
  private readonly doneTailAt: number;
  private readonly doneAt: number;
  private readonly mask: number;
  private readonly doneMask: number;
  /** Reads that are queued and not yet the kernel's. */
  private queued = 0;

  /** Opens a ring for `size` reads (a power of two), or returns null where there is none to be had. */
  static open(size: number): IoRing | null {
    const calls = openLibc(TABLE);
    if (calls === null) return null;
    for (const flags of [SETUP_DEFERRED, 0]) {
      const params = new Uint32Array(new ArrayBuffer(PARAMS_WORDS * 4));
      params[FLAGS] = flags;
      const descriptor = Number(calls.syscall(SETUP_CALL, size, ptr(params), 0, 0, 0, 0));
      if (descriptor < 0) continue;
      const ring = IoRing.complete(calls, descriptor, params);
      if (ring === null) calls.close(descriptor);
      return ring;
    }
    return null;
  }

  private static complete(calls: Calls, descriptor: number, params: Uint32Array): IoRing | null {
    const mapped = (params[FEATURES]! & FEATURE_SINGLE_MMAP) === 0 ? null : map(calls, descriptor, params);
    if (mapped === null) return null;
    const event = calls.eventfd(0, NONBLOCK_CLOEXEC);
    const value = new Int32Array(new ArrayBuffer(4));
    value[0] = event;
    if (event >= 0 && Number(calls.syscall(REGISTER_CALL, descriptor, REGISTER_EVENTFD, ptr(value), 1, 0, 0)) === 0)
      return new IoRing(calls, descriptor, event, params, mapped);
    if (event >= 0) calls.close(event);
    unmap(calls, mapped);
    return null;
  }

  private constructor(
    private readonly calls: Calls,
    private readonly descriptor: number,
    readonly eventDescriptor: number,
    params: Uint32Array,
    private readonly mapped: Mapped,
  ) {
    this.words = new Uint32Array(toArrayBuffer(mapped.rings, 0, mapped.ringBytes));
    this.submissions = new Uint32Array(toArrayBuffer(mapped.entries, 0, mapped.entryBytes));
    const { words } = this;
    this.tailAt = params[SQ_TAIL]! >> 2;
    this.flagsAt = params[SQ_FLAGS]! >> 2;
    this.mask = words[params[SQ_MASK]! >> 2]!;
    this.doneHeadAt = params[CQ_HEAD]! >> 2;
    this.doneTailAt = params[CQ_TAIL]! >> 2;
    this.doneMask = words[params[CQ_MASK]! >> 2]!;
    this.doneAt = params[CQ_COMPLETIONS]! >> 2;
    const size = params[SQ_ENTRIES]!;
    const arrayAt = params[SQ_ARRAY]! >> 2;
    for (let n = 0; n < size; n++) words[arrayAt + n] = n;
    for (let slot = size - 1; slot >= 0; slot--) this.free.push(slot);
  }

  /** Most reads that are under way. */
  get size(): number {
    return this.mask + 1;
  }
  get underWay(): number {
    return this.size - this.free.length;
  }
  get isFull(): boolean {
    return this.free.length === 0;
  }
  /** Reads wait for `enter`. */
  get hasQueued(): boolean {
    return this.queued > 0;
  }
  /** The kernel works on about 20 reads in an `enter`: others have ended, which needs a further one. No event tells of them. */
  get hasWorkLeft(): boolean {
    return (Atomics.load(this.words, this.flagsAt) & WORK_LEFT) !== 0;
  }

  /**
   * Queues a read of `length` bytes from `position` on, which the next `enter` begins. `into` is the kernel's until the slot that
   * is returned comes back from `reap`.
   */
  read(descriptor: number, into: Uint8Array, length: number, position: number): number {
    const slot = this.free.pop();
    assert(slot !== undefined, "a read finds a free slot (RING-2)");
    const { words, submissions } = this;
    const tail = words[this.tailAt]!;
    const at = (tail & this.mask) * SUBMISSION_WORDS;
    const address = ptr(into);
    submissions[at] = OPCODE_READ;
    submissions[at + 1] = descriptor;
    submissions[at + 2] = position;
    submissions[at + 3] = position / TWO_32;
    submissions[at + 4] = address;
    submissions[at + 5] = address / TWO_32;
    submissions[at + 6] = length;
    submissions[at + 7] = 0;
    submissions[at + 8] = slot!;
    Atomics.store(words, this.tailAt, tail + 1);
    this.queued++;
    return slot!;
  }

  /** Begins the reads that are queued, and has the kernel work on those that have ended. One system call. */
  enter(): void {
    const taken = Number(this.calls.syscall(ENTER_CALL, this.descriptor, this.queued, 0, GET_EVENTS, 0, 0));
    // Fewer, or -1, when the kernel lacks memory: the others stay queued.
    if (taken > 0) this.queued -= taken;
  }

  /** Calls `ended` for each read that has ended: its slot, and the number of bytes or -errno. Returns how many there were. */
  reap(ended: (slot: number, result: number) => void): number {
    const { words, doneHeadAt } = this;
    let head = words[doneHeadAt]!;
    const tail = Atomics.load(words, this.doneTailAt);
    let count = 0;
    for (; head !== tail && count < this.size; count++) {
      const at = this.doneAt + (head & this.doneMask) * COMPLETION_WORDS;
      const slot = words[at]!;
      const result = words[at + 2]! | 0;
      head = (head + 1) >>> 0;
      Atomics.store(words, doneHeadAt, head);
      this.free.push(slot);
      ended(slot, result);
    }
    return count;
  }

  /** Closes the ring. No read is under way. */
  close(): void {
    assert(this.underWay === 0, "a ring that is closed has no reads under way (RING-1)");
    const { calls } = this;
    calls.close(this.descriptor);
    calls.close(this.eventDescriptor);
    unmap(calls, this.mapped);
  }
}

function map(calls: Calls, descriptor: number, params: Uint32Array): Mapped | null {
  const ringBytes = Math.max(
    params[SQ_ARRAY]! + params[SQ_ENTRIES]! * 4,
    params[CQ_COMPLETIONS]! + params[CQ_ENTRIES]! * COMPLETION_WORDS * 4,
  );
  const entryBytes = params[SQ_ENTRIES]! * SUBMISSION_WORDS * 4;
  const rings = mapPart(calls, descriptor, ringBytes, 0);
  if (rings === null) return null;
  const entries = mapPart(calls, descriptor, entryBytes, SUBMISSIONS_AT);
  if (entries !== null) return { rings, ringBytes, entries, entryBytes };
  calls.munmap(rings, ringBytes);
  return null;
}

function mapPart(calls: Calls, descriptor: number, bytes: number, at: number): Pointer | null {
  const address = calls.mmap(null, bytes, PROTECTION, MAP_SHARED, descriptor, at);
  return address === null || Number(address) >= FAILED_FROM ? null : (address as Pointer);
}

function unmap(calls: Calls, { rings, ringBytes, entries, entryBytes }: Mapped): void {
  calls.munmap(rings, ringBytes);
  calls.munmap(entries, entryBytes);
}
