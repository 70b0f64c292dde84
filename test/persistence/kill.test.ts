/**
 * Goal:   what was acknowledged survives kill -9, whatever aof_fsync says: no write is lost, none is invented, and commands
 *         over several keys are whole.
 * Method: now and then the file is rewritten when the kill comes. Clients on two workers write numbers that only grow, each into keys of its own, and note what they sent and what
 *         was acknowledged. The process is killed at a random moment and started again on the same directory. Then each
 *         value lies between what was acknowledged and what was sent. The next round continues with the same data. Every
 *         tenth round the file is rewritten first: kills interrupt the rewrites, so a long run would load ever more.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { encodeCommand, type Reply, type RespClient } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

const ROUNDS = countFrom("FERRITE_KILL_ROUNDS", 12);
const CLIENTS = countFrom("FERRITE_KILL_CLIENTS", 8);
const DEPTH = 16;
/** Replies to the commands of one number. */
const REPLIES = 10;
const ROUNDS_PER_REWRITE = 10;
/** A script that declares its two keys, and one that does not. */
const DECLARED = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])";
const UNDECLARED = "redis.call('SET', 'above:' .. ARGV[1], ARGV[2]) return redis.call('INCR', 'below:' .. ARGV[1])";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ferrite-kill-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function text(reply: Reply): string {
  return reply.type === "bulk" ? reply.value : "";
}

/** A client that counts up: by SET, INCR, RPUSH, and in two keys each by MSET, a transaction and two scripts. */
class Writer {
  sent = 0;
  acknowledged = 0;

  constructor(readonly id: number) {}

  commands(n: number): string[][] {
    const { id } = this;
    const long = n % 50 === 0 ? "x".repeat(100_000) : "";
    return [
      ["SET", `set:${id}`, `${n} ${long}`],
      ["INCR", `incr:${id}`],
      ["RPUSH", `list:${id}`, String(n)],
      ["MSET", `first:${id}`, String(n), `second:${id}`, String(n)],
      ["MULTI"],
      ["SET", `left:${id}`, `${n} ${long}`],
      ["INCR", `right:${id}`],
      ["EXEC"],
      ["EVAL", DECLARED, "2", `up:${id}`, `down:${id}`, `${n} ${long}`],
      ["EVAL", UNDECLARED, "0", String(id), String(n)],
    ];
  }

  /** Writes until the connection breaks. */
  async write(client: RespClient): Promise<void> {
    try {
      for (;;) {
        const batch: string[][] = [];
        for (let i = 0; i < DEPTH; i++) batch.push(...this.commands(this.sent + 1 + i));
        const first = this.sent + 1;
        this.sent += DEPTH;
        client.write(Buffer.concat(batch.map((command) => encodeCommand(command))));
        for (let i = 0; i < DEPTH; i++) {
          for (let reply = 0; reply < REPLIES; reply++) {
            const got = await client.next();
            if (got.type === "error") throw new Error(got.value);
          }
          this.acknowledged = first + i;
        }
      }
    } catch (thrown) {
      if (!client.isClosed) throw thrown;
    }
  }

  /** Compares what is there with what was sent, and goes on from there. */
  async check(client: RespClient): Promise<void> {
    const { id } = this;
    const [set, incr, list, first, second, left, right, up, down, above, below] = await client.pipeline([
      ["GET", `set:${id}`],
      ["GET", `incr:${id}`],
      ["LRANGE", `list:${id}`, "0", "-1"],
      ["GET", `first:${id}`],
      ["GET", `second:${id}`],
      ["GET", `left:${id}`],
      ["GET", `right:${id}`],
      ["GET", `up:${id}`],
      ["GET", `down:${id}`],
      ["GET", `above:${id}`],
      ["GET", `below:${id}`],
    ]);
    const elements = list!.type === "array" ? list!.value.map((element) => Number(text(element))) : [];
    const values = [
      Number(text(set!).split(" ")[0]),
      Number(text(incr!)),
      elements.length,
      Number(text(first!)),
      Number(text(right!)),
      Number(text(down!)),
      Number(text(below!)),
    ];
    for (const value of values) {
      expect(value).toBeGreaterThanOrEqual(this.acknowledged);
      expect(value).toBeLessThanOrEqual(this.sent);
    }
    expect(elements).toEqual(Array.from({ length: elements.length }, (_, i) => i + 1));
    expect(text(second!)).toBe(text(first!));
    expect(text(left!).split(" ")[0]).toBe(text(right!));
    expect(text(up!).split(" ")[0]).toBe(text(down!));
    expect(text(above!)).toBe(text(below!));
    // A client's commands are executed in order, so what was lost is a suffix.
    expect(values).toEqual([...values].sort((a, b) => b - a));
    await this.level(client, values);
  }

  /** The commands that a kill cut a batch between: all keys get the same number again. */
  private async level(client: RespClient, values: readonly number[]): Promise<void> {
    const to = values[0]!;
    const commands: string[][] = [
      ["SET", `incr:${this.id}`, String(to)],
      ["MSET", `first:${this.id}`, String(to), `second:${this.id}`, String(to)],
      ["MSET", `left:${this.id}`, String(to), `right:${this.id}`, String(to)],
      ["MSET", `up:${this.id}`, String(to), `down:${this.id}`, String(to)],
      ["MSET", `above:${this.id}`, String(to), `below:${this.id}`, String(to)],
    ];
    for (let n = values[2]! + 1; n <= to; n++) commands.push(["RPUSH", `list:${this.id}`, String(n)]);
    await client.pipeline(commands);
    this.sent = this.acknowledged = to;
  }
}

function start(fsync: string, workers: number): Promise<Server> {
  const args = ["--set", "persistence.enable_aof=true", "--set", `persistence.aof_fsync=${fsync}`];
  return startFerrite({ dataDir: directory, workers, persistence: true, args });
}

/** Has the append-only file rewritten, and waits until it is. */
async function rewrite(client: RespClient): Promise<void> {
  await client.pipeline([["BGREWRITEAOF"]]);
  for (;;) {
    const [info] = await client.pipeline([["INFO", "persistence"]]);
    if (/aof_rewrite_in_progress:0/.test(text(info!)) && /aof_rewrite_scheduled:0/.test(text(info!))) return;
    await Bun.sleep(20);
  }
}

test(
  `${ROUNDS} kills under load`,
  async () => {
    const random = new SeededRandom(testSeed());
    console.log(`seed ${random.seed}`);
    const writers = Array.from({ length: CLIENTS }, (_, id) => new Writer(id));
    for (let round = 0; round < ROUNDS; round++) {
      const fsync = random.pick(["everysec", "everysec", "always", "no"]);
      const server = await start(fsync, random.between(1, 2));
      const checker = await server.connect();
      if (round > 0) for (const writer of writers) await writer.check(checker);
      if (round % ROUNDS_PER_REWRITE === ROUNDS_PER_REWRITE - 1) await rewrite(checker);
      const clients = await Promise.all(writers.map(() => server.connect()));
      const writing = writers.map((writer, i) => writer.write(clients[i]!));
      await Bun.sleep(random.between(50, 500));
      if (random.chance(0.5)) checker.write("BGREWRITEAOF\r\n");
      await Bun.sleep(random.between(1, 400));
      await server.kill();
      await Promise.all(writing);
    }
    const server = await start("everysec", 2);
    const checker = await server.connect();
    for (const writer of writers) await writer.check(checker);
    expect(writers.reduce((sum, writer) => sum + writer.sent, 0)).toBeGreaterThan(ROUNDS * 100);
    expect((await server.stop()).code).toBe(0);
  },
  ROUNDS * 15_000,
);
