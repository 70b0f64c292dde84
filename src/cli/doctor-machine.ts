/** Memory, the kernel and its settings, the processor, the clock. */
import type { Config } from "../base/config/config.ts";
import { bytesText } from "../base/config/values.ts";
import { reservedDescriptors } from "../server/descriptors.ts";
import { type Finding, failure, fine, note, warning } from "./finding.ts";
import { read, statOrNull, type Surroundings } from "./surroundings.ts";

export function checkMachine(config: Config, around: Surroundings): Finding[] {
  return [
    ...checkDescriptors(config, around),
    ...checkMemory(config, around),
    ...checkKernel(around),
    ...checkNetwork(config, around),
    ...checkClock(around),
  ];
}

function checkDescriptors(config: Config, { files }: Surroundings): Finding[] {
  const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(read(files, "/proc/self/limits"));
  if (match === null) return [];
  const hard = match[2] === "unlimited" ? Infinity : Number(match[2]);
  const clients = config.number("server.maxclients");
  const reserved = reservedDescriptors(config);
  const needed = clients + reserved;
  const text = `limit of open files: ${match[1]} (hard ${match[2]}); maxclients needs ${needed}`;
  // The start raises the soft limit to the hard one.
  if (hard >= needed) return [fine("open_files", text)];
  return [
    warning("open_files", {
      text,
      meaning: `The start lowers maxclients from ${clients} to what the limit leaves.`,
      mend: `LimitNOFILE=${Math.max(65536, needed)} in the unit (systemctl edit ferrite), or server.maxclients = ${Math.max(1, hard - reserved)}`,
    }),
  ];
}

const LEAST_BYTES = 4 * 2 ** 30;
const SHARE_OF_DATA = 0.8;

function checkMemory(config: Config, around: Surroundings): Finding[] {
  const { files } = around;
  const { machine } = config;
  const available = machine.cgroupMemoryBytes > 0 ? machine.cgroupMemoryBytes : machine.memoryBytes;
  const share = config.maxMemoryBytes / available;
  const mib = (bytes: number): string => bytesText(Math.floor(bytes / 2 ** 20) * 2 ** 20);
  const text = `max_memory is ${mib(config.maxMemoryBytes)}, ${Math.round(share * 100)} % of ${mib(available)} (${machine.cgroupMemoryBytes > 0 ? "cgroup limit" : "machine"})`;
  const problem = {
    text,
    meaning:
      "Buffers, the JS heap and the page cache need about a quarter besides. The kernel kills what exceeds the memory.",
    mend: `storage.max_memory = "${mib(Math.floor(available * 0.75))}"`,
  };
  const found = [
    share > 1 ? failure("memory", problem) : share > SHARE_OF_DATA ? warning("memory", problem) : fine("memory", text),
    ...checkKilled(files),
    ...checkHugePages(config, files),
  ];
  if (available < LEAST_BYTES)
    found.push(note("machine", `${mib(available)} of memory; 4 GiB and two CPUs are recommended`));
  if (read(files, "/proc/sys/vm/overcommit_memory") === "2") {
    found.push(
      warning("overcommit", {
        text: "vm.overcommit_memory is 2",
        meaning:
          "The system may refuse to reserve a further region, and writes then get OOM. Ferrite does not fork, so 0 is right for it.",
        mend: "sudo sysctl vm.overcommit_memory=0",
      }),
    );
  }
  const swaps = read(files, "/proc/swaps").split("\n").length - 1;
  const swappiness = read(files, "/proc/sys/vm/swappiness");
  if (swaps > 0 && swappiness !== "0" && swappiness !== "1") {
    found.push(
      warning("swap", {
        text: `swap is on${swappiness === "" ? "" : ` (vm.swappiness ${swappiness})`}`,
        meaning: "Data that is swapped out stalls a worker, and all clients it has, for milliseconds at each access.",
        mend: "sudo swapoff -a, or sudo sysctl vm.swappiness=1",
      }),
    );
  } else if (swaps > 0) found.push(fine("swap", `swap is on, vm.swappiness is ${swappiness}`));
  return found;
}

/** Processes that the kernel has killed for their memory: in this cgroup, and on this machine since it started. */
function checkKilled(files: Surroundings["files"]): Finding[] {
  const group = /^0::(.*)$/m.exec(read(files, "/proc/self/cgroup"))?.[1] ?? "";
  const events = read(files, `/sys/fs/cgroup${group === "/" ? "" : group}/memory.events`);
  const inGroup = Number(/^oom_kill (\d+)/m.exec(events)?.[1] ?? 0);
  const onMachine = Number(/^oom_kill (\d+)/m.exec(read(files, "/proc/vmstat"))?.[1] ?? 0);
  if (inGroup === 0 && onMachine === 0) return [];
  const text = `the kernel has killed ${Math.max(inGroup, onMachine)} processes because memory ran out${inGroup > 0 ? " (some in this cgroup)" : ""}`;
  return [
    warning("oom_killer", {
      text,
      meaning: "If one of them was ferrite, it ended without a line in its log.",
      mend: "journalctl -k --grep 'Killed process'; then a smaller storage.max_memory, or a higher MemoryMax",
    }),
  ];
}

