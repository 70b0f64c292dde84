/**
 * Runs the blocks of a guide on a machine of their own, and prints what became of them as JSON (an array of Outcome).
 *
 *   unshare -r --mount --pid --net --fork --mount-proc --kill-child bun test/support/guide-sandbox.ts GUIDE.md FERRITE
 *
 * The machine has this one's programs. /etc is a copy; /var/lib, /var/log, /var/backups and /usr/local/bin are empty file systems in
 * memory; the network is a loopback interface without any other process's ports; no other process is visible. So a block
 * can say `pidof ferrite`, port 6379 and /etc/ferrite, and nothing of it reaches the machine outside.
 *
 * It has a user `ferrite` (another name of root), `sudo`, and for the service `ferrite` the words of systemctl and journalctl.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseServerArguments } from "../../src/cli/arguments.ts";
import { load } from "../../src/cli/configuration.ts";
import { type GuideBlock, guideBlocks, kernelSettings, missingLine, neededPrograms, type Outcome } from "./guide.ts";

const [, , guidePath, ferrite] = process.argv as [string, string, string, string];
const BLOCK_LIMIT_MS = 30_000;
const HOME = mkdtempSync(join(tmpdir(), "ferrite-guide-"));
const ENVIRONMENT = {
  PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
  HOME,
  TERM: "xterm",
  LC_ALL: "C.UTF-8",
  TMPDIR: HOME,
};

const SYSTEMCTL = `#!/bin/bash
# start, stop, restart, status of the service ferrite, as the unit that the packages install does them
start() {
  setsid ferrite --config /etc/ferrite/ferrite.toml >>/var/log/journal.ferrite 2>&1 </dev/null &
  for _ in $(seq 2000); do redis-cli PING 2>/dev/null | grep -q 'PONG\\|NOAUTH' && return 0; sleep 0.01; done
  return 1
}
stop() {
  local pid; pid=$(pidof ferrite) || return 0
  kill $pid
  for _ in $(seq 2000); do [ -e /proc/$pid ] || return 0; sleep 0.01; done
  return 1
}
case "$1" in
  start) start ;;
  stop) stop ;;
  restart) stop && start ;;
  status) if pid=$(pidof ferrite); then echo "Active: active (running)"; echo "Main PID: $pid (ferrite)"; else echo "Active: inactive (dead)"; exit 3; fi ;;
  daemon-reload | enable) ;;
  *) echo "systemctl: $* is not for this machine" >&2; exit 1 ;;
esac
`;
const PROGRAMS: Record<string, string> = {
  sudo: '#!/bin/bash\n[ "$1" = -u ] && shift 2\nexec "$@"\n',
  systemctl: SYSTEMCTL,
  journalctl: "#!/bin/bash\ncat /var/log/journal.ferrite\n",
};

function must(...command: string[]): void {
  const done = Bun.spawnSync(command, { stderr: "pipe" });
  if (done.exitCode !== 0) throw new Error(`${command.join(" ")}: ${done.stderr.toString()}`);
}

function makeMachine(): void {
  must("ip", "link", "set", "lo", "up");
  const etc = join(HOME, "etc");
  mkdirSync(etc);
  Bun.spawnSync(["cp", "-a", "/etc/.", etc], { stderr: "ignore" });
  writeFileSync(join(etc, "passwd"), `${readFileSync("/etc/passwd", "utf8")}ferrite:x:0:0::/var/lib/ferrite:/bin/sh\n`);
  writeFileSync(join(etc, "group"), `${readFileSync("/etc/group", "utf8")}ferrite:x:0:\n`);
  must("mount", "--bind", etc, "/etc");
  for (const place of ["/var/lib", "/var/log", "/var/backups", "/usr/local/bin"])
    must("mount", "-t", "tmpfs", "none", place);
  for (const name of ["ferrite", "ferrite-check-aof", "ferrite-check-rdb"])
    symlinkSync(ferrite, `/usr/local/bin/${name}`);
  for (const [name, text] of Object.entries(PROGRAMS)) {
    writeFileSync(`/usr/local/bin/${name}`, text);
    chmodSync(`/usr/local/bin/${name}`, 0o755);
  }
  for (const place of ["/etc/ferrite/certs", "/var/lib/ferrite", "/var/log/ferrite"])
    mkdirSync(place, { recursive: true });
  process.chdir(HOME);
}

/** Runs a script until it ends, or until its output has the expected lines when it is to be watched. */
async function runScript(block: GuideBlock): Promise<Outcome> {
  const { line, mode, text, expected } = block;
  const file = join(HOME, `block-${line}.out`);
  const log = openSync(file, "a");
  const child = Bun.spawn(["setsid", "bash", "-eu", "-c", text], {
    stdin: "ignore",
    stdout: log,
    stderr: log,
    env: ENVIRONMENT,
  });
  closeSync(log);
  const output = (): string => (existsSync(file) ? readFileSync(file, "utf8") : "");
  const stop = (): void => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      /* gone */
    }
  };
  const deadline = performance.now() + BLOCK_LIMIT_MS;
  let stopped = false;
  while (child.exitCode === null && child.signalCode === null) {
    if (performance.now() > deadline || (mode === "watch" && missingLine(expected, output()) === null)) {
      stopped = true;
      stop();
      await child.exited;
      break;
    }
    await Promise.race([child.exited, Bun.sleep(5)]);
  }
  if (mode === "watch") stop();
  return { line, rc: stopped ? null : child.exitCode, output: output() };
}

/** What `ferrite --test-config` would say to a part of a configuration, without a process for each. */
function testConfig({ line, text }: GuideBlock): Outcome {
  const path = join(HOME, `block-${line}.toml`);
  writeFileSync(path, text);
  try {
    const { warnings } = load(parseServerArguments(["--config", path, "--test-config"]));
    return { line, rc: warnings.length, output: warnings.join("\n") };
  } catch (thrown) {
    return { line, rc: 1, output: String(thrown) };
  }
}

/** Checks the syntax of a script, and that the kernel has the settings in it. */
function examineOnly(block: GuideBlock): Outcome {
  const done = Bun.spawnSync(["bash", "-n", "-c", block.text], { env: ENVIRONMENT });
  const absent = kernelSettings(block).filter((path) => !existsSync(`/proc/sys/${path}`));
  const output = done.stderr.toString() + absent.map((path) => `no /proc/sys/${path}`).join("\n");
  return { line: block.line, rc: done.exitCode === 0 && absent.length === 0 ? 0 : 1, output };
}

async function outcomeOf(block: GuideBlock): Promise<Outcome> {
  const { language, mode, text, line } = block;
  if (language === "toml" && mode.startsWith("file=")) {
    const path = mode.slice("file=".length);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return { line, rc: 0, output: "" };
  }
  if (language === "toml") return testConfig(block);
  if (mode === "system" || mode === "elsewhere") return examineOnly(block);
  const absent = neededPrograms(block).filter((name) => Bun.which(name, { PATH: ENVIRONMENT.PATH }) === null);
  if (absent.length > 0) return { ...examineOnly(block), output: `not installed: ${absent.join(", ")}` };
  return runScript(block);
}

makeMachine();
const outcomes: Outcome[] = [];
for (const block of guideBlocks(readFileSync(guidePath, "utf8")))
  if (block.language === "bash" || block.language === "toml") outcomes.push(await outcomeOf(block));
await Bun.write(Bun.stdout, JSON.stringify(outcomes));
process.chdir("/");
Bun.spawnSync(["umount", "/etc"]);
rmSync(HOME, { recursive: true, force: true });
process.exit(0);
