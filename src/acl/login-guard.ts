/**
 * Login guard: slows down clients that guess passwords. Failed logins are counted per address, over all workers. After the first few
 * each further attempt of that address waits for its answer, each time twice as long, and attempts that come at the same time
 * wait one after the other. A failure loses half its weight every 30 seconds.
 *
 * Many clients may share an address, and one with a wrong password must not lock the others out. So a worker remembers who
 * has logged in from where: the same user with the same password from the same address does not wait.
 *
 *   slot, four doubles │ tag of the address │ failures, as of lastMs │ lastMs │ nextMs: when another attempt may be looked at │
 *
 * The slots lie in the control block and belong to nobody: workers read and write them without a lock. Two attempts at the
 * same instant may then count as one. Addresses that meet in a slot share it while the older one is remembered.
 */
import { type Control, LOGIN_WORDS, LOGINS } from "../memory/control.ts";

const DOUBLES = LOGIN_WORDS / 2;
const FAILURES = 1;
const LAST_MS = 2;
const NEXT_MS = 3;

/** Failures that cost nothing, the first wait, and the time in which a failure loses half its weight. */
const FREE_FAILURES = 5;
const FIRST_WAIT_MS = 20;
const HALF_LIFE_MS = 30_000;
/** Below this weight an address is forgotten. */
const FORGOTTEN = 0.5;
/** Attempts of one address that wait at the same time: each adds this share of the wait. */
const QUEUED = 1 / 8;
/** Longer waits are refused. */
const LONGEST_MS = 10_000;

/** `LoginGuard.admit`: too many attempts of this address wait already. */
export const REFUSED = -1;

/** Logins that a worker remembers. */
const KNOWN_MAX = 10_000;

export class LoginGuard {
  /** Address, user and password's hash of logins that succeeded, the latest last. */
  private readonly known = new Set<string>();
  private readonly f64: Float64Array;
  private readonly first: number;
  private readonly seed: number;

  constructor(control: Control) {
    this.f64 = control.f64;
    this.first = control.loginsAt / 2;
    this.seed = control.geometry.seedA;
  }

  /** True when this login has succeeded before in this worker. `hash`: of the password. */
  isKnown(address: string, user: string, hash: string): boolean {
    return this.known.has(loginText(address, user, hash));
  }

  succeeded(address: string, user: string, hash: string): void {
    const { known } = this;
    const text = loginText(address, user, hash);
    known.delete(text);
    known.add(text);
    if (known.size > KNOWN_MAX) known.delete(known.values().next().value!);
  }

  /** How long an attempt of `address` must wait, ms, or REFUSED. `mostMs`: the longest wait for one attempt, 0 = none waits. */
  admit(address: string, nowMs: number, mostMs: number): number {
    const { f64 } = this;
    if (mostMs === 0) return 0;
    const slot = this.slotOf(address, nowMs);
    const failures = Math.floor(this.weight(slot, nowMs));
    if (failures < FREE_FAILURES) return 0;
    const waitMs = Math.min(mostMs, FIRST_WAIT_MS * 2 ** (failures - FREE_FAILURES));
    const atMs = Math.max(nowMs, f64[slot + NEXT_MS]!);
    const leftMs = Math.max(waitMs, atMs - nowMs);
    if (leftMs > Math.max(LONGEST_MS, mostMs)) return REFUSED;
    f64[slot + NEXT_MS] = atMs + waitMs * QUEUED;
    return leftMs;
  }

  /** An attempt of `address` has failed. Returns the number of its failures that are remembered. */
  failed(address: string, nowMs: number): number {
    const { f64 } = this;
    const slot = this.slotOf(address, nowMs);
    const failures = this.weight(slot, nowMs) + 1;
    f64[slot + FAILURES] = failures;
    f64[slot + LAST_MS] = nowMs;
    return Math.round(failures);
  }

  /** The slot of an address, emptied when it was that of another one that is forgotten. */
  private slotOf(address: string, nowMs: number): number {
    const { f64 } = this;
    const hash = Number(BigInt.asUintN(48, BigInt(Bun.hash(networkOf(address), this.seed))));
    const slot = this.first + (hash % LOGINS) * DOUBLES;
    if (f64[slot] !== hash && this.weight(slot, nowMs) < FORGOTTEN) {
      f64[slot] = hash;
      f64[slot + FAILURES] = f64[slot + LAST_MS] = f64[slot + NEXT_MS] = 0;
    }
    return slot;
  }

  /** The failures in a slot, each with the weight that it has now. */
  private weight(slot: number, nowMs: number): number {
    const { f64 } = this;
    const elapsedMs = Math.max(0, nowMs - f64[slot + LAST_MS]!);
    return f64[slot + FAILURES]! * 2 ** (-elapsedMs / HALF_LIFE_MS);
  }
}

function loginText(address: string, user: string, hash: string): string {
  return `${networkOf(address)} ${hash} ${user}`;
}

/** The part of an address that tells its owner: an IPv4 address, or the first half of an IPv6 address, whose rest is free to choose. */
export function networkOf(address: string): string {
  const found = /^\[(.*)\]:\d+$/.exec(address);
  if (found === null) return address.slice(0, address.lastIndexOf(":"));
  const text = found[1]!;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text);
  if (mapped !== null) return mapped[1]!;
  const [head = "", tail] = text.split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const ending = tail === "" ? [] : tail.split(":");
    while (groups.length + ending.length < 8) groups.push("0");
    groups.push(...ending);
  }
  return groups.slice(0, 4).join(":");
}