function checkHugePages(config: Config, files: Surroundings["files"]): Finding[] {
  const path = "/sys/kernel/mm/transparent_hugepage/enabled";
  const chosen = /\[(\w+)\]/.exec(read(files, path))?.[1] ?? "";
  if (chosen === "") return [];
  if (!config.flag("storage.huge_pages") || chosen !== "never")
    return [fine("huge_pages", `transparent huge pages: ${chosen}`)];
  return [
    warning("huge_pages", {
      text: "transparent huge pages are off (never)",
      meaning:
        "Random access to much data is 15-40 % slower without them. Ferrite does not fork, so they cost it nothing.",
      mend: `echo madvise | sudo tee ${path}`,
    }),
  ];
}

/** The oldest kernel that Bun supports. */
const KERNEL_LEAST = [5, 1] as const;

function checkKernel(around: Surroundings): Finding[] {
  const { files, platform, arch, release } = around;
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  const isOld = major < KERNEL_LEAST[0] || (major === KERNEL_LEAST[0] && minor < KERNEL_LEAST[1]);
  const found: Finding[] = [
    platform === "linux" && isOld
      ? warning("kernel", {
          text: `${platform} ${release}`,
          meaning: `The runtime supports Linux from ${KERNEL_LEAST.join(".")} on.`,
          mend: "a newer kernel: uname -r",
        })
      : note("kernel", `${platform} ${release}`),
  ];
  const flags = read(files, "/proc/cpuinfo");
  if (arch === "x64" && flags !== "" && !/\bavx2\b/.test(flags)) {
    found.push(
      warning("cpu", {
        text: "the processor has no AVX2",
        meaning:
          "Only an executable that was built with a baseline Bun runs here; others end with an illegal instruction.",
        mend: "grep -o avx2 /proc/cpuinfo | head -1; build with a baseline Bun",
      }),
    );
  }
  if (platform === "linux") found.push(checkIoUring(around));
  return found;
}

/** Connections are served by epoll. Only the disk tier reads through io_uring, and as well as it can without. */
function checkIoUring({ files, hasIoUring }: Surroundings): Finding {
  if (hasIoUring()) return fine("io_uring", "io_uring is available to the reads of the disk tier");
  const disabled = read(files, "/proc/sys/kernel/io_uring_disabled");
  const why = disabled === "" || disabled === "0" ? "" : ` (kernel.io_uring_disabled is ${disabled})`;
  return note("io_uring", `io_uring is not available${why}: threads read for the disk tier, all else needs none`);
}

const BACKLOG = 511;
/** The bit of net.ipv4.tcp_fastopen that lets servers have it. */
const FAST_OPEN_OF_SERVERS = 2;

function checkNetwork(config: Config, { files }: Surroundings): Finding[] {
  const found: Finding[] = [];
  const backlog = read(files, "/proc/sys/net/core/somaxconn");
  if (backlog !== "" && Number(backlog) < BACKLOG) {
    found.push(
      warning("somaxconn", {
        text: `net.core.somaxconn is ${backlog}`,
        meaning: "When many clients connect at once the kernel drops some of them, and each of those waits a second.",
        mend: `sudo sysctl net.core.somaxconn=${BACKLOG * 8}`,
      }),
    );
  } else if (backlog !== "") found.push(fine("somaxconn", `net.core.somaxconn is ${backlog}`));
  for (const name of ["tcp_fastopen", "tcp_syn_retries"]) {
    const value = read(files, `/proc/sys/net/ipv4/${name}`);
    const lacksServer = name === "tcp_fastopen" && (Number(value) & FAST_OPEN_OF_SERVERS) === 0;
    if (value !== "" && lacksServer && config.flag("server.tcp_fast_open")) {
      found.push(
        warning(name, {
          text: `server.tcp_fast_open is on, and net.ipv4.tcp_fastopen is ${value}`,
          meaning: "The kernel ignores the setting: no client saves the round trip.",
          mend: "sudo sysctl net.ipv4.tcp_fastopen=3",
        }),
      );
    } else if (value !== "") found.push(note(name, `net.ipv4.${name} is ${value}`));
  }
  return found;
}

/** Files of programs that keep the clock, while they run. */
const KEEPERS = { chronyd: "/run/chrony/chronyd.pid", ntpd: "/run/ntpd.pid", "ntpd (ntpsec)": "/run/ntpsec/ntpd.pid" };

function checkClock({ files }: Surroundings): Finding[] {
  const keeper = Object.entries(KEEPERS).find(([, path]) => statOrNull(files, path) !== null);
  if (keeper !== undefined) return [fine("clock", `the clock is kept by ${keeper[0]}`)];
  if (statOrNull(files, "/run/systemd/timesync/synchronized") !== null)
    return [fine("clock", "the clock is synchronized")];
  if (statOrNull(files, "/run/systemd/timesync") === null)
    return [note("clock", "no program that keeps the clock was found; expiry uses wall-clock time")];
  return [
    warning("clock", {
      text: "the clock is not synchronized",
      meaning: "Keys expire by wall-clock time: a clock that jumps makes them expire early or late.",
      mend: "timedatectl status; sudo timedatectl set-ntp true",
    }),
  ];
}
