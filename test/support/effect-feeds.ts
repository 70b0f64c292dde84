/**
 * The effects that Ferrite and redis-server write into their append-only files for the same commands. Both run with
 * appendfsync always, so an effect is in the file when its command gets its reply.
 *
 * An effect is shown as text, one command a line: "SET key value PXAT 1700000000000". SELECT is left out where it leads to
 * the database of the command before; MULTI and EXEC are shown.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Argument, encodeCommand, type Reply, ReplyParser, type RespClient, show } from "./resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "./servers.ts";

/** Two times are the same when they are no further apart: the commands ran one after the other, ms. */
const TIME_TOLERANCE_MS = 5000;

/** A line of a file that is no effect, behind one. */
const MARK = /\r\n#[A-Z]+:/;

export class Feed {
  private readonly clients: RespClient[] = [];
  private offset = 0;
  private db = "0";

  constructor(
    readonly server: Server,
    private readonly path: () => string,
  ) {}

  async client(n: number): Promise<RespClient> {
    this.clients[n] ??= await this.server.connect();
    return this.clients[n];
  }

  /** The effects since the last call. */
  take(): string[] {
    const bytes = readFileSync(this.path());
    const parser = new ReplyParser();
    let at = this.offset;
    const effects: string[] = [];
    while (at < bytes.length) {
      if (bytes[at] === 35) {
        at = bytes.indexOf(10, at) + 1;
        continue;
      }
      const next = MARK.exec(bytes.toString("latin1", at));
      const end = next === null ? bytes.length : at + next.index + 2;
      parser.push(bytes.subarray(at, end));
      at = end;
    }
    this.offset = at;
    for (let reply = parser.take(); reply !== null; reply = parser.take()) {
      const words = wordsOf(reply);
      if (words[0]!.toUpperCase() === "SELECT") {
        if (words[1] !== this.db) effects.push(`SELECT ${words[1]}`);
        this.db = words[1]!;
        continue;
      }
      effects.push([words[0]!.toUpperCase(), ...words.slice(1)].join(" "));
    }
    return effects;
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client?.close();
    await this.server.stop();
  }
}

function wordsOf(reply: Reply): string[] {
  if (reply.type !== "array") throw new Error("an effect is an array");
  return reply.value.map((word) => (word.type === "bulk" ? word.value : show(word)));
}

/** Ferrite, with an append-only file that is never behind. */
export async function startFerriteFeed(settings: Record<string, string> = {}): Promise<Feed> {
  const ferrite = await startFerrite({
    persistence: true,
    workers: 2,
    settings,
    args: ["--set", "persistence.enable_aof=true", "--set", "persistence.aof_fsync=always"],
  });
  return new Feed(ferrite, () => join(ferrite.dataDir, "appendonly.aof"));
}

/** The effects of one command in both servers. */
export interface BothEffects {
  readonly redis: string[];
  readonly ferrite: string[];
  readonly redisReply: string;
  readonly ferriteReply: string;
}

export class EffectFeeds {
  private constructor(
    readonly redis: Feed,
    readonly ferrite: Feed,
  ) {}

  static async start(settings: Record<string, string> = {}): Promise<EffectFeeds> {
    const args = ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes"];
    const redis = await startRedis({ args, settings });
    const redisPath = (): string => {
      const folder = join(redis.dataDir, "appendonlydir");
      return join(folder, readdirSync(folder).find((name) => name.endsWith(".incr.aof"))!);
    };
    return new EffectFeeds(new Feed(redis, redisPath), await startFerriteFeed(settings));
  }

  /** Sends a command to both, as client 0, and waits for the answers. */
  async run(...args: Argument[]): Promise<BothEffects> {
    const replies: string[] = [];
    for (const feed of [this.redis, this.ferrite]) {
      replies.push(show(await (await feed.client(0)).command(...args)));
    }
    return {
      redis: this.redis.take(),
      ferrite: this.ferrite.take(),
      redisReply: replies[0]!,
      ferriteReply: replies[1]!,
    };
  }

  /** Sends a command to both as client `n`, which then blocks. The answer is left to be read. */
  async block(n: number, ...args: Argument[]): Promise<void> {
    for (const feed of [this.redis, this.ferrite]) {
      const client = await feed.client(n);
      const id = show(await client.command("CLIENT", "ID")).slice(1);
      client.write(encodeCommand(args));
      for (let tries = 0; !(await isBlocked(await feed.client(0), id)); tries++) {
        if (tries === 500) throw new Error(`client ${n} is not blocked`);
        await Bun.sleep(2);
      }
    }
  }

