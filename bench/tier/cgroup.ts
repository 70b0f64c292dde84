/** A memory cgroup for a process: version 2 or 1, where one can be made. It limits the page cache of its files as well. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";

const PLACES = [
  {
    parent: "/sys/fs/cgroup",
    controllers: "/sys/fs/cgroup/cgroup.controllers",
    limit: "memory.max",
    peak: "memory.peak",
  },
  {
    parent: "/sys/fs/cgroup/memory",
    controllers: "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
  },
];

export class MemoryGroup {
  private constructor(
    private readonly path: string,
    private readonly peakName: string,
  ) {}

  /** Returns null where none can be made. */
  static make(name: string, bytes: number): MemoryGroup | null {
    for (const { parent, controllers, limit, peak } of PLACES) {
      if (!existsSync(controllers)) continue;
      const path = `${parent}/${name}`;
      try {
        mkdirSync(path);
      } catch {
        continue;
      }
      const group = new MemoryGroup(path, peak);
      try {
        writeFileSync(`${path}/${limit}`, String(bytes));
        return group;
      } catch {
        group.remove();
      }
    }
    return null;
  }

  /** What starts a command within the group. */
  get wrapper(): string[] {
    return ["sh", "-c", `echo $$ > ${this.path}/cgroup.procs && exec "$@"`, "sh"];
  }
  /** Most bytes that the group has used. */
  get peakBytes(): number {
    return Number(readFileSync(`${this.path}/${this.peakName}`, "latin1"));
  }
  /** Its processes have ended. */
  remove(): void {
    rmdirSync(this.path);
  }
}
