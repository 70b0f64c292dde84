/**
 * Goal:   each check of `ferrite doctor` tells a good machine from a bad one; every problem says what it means and what mends
 *         it; --fix mends what is safe, and nothing else.
 * Method: a machine in memory: its /proc and /sys are files that the test writes, its ports and disk are answers. A healthy
 *         machine first, then one fault after the other.
 */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { loadConfigText } from "../../src/base/config/load.ts";
import { FileFailure, MemoryFiles, realFiles, writeFully } from "../../src/base/files.ts";
import { examine, repair } from "../../src/cli/doctor.ts";
import type { Finding } from "../../src/cli/finding.ts";
import { realSurroundings, type Surroundings } from "../../src/cli/surroundings.ts";
import { annotationLine } from "../../src/persistence/aof-format.ts";

const GIB = 2 ** 30;
const PROC: Readonly<Record<string, string>> = {
  "/proc/self/limits":
    "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 65536                files\n",
  "/proc/self/status": "Name:\tferrite\nCapEff:\t0000000000000000\n",
  "/proc/self/cgroup": "0::/system.slice/ferrite.service\n",
  "/sys/fs/cgroup/system.slice/ferrite.service/memory.events": "low 0\noom 0\noom_kill 0\n",
  "/proc/vmstat": "pgfault 1\noom_kill 0\n",
  "/proc/cpuinfo": "flags : fpu sse4_2 avx avx2\n",
  "/proc/swaps": "Filename Type Size Used Priority\n",
  "/proc/sys/vm/swappiness": "60\n",
  "/proc/sys/vm/overcommit_memory": "0\n",
  "/proc/sys/net/core/somaxconn": "4096\n",
  "/proc/sys/net/ipv4/tcp_fastopen": "1\n",
  "/proc/sys/net/ipv4/tcp_syn_retries": "6\n",
  "/proc/sys/net/ipv4/ip_unprivileged_port_start": "1024\n",
  "/proc/sys/kernel/io_uring_disabled": "2\n",
  "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
  "/run/systemd/timesync/synchronized": "\n",
};

const BASE = '[storage]\ndata_dir = "/data"\nmax_memory = "4gb"\n';

interface Scene {
  readonly files: MemoryFiles;
  readonly around: Surroundings;
  readonly find: (text?: string) => Promise<Finding[]>;
}

function write(files: MemoryFiles, path: string, text: string | Uint8Array): void {
  files.mkdir(path.slice(0, path.lastIndexOf("/")) || "/", 0o755);
  const file = files.open(path, "w", 0o644);
  writeFully(files, file, typeof text === "string" ? new TextEncoder().encode(text) : text);
  files.close(file);
}

function scene(changed: Readonly<Record<string, string>> = {}, answers: Partial<Surroundings> = {}): Scene {
  const files = new MemoryFiles(1, []);
  for (const [path, text] of Object.entries({ ...PROC, ...changed })) if (text !== "gone") write(files, path, text);
  files.mkdir("/data", 0o750);
  const around: Surroundings = {
    files,
    wallMs: Date.parse("2026-11-30T00:00:00Z"),
    userId: 0,
    platform: "linux",
    arch: "x64",
    release: "6.1.0-18-amd64",
    ownPlaces: ["/opt", "/home"],
    tryListen: () => "",
    firstReplyMs: async () => -1,
    space: () => ({ usedRatio: 0.3, freeBytes: 100 * GIB }),
    nowMs: () => performance.now(),
    dropCached: () => true,
    hasIoUring: () => false,
    lockOf: () => "free",
    ...answers,
  };
  const machine = { memoryBytes: 8 * GIB, cgroupMemoryBytes: 0, cpus: 4 };
  const find = (text = BASE) => examine(loadConfigText(text, "f.toml", machine).config, around);
  return { files, around, find };
}

