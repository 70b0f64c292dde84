/**
 * Goal:   waiting XREAD and XREADGROUP get new entries, once per group, from any worker. A client that waits for a removed
 *         group gets an error. With CLAIM it also gets entries that become idle meanwhile.
 * Method: scenes of several clients at Ferrite (two workers) and at redis-server, with every reply compared. Replies in which
 *         7.2 differs from the installed 7.0 are written down. In two groups of waiting consumers over both workers, each
 *         entry must come out once.
 */
import { describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { type Reply, type RespClient, show, within } from "../support/resp.ts";
import { play } from "../support/scenes.ts";

const HANG_MS = 20_000;

const both = bothServers({ workers: 2 });

const SCENES: Record<string, readonly string[]> = {
  "XREAD: new entries, of the key that got them": [
    "a XADD k 1-1 f old",
    "b! XREAD BLOCK 0 STREAMS k l $ $",
    "a XADD l 5-5 f new",
    "b?",
    "b! XREAD COUNT 1 BLOCK 0 STREAMS l k 5-5 1-1",
    "c! XREAD BLOCK 20000 STREAMS k 1-7",
    "d! XREAD BLOCK 0 STREAMS k 9",
    "a XADD k 2-1 g newer h 2",
    "b?",
    "c?",
    "a XADD k 9-0 f 9",
    "a XADD k 9-1 f 9",
    "d?",
  ],
  "XREAD: at once, in vain, and above an id that is not there yet": [
    "a XADD k 1-1 f v",
    "a XREAD BLOCK 0 STREAMS k l 0 0",
    "b~ XREAD BLOCK 20 STREAMS k $",
    "b?",
    "b~ XREAD BLOCK 20 STREAMS none none 0 $",
    "b?",
    "b! XREAD BLOCK 0 STREAMS k 3-3",
    "a XADD k 2-2 f v",
    "a XADD k 3-3 f v",
    "a XADD k 4-4 f v",
    "b?",
  ],
  "XREAD: the key goes, and comes by other ways": [
    "a XADD k 1-1 f v",
    "b! XREAD BLOCK 0 STREAMS k $",
    "a DEL k",
    "a SET k string",
    "a RPUSH l x",
    "a DEL k",
    "a XADD other 7-7 f v",
    "a RENAME other k",
    "b?",
    "b! XREAD BLOCK 0 STREAMS m 0",
    "a COPY k m",
    "b?",
    "b! XREAD BLOCK 0 STREAMS n 0",
    "a SELECT 1",
    "a XADD n 1-1 f v",
    "a SWAPDB 0 1",
    "b?",
  ],
  "XREAD: bad arguments": [
    "a XREAD BLOCK -1 STREAMS k 0",
    "a XREAD BLOCK x STREAMS k 0",
    "a XREAD BLOCK 0 STREAMS k",
    "a XREAD BLOCK 0 STREAMS k >",
    "a XREADGROUP GROUP g c BLOCK 0 STREAMS k >",
    "a XADD k 1-1 f v",
    "a XGROUP CREATE k g $",
    "a XREADGROUP GROUP g c BLOCK -1 STREAMS k >",
    "a XREADGROUP GROUP g c BLOCK 0 STREAMS k $",
    "a SET s x",
    "a XREAD BLOCK 0 STREAMS none s $ $",
    "a XREADGROUP GROUP g c BLOCK 0 STREAMS k s > >",
  ],
  RESP3: [
    "b- HELLO 3",
    "c- HELLO 3",
    "a XGROUP CREATE k g $ MKSTREAM",
    "b! XREAD BLOCK 0 STREAMS k $",
    "c! XREADGROUP GROUP g c BLOCK 0 STREAMS k >",
    "a XADD k 1-1 f v",
    "b?",
    "c?",
    "b~ XREAD BLOCK 20 STREAMS k $",
    "b?",
  ],
  "XREADGROUP: each entry to one, in the order they came": [
    "a XGROUP CREATE k g $ MKSTREAM",
    "a XGROUP CREATE k h $ MKSTREAM",
    "b! XREADGROUP GROUP g c1 BLOCK 0 STREAMS k >",
    "c! XREADGROUP GROUP g c2 BLOCK 0 STREAMS k >",
    "d! XREADGROUP GROUP h c3 BLOCK 0 NOACK STREAMS k >",
    "a XADD k 1-1 f 1",
    "b?",
    "d?",
    "a XADD k 2-1 f 2",
    "c?",
    "a XPENDING k g",
    "a XPENDING k h",
    "b XREADGROUP GROUP g c1 BLOCK 0 STREAMS k 0",
    "b XREADGROUP GROUP g c9 BLOCK 0 STREAMS k 0",
    "a XACK k g 1-1 2-1",
    "b! XREADGROUP GROUP g c1 COUNT 2 BLOCK 0 STREAMS k >",
    "a XGROUP SETID k g 0",
    "a XADD k 3-1 f 3",
    "b?",
    "a XPENDING k g",
  ],
  unblocked: [
    "a XGROUP CREATE k g $ MKSTREAM",
    "b! XREADGROUP GROUP g c1 BLOCK 0 STREAMS k >",
    "a CLIENT UNBLOCK $b ERROR",
    "b?",
    "b! XREADGROUP GROUP g c1 BLOCK 0 STREAMS k >",
    "a CLIENT UNBLOCK $b",
    "b?",
    "a XADD k 1-1 f v",
    "a XPENDING k g",
  ],
};

const NO_GROUP = "-NOGROUP No such key 'k' or consumer group 'g' in XREADGROUP with GROUP option";
/** Scenes in which a client waits for a group that is removed, and the replies of Redis 7.2. */
const GONE: readonly (readonly [string, string, ...string[]])[] = [
  ["DEL", NO_GROUP, "a DEL k"],
  ["UNLINK", NO_GROUP, "a UNLINK k"],
  ["FLUSHALL", NO_GROUP, "a FLUSHALL"],
  ["FLUSHDB", NO_GROUP, "a FLUSHDB"],
  ["RENAME", NO_GROUP, "a RENAME k other"],
  ["MOVE", NO_GROUP, "a MOVE k 1"],
  ["SWAPDB", NO_GROUP, "a SWAPDB 0 1"],
  ["a deadline that is past", NO_GROUP, "a PEXPIRE k -1"],
  ["a deadline", NO_GROUP, "a PEXPIRE k 30"],
  ["XGROUP DESTROY", NO_GROUP, "a XGROUP DESTROY k g"],
  ["another stream", NO_GROUP, "a XADD other 1-1 f v", "a RENAME other k"],
  ["another type", "-WRONGTYPE Operation against a key holding the wrong kind of value", "a SET k x"],
  [
    "another type by RENAME",
    "-WRONGTYPE Operation against a key holding the wrong kind of value",
    "a RPUSH l x",
    "a RENAME l k",
  ],
];

describe("the same scenes at Ferrite and redis-server", () => {
  for (const [name, scene] of Object.entries(SCENES)) {
    test(
      name,
      async () => {
        const own = await play(both.ferrite, scene);
        if (both.redis !== null) expect(own.map(newer)).toEqual((await play(both.redis, scene)).map(newer));
        expect(own.length).toBeGreaterThan(0);
      },
      HANG_MS,
    );
  }

  test.each(GONE)(
    "a group that clients wait for is removed: %s",
    async (_name, told, ...steps) => {
      const scene = [
        "a XADD k 1-1 f v",
        "a XGROUP CREATE k g $",
        "b! XREADGROUP GROUP g c1 BLOCK 0 STREAMS k >",
        "c! XREAD BLOCK 300 STREAMS k $",
        ...steps,
        "b?",
      ];
      const own = await play(both.ferrite, [...scene, "a- CLIENT UNBLOCK $c", "c?"]);
      expect(own.at(-2)).toBe(`b? ${told}`);
      expect(own.at(-1)).toBe("c? null*");
    },
    HANG_MS,
  );

  test(
    "eviction of the key",
    async () => {
      const own = await play(both.ferrite, [
        "a XGROUP CREATE k g $ MKSTREAM",
        "b! XREADGROUP GROUP g c1 BLOCK 0 STREAMS k >",
        "a- CONFIG SET maxmemory-policy allkeys-random maxmemory 1",
        "b?",
        "a- CONFIG SET maxmemory 0 maxmemory-policy noeviction",
      ]);
      expect(own.at(-1)).toBe(`b? ${NO_GROUP}`);
    },
    HANG_MS,
  );
});

/** Redis 7.2 names the ID "+" in this text. */
function newer(line: string): string {
  return line.replace(/Unbalanced.*/, "Unbalanced");
}

describe("CLAIM", () => {
  test(
    "a waiting client gets entries that become idle, and new ones",
    async () => {
      const own = await play(both.ferrite, [
        "a XGROUP CREATE k g $ MKSTREAM",
        "a XGROUP CREATE l g $ MKSTREAM",
        "a XADD k 1-1 f v",
        "a XREADGROUP GROUP g c1 STREAMS k >",
        "b! XREADGROUP GROUP g c2 BLOCK 20000 CLAIM 60 STREAMS l k > >",
        "b?",
        "b! XREADGROUP GROUP g c2 BLOCK 0 CLAIM 20000 STREAMS l k > >",
        "a XADD l 2-2 f w",
        "b?",
        "b~ XREADGROUP GROUP g c2 BLOCK 30 CLAIM 20000 STREAMS l k > >",
        "b?",
        "b! XREADGROUP GROUP g c2 BLOCK 0 CLAIM 10000 COUNT 1 STREAMS l >",
        "a XACK l g 2-2",
        "c! XREADGROUP GROUP g c3 BLOCK 0 STREAMS l >",
        "a XADD l 3-3 f w",
        "b?",
        "a XADD l 4-4 f w",
        "c?",
        "b! XREADGROUP GROUP g c2 BLOCK 0 CLAIM 120 COUNT 1 STREAMS l >",
        "b?",
        // Another consumer reads the entry while this one waits.
        "a XGROUP CREATE m g $ MKSTREAM",
        "c! XREADGROUP GROUP g c3 BLOCK 0 STREAMS m >",
        "b! XREADGROUP GROUP g c2 BLOCK 0 CLAIM 50 STREAMS m >",
        "a XADD m 5-5 f w",
        "c?",
        "b?",
      ]);
      const said = own.filter((line) => /^[bc]\?/.test(line)).map((line) => line.replace(/:\d{2,},/g, ":idle,"));
      expect(said).toEqual([
        'b? *[*["k", *[*["1-1", *["f", "v"], :idle, :1]]]]',
        'b? *[*["l", *[*["2-2", *["f", "w"], :0, :0]]]]',
        "b? null*",
        'b? *[*["l", *[*["3-3", *["f", "w"], :0, :0]]]]',
        'c? *[*["l", *[*["4-4", *["f", "w"]]]]]',
        'b? *[*["l", *[*["3-3", *["f", "w"], :idle, :1]]]]',
        'c? *[*["m", *[*["5-5", *["f", "w"]]]]]',
        'b? *[*["m", *[*["5-5", *["f", "w"], :idle, :1]]]]',
      ]);
    },
    HANG_MS,
  );
});

test(
  "each entry goes to one consumer of each group, whatever their workers",
  async () => {
    const admin = await both.ferrite.connect();
    await admin.command("FLUSHALL");
    const streams = ["s1", "s2", "s3"];
    const groups = ["g1", "g2"];
    for (const stream of streams) {
      for (const group of groups) await admin.command("XGROUP", "CREATE", stream, group, "$", "MKSTREAM");
    }
    const entries = 600;
    const got = new Map<string, string[]>(groups.map((group) => [group, []]));
    const clients: RespClient[] = [];
    const isDone = () => groups.every((group) => got.get(group)!.length >= entries);
    const consumer = async (n: number) => {
      const client = await both.ferrite.connect();
      clients.push(client);
      const group = groups[n % 2]!;
      const own = streams.slice(n % 3).concat(streams.slice(0, n % 3));
      while (!isDone()) {
        const reply = await client.command(
          ...[
            "XREADGROUP",
            "GROUP",
            group,
            `c${n}`,
            "COUNT",
            "3",
            "BLOCK",
            "50",
            "STREAMS",
            ...own,
            ...own.map(() => ">"),
          ],
        );
        if (reply.type !== "array") continue;
        for (const stream of reply.value as { value: Reply[] }[]) {
          const name = (stream.value[0] as { value: string }).value;
          for (const entry of (stream.value[1] as { value: Reply[] }).value as { value: Reply[] }[]) {
            got.get(group)!.push(`${name} ${(entry.value[0] as { value: string }).value}`);
          }
        }
      }
    };
    const consumers = Array.from({ length: 20 }, (_, n) => consumer(n));
    const producers = await Promise.all([both.ferrite.connect(), both.ferrite.connect(), both.ferrite.connect()]);
    clients.push(...producers);
    for (let i = 0; i < entries; i += 3) {
      await Promise.all(
        producers.map((producer, p) => producer.command("XADD", streams[(i + p * 7) % 3]!, "*", "i", i + p)),
      );
    }
    await within(Promise.all(consumers), HANG_MS, "the consumers");
    for (const group of groups) {
      expect(got.get(group)!.length).toBe(entries);
      expect(new Set(got.get(group)).size).toBe(entries);
    }
    expect(show(await admin.command("DEBUG", "CHECK"))).toStartWith(":");
    for (const client of [admin, ...clients]) client.close();
  },
  HANG_MS * 3,
);