  async stop(): Promise<void> {
    await this.redis.stop();
    await this.ferrite.stop();
  }
}

async function isBlocked(client: RespClient, id: string): Promise<boolean> {
  return show(await client.command("CLIENT", "LIST", "ID", id)).includes("flags=b");
}

/** True when two effects are the same, but for times that differ by what the commands were apart. */
export function sameEffect(a: string, b: string): boolean {
  const left = a.split(" ");
  const right = b.split(" ");
  return left.length === right.length && left.every((word, i) => word === right[i] || sameTime(word, right[i]!));
}

function sameTime(a: string, b: string): boolean {
  if (!/^\d{13}/.test(a) || !/^\d{13}/.test(b) || a.slice(13) !== b.slice(13)) return false;
  return Math.abs(Number(a.slice(0, 13)) - Number(b.slice(0, 13))) <= TIME_TOLERANCE_MS;
}

/** What differs between the effects of one command; "" = nothing. */
export function differences(command: string, effects: BothEffects): string {
  const { redis, ferrite } = effects;
  const isSame = redis.length === ferrite.length && redis.every((effect, i) => sameEffect(effect, ferrite[i]!));
  if (isSame) return "";
  const lines = (all: string[]): string => all.map((effect) => `\n    ${effect}`).join("");
  return `${command}\n  redis ${effects.redisReply}:${lines(redis)}\n  ferrite ${effects.ferriteReply}:${lines(ferrite)}`;
}

/** The words of a command in a script. A byte may be written as \\x and two hexadecimal digits. */
function wordsOfLine(line: string): string[] {
  return line
    .split(" ")
    .map((word) => word.replace(/\\x([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))));
}

/** The lines of a script, without empty ones and comments. "sleep ms" is done here. */
async function* linesOf(script: string): AsyncGenerator<string> {
  for (const line of script.split("\n").map((text) => text.trim())) {
    if (line === "" || line.startsWith("//")) continue;
    if (line.startsWith("sleep ")) await Bun.sleep(Number(line.slice(6)));
    else yield line;
  }
}

/** Runs commands in both servers, a command a line, and returns what differs in their effects. */
export async function compareEffects(feeds: EffectFeeds, script: string): Promise<string[]> {
  const found: string[] = [];
  for await (const line of linesOf(script)) {
    const difference = differences(line, await feeds.run(...wordsOfLine(line)));
    if (difference !== "") found.push(difference);
  }
  return found;
}

/**
 * Runs commands that redis-server does not know in Ferrite, and returns what differs from the effects that the script gives:
 *
 *   > HEXPIRE key 100 FIELDS 1 field
 *   HPEXPIREAT key @100 FIELDS 1 field        "@100" is the time in 100 seconds, ms
 */
export async function checkEffects(feeds: EffectFeeds, script: string): Promise<string[]> {
  const found: string[] = [];
  let command = "";
  let expected: string[] = [];
  let actual: string[] = [];
  let reply = "";
  const compare = (): void => {
    const difference = differences(command, { redis: expected, ferrite: actual, redisReply: "", ferriteReply: reply });
    if (difference !== "") found.push(difference.replace("\n  redis :", "\n  expected:"));
    expected = [];
  };
  for await (const line of linesOf(script)) {
    if (!line.startsWith("> ")) {
      expected.push(line.replace(/@(\d+)/g, (_, seconds) => String(Date.now() + Number(seconds) * 1000)));
      continue;
    }
    compare();
    command = line.slice(2);
    const client = await feeds.ferrite.client(0);
    reply = show(await client.command(...wordsOfLine(command)));
    actual = feeds.ferrite.take();
  }
  compare();
  return found;
}

/**
 * Starts both servers for the tests of a file. `same` compares the two, `ours` Ferrite with what the script says; `both` is
 * null without redis-server.
 */
export function useEffectFeeds(settings: Record<string, string> = {}): {
  same(script: string): Promise<void>;
  ours(script: string): Promise<void>;
  both(): EffectFeeds | null;
} {
  let feeds: EffectFeeds | null = null;
  beforeAll(async () => {
    if (requireRedis()) feeds = await EffectFeeds.start(settings);
  }, 60_000);
  afterAll(async () => feeds?.stop());
  return {
    same: async (script) => {
      if (feeds !== null) expect(await compareEffects(feeds, script)).toEqual([]);
    },
    ours: async (script) => {
      if (feeds !== null) expect(await checkEffects(feeds, script)).toEqual([]);
    },
    both: () => feeds,
  };
}