/** The findings of a check as "level: text"; each problem has a meaning and a mend. */
function of(findings: readonly Finding[], check: string): string[] {
  for (const { level, meaning, mend } of findings) {
    const isProblem = level === "warning" || level === "error";
    expect([meaning !== undefined, mend !== undefined]).toEqual([isProblem, isProblem]);
  }
  return findings.filter((each) => each.check === check).map(({ level, text }) => `${level}: ${text}`);
}

test("a healthy machine has no warnings", async () => {
  const findings = await scene().find();
  expect(findings.filter(({ level }) => level === "warning" || level === "error")).toEqual([]);
  expect([...new Set(findings.map(({ check }) => check))]).toEqual(
    "port metrics_port data_dir disk open_files memory huge_pages kernel io_uring somaxconn tcp_fastopen tcp_syn_retries clock access".split(
      " ",
    ),
  );
});

describe("ports", () => {
  const taken = (port: number): Partial<Surroundings> => ({
    tryListen: (_, each) => (each === port ? "EADDRINUSE" : ""),
  });

  test("one that is taken is an error, one that a Redis answers on is not, that of metrics a warning", async () => {
    const findings = await scene({}, taken(6379)).find();
    expect(of(findings, "port")).toEqual(["error: 127.0.0.1:6379: Address already in use (os error 98)"]);
    expect(findings.find(({ check }) => check === "port")!.mend).toContain("ss -tlnp 'sport = :6379'");
    const answering = { ...taken(6379), firstReplyMs: async () => 0.4 };
    expect(of(await scene({}, answering).find(), "port")[0]).toStartWith("info: 127.0.0.1:6379 is served by a running");
    expect(of(await scene({}, taken(9090)).find(), "metrics_port")).toEqual([
      "warning: 127.0.0.1:9090: Address already in use (os error 98)",
    ]);
    expect(of(await scene({}, { tryListen: () => "EADDRNOTAVAIL" }).find(), "port")[0]).toContain("Cannot assign");
  });

  test("the first reply of a new connection is measured, and slow above 10 ms", async () => {
    const find = async (...times: number[]): Promise<string[]> => {
      let n = 0;
      const firstReplyMs = async (): Promise<number> => times[n++ % times.length]!;
      return of(await scene({}, { ...taken(6379), firstReplyMs }).find(), "first_reply");
    };
    expect(await find(0.4, 30, 1)).toEqual(["ok: 127.0.0.1:6379: a new connection has its first reply after 1.0 ms"]);
    expect(await find(12, 11, 30)).toEqual([
      "warning: 127.0.0.1:6379: a new connection has its first reply after 12.0 ms",
    ]);
    expect(await find(1, -1, -1)).toEqual(["warning: 127.0.0.1:6379: most new connections have no reply"]);
    expect(of(await scene().find(), "first_reply")).toEqual([]);
  });

  test("the port of administrators is checked at its own address", async () => {
    const admin = `${BASE}[server]\nadmin_port = 7000\nadmin_bind = "127.0.0.2"\n`;
    expect(of(await scene({}, taken(7000)).find(admin), "admin_port")).toEqual([
      "error: 127.0.0.2:7000: Address already in use (os error 98)",
    ]);
  });

  test("one below 1024 needs a capability, which root and the kernel's setting make unnecessary", async () => {
    const low = `${BASE}[server]\nport = 80\n`;
    const user = { userId: 1000 };
    expect(of(await scene({}, user).find(low), "port")[0]).toBe("warning: port 80 needs CAP_NET_BIND_SERVICE");
    expect(of(await scene().find(low), "port")).toEqual(["ok: 127.0.0.1:80 is free"]);
    const capable = { "/proc/self/status": "CapEff:\t0000000000000400\n" };
    expect(of(await scene(capable, user).find(low), "port")).toEqual(["ok: 127.0.0.1:80 is free"]);
    const open = { "/proc/sys/net/ipv4/ip_unprivileged_port_start": "80\n" };
    expect(of(await scene(open, user).find(low), "port")).toEqual(["ok: 127.0.0.1:80 is free"]);
  });
});

