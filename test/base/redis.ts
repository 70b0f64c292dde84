/**
 * Runs a real redis-server for comparison, on a Unix socket in a temporary folder. Fails when there is none, because a
 * comparison that is silently skipped would prove nothing.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type RedisReply = string | number | null | Error | RedisReply[];

export class Referee {
  private input = Buffer.alloc(0);
  private waiting: { count: number; replies: RedisReply[]; done: (replies: RedisReply[]) => void } | null = null;

  private constructor(
    private readonly child: ReturnType<typeof spawn>,
    private readonly folder: string,
    private socket: Bun.Socket | null,
  ) {}

  static async start(): Promise<Referee> {
    if (Bun.which("redis-server") === null) {
      throw new Error(
        "redis-server is not installed: `npm test` installs it (Debian, as root), or install Redis 7 yourself",
      );
    }
    const folder = mkdtempSync(join(tmpdir(), "ferrite-referee-"));
    const path = join(folder, "redis.sock");
    const options = [
      "--port",
      "0",
      "--unixsocket",
      path,
      "--save",
      "",
      "--appendonly",
      "no",
      "--dir",
      folder,
      "--enable-debug-command",
      "yes",
    ];
    const child = spawn("redis-server", options, { stdio: "ignore" });
    const referee = new Referee(child, folder, null);
    const socket = {
      data: (_socket: unknown, chunk: Buffer) => referee.receive(chunk),
      drain: () => referee.flush(),
    };
    for (let tries = 0; ; tries++) {
      if (tries > 500 || child.exitCode !== null) throw new Error("redis-server did not start");
      // The file is there a moment before the server listens.
      const connected = existsSync(path) ? await Bun.connect({ unix: path, socket }).catch(() => null) : null;
      if (connected !== null) {
        referee.socket = connected;
        return referee;
      }
      await Bun.sleep(10);
    }
  }

  /** Sends commands in one pipeline; texts are latin1, one byte per character. */
  async pipeline(commands: readonly (readonly (string | Uint8Array)[])[]): Promise<RedisReply[]> {
    const parts: Uint8Array[] = [];
    for (const command of commands) {
      parts.push(Buffer.from(`*${command.length}\r\n`));
      for (const argument of command) {
        const bytes = typeof argument === "string" ? Buffer.from(argument, "latin1") : argument;
        parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
      }
    }
    const replies = new Promise<RedisReply[]>((done) => {
      this.waiting = { count: commands.length, replies: [], done };
    });
    this.output = Buffer.concat(parts);
    this.flush();
    return replies;
  }

  async call(...command: (string | Uint8Array)[]): Promise<RedisReply> {
    return (await this.pipeline([command]))[0]!;
  }

  stop(): void {
    this.socket?.end();
    this.child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  private output: Uint8Array = new Uint8Array(0);

  private flush(): void {
    if (this.output.length === 0) return;
    const sent = this.socket!.write(this.output);
    this.output = this.output.subarray(Math.max(0, sent));
  }

  private receive(chunk: Uint8Array): void {
    this.input = Buffer.concat([this.input, chunk]);
    const waiting = this.waiting;
    if (waiting === null) return;
    while (waiting.replies.length < waiting.count) {
      const parsed = parse(this.input, 0);
      if (parsed === null) return;
      waiting.replies.push(parsed.reply);
      this.input = this.input.subarray(parsed.next);
    }
    this.waiting = null;
    waiting.done(waiting.replies);
  }
}

function parse(input: Buffer, at: number): { reply: RedisReply; next: number } | null {
  const lineEnd = input.indexOf("\r\n", at);
  if (lineEnd < 0) return null;
  const line = input.toString("latin1", at + 1, lineEnd);
  const next = lineEnd + 2;
  switch (String.fromCharCode(input[at]!)) {
    case "+":
      return { reply: line, next };
    case "-":
      return { reply: new Error(line), next };
    case ":":
      return { reply: Number(line), next };
    case "$": {
      const length = Number(line);
      if (length < 0) return { reply: null, next };
      if (input.length < next + length + 2) return null;
      return { reply: input.toString("latin1", next, next + length), next: next + length + 2 };
    }
    default: {
      const items: RedisReply[] = [];
      let position = next;
      for (let i = 0; i < Number(line); i++) {
        const item = parse(input, position);
        if (item === null) return null;
        items.push(item.reply);
        position = item.next;
      }
      return { reply: items, next: position };
    }
  }
}

/** The seed of this run: FERRITE_SEED, or a new one; printed so that a failure can be replayed. */
export function testSeed(): number {
  const seed = Number(process.env.FERRITE_SEED ?? Date.now() % 1_000_000_007);
  console.log(`seed ${seed} (FERRITE_SEED=${seed} replays it)`);
  return seed;
}

export const latin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");
