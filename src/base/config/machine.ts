/**
 * Memory and CPUs that this process may use, with the limits of cgroup v1 and v2.
 * Source: the kernel's Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
 */
import { availableParallelism, totalmem } from "node:os";
import { readText, type Files } from "../files.ts";

export interface Machine {
  /** Physical memory, bytes. */
  readonly memoryBytes: number;
  /** The lowest cgroup memory limit, bytes; 0 = none. */
  readonly cgroupMemoryBytes: number;
  /** CPUs that this process may use, limited by the quota, at least 1. */
  readonly cpus: number;
}

/** Share of memory used for max_memory = 0. */
const SHARE = 0.75;

/** Reads the machine's memory and CPUs. Never fails: an unreadable limit counts as no limit. */
export function readMachine(files: Files): Machine {
  const memoryBytes = totalmem();
  const limit = cgroupMemoryLimit(files, memoryBytes);
  const quota = cgroupCpuQuota(files);
  const cpus = availableParallelism();
  return {
    memoryBytes,
    cgroupMemoryBytes: limit,
    cpus: Math.max(1, quota > 0 ? Math.min(cpus, Math.floor(quota)) : cpus),
  };
}

/** The limit for max_memory = 0: three quarters of the cgroup's limit, or of the machine's memory. */
export function automaticMaxMemory(machine: Machine): number {
  return Math.floor((machine.cgroupMemoryBytes > 0 ? machine.cgroupMemoryBytes : machine.memoryBytes) * SHARE);
}

/** The lowest limit from this process's group up to the root; 0 when none is below the machine's memory. */
export function cgroupMemoryLimit(files: Files, memoryBytes: number): number {
  let smallest = 0;
  for (const { base, path, version } of groups(files, "memory")) {
    for (const directory of upwards(path)) {
      const file = version === 2 ? "memory.max" : "memory.limit_in_bytes";
      const text = readOrEmpty(files, `${base}${directory === "/" ? "" : directory}/${file}`);
      const bytes = /^\d+$/.test(text) ? Number(text) : 0;
      if (bytes > 0 && bytes < memoryBytes && (smallest === 0 || bytes < smallest)) smallest = bytes;
    }
  }
  return smallest;
}

/** The CPU quota in CPUs; 0 = no quota. */
function cgroupCpuQuota(files: Files): number {
  let smallest = 0;
  for (const { base, path, version } of groups(files, "cpu")) {
    for (const directory of upwards(path)) {
      const at = `${base}${directory === "/" ? "" : directory}`;
      const text =
        version === 2
          ? readOrEmpty(files, `${at}/cpu.max`)
          : `${readOrEmpty(files, `${at}/cpu.cfs_quota_us`)} ${readOrEmpty(files, `${at}/cpu.cfs_period_us`)}`;
      const match = /^(\d+) (\d+)$/.exec(text);
      if (match === null || Number(match[2]) === 0) continue;
      const cpus = Number(match[1]) / Number(match[2]);
      if (cpus > 0 && (smallest === 0 || cpus < smallest)) smallest = cpus;
    }
  }
  return smallest;
}

interface Group {
  readonly base: string;
  readonly path: string;
  readonly version: 1 | 2;
}

/** The groups of this process that may limit `controller`, from the lines "id:controllers:path" of /proc/self/cgroup. */
function groups(files: Files, controller: string): Group[] {
  const found: Group[] = [];
  for (const line of readOrEmpty(files, "/proc/self/cgroup").split("\n")) {
    const [id, controllers, ...rest] = line.split(":");
    const path = rest.join(":");
    if (id === undefined || controllers === undefined || !path.startsWith("/")) continue;
    if (id === "0" && controllers === "") found.push({ base: "/sys/fs/cgroup", path, version: 2 });
    else if (controllers.split(",").includes(controller))
      found.push({ base: `/sys/fs/cgroup/${controller}`, path, version: 1 });
  }
  return found;
}

/** "/a/b" → "/a/b", "/a", "/". In a container the path may be the host's; the root is then the container's group. */
function upwards(path: string): string[] {
  const all: string[] = [];
  for (let at = path; at !== "/" && at !== ""; at = at.slice(0, at.lastIndexOf("/"))) all.push(at);
  all.push("/");
  return all;
}

function readOrEmpty(files: Files, path: string): string {
  try {
    return readText(files, path).trim();
  } catch {
    return "";
  }
}
