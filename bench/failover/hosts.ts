/**
 * Hosts for a bench of failures: network namespaces on one bridge, each with a small disk of its own (tmpfs). Needs root.
 *
 *   this namespace ── bridge, .254 ──┬── veth ── host 1, .1, directory 1
 *                                    ├── veth ── host 2, .2, directory 2
 *                                    └── ...
 *
 * Cutting a host off sets its end of the cable at the bridge down: no packet comes or goes, and nobody hears of a reset.
 */
import { mkdirSync, mkdtempSync, rmSync, statfsSync, unlinkSync } from "node:fs";
import { openSync, closeSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PIECE = Buffer.alloc(64 << 10, 1);
const FILLER = "filler";

function run(...command: string[]): void {
  const done = Bun.spawnSync(command, { stdout: "ignore", stderr: "pipe" });
  if (done.exitCode !== 0) throw new Error(`${command.join(" ")}: ${done.stderr.toString().trim()}`);
}

export class Host {
  /** Starts a program on this host; it replaces itself by the program, so its process id is the program's. */
  readonly wrapper: readonly string[];

  constructor(
    readonly address: string,
    readonly directory: string,
    private readonly cable: string,
    space: string,
  ) {
    this.wrapper = ["ip", "netns", "exec", space, "setpriv", "--pdeathsig", "KILL", "--"];
  }

  cutOff(): void {
    run("ip", "link", "set", this.cable, "down");
  }
  reconnect(): void {
    run("ip", "link", "set", this.cable, "up");
  }

  /** Fills its disk to the last byte. */
  fillDisk(): void {
    const file = openSync(join(this.directory, FILLER), "w");
    for (let bytes = PIECE.length; bytes > 0; )
      try {
        if (writeSync(file, PIECE, 0, bytes) < bytes) bytes >>= 1;
      } catch {
        bytes >>= 1;
      }
    closeSync(file);
  }
  emptyDisk(): void {
    unlinkSync(join(this.directory, FILLER));
  }
  /** Bytes in use on its disk. */
  get diskBytes(): number {
    const { blocks, bfree, bsize } = statfsSync(this.directory);
    return (blocks - bfree) * bsize;
  }
}

export class Network {
  readonly hosts: Host[] = [];
  private readonly name = `ff${process.pid % 100_000}`;
  private readonly directory = mkdtempSync(join(tmpdir(), "ferrite-failovers-"));
  private readonly spaces: string[] = [];
  private readonly mounts: string[] = [];

  constructor(count: number, diskBytes: number) {
    const network = `10.213.${process.pid % 250}`;
    run("ip", "link", "add", this.name, "type", "bridge");
    run("ip", "addr", "add", `${network}.254/24`, "dev", this.name);
    run("ip", "link", "set", this.name, "up");
    for (let n = 1; n <= count; n++) this.hosts.push(this.addHost(n, `${network}.${n}`, diskBytes));
  }

  private addHost(n: number, address: string, diskBytes: number): Host {
    const space = `${this.name}-${n}`;
    const cable = `${this.name}v${n}`;
    const directory = join(this.directory, `host-${n}`);
    mkdirSync(directory);
    run("mount", "-t", "tmpfs", "-o", `size=${diskBytes}`, "tmpfs", directory);
    this.mounts.push(directory);
    run("ip", "netns", "add", space);
    this.spaces.push(space);
    run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space);
    run("ip", "link", "set", cable, "master", this.name, "up");
    run("ip", "-n", space, "addr", "add", `${address}/24`, "dev", "eth0");
    run("ip", "-n", space, "link", "set", "lo", "up");
    run("ip", "-n", space, "link", "set", "eth0", "up");
    return new Host(address, directory, cable, space);
  }

  /** After the programs on the hosts have ended. */
  remove(): void {
    for (const space of this.spaces) Bun.spawnSync(["ip", "netns", "del", space]);
    Bun.spawnSync(["ip", "link", "del", this.name]);
    for (const directory of this.mounts) Bun.spawnSync(["umount", "-l", directory]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
