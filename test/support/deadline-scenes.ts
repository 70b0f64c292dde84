/** Tests of the common behaviour of HEXPIRE, SEXPIRE, ZEXPIRE and their families, for the describe block that calls this. */
import { expect, test } from "bun:test";
import { START_MS, type TestEngine } from "./engine.ts";

export interface DeadlineFamily {
  /** First letter of its commands, and the word before the members. */
  letter: "H" | "S" | "Z";
  token: "FIELDS" | "MEMBERS";
  /** An engine with a key "k" that has members m0, m1, m2 ...; as many as `members`. */
  setUp(): TestEngine;
  members: number;
  /** Command that counts them. */
  count: string;
}

const SECONDS = 1000;

export function deadlineScenes({ letter, token, setUp, members, count }: DeadlineFamily): void {
  /** A command of the family, named without its letter; its last arguments are members, and their number. */
  const speaker =
    (engine: TestEngine) =>
    (name: string, key: string, options: string[], ...names: string[]) =>
      engine.send(letter + name, key, ...options, token, String(names.length), ...names);

  test("are set, read and taken away", () => {
    const engine = setUp();
    const say = speaker(engine);
    expect(say("EXPIRE", "k", ["100"], "m0", "none")).toBe("*[:1, :-2]");
    expect(say("TTL", "k", [], "m0", "m1", "none")).toBe("*[:100, :-1, :-2]");
    expect(say("PTTL", "k", [], "m0")).toBe("*[:100000]");
    expect(say("EXPIRETIME", "k", [], "m0")).toBe(`*[:${START_MS / SECONDS + 100}]`);
    expect(engine.send(`${letter}PEXPIRETIME`, "k", token.toLowerCase(), 1, "m0")).toBe(`*[:${START_MS + 100_000}]`);
    expect(say("PEXPIRE", "k", ["1"], "m1")).toBe("*[:1]");
    expect(say("TTL", "k", [], "m1")).toBe("*[:1]");
    expect(say("EXPIREAT", "k", [String(START_MS / SECONDS + 7)], "m1")).toBe("*[:1]");
    expect(say("PEXPIREAT", "k", [String(START_MS + 7001), "LT"], "m1")).toBe("*[:0]");
    expect(say("TTL", "k", [], "m1")).toBe("*[:7]");
    expect(say("PERSIST", "k", [], "m0", "m2", "none")).toBe("*[:1, :-1, :-2]");
    expect(say("TTL", "k", [], "m0")).toBe("*[:-1]");
    expect(say("EXPIRE", "none", ["100"], "a", "b")).toBe("*[:-2, :-2]");
    expect(say("TTL", "none", [], "a")).toBe("*[:-2]");
    expect(say("PERSIST", "none", [], "a")).toBe("*[:-2]");
  });

  test("are set under conditions", () => {
    const engine = setUp();
    const say = speaker(engine);
    const expire = (time: string, condition: string) => say("EXPIRE", "k", [time, condition], "m0");
    expect(expire("100", "XX")).toBe("*[:0]");
    expect(expire("100", "GT")).toBe("*[:0]");
    expect(expire("100", "nx")).toBe("*[:1]");
    expect(expire("100", "NX")).toBe("*[:0]");
    expect(expire("100", "GT")).toBe("*[:0]");
    expect(expire("101", "gt")).toBe("*[:1]");
    expect(expire("101", "LT")).toBe("*[:0]");
    expect(expire("50", "LT")).toBe("*[:1]");
    expect(expire("60", "xx")).toBe("*[:1]");
    expect(say("EXPIRE", "k", ["60", "LT"], "m1")).toBe("*[:1]");
    // A failed condition counts before a time in the past.
    expect(expire("0", "NX")).toBe("*[:0]");
    expect(expire("0", "LT")).toBe("*[:2]");
    expect(say("TTL", "k", [], "m0")).toBe("*[:-2]");
    expect(engine.send(count, "k")).toBe(`:${members - 1}`);
  });
}