describe("directories and the disk", () => {
  test("data, checkpoints and the log each need a directory that can be written", async () => {
    const { files, find } = scene();
    write(files, "/file", "");
    const text = `[storage]\ndata_dir = "/file/data"\n[persistence]\ncheckpoint_dir = "/file/cp"\n[logging]\nlog_file = "/file/f.log"\n`;
    const findings = await find(text);
    for (const check of ["data_dir", "checkpoint_dir", "log_file"])
      expect(of(findings, check)).toEqual(["error: /file is not a directory"]);
    expect(of(findings, "log_rotation")[0]).toContain("grows without end unless logrotate");
  });

  test("one that cannot be written, or that belongs to somebody else, is named with the command for it", async () => {
    const denied = scene({}, { userId: 1000 });
    const closed = await denied.find();
    expect(of(closed, "data_dir")).toEqual(["warning: /data can be written but belongs to user 0"]);
    expect(closed.find(({ check }) => check === "data_dir")!.mend).toBe("sudo chown -R 1000 /data");
    const { files, find } = scene();
    const { open } = files;
    files.open = (path, flags, mode) => {
      if (flags === "wx") throw new FileFailure("open", path, "EACCES", "");
      return open.call(files, path, flags, mode);
    };
    const [finding] = (await find()).filter(({ check }) => check === "data_dir");
    expect(finding).toMatchObject({ level: "error", text: "/data: Permission denied (os error 13)" });
    expect(finding!.mend).toBe("sudo install -d -o ferrite -g ferrite -m 750 /data");
  });

  test("space: fine, nearly full, full, unknown", async () => {
    const at = async (usedRatio: number) =>
      of(await scene({}, { space: () => ({ usedRatio, freeBytes: 2 ** 21 }) }).find(), "disk")[0];
    expect(await at(0.8)).toBe("ok: 80 % of the disk of /data is used, 2 MiB are free");
    expect(await at(0.81)).toStartWith("warning: 81 %");
    expect(await at(0.99)).toStartWith("error: 99 %");
    expect(of(await scene({}, { space: () => null }).find(), "disk")[0]).toStartWith("info: ");
  });

  test("whether a running Ferrite holds the data directory", async () => {
    const held = async (lock: "free" | "taken" | "unknown" | "unreadable") =>
      of(await scene({ "/data/ferrite.lock": "4711\n" }, { lockOf: () => lock }).find(), "data_lock")[0];
    expect(await held("taken")).toContain("warning: /data is in use by a running Ferrite (process 4711)");
    expect(await held("free")).toBe("ok: no running Ferrite uses /data");
    expect(await held("unknown")).toStartWith("info: cannot tell");
    expect(await held("unreadable")).toStartWith("warning: /data/ferrite.lock cannot be read");
  });

  test("files of Bun beside the executable are mentioned", async () => {
    const { files, find } = scene();
    write(files, "/opt/.env", "X=1");
    write(files, "/home/bunfig.toml", "");
    expect(of(await find(), "stray_file")).toEqual([
      "info: /opt/.env is there; the executable does not read it",
      "info: /home/bunfig.toml is there; the executable does not read it",
    ]);
  });
});

