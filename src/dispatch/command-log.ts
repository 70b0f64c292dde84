/**
 * Command log: the latest commands that were slow, large, or had a large reply (SLOWLOG, COMMANDLOG). Each worker has a log
 * of its own. The worker that runs SLOWLOG GET merges them by ID. All workers draw the IDs from one counter per type.
 */
import type { Clock } from "../base/clock.ts";
import { latin1Text } from "../base/bytes.ts";
import { type Control, LOG_IDS_AT } from "../memory/control.ts";
import type { Call } from "./call.ts";
import { isSecretArgument } from "./secret-arguments.ts";
import type { Session } from "./session.ts";

export const LogType = { Slow: 0, LargeRequest: 1, LargeReply: 2 } as const;
export type LogType = (typeof LogType)[keyof typeof LogType];

/** Most arguments of an entry, and most bytes of an argument. The rest is only counted. */
const ARGUMENTS_MAX = 32;
const ARGUMENT_BYTES_MAX = 128;
/**
 * Entries that a worker's log may exceed its limit by. While a worker waits for the answers of the others, new entries (the
 * first is the asking command itself) must not evict entries that were in the log when it asked.
 */
const SPARE = 64;

export interface LogEntry {
  id: number;
  /** Wall time, whole seconds. */
  atSeconds: number;
  /** Microseconds, or bytes. */
  value: number;
  /** A byte a character. */
  args: string[];
  address: string;
  name: string;
}

export class CommandLog {
  private readonly lists: LogEntry[][] = [[], [], []];
  private readonly threshold = [Infinity, Infinity, Infinity];
  private readonly length = [0, 0, 0];

  constructor(
    private readonly control: Control,
    private readonly clock: Clock,
  ) {}

  /** `from`: the smallest value that is logged, negative = none. `length`: most entries, 0 = the log is off. */
  setLimits(type: LogType, from: number, length: number): void {
    this.threshold[type] = from < 0 || length === 0 ? Infinity : from;
    this.length[type] = length;
    this.trim(this.lists[type]!, length);
  }

  /** The smallest value that is logged. Infinity = the log is off. */
  least(type: LogType): number {
    return this.threshold[type]!;
  }

  /** Entries of this worker. */
  sizeOf(type: LogType): number {
    return Math.min(this.lists[type]!.length, this.length[type]!);
  }
  /** Most entries there may be, over all workers. */
  lengthOf(type: LogType): number {
    return this.length[type]!;
  }

  /**
   * Logs the command of `call` if `value` reaches the threshold. A wait of `coldMs` for cold values is told behind the arguments,
   * as what was cut short is: clients read entries of six fields, and some fail on more.
   */
  offer(type: LogType, value: number, call: Call, coldMs: number): void {
    if (value < this.threshold[type]!) return;
    const args = argumentsOf(call);
    if (coldMs > 0) args.push(`(cold read: ${Math.ceil(coldMs * 1000)} us)`);
    this.add(type, value, args, call.session);
  }

  /** Logs a command of `session`; `args` come from argumentsOf. */
  add(type: LogType, value: number, args: string[], session: Session): void {
    const list = this.lists[type]!;
    list.push({
      id: Atomics.add(this.control.i32, LOG_IDS_AT + type, 1) >>> 0,
      atSeconds: Math.floor(this.clock.wallMs() / 1000),
      value,
      args,
      address: session.address,
      name: session.name,
    });
    const length = this.length[type]!;
    if (list.length > length + SPARE) this.trim(list, length + SPARE / 2);
  }

  private trim(list: LogEntry[], length: number): void {
    if (list.length > length) list.splice(0, list.length - length);
  }

  /** The id that the next entry of any worker will have. */
  nextId(type: LogType): number {
    return Atomics.load(this.control.i32, LOG_IDS_AT + type) >>> 0;
  }
  /** Entries of this worker with IDs below `before`, oldest first. */
  entries(type: LogType, before: number): LogEntry[] {
    return this.lists[type]!.filter(({ id }) => id < before);
  }
  /** Removes the entries of this worker with IDs below `before`. */
  clear(type: LogType, before: number): void {
    this.lists[type] = this.lists[type]!.filter(({ id }) => id >= before);
  }
}

/** The arguments of a command as an entry shows them: cut short, and without secrets. */
export function argumentsOf(call: Call): string[] {
  const { argCount } = call;
  const shown = argCount > ARGUMENTS_MAX ? ARGUMENTS_MAX - 1 : argCount;
  const args: string[] = [];
  for (let i = 0; i < shown; i++) args.push(isSecretArgument(call, i) ? "(redacted)" : argumentText(call, i));
  if (shown < argCount) args.push(`... (${argCount - shown} more arguments)`);
  return args;
}

function argumentText(call: Call, i: number): string {
  const bytes = call.argBytes(i);
  const shown = Math.min(bytes, ARGUMENT_BYTES_MAX);
  const staged = call.stagedArgument(i);
  const text = staged === null ? latin1Text(call.bytes, call.argAt(i), shown) : staged.beginning(shown);
  return bytes > shown ? `${text}... (${bytes - shown} more bytes)` : text;
}
