/** A server of bench/tier.ts: its settings, its figures, and its memory as it was at most. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ask } from "../../test/support/resp.ts";
import { type Server, startFerrite } from "../../test/support/servers.ts";
import { processCpuUs } from "../machine.ts";

const MIB = 2 ** 20;
/** Above the other processes of the machine, if that is allowed. */
const FIRST = process.getuid?.() === 0 ? ["nice", "-n", "-10"] : [];
const LIFETIME_MS = 3 * 3_600_000;

export interface Memory {
  /** RssAnon + RssShmem. */
  ownBytes: number;
  allBytes: number;
}

export class BenchServer {
  peak: Memory = { ownBytes: 0, allBytes: 0 };
  private readonly timer: ReturnType<typeof setInterval>;

  private constructor(readonly server: Server) {
    this.timer = setInterval(() => this.look(), 50);
  }

  static async start(
    dataDir: string,
    port: number,
    workers: number,
    settings: Record<string, string>,
    wrapper: readonly string[],
  ): Promise<BenchServer> {
    const server = await startFerrite({
      port,
      dataDir,
      workers,
      settings,
      wrapper: [...wrapper, ...FIRST],
      lifetimeMs: LIFETIME_MS,
    });
    return new BenchServer(server);
  }

  get segments(): string {
    return join(this.server.dataDir, "segments");
  }
  get cpuUs(): number {
    return processCpuUs(this.server.pid);
  }

  private look(): void {
    if (this.server.hasExited) return clearInterval(this.timer);
    const { ownBytes, allBytes } = this.memory();
    this.peak.ownBytes = Math.max(this.peak.ownBytes, ownBytes);
    this.peak.allBytes = Math.max(this.peak.allBytes, allBytes);
  }
  memory(): Memory {
    const status = readFileSync(`/proc/${this.server.pid}/status`, "latin1");
    const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
    return { ownBytes: bytes("RssAnon") + bytes("RssShmem"), allBytes: bytes("VmRSS") };
  }
  /** The highest since the last call. */
  takePeak(): Memory {
    this.look();
    const { peak } = this;
    this.peak = { ownBytes: 0, allBytes: 0 };
    return peak;
  }

  async commands(...commands: string[][]): Promise<string[]> {
    const client = await this.server.connect();
    const replies: string[] = [];
    for (const command of commands) replies.push(await ask(client, ...command));
    client.close();
    return replies;
  }
  async figures(section: string): Promise<(name: string) => number> {
    const [text] = await this.commands(["INFO", section]);
    return (name) => Number(new RegExp(`${name}:([0-9.]+)`).exec(text!)?.[1] ?? Number.NaN);
  }

  /** Those of the `keys` whose values are on disk. */
  async coldOf(keys: readonly number[]): Promise<number[]> {
    const client = await this.server.connect();
    const cold: number[] = [];
    for (let from = 0; from < keys.length; from += 1000) {
      const part = keys.slice(from, from + 1000);
      const replies = await client.pipeline(part.map((key) => ["OBJECT", "TIER", keyName(key)]));
      part.forEach((key, i) => {
        const reply = replies[i]!;
        if (reply.type === "bulk" && String(reply.value) === "disk") cold.push(key);
      });
    }
    client.close();
    return cold;
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.server.stop();
  }
}

export function keyName(key: number): string {
  return `big:${String(key).padStart(12, "0")}`;
}
export function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(0)} MiB`;
}
