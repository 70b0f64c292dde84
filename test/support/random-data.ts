/** Random data sets of all types, as commands: values on both sides of every limit at which an encoding changes. */
import { START_MS } from "./engine.ts";
import type { SeededRandom } from "./random.ts";

const INTEGERS = [
  "0",
  "-1",
  "12",
  "127",
  "128",
  "-129",
  "32767",
  "-32769",
  "8388608",
  "2147483648",
  "-9223372036854775808",
];
const SCORES = ["0", "-1", "1.5", "1e300", "-1e-300", "inf", "-inf", "3.0000000000000004", "4294967296"];

export class RandomData {
  private readonly commands: string[][] = [];

  constructor(private readonly random: SeededRandom) {}

  /** Commands that make about `keys` keys in a few databases. Deadlines lie far in the future. */
  make(keys: number): readonly string[][] {
    for (let i = 0; i < keys; i++) {
      if (i % 16 === 0) this.commands.push(["SELECT", String(this.random.pick([0, 0, 0, 3, 15]))]);
      const key = `${this.random.pick(["k", "key:", "\x00\xff", "a long name of a key with more than twenty bytes "])}${i}`;
      this.value(key);
      if (this.random.chance(0.3)) {
        this.commands.push(["PEXPIREAT", key, String(START_MS + 1e11 + this.random.below(1e9))]);
      }
    }
    return this.commands;
  }

  private value(key: string): void {
    const { random } = this;
    switch (random.below(6)) {
      case 0:
        return this.string(key);
      case 1:
        for (const part of this.texts()) this.commands.push([random.pick(["RPUSH", "LPUSH"]), key, ...part]);
        return;
      case 2:
        for (const part of random.chance(0.4) ? this.integers() : this.texts())
          this.commands.push(["SADD", key, ...part]);
        return;
      case 3:
        for (const part of this.texts())
          this.commands.push(["HSET", key, ...part.flatMap((field) => [field, this.text()])]);
        return;
      case 4:
        for (const part of this.texts())
          this.commands.push(["ZADD", key, ...part.flatMap((member) => [random.pick(SCORES), member])]);
        return;
      default:
        return this.stream(key);
    }
  }

  private string(key: string): void {
    const { random, commands } = this;
    const length = random.pick([0, 3, 20, 21, 44, 63, 64, 1000, 16_383, 16_384, 70_000, 200_000]);
    const unit = random.chance(0.5) ? "abcdefgh" : random.bytes(8);
    commands.push([
      "SET",
      key,
      random.chance(0.4) ? random.pick(INTEGERS) : unit.repeat(Math.ceil(length / 8)).slice(0, length),
    ]);
    if (random.chance(0.2)) commands.push(["APPEND", key, "more"]);
  }

  private stream(key: string): void {
    const { random, commands } = this;
    const entries = random.pick([1, 5, 90, 250]);
    for (let i = 1; i <= entries; i++) {
      const fields = random.chance(0.8) ? ["name", "age"] : [this.text(), "x"];
      commands.push([
        "XADD",
        key,
        `${1000 + i * 7}-${random.below(3)}`,
        ...fields.flatMap((field) => [field, this.text()]),
      ]);
    }
    if (random.chance(0.3)) commands.push(["XDEL", key, `${1000 + 7 * random.between(1, entries)}-0`]);
    for (const group of random.chance(0.5) ? ["g", "\x01 group"] : []) {
      commands.push(["XGROUP", "CREATE", key, group, random.pick(["0", "$", "1020"])]);
      for (const consumer of ["alice", "bob"]) {
        commands.push(["XGROUP", "CREATECONSUMER", key, group, consumer]);
        commands.push([
          "XREADGROUP",
          "GROUP",
          group,
          consumer,
          "COUNT",
          String(random.pick([1, 20])),
          "STREAMS",
          key,
          ">",
        ]);
      }
    }
  }

  /** Elements in commands of at most 100: few or many, short or long. */
  private texts(): string[][] {
    const count = this.random.pick([1, 2, 10, 127, 128, 129, 600]);
    return inParts(
      new Set(Array.from({ length: count }, (_, i) => (this.random.chance(0.9) ? `${this.text()}${i}` : this.text()))),
    );
  }
  private integers(): string[][] {
    const count = this.random.pick([1, 5, 512, 513]);
    const span = this.random.pick([100, 60_000, 2 ** 40]);
    return inParts(
      new Set(Array.from({ length: count }, () => String(this.random.below(span) - Math.floor(span / 2)))),
    );
  }
  private text(): string {
    const { random } = this;
    if (random.chance(0.3)) return random.pick(INTEGERS);
    return (
      random.bytes(random.pick([0, 1, 5, 12, 63, 64, 65])) +
      (random.chance(0.02) ? "x".repeat(random.pick([300, 5000, 70_000])) : "")
    );
  }
}

function inParts(all: ReadonlySet<string>): string[][] {
  const texts = [...all];
  const parts: string[][] = [];
  for (let at = 0; at < texts.length; at += 100) parts.push(texts.slice(at, at + 100));
  return parts;
}