describe("the end of the append-only file", () => {
  const batch = (commands: string): string => {
    const bytes = Buffer.from(commands);
    const annotation = { logId: "0123456789abcdef", position: 1, bytes: bytes.length, crc: crc32(bytes) };
    return commands + annotationLine(annotation);
  };
  const set = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
  const path = "/data/appendonly.aof";

  test("whole, torn, damaged, without a checksum, in use", async () => {
    const judged = async (text: string, answers: Partial<Surroundings> = {}) =>
      of(await scene({ [path]: text, "/data/ferrite.lock": "1" }, answers).find(), "aof")[0];
    const whole = batch(set) + batch(set + set);
    expect(await judged(whole)).toBe(`ok: ${path}: ${whole.length} bytes, the last batch is whole`);
    expect(await judged(`${whole}${set.slice(0, 9)}`)).toBe(
      `warning: ${path}: 9 bytes follow the last whole batch, which ends at ${whole.length}`,
    );
    const start = batch(set).length;
    expect(await judged(whole.slice(0, start) + whole.slice(start).replace("k", "j"))).toBe(
      `error: ${path}: the batch that begins at offset ${start} does not match its checksum`,
    );
    expect(await judged(set)).toStartWith(`info: ${path}: its end has no checksum`);
    expect(await judged(whole, { lockOf: () => "taken" })).toContain("being written by the running server");
  });

  test("a value that looks like an annotation is none; no file, or the file turned off, is nothing", async () => {
    const fake = `*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$16\r\n#FERRITE:x:y:z\r\n\r\n`;
    const text = batch(set) + fake;
    expect(of(await scene({ [path]: text }).find(), "aof")[0]).toContain(`${fake.length} bytes follow`);
    expect(of(await scene().find(), "aof")).toEqual([]);
    expect(of(await scene({ [path]: text }).find(`${BASE}[persistence]\nenable_aof = false\n`), "aof")).toEqual([]);
  });
});

describe("the machine", () => {
  const first = async (check: string, changed: Readonly<Record<string, string>>, answers: Partial<Surroundings> = {}) =>
    of(await scene(changed, answers).find(), check)[0];

  test("open files", async () => {
    const limits = (hard: string) => ({
      "/proc/self/limits": `Max open files            1024                 ${hard}    files\n`,
    });
    expect(await first("open_files", limits("unlimited"))).toStartWith("ok: ");
    expect(await first("open_files", limits("4096"))).toBe(
      // 64, and 16 for each of four workers.
      "warning: limit of open files: 1024 (hard 4096); maxclients needs 10128",
    );
    expect(await first("open_files", { "/proc/self/limits": "gone" })).toBeUndefined();
  });

  test("memory: the share of the data, and what the kernel has killed", async () => {
    const { find } = scene();
    const level = async (size: string) =>
      of(await find(`[storage]\ndata_dir = "/data"\nmax_memory = "${size}"\n`), "memory")[0];
    expect(await level("6gb")).toStartWith("ok: max_memory is 6gb, 75 % of 8gb (machine)");
    expect(await level("7gb")).toStartWith("warning: ");
    expect(await level("9gb")).toStartWith("error: ");
    expect(await first("oom_killer", { "/proc/vmstat": "oom_kill 2\n" })).toBe(
      "warning: the kernel has killed 2 processes because memory ran out",
    );
    const events = "/sys/fs/cgroup/system.slice/ferrite.service/memory.events";
    expect(await first("oom_killer", { [events]: "oom_kill 1\n" })).toContain(
      "1 processes because memory ran out (some in this cgroup)",
    );
    expect(await first("oom_killer", {})).toBeUndefined();
  });

  test("huge pages, overcommit, swap", async () => {
    const pages = "/sys/kernel/mm/transparent_hugepage/enabled";
    expect(await first("huge_pages", { [pages]: "always madvise [never]" })).toStartWith(
      "warning: transparent huge pages are off",
    );
    expect(await first("huge_pages", { [pages]: "gone" })).toBeUndefined();
    expect(await first("overcommit", { "/proc/sys/vm/overcommit_memory": "2" })).toBe(
      "warning: vm.overcommit_memory is 2",
    );
    const swap = { "/proc/swaps": "Filename\n/dev/sda2 partition 1 0 -2\n" };
    expect(await first("swap", swap)).toBe("warning: swap is on (vm.swappiness 60)");
    expect(await first("swap", { ...swap, "/proc/sys/vm/swappiness": "1" })).toBe("ok: swap is on, vm.swappiness is 1");
    expect(await first("swap", {})).toBeUndefined();
  });

  test("the kernel, the processor, io_uring", async () => {
    expect(await first("kernel", {}, { release: "4.19.0" })).toBe("warning: linux 4.19.0");
    expect(await first("kernel", {}, { release: "5.1.0" })).toBe("info: linux 5.1.0");
    expect(await first("cpu", { "/proc/cpuinfo": "flags : sse4_2\n" })).toBe("warning: the processor has no AVX2");
    expect(await first("cpu", { "/proc/cpuinfo": "flags : sse4_2\n" }, { arch: "arm64" })).toBeUndefined();
    expect(await first("io_uring", {})).toBe(
      "info: io_uring is not available (kernel.io_uring_disabled is 2): threads read for the disk tier, all else needs none",
    );
    expect(await first("io_uring", { "/proc/sys/kernel/io_uring_disabled": "0\n" })).toContain("not available:");
    expect(await first("io_uring", {}, { hasIoUring: () => true })).toStartWith("ok: io_uring is available");
    expect(await first("io_uring", {}, { platform: "darwin" })).toBeUndefined();
  });

  test("the network's settings, and the clock", async () => {
    expect(await first("somaxconn", { "/proc/sys/net/core/somaxconn": "128" })).toBe(
      "warning: net.core.somaxconn is 128",
    );
    expect(await first("tcp_fastopen", {})).toBe("info: net.ipv4.tcp_fastopen is 1");
    const wanted = `${BASE}[server]\ntcp_fast_open = true\n`;
    expect(of(await scene().find(wanted), "tcp_fastopen")).toEqual([
      "warning: server.tcp_fast_open is on, and net.ipv4.tcp_fastopen is 1",
    ]);
    const allowed = scene({ "/proc/sys/net/ipv4/tcp_fastopen": "3" });
    expect(of(await allowed.find(wanted), "tcp_fastopen")).toEqual(["info: net.ipv4.tcp_fastopen is 3"]);
    expect(await first("tcp_syn_retries", {})).toBe("info: net.ipv4.tcp_syn_retries is 6");
    const unsynchronized = { "/run/systemd/timesync/synchronized": "gone", "/run/systemd/timesync/other": "" };
    expect(await first("clock", unsynchronized)).toBe("warning: the clock is not synchronized");
    expect(await first("clock", { ...unsynchronized, "/run/chrony/chronyd.pid": "1" })).toBe(
      "ok: the clock is kept by chronyd",
    );
    expect(await first("clock", { "/run/systemd/timesync/synchronized": "gone" })).toStartWith("info: no program");
  });
});

