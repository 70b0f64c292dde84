/**
 * What the system says about a server, for `ferrite diagnostics`: files of /proc, and tools where they are installed. Nothing
 * here shows the arguments or the environment of a process: both may have passwords.
 */
import type { Files } from "../base/files.ts";
import type { AddFile } from "./diagnostics-server.ts";
import { read } from "./surroundings.ts";

const TOOL_MS = 5000;
/** Most text of a tool, characters. */
const TOOL_TEXT_MAX = 256 << 10;

/** Runs a tool. Its output, or why there is none. */
export function toolText(words: readonly string[]): string {
  if (Bun.which(words[0]!) === null) return `${words[0]} is not installed\n`;
  const { stdout, stderr, exitCode } = Bun.spawnSync([...words], {
    timeout: TOOL_MS,
    stdin: "ignore",
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
  });
  const text = stdout.toString().slice(0, TOOL_TEXT_MAX);
  return exitCode === 0 ? text : `${text}${words[0]} ended with ${exitCode}: ${stderr.toString().slice(0, 1000)}\n`;
}

const SYSTEM_FILES = [
  "/etc/os-release",
  "/proc/version",
  "/proc/loadavg",
  "/proc/uptime",
  "/proc/meminfo",
  "/proc/swaps",
  "/proc/vmstat",
  "/proc/pressure/cpu",
  "/proc/pressure/memory",
  "/proc/pressure/io",
  "/sys/kernel/mm/transparent_hugepage/enabled",
  "/proc/sys/vm/overcommit_memory",
  "/proc/sys/vm/swappiness",
  "/proc/sys/net/core/somaxconn",
] as const;

export function addSystem(files: Files, dataDirectory: string, add: AddFile): void {
  const shown = SYSTEM_FILES.map((path) => `# ${path}\n${read(files, path)}\n`);
  add("system/proc.txt", shown.join("\n"));
  add("system/cpu.txt", `${[...new Set(read(files, "/proc/cpuinfo").split("\n"))].slice(0, 60).join("\n")}\n`);
  add("system/disk.txt", toolText(["df", "-h", dataDirectory]) + toolText(["df", "-i", dataDirectory]));
  add("system/data-directory.txt", toolText(["ls", "-la", dataDirectory]));
  add("system/vmstat.txt", toolText(["vmstat", "1", "2"]));
  add("system/iostat.txt", toolText(["iostat", "-x", "1", "2"]));
  add("system/sockets.txt", toolText(["ss", "-s"]) + toolText(["ss", "-tln"]));
  add("system/killed.txt", killedText());
}

/** Lines of the kernel about processes that were killed for their memory. */
function killedText(): string {
  const text = toolText(["dmesg", "-T"]);
  const lines = text.split("\n").filter((line) => /out of memory|oom-kill|killed process|dmesg/i.test(line));
  return `${lines.join("\n")}\n`;
}

/** The process itself. `pid`: 0 = none is known. */
export function addProcess(files: Files, pid: number, add: AddFile): void {
  if (pid <= 0 || read(files, `/proc/${pid}/status`) === "") return add("process.txt", "no process is running\n");
  const names = ["status", "limits", "io", "cgroup", "schedstat", "oom_score"];
  add("process.txt", names.map((name) => `# ${name}\n${read(files, `/proc/${pid}/${name}`)}\n`).join("\n"));
  add("threads.txt", toolText(["top", "-H", "-b", "-n", "1", "-w", "160", "-p", String(pid)]));
  const smaps = read(files, `/proc/${pid}/smaps_rollup`);
  if (smaps !== "") add("memory-maps.txt", `${smaps}\n`);
}
