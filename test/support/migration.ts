/** For tests of `ferrite migrate`: runs of it, and a client that writes while the roles change. */
import { ask, type RespClient, show } from "./resp.ts";
import { ferriteCommand, type Server } from "./servers.ts";

export interface Outcome {
  readonly code: number;
  readonly text: string;
  readonly errors: string;
}

export interface Migration {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly ended: Promise<Outcome>;
}

/** Starts `ferrite migrate` with these arguments. */
export function startMigration(args: readonly string[], env: Record<string, string> = {}): Migration {
  const child = Bun.spawn([...ferriteCommand(), "migrate", ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "", ...env },
  });
  const ended = Promise.all([child.stdout.text(), child.stderr.text(), child.exited]).then(
    ([text, errors, code]): Outcome => ({ code, text, errors }),
  );
  return { child, ended };
}

export function migrate(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return startMigration(args, env).ended;
}

export function at(server: Server): string {
  return `127.0.0.1:${server.port}`;
}

/** The replies of a server that is no primary, or not any more: the client moves to the other one. */
const REFUSALS = /^-(READONLY|NOREPLICAS|UNBLOCKED)/;

/**
 * A client that increments counters and writes keys of its own, one after another, on the server that accepts writes. It knows what
 * was acknowledged.
 */
export class Writer {
  /** Value of each counter as acknowledged. */
  readonly counters = new Map<string, number>();
  readonly written = new Map<string, string>();
  private isStopped = false;
  private working: Promise<void> = Promise.resolve();
  private current = 0;

  constructor(
    private readonly clients: readonly RespClient[],
    private readonly counterCount = 20,
  ) {}

  start(): void {
    this.working = this.work();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.working;
  }

  private async work(): Promise<void> {
    for (let i = 0; !this.isStopped; i++) {
      const counter = `counter:${i % this.counterCount}`;
      const value = await this.write("INCR", counter);
      this.counters.set(counter, (this.counters.get(counter) ?? 0) + 1);
      // An increment that was lost, or executed twice, shows at once.
      if (value !== `:${this.counters.get(counter)}`)
        throw new Error(`${counter} is ${value}, not ${this.counters.get(counter)}`);
      await this.write("SET", `key:${i}`, String(i));
      this.written.set(`key:${i}`, String(i));
      await Bun.sleep(1);
    }
  }

  /** The acknowledged keys that a server does not have as they were written. */
  async missing(client: RespClient): Promise<string[]> {
    const keys = [...this.written];
    const replies = await client.pipeline(keys.map(([key]) => ["GET", key]));
    return keys.flatMap(([key, value], at) => {
      const found = show(replies[at]!);
      return found === `"${value}"` ? [] : [`${key}: ${found}`];
    });
  }

  /** Writes on the server that accepts it. A refused command was not executed. */
  private async write(...words: string[]): Promise<string> {
    for (;;) {
      const reply = await ask(this.clients[this.current]!, ...words);
      if (!REFUSALS.test(reply)) return reply;
      this.current = (this.current + 1) % this.clients.length;
      await Bun.sleep(1);
    }
  }
}
