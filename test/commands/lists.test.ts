/**
 * Goal:   the list commands reply as redis-server's do, with all their options.
 * Method: seeded list commands, right, nearly right and wrong, on a few keys, to an engine in process and to redis-server.
 *         Some keys get elements near the limits of the listpack, so that encodings change often.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ListEncoding } from "../../src/store/list-value.ts";
import { testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { show } from "../support/resp.ts";
import { requireRedis, type Server, startRedis } from "../support/servers.ts";

const START_MS = 60_000;
const KEYS = ["a", "b", "c", "string"];
const INTEGERS = ["0", "1", "-1", "2", "-2", "5", "-7", "100", "-100", "9223372036854775807", "-9223372036854775808"];
const NEAR_INTEGERS = ["9223372036854775808", "x", "", "1.0", " 1", "01", "-0"];

class Stream {
  constructor(private readonly random: SeededRandom) {}

  private key(): string {
    return this.random.chance(0.03) ? "string" : this.random.pick(KEYS.slice(0, 3));
  }
  private element(): string {
    const { random } = this;
    switch (random.below(12)) {
      case 0:
        return random.pick(INTEGERS);
      case 1:
        return random.pick(NEAR_INTEGERS);
      case 2:
        return "x".repeat(random.below(80));
      case 3:
        return random.chance(0.05) ? "long".repeat(random.below(3000)) : String(random.below(100_000) - 50_000);
      default:
        return random.chance(0.5) ? String(random.below(20)) : `e${random.below(8)}`;
    }
  }
  private index(): string {
    const { random } = this;
    if (random.chance(0.04)) return random.pick(NEAR_INTEGERS);
    return random.chance(0.1) ? random.pick(INTEGERS) : String(random.below(24) - 12);
  }
  private end(): string {
    return this.random.pick(["LEFT", "RIGHT", "left", "Right", "LEFT", "RIGHT", "UP"]);
  }
  private some(make: () => string, most: number): string[] {
    return Array.from({ length: 1 + this.random.below(most) }, make);
  }

  next(): string[] {
    const { random } = this;
    const args = this.command();
    const die = random.below(50);
    if (die === 0) args.push(random.pick(["", "1", "COUNT", "x"]));
    if (die === 1) args.pop();
    return args;
  }

  private command(): string[] {
    const { random } = this;
    const key = () => this.key();
    const element = () => this.element();
    const index = () => this.index();
    switch (random.below(26)) {
      case 0:
      case 1:
      case 2:
        return ["LPUSH", key(), ...this.some(element, random.chance(0.05) ? 200 : 5)];
      case 3:
      case 4:
      case 5:
        return ["RPUSH", key(), ...this.some(element, random.chance(0.05) ? 900 : 5)];
      case 6:
        return [random.pick(["LPUSHX", "RPUSHX"]), key(), ...this.some(element, 3)];
      case 7:
      case 8:
        return [random.pick(["LPOP", "RPOP"]), key()];
      case 9:
        return [random.pick(["LPOP", "RPOP"]), key(), index()];
      case 10:
        return ["LLEN", key()];
      case 11:
      case 12:
        return ["LINDEX", key(), index()];
      case 13:
        return ["LSET", key(), index(), element()];
      case 14:
      case 15:
        return ["LRANGE", key(), index(), index()];
      case 16:
        return random.chance(0.3)
          ? ["LTRIM", key(), index(), index()]
          : ["LTRIM", key(), String(random.below(3)), String(-1 - random.below(3))];
      case 17:
        return ["LREM", key(), index(), element()];
      case 18:
        return ["LINSERT", key(), random.pick(["BEFORE", "AFTER", "after", "x"]), element(), element()];
      case 19:
      case 20: {
        const args = ["LPOS", key(), element()];
        for (const option of ["RANK", "COUNT", "MAXLEN"]) {
          // 7.0 accepts the smallest integer as a rank; 7.2 and later do not.
          const value = index();
          if (random.chance(0.4) && value !== INTEGERS.at(-1)) args.push(random.chance(0.03) ? "NONE" : option, value);
        }
        return args;
      }
      case 21:
        return ["LMOVE", key(), key(), this.end(), this.end()];
      case 22:
        return ["RPOPLPUSH", key(), key()];
      case 23: {
        const keys = this.some(key, 3);
        const count = random.chance(0.1) ? index() : String(keys.length);
        const args = ["LMPOP", count, ...keys, this.end()];
        if (random.chance(0.5)) args.push(random.chance(0.05) ? "NONE" : "COUNT", index());
        return args;
      }
      case 24:
        return random.chance(0.3) ? ["DEL", key()] : ["EXISTS", key()];
      default:
        return random.chance(0.2) ? ["SET", "string", "s"] : ["TYPE", key()];
    }
  }
}

if (requireRedis()) {
  describe("the same list commands to Ferrite and redis-server", () => {
    let redis: Server;
    beforeAll(async () => {
      redis = await startRedis();
    }, START_MS);
    afterAll(async () => {
      await redis.stop();
    }, START_MS);

    test.each([2, 3])(
      "RESP%d",
      async (protocol) => {
        const seed = testSeed() + protocol;
        const stream = new Stream(new SeededRandom(seed));
        const engine = testEngine();
        engine.checksEach = false;
        const client = await redis.connect();
        await client.command("FLUSHALL");
        const sent: string[][] = [["HELLO", String(protocol)]];
        await client.command("HELLO", protocol);
        engine.send("HELLO", protocol);
        for (let batch = 0; batch < 60; batch++) {
          const commands = Array.from({ length: 100 }, () => stream.next());
          const replies = (await client.pipeline(commands)).map(show);
          commands.forEach((args, i) => {
            sent.push(args);
            const own = engine.client.reply(...args);
            if (show(own) === replies[i]) return;
            const history = sent.slice(-6).map((each) => each.join(" ").slice(0, 200));
            throw new Error(
              `FERRITE_SEED=${seed - protocol}\n${history.join("\n")}\nredis ${replies[i]!.slice(0, 400)}\nferrite ${show(own).slice(0, 400)}`,
            );
          });
          engine.checkNow();
        }
        client.close();
        expect(sent.length).toBeGreaterThan(6000);
      },
      START_MS,
    );
  });
}

describe("lists", () => {
  test("change their encoding as those of Redis 7.2", () => {
    const engine = testEngine();
    const encoding = () => {
      engine.send("LLEN", "l");
      const list = engine.engine.dispatcher["call"].collections.list();
      return list.encoding;
    };
    engine.config.apply([{ name: "storage.list_max_listpack_size", value: 4, previous: 0 }]);
    engine.send("RPUSH", "l", "1", "2", "3", "4");
    expect(encoding()).toBe(ListEncoding.Listpack);
    engine.send("RPUSH", "l", "5");
    expect(encoding()).toBe(ListEncoding.Quicklist);
    engine.send("LPOP", "l", "2");
    expect(encoding()).toBe(ListEncoding.Quicklist);
    engine.send("LPOP", "l");
    expect(encoding()).toBe(ListEncoding.Listpack);
    engine.config.apply([{ name: "storage.list_max_listpack_size", value: -1, previous: 0 }]);
    engine.send("DEL", "l");
    engine.send("RPUSH", "l", "x".repeat(4084));
    expect(encoding()).toBe(ListEncoding.Listpack);
    engine.send("RPUSH", "l", "xxxx");
    expect(encoding()).toBe(ListEncoding.Quicklist);
    engine.send("LSET", "l", "0", "y");
    expect(encoding()).toBe(ListEncoding.Listpack);
    // Long lists of integers: a listpack takes 3 bytes for each, but Redis counts the bytes of the argument's text.
    engine.send("DEL", "l");
    for (let i = 0; i < 1363; i++) engine.send("RPUSH", "l", "200");
    expect(encoding()).toBe(ListEncoding.Listpack);
    engine.send("RPUSH", "l", "200");
    engine.send("RPUSH", "l", "200");
    expect(encoding()).toBe(ListEncoding.Quicklist);
  });
});
