/**
 * Goal:   XREADGROUP with CLAIM (Redis 8.4, which the installed server does not know) behaves as its documentation says.
 * Method: examples on an engine with a held clock. Then random commands with and without CLAIM, whose replies must agree with
 *         XPENDING before, while the checkers verify the index of times.
 */
import { describe, expect, test } from "bun:test";
import { type TestEngine, testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type Reply, show } from "../support/resp.ts";

function withEntries(count: number): TestEngine {
  const engine = testEngine();
  for (let i = 1; i <= count; i++) engine.send("XADD", "s", `${i}-0`, "f", `v${i}`);
  engine.send("XGROUP", "CREATE", "s", "g", "0");
  return engine;
}
function read(engine: TestEngine, consumer: string, ...options: string[]): string {
  return engine.send("XREADGROUP", "GROUP", "g", consumer, ...options, "STREAMS", "s", ">");
}
const entry = (i: number, idle: number, deliveries: number) => `*["${i}-0", *["f", "v${i}"], :${idle}, :${deliveries}]`;
const entries = (...all: string[]) => `*[*["s", *[${all.join(", ")}]]]`;

describe("XREADGROUP with CLAIM", () => {
  test("idle entries come first, then new ones, up to COUNT in all", () => {
    const engine = withEntries(5);
    read(engine, "c1", "COUNT", "1");
    engine.advance(30);
    read(engine, "c1", "COUNT", "2");
    engine.advance(70);
    expect(read(engine, "c2", "CLAIM", "101", "COUNT", "1")).toBe(entries(entry(4, 0, 0)));
    expect(read(engine, "c2", "COUNT", "1", "claim", "100")).toBe(entries(entry(1, 100, 1)));
    expect(read(engine, "c2", "CLAIM", "70", "COUNT", "3")).toBe(
      entries(entry(2, 70, 1), entry(3, 70, 1), entry(5, 0, 0)),
    );
    expect(read(engine, "c2", "CLAIM", "1")).toBe("null*");
    expect(engine.send("XPENDING", "s", "g", "-", "+", "9")).toBe(
      '*[*["1-0", "c2", :0, :2], *["2-0", "c2", :0, :2], *["3-0", "c2", :0, :2], *["4-0", "c2", :0, :1], *["5-0", "c2", :0, :1]]',
    );
    engine.advance(10);
    // The longest idle entry comes first, also one of its own, whatever its ID.
    engine.send("XCLAIM", "s", "g", "c1", "0", "4-0", "IDLE", "500", "JUSTID");
    expect(read(engine, "c2", "CLAIM", "10", "COUNT", "2")).toBe(entries(entry(4, 500, 1), entry(1, 10, 2)));
    expect(engine.send("XINFO", "CONSUMERS", "s", "g")).toBe(
      '*[*["name", "c1", "pending", :0, "idle", :0, "inactive", :0], *["name", "c2", "pending", :5, "idle", :0, "inactive", :0]]',
    );
  });

  test("NOACK applies to new entries; CLAIM has no effect with IDs other than >; 0 claims all", () => {
    const engine = withEntries(3);
    read(engine, "c1", "COUNT", "1");
    expect(read(engine, "c2", "CLAIM", "0", "NOACK", "COUNT", "2")).toBe(entries(entry(1, 0, 1), entry(2, 0, 0)));
    expect(engine.send("XPENDING", "s", "g")).toBe('*[:1, "1-0", "1-0", *[*["c2", "1"]]]');
    expect(engine.send("XREADGROUP", "GROUP", "g", "c2", "CLAIM", "0", "STREAMS", "s", "0")).toBe(
      '*[*["s", *[*["1-0", *["f", "v1"]]]]]',
    );
    // The same stream named twice: the second claims the entry that the first has just delivered.
    expect(engine.send("XREADGROUP", "GROUP", "g", "c3", "CLAIM", "0", "STREAMS", "s", "s", ">", ">")).toBe(
      `*[*["s", *[${entry(1, 0, 3)}, ${entry(3, 0, 0)}]], *["s", *[${entry(1, 0, 4)}, ${entry(3, 0, 1)}]]]`,
    );
    engine.advance(5);
    expect(
      engine.send(
        "XREADGROUP",
        "GROUP",
        "g",
        "c3",
        "CLAIM",
        "1",
        "COUNT",
        "1",
        "STREAMS",
        "s",
        "s",
        "s",
        ">",
        ">",
        ">",
      ),
    ).toBe(`*[*["s", *[${entry(1, 5, 5)}]], *["s", *[${entry(3, 5, 2)}]]]`);
    engine.send("XGROUP", "SETID", "s", "g", "0");
    engine.advance(5);
    expect(read(engine, "c1", "CLAIM", "5", "COUNT", "3")).toBe(
      entries(entry(1, 5, 6), entry(3, 5, 3), entry(1, 0, 0)),
    );
    expect(engine.send("HELLO", "3")).toContain("proto");
    expect(engine.send("XREADGROUP", "GROUP", "g", "c1", "CLAIM", "0", "COUNT", "1", "STREAMS", "s", ">")).toBe(
      `%{"s" => *[${entry(1, 0, 1)}]}`,
    );
  });

  test("an entry that was deleted from the stream is not claimed, and stays pending", () => {
    const engine = withEntries(3);
    read(engine, "c1");
    engine.send("XDEL", "s", "2-0");
    expect(read(engine, "c2", "CLAIM", "0")).toBe(entries(entry(1, 0, 1), entry(3, 0, 1)));
    engine.send("XTRIM", "s", "MAXLEN", "0");
    expect(read(engine, "c2", "CLAIM", "0")).toBe("null*");
    expect(engine.send("XPENDING", "s", "g")).toBe('*[:3, "1-0", "3-0", *[*["c1", "1"], *["c2", "2"]]]');
    expect(engine.send("XGROUP", "DELCONSUMER", "s", "g", "c2")).toBe(":2");
    expect(engine.send("XACK", "s", "g", "2-0")).toBe(":1");
    expect(engine.send("COPY", "s", "t")).toBe(":1");
    engine.checkNow();
  });

  test("errors", () => {
    const engine = withEntries(1);
    for (const value of ["x", "5.5", "+10", "-0", "10e", "", "9223372036854775808", "STREAMS"]) {
      expect(read(engine, "c", "CLAIM", value)).toBe("-ERR min-idle-time is not an integer");
    }
    expect(read(engine, "c", "CLAIM", "-10")).toBe("-ERR min-idle-time must be a positive integer");
    expect(engine.send("XREADGROUP", "GROUP", "none", "c", "CLAIM", "1", "STREAMS", "s", ">")).toStartWith("-NOGROUP");
    expect(engine.send("XREAD", "CLAIM", "10", "STREAMS", "s", "0")).toBe(
      "-ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.",
    );
    expect(
      engine.send("XREADGROUP", "CLAIM", "5", "GROUP", "g", "c", "CLAIM", "9223372036854775807", "STREAMS", "s", ">"),
    ).toBe(entries(entry(1, 0, 0)));
    expect(read(engine, "c", "CLAIM", "9223372036854775807")).toBe("null*");
  });

  test("agrees with XPENDING under random histories", () => {
    const random = new SeededRandom(testSeed());
    for (let round = 0; round < 6; round++) {
      const engine = testEngine();
      engine.checksEach = false;
      engine.send("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM");
      const clock = () => engine.engine.store.nowMs;
      const consumer = () => `c${random.below(3)}`;
      const id = () => `${1 + random.below(60)}-0`;
      for (let step = 0, next = 1; step < 250; step++) {
        const action = random.below(12);
        if (action < 3) engine.send("XADD", "s", `${next++}-0`, "f", "v");
        else if (action < 5) read(engine, consumer(), "COUNT", String(1 + random.below(3)));
        else if (action === 5) engine.send("XACK", "s", "g", id());
        else if (action === 6) engine.send("XDEL", "s", id());
        else if (action === 7)
          engine.send("XCLAIM", "s", "g", consumer(), "0", id(), "IDLE", String(random.below(50)), "FORCE");
        else if (action === 8) engine.advance(random.below(20));
        else if (action === 9 && random.chance(0.2)) engine.send("XGROUP", "DELCONSUMER", "s", "g", consumer());
        else if (round > 2 || step > 100) {
          const minIdle = random.below(30);
          const count = 1 + random.below(6);
          const there = new Set(idsOf(engine.client.reply("XRANGE", "s", "-", "+")).map(([at]) => at));
          const due = idsOf(engine.client.reply("XPENDING", "s", "g", "-", "+", "1000"))
            .map(([at, , idle, deliveries]) => ({ at: at!, idle: Number(idle), deliveries }))
            .filter(({ at, idle }) => there.has(at) && idle >= minIdle)
            .sort((a, b) => b.idle - a.idle || Number.parseInt(a.at, 10) - Number.parseInt(b.at, 10))
            .slice(0, count)
            .map(({ at, idle, deliveries }) => `${at} ${idle} ${deliveries}`);
          const reply = engine.client.reply(
            ...[
              "XREADGROUP",
              "GROUP",
              "g",
              consumer(),
              "CLAIM",
              String(minIdle),
              "COUNT",
              String(count),
              "STREAMS",
              "s",
              ">",
            ],
          );
          const got = reply.type === "array" ? idsOf((reply.value[0] as { value: Reply[] }).value[1]!) : [];
          const claimed = got
            .filter(([, , , deliveries]) => deliveries !== "0")
            .map(([at, , idle, n]) => `${at} ${idle} ${n}`);
          expect({ step, now: clock(), claimed }).toEqual({ step, now: clock(), claimed: due });
          if (step % 10 === 0) engine.checkNow();
        }
      }
      engine.checkNow();
    }
  });
});

/** The items of each entry, as text. */
function idsOf(reply: Reply): string[][] {
  if (reply.type !== "array") return [];
  return reply.value.map((one) =>
    (one as { value: Reply[] }).value.map((item) =>
      "value" in item && typeof item.value === "string" ? item.value : show(item),
    ),
  );
}
