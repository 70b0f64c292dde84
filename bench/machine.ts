/**
 * Figures that the benches read from /proc, and the head of every result: machine, versions, commit, command line.
 * Linux only. Every figure is a plain number in the unit that its name ends with.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readFileSync, readdirSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { ferriteCommand, redisBinary, ROOT, standsInForFerrite } from "../test/support/servers.ts";

const TICK_US = 10_000; // USER_HZ is 100 on every Linux that Bun runs on

export interface ProcessTimes {
  userUs: number;
  systemUs: number;
  /** Nanosecond clock of the scheduler, summed over the threads; 0 where the kernel does not keep it. */
  scheduledUs: number;
  minorFaults: number;
  voluntarySwitches: number;
  involuntarySwitches: number;
}

/** CPU and switches of a process so far, all threads together. */
export function processTimes(pid: number): ProcessTimes {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // fields[0] is field 3 of proc(5)
  const times: ProcessTimes = {
    userUs: Number(fields[11]) * TICK_US,
    systemUs: Number(fields[12]) * TICK_US,
    minorFaults: Number(fields[7]),
    scheduledUs: 0,
    voluntarySwitches: 0,
    involuntarySwitches: 0,
  };
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      times.scheduledUs += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ")[0]) / 1000;
      const status = readFileSync(`/proc/${pid}/task/${task}/status`, "latin1");
      times.voluntarySwitches += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
      times.involuntarySwitches += Number(/^nonvoluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    } catch {
      /* the thread ended meanwhile */
    }
  }
  return times;
}

const CLOCK_OF_PROCESS = 2; // CPUCLOCK_SCHED: time that the scheduler gave, in nanoseconds
const libc = dlopen("libc.so.6", {
  clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
});
const timespec = new BigInt64Array(2);

/**
 * CPU time of a process in microseconds, user and system, threads that have ended included. `processTimes` loses those,
 * and the runtime's compiler threads come and go.
 */
export function processCpuUs(pid: number): number {
  // The clock id of a process, as clock_getcpuclockid(3) makes it on Linux.
  if (libc.symbols.clock_gettime((~pid << 3) | CLOCK_OF_PROCESS, ptr(timespec)) !== 0)
    throw new Error(`process ${pid} has no CPU clock`);
  return Number(timespec[0]!) * 1e6 + Number(timespec[1]!) / 1000;
}

export function timesBetween(before: ProcessTimes, after: ProcessTimes): ProcessTimes {
  const difference = { ...after };
  for (const name of Object.keys(difference) as (keyof ProcessTimes)[]) difference[name] -= before[name];
  return difference;
}

export interface MachineTimes {
  totalUs: number;
  idleUs: number;
  stealUs: number;
}

export function machineTimes(): MachineTimes {
  const line = readFileSync("/proc/stat", "latin1").split("\n")[0]!;
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number); // user nice system idle iowait irq softirq steal
  return {
    totalUs: ticks.reduce((a, b) => a + b, 0) * TICK_US,
    idleUs: (ticks[3]! + ticks[4]!) * TICK_US,
    stealUs: ticks[7]! * TICK_US,
  };
}

/** Share of the machine's time between two readings that the hypervisor took away, 0 to 1. */
export function stealShare(before: MachineTimes, after: MachineTimes): number {
  const total = after.totalUs - before.totalUs;
  return total <= 0 ? 0 : (after.stealUs - before.stealUs) / total;
}

export interface Spread {
  median: number;
  minimum: number;
  maximum: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median =
    sorted.length === 0 ? NaN : sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, minimum: sorted[0] ?? NaN, maximum: sorted.at(-1) ?? NaN };
}

export function showSpread(s: Spread, digits = 2): string {
  return `${s.median.toFixed(digits)} [${s.minimum.toFixed(digits)}..${s.maximum.toFixed(digits)}]`;
}

/** Whitespace-aligned table; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "))
    .join("\n");
}

function output(command: readonly string[]): string {
  try {
    const done = Bun.spawnSync([...command], { cwd: ROOT, stdout: "pipe", stderr: "pipe", timeout: 10_000 });
    return done.exitCode === 0 ? done.stdout.toString().trim().split("\n")[0]! : "";
  } catch {
    return "";
  }
}

function fileText(path: string): string {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return "unknown";
  }
}

export function head(): Record<string, string> {
  const ferrite = ferriteCommand();
  const changed = output(["git", "status", "--porcelain"]) !== "";
  const limits = /Max open files\s+(\d+)/.exec(fileText("/proc/self/limits"))?.[1] ?? "unknown";
  return {
    date: new Date().toISOString(),
    machine: `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: output(["uname", "-sr"]),
    hugePages: fileText("/sys/kernel/mm/transparent_hugepage/enabled"),
    openFiles: limits,
    loadAverage: fileText("/proc/loadavg"),
    bun: Bun.version,
    commit: `${output(["git", "rev-parse", "--short", "HEAD"]) || "none"}${changed ? " with local changes" : ""}`,
    ferrite: standsInForFerrite()
      ? "redis-server standing in (this run proves the tool, not Ferrite)"
      : `${ferrite.join(" ")}: ${output([...ferrite, "--version"]) || "version unknown"}`,
    redis: output([redisBinary() ?? "redis-server", "--version"]) || "missing",
    commandLine: process.argv
      .slice(1)
      .map((word) => word.replace(`${ROOT}/`, ""))
      .join(" "),
  };
}

export function printHead(title: string): Record<string, string> {
  const lines = head();
  console.log(`# ${title}`);
  for (const [name, value] of Object.entries(lines)) console.log(`# ${name.padEnd(12)} ${value}`);
  return lines;
}

/** `--name value`, `--name=value` and `--flag` from the command line. Unknown names are refused with the known ones. */
export class Options {
  #given = new Map<string, string>();

  constructor(known: Record<string, string>, usage: string) {
    const words = process.argv.slice(2);
    for (let i = 0; i < words.length; i++) {
      const [name, inline] = words[i]!.replace(/^--/, "").split(/=(.*)/s) as [string, string | undefined];
      if (name === "help" || !words[i]!.startsWith("--") || !(name in known)) {
        console.log(
          `${usage}\n\nOptions\n${Object.entries(known)
            .map(([key, text]) => `  --${key.padEnd(16)} ${text}`)
            .join("\n")}`,
        );
        process.exit(name === "help" ? 0 : 2);
      }
      const next = words[i + 1];
      if (inline !== undefined) this.#given.set(name, inline);
      else if (next !== undefined && !next.startsWith("--")) {
        this.#given.set(name, next);
        i++;
      } else this.#given.set(name, "");
    }
  }

  has(name: string): boolean {
    return this.#given.has(name);
  }
  text(name: string, otherwise: string): string {
    return this.#given.get(name) ?? otherwise;
  }
  list(name: string, otherwise: string): string[] {
    return this.text(name, otherwise)
      .split(",")
      .filter((word) => word !== "");
  }

  /** Numbers may end in k, m or g (thousands, millions, milliards). */
  number(name: string, otherwise: number): number {
    const text = this.#given.get(name);
    if (text === undefined) return otherwise;
    const match = /^(\d+(?:\.\d+)?)([kmg]?)$/i.exec(text);
    if (match === null) {
      console.error(`--${name} wants a number, not ${JSON.stringify(text)}`);
      process.exit(2);
    }
    return Number(match[1]) * ({ "": 1, k: 1e3, m: 1e6, g: 1e9 }[match[2]!.toLowerCase()] ?? 1);
  }
}