test("--fix makes missing directories and takes rights from others, and touches no shared place", async () => {
  const root = mkdtempSync(join(tmpdir(), "ferrite-doctor-"));
  try {
    chmodSync(root, 0o757);
    const machine = { memoryBytes: 8 * GIB, cgroupMemoryBytes: 0, cpus: 4 };
    const text = (data: string) =>
      `[server]\nport = 0\nunix_socket = "x"\n[storage]\ndata_dir = "${data}"\n[logging]\nlog_file = "${root}/log/f.log"\n`;
    const find = (data: string) => examine(loadConfigText(text(data), "f.toml", machine).config, realSurroundings());
    expect(of(await find(root), "data_mode")[0]).toContain("can be written by every user of this machine (mode 757)");
    expect(repair(await find(root)).sort()).toEqual([
      `data_mode: mended (${root} can be written by every user of this machine (mode 757))`,
      `log_file: mended (${root}/log does not exist and can be created)`,
    ]);
    expect(statSync(root).mode & 0o777).toBe(0o755);
    expect(statSync(join(root, "log")).mode & 0o777).toBe(0o750);
    expect(repair(await find(root))).toEqual([]);
    // As /tmp is.
    chmodSync(root, 0o1777);
    const shared = await find(root);
    expect(of(shared, "data_mode")[0]).toStartWith("warning: ");
    expect(repair(shared)).toEqual([]);
    expect(repair(await find(join(root, "data")))).toEqual([expect.stringContaining("data_dir: mended")]);
    expect(readdirSync(root).sort()).toEqual(["data", "log"]);
    expect(realFiles.stat(join(root, "data"))!.mode & 0o777).toBe(0o750);
  } finally {
    rmSync(root, { recursive: true });
  }
});
