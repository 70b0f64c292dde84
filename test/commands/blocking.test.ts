/**
 * Goal:   blocking commands: an element goes to exactly one client, in the order in which they came, over all workers. No
 *         client is forgotten. The replies are Redis's.
 * Method: scenes of several clients at Ferrite (three workers) and at redis-server, with every reply compared. Eight clients
 *         of both servers under random commands, after each of which the same clients must be served with the same replies
 *         (FERRITE_CROWD_STEPS=<n>, FERRITE_SEED=<n>). A crowd of clients on overlapping keys over two workers, which are
 *         pushed to, time out, are unblocked and killed, and in which each element must come out once.
 */
import { describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { type Reply, type RespClient, show, within } from "../support/resp.ts";
import { play, seen } from "../support/scenes.ts";
import { type Server, startFerrite } from "../support/servers.ts";

const START_MS = 60_000;
const HANG_MS = 20_000;
const ELEMENTS = countFrom("FERRITE_BLOCKING_ELEMENTS", 6000);
const CLIENTS = 200;

const both = bothServers({ workers: 3 });

const SCENES: Record<string, readonly string[]> = {
  "there is an element": [
    "a RPUSH k 1 2 3",
    "a BLPOP k 0",
    "a BRPOP none k 0",
    "a BLMPOP 0 2 none k LEFT COUNT 5",
    "a RPUSH k 1 2 3",
    "a BLMOVE k l LEFT RIGHT 0",
    "a BRPOPLPUSH k k 0",
    "a LRANGE k 0 -1",
  ],
  "one waits": ["b! BLPOP k 0", "a RPUSH k 1 2", "b?", "a LRANGE k 0 -1", "b PING"],
  RESP3: [
    "b- HELLO 3",
    "b~ BLPOP k 0.02",
    "b?",
    "b~ BLMOVE k l LEFT LEFT 0.02",
    "b?",
    "b! BLMPOP 0 1 k RIGHT COUNT 2",
    "a RPUSH k 1 2 3",
    "b?",
  ],
  timeouts: [
    "b~ BLPOP k 0.02",
    "b?",
    "b~ BRPOP k l m 0.01",
    "b?",
    "b~ BLMOVE k l LEFT LEFT 0.02",
    "b?",
    "b~ BRPOPLPUSH k l 0.02",
    "b?",
    "b~ BLMPOP 0.02 1 k LEFT",
    "b?",
    "a RPUSH k 1",
    "a LLEN k",
  ],
  "bad arguments": [
    "a BLPOP k x",
    "a BLPOP k -1",
    "a BLPOP k -0.5",
    "a BLPOP k -inf",
    "a BLPOP k nan",
    "a BLPOP k",
    "a BLMOVE k l UP LEFT 0",
    "a BLMOVE k l LEFT UP x",
    "a BLMPOP x 0 k LEFT",
    "a BLMPOP x 1 k LEFT",
    "a BLMPOP 0 1 k LEFT COUNT 0",
    "a BLMPOP 0 2 k LEFT",
    "a BLMPOP -1 1 k LEFT COUNT 1",
    "a SET s 1",
    "a BLPOP s 0",
    "a BLPOP none s 0",
    "a BLMOVE s l LEFT LEFT 0",
    "a RPUSH k 1",
    "a BLMOVE k s LEFT LEFT 0",
    "a BLMPOP 0 2 none s LEFT",
    "a LRANGE k 0 -1",
  ],
  "in the order they came": [
    "b! BLPOP k 0",
    "c! BRPOP l k 0",
    "d! BLPOP k 0",
    "a RPUSH k 1 2 3 4",
    "b?",
    "c?",
    "d?",
    "a LRANGE k 0 -1",
  ],
  moves: [
    "b! BLMOVE k l LEFT RIGHT 0",
    "c! BLPOP l 0",
    "a RPUSH k 1",
    "b?",
    "c?",
    "a EXISTS k l",
    "d! BLMOVE m k RIGHT LEFT 0",
    "b! BLMOVE k l LEFT RIGHT 0",
    "c! BRPOPLPUSH l n 0",
    "a RPUSH m 7",
    "d?",
    "b?",
    "c?",
    "a LRANGE n 0 -1",
    "b! BLMOVE q q LEFT RIGHT 0",
    "a RPUSH q 1 2 3",
    "b?",
    "a LRANGE q 0 -1",
  ],
  "a move to a key of another type": [
    "a SET s x",
    "b! BLMOVE k s LEFT RIGHT 0",
    "c! BLPOP k 0",
    "a RPUSH k 1",
    "b?",
    "c?",
    "a EXISTS k",
  ],
  "many at once": [
    "b! BLMPOP 0 2 k l LEFT COUNT 3",
    "c! BLMPOP 0 1 k RIGHT",
    "a RPUSH k 1 2 3 4 5",
    "b?",
    "c?",
    "a LRANGE k 0 -1",
  ],
  "the key comes by other ways": [
    "b! BLPOP k 0",
    "a SET k string",
    "a DEL k",
    "a RPUSH k 1",
    "b?",
    "b! BLPOP k k k 0",
    "a SET k string",
    "a EXPIRE k -1",
    "a LPUSH k 2",
    "b?",
    "b! BLPOP swapped 0",
    "a SELECT 1",
    "a RPUSH swapped 3",
    "a SWAPDB 0 1",
    "b?",
    "a DBSIZE",
  ],
  unblocked: [
    "b! BLPOP k 0",
    "a CLIENT UNBLOCK $b",
    "b?",
    "b! BLPOP k 0",
    "a CLIENT UNBLOCK $b ERROR",
    "b?",
    "a CLIENT UNBLOCK $b",
    "b! BLMOVE k l LEFT LEFT 0",
    "a CLIENT UNBLOCK $b TIMEOUT",
    "b?",
    "a RPUSH k 1",
    "a LLEN k",
  ],
  gone: ["b! BLPOP k 0", "c! BLPOP k 0", "d! BLPOP k 0", "b x", "a CLIENT KILL ID $c", "a RPUSH k 1", "d?", "a LLEN k"],
  "commands behind one that waits": ["b! BLPOP k 0", "a RPUSH k 1 2", "b?", "b BLPOP k 0", "a EXISTS k"],
};

/** More time than Ferrite takes to deliver the replies of one command. */
const SETTLE_MS = 5000;
const REPLACES = /^(RENAME|COPY|SORT|ZUNIONSTORE|ZRANGESTORE)$/;
const CROWD_STEPS = countFrom("FERRITE_CROWD_STEPS", 400);

describe("the same scenes at Ferrite and redis-server", () => {
  test(
    "a crowd under random commands: the same clients are served, with the same",
    async () => {
      if (both.redis === null) return;
      const seed = testSeed();
      const random = new SeededRandom(seed);
      const steps = new CrowdSteps(random);
      const sides = [await Side.of(both.redis, 8), await Side.of(both.ferrite, 8)];
      const [theirs, own] = sides as [Side, Side];
      const history: string[] = [];
      for (let step = 0; step < CROWD_STEPS; step++) {
        const idle = theirs.ids.map((_, i) => i).filter((i) => !theirs.asked.has(i));
        let said: string[] = [];
        if (idle.length > 0 && random.chance(0.5)) {
          const i = random.pick(idle);
          const args = steps.waiting();
          history.push(`${i}: ${args.join(" ")}`);
          for (const side of sides) side.ask(i, args);
        } else if (random.chance(0.05)) {
          const i = random.below(8);
          const reason = random.pick(["TIMEOUT", "ERROR"]);
          history.push(`unblock ${i} ${reason}`);
          said = await Promise.all(
            sides.map(async (side) => show(await side.admin.command("CLIENT", "UNBLOCK", side.ids[i]!, reason))),
          );
        } else {
          const args = steps.waking();
          // Redis does not serve clients when a key's value is replaced by one of another type. Ferrite does.
          const replaced = args.length > 2 && REPLACES.test(args[0]!) ? args[args[0] === "SORT" ? 4 : 2]! : "";
          const target = args[0]!.startsWith("Z") ? args[1]! : replaced;
          history.push(args.join(" "));
          said = await Promise.all(
            sides.map(async (side) => {
              if (replaced !== "") await side.admin.command("DEL", target);
              return show(await side.admin.command(...args));
            }),
          );
        }
        await within(theirs.settle(), HANG_MS, "redis");
        // Clients may be served a moment after the command's reply. A client that is never served shows below.
        await Promise.race([own.settle(theirs.asked.size), Bun.sleep(SETTLE_MS)]);
        const before = history.slice(-12).join("\n");
        const what = { seed, step, before };
        expect({ ...what, said: said[1], replies: own.replies }).toEqual({
          ...what,
          said: said[0],
          replies: theirs.replies,
        });
      }
      for (const side of sides) side.close();
    },
    START_MS + CROWD_STEPS * 20,
  );

  for (const [name, scene] of Object.entries(SCENES)) {
    test(name, async () => {
      const own = await play(both.ferrite, scene);
      if (both.redis !== null) expect(own).toEqual(await play(both.redis, scene));
      expect(own.length).toBeGreaterThan(0);
    });
  }

  test("very large timeouts are out of range, as in Redis 7.2 (7.0 calls them negative)", async () => {
    const client = await both.ferrite.connect();
    for (const seconds of ["inf", "9999999999999999", "9223372036854775807", "0x7FFFFFFFFFFFFF"]) {
      expect(show(await client.command("BLPOP", "k", seconds))).toBe("-ERR timeout is out of range");
    }
    client.close();
  });

  test("clients of all workers are served in the order in which they came, whichever worker pushes", async () => {
    const admin = await both.ferrite.connect();
    await admin.command("FLUSHALL");
    const clients = await Promise.all(Array.from({ length: 30 }, () => both.ferrite.connect()));
    const replies: Promise<Reply>[] = [];
    for (const client of clients) {
      const id = show(await client.command("CLIENT", "ID")).slice(1);
      replies.push(client.command("BLPOP", "other", "k", 0));
      await within(seen(admin, new RegExp(`id=${id} .*flags=b `)), HANG_MS, "a client that waits");
    }
    const pushers = await Promise.all(Array.from({ length: 6 }, () => both.ferrite.connect()));
    for (let i = 0; i < 30; i += 2) await pushers[i % 6]!.command("RPUSH", "k", i, i + 1);
    const given = (await within(Promise.all(replies), HANG_MS, "the replies")).map(show);
    expect(given).toEqual(given.map((_, i) => `*["k", "${i}"]`));
    for (const client of [admin, ...clients, ...pushers]) client.close();
  });

  test("replies of all lengths reach clients of all workers complete, many at a time", async () => {
    const server = both.ferrite;
    const pusher = await server.connect();
    // 32 KiB is the longest reply in a worker's ring. 160 replies of 4,000 bytes are more than all rings hold.
    for (const [clients, bytes] of [
      [6, 1],
      [6, 32_700],
      [6, 32_768],
      [6, 200_000],
      [160, 4000],
    ] as const) {
      const waiting = await Promise.all(Array.from({ length: clients }, () => server.connect()));
      const replies = waiting.map((client) => client.command("BLPOP", "whole", "0"));
      const isBlocked = async () =>
        new RegExp(`blocked_clients:${clients}\\b`).test(show(await pusher.command("INFO", "clients")));
      while (!(await within(isBlocked(), HANG_MS, "clients that wait"))) await Bun.sleep(5);
      const elements = Array.from({ length: clients }, (_, i) => String.fromCharCode(97 + (i % 26)).repeat(bytes));
      await pusher.command("RPUSH", "whole", ...elements);
      const got = (await within(Promise.all(replies), HANG_MS, "served")).map((reply) => show(reply));
      expect(got.sort()).toEqual(elements.map((element) => `*["whole", "${element}"]`).sort());
      for (const client of waiting) client.close();
    }
    pusher.close();
  });

  test("counters, and their values after all clients are gone", async () => {
    const admin = await both.ferrite.connect();
    await admin.command("FLUSHALL");
    const clients = await Promise.all([both.ferrite.connect(), both.ferrite.connect(), both.ferrite.connect()]);
    const replies = clients.map((client, i) => client.command("BLPOP", "k", `k${i}`, 0));
    const info = async () => show(await admin.command("INFO", "clients"));
    const until = async (text: RegExp) => {
      while (!text.test(await info())) await Bun.sleep(2);
    };
    await within(until(/total_blocking_keys:4\b/), HANG_MS, "four keys");
    await within(until(/blocked_clients:3\b/), HANG_MS, "three clients");
    for (let i = 0; i < 3; i++) await admin.command("RPUSH", "k", `v${i}`);
    const given = (await within(Promise.all(replies), HANG_MS, "the replies")).map(show).sort();
    expect(given).toEqual(['*["k", "v0"]', '*["k", "v1"]', '*["k", "v2"]']);
    await within(until(/total_blocking_keys:0\b/), HANG_MS, "no key");
    await within(until(/blocked_clients:0\b/), HANG_MS, "no client");
    expect(show(await admin.command("DEBUG", "CHECK"))).toStartWith(":");
    for (const client of [admin, ...clients]) client.close();
  });
});

/** One of two servers under the same steps, with clients that have at most one request each, and one that never waits. */
class Side {
  readonly admin: RespClient;
  readonly replies: (string | null)[] = [];
  private readonly clients: RespClient[] = [];
  readonly ids: string[] = [];
  /** Clients without a reply yet. */
  readonly asked = new Set<number>();

  private constructor(admin: RespClient) {
    this.admin = admin;
  }
  static async of(target: Server, clients: number): Promise<Side> {
    const side = new Side(await target.connect());
    await side.admin.command("FLUSHALL");
    for (let i = 0; i < clients; i++) {
      const client = await target.connect();
      if (i % 2 === 1) await client.command("HELLO", "3");
      side.clients.push(client);
      side.ids.push(show(await client.command("CLIENT", "ID")).slice(1));
      side.replies.push(null);
    }
    return side;
  }
  ask(i: number, args: readonly string[]): void {
    this.asked.add(i);
    this.replies[i] = null;
    this.clients[i]!.command(...args).then(
      (reply) => {
        this.replies[i] = show(reply);
        this.asked.delete(i);
      },
      () => {},
    );
  }
  /** Waits until as many clients are blocked as have no reply (`waiting` of them, if given). */
  async settle(waiting = -1): Promise<void> {
    const blocked = async () =>
      Number(/blocked_clients:(\d+)/.exec(show(await this.admin.command("INFO", "clients")))![1]!);
    while ((await blocked()) !== this.asked.size || (waiting >= 0 && this.asked.size !== waiting)) await Bun.sleep(0);
  }
  close(): void {
    for (const client of [this.admin, ...this.clients]) client.close();
  }
}

/** Random steps over few keys, which hold lists, sorted sets and other things in turn. */
class CrowdSteps {
  private elements = 0;
  constructor(private readonly random: SeededRandom) {}

  private key(): string {
    return `k${this.random.below(4)}`;
  }
  private some(make: () => string, most: number): string[] {
    return Array.from({ length: 1 + this.random.below(most) }, make);
  }
  private end(): string {
    return this.random.pick(["LEFT", "RIGHT"]);
  }

  waiting(): string[] {
    const { random } = this;
    const keys = this.some(() => this.key(), 3);
    const count = random.chance(0.5) ? ["COUNT", String(1 + random.below(3))] : [];
    return random.pick([
      () => [random.pick(["BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX"]), ...keys, "0"],
      () => ["BLMOVE", this.key(), this.key(), this.end(), this.end(), "0"],
      () => ["BRPOPLPUSH", this.key(), this.key(), "0"],
      () => ["BLMPOP", "0", String(keys.length), ...keys, this.end(), ...count],
      () => ["BZMPOP", "0", String(keys.length), ...keys, random.pick(["MIN", "MAX"]), ...count],
    ])();
  }

  waking(): string[] {
    const { random } = this;
    const element = () => `e${this.elements++}`;
    return random.weighted<() => string[]>([
      [8, () => [random.pick(["LPUSH", "RPUSH"]), this.key(), ...this.some(element, 4)]],
      [6, () => ["ZADD", this.key(), ...this.some(element, 3).flatMap((name) => [String(random.below(5)), name])]],
      [3, () => ["DEL", ...this.some(() => this.key(), 2)]],
      [2, () => ["RENAME", this.key(), this.key()]],
      [2, () => ["COPY", this.key(), this.key(), "REPLACE"]],
      [2, () => ["LMOVE", this.key(), this.key(), this.end(), this.end()]],
      [1, () => ["SORT", this.key(), "ALPHA", "STORE", this.key()]],
      [1, () => ["ZUNIONSTORE", this.key(), "2", this.key(), this.key()]],
      [1, () => ["ZRANGESTORE", this.key(), this.key(), "0", "1"]],
      [1, () => ["SET", this.key(), "text"]],
      [1, () => ["SADD", this.key(), "m"]],
      [1, () => [random.pick(["EXPIRE", "PERSIST"]), this.key(), "-1"]],
      // SWAPDB is not among them, because the order in which it serves several keys is not defined.
      [0.2, () => ["FLUSHALL"]],
    ])();
  }
}

describe("counts and logs", () => {
  /** The commands in SLOWLOG, newest first, without those of the test's own queries. */
  const slowNames = async (admin: RespClient) =>
    [...show(await admin.command("SLOWLOG", "GET", "-1")).matchAll(/\*\["(\w+)"/g)]
      .map(([, name]) => name!.toUpperCase())
      .filter((name) => !/^(CONFIG|SLOWLOG|INFO|CLIENT|DEL|HELLO)$/.test(name));
  const statOf = async (admin: RespClient, name: string) =>
    new RegExp(`cmdstat_${name}:calls=(\\d+),.*?,(rejected_calls=\\d+,failed_calls=\\d+)`)
      .exec(show(await admin.command("INFO", "commandstats")))
      ?.slice(1, 3)
      .join();
  const errorsOf = async (admin: RespClient) =>
    [...show(await admin.command("INFO", "errorstats")).matchAll(/errorstat_(\w+:count=\d+)/g)].map(([, kind]) => kind);
  const begin = async (target: Server) => {
    const clients = [await target.connect(), await target.connect()] as const;
    for (const args of [
      ["FLUSHALL"],
      ["SET", "text", "x"],
      ["CONFIG", "SET", "slowlog-log-slower-than", "0"],
      ["CONFIG", "RESETSTAT"],
      ["SLOWLOG", "RESET"],
    ]) {
      await clients[0].command(...args);
    }
    return clients;
  };
  const waitingClient = async (admin: RespClient, client: RespClient, ...args: string[]) => {
    const id = show(await client.command("CLIENT", "ID")).slice(1);
    const reply = client.command(...args);
    reply.catch(() => {});
    await within(seen(admin, new RegExp(`id=${id} .*flags=b `)), HANG_MS, args.join(" "));
    return { reply, id };
  };

  async function served(target: Server): Promise<unknown[]> {
    const [admin, client] = await begin(target);
    const said: unknown[] = [];
    const first = await waitingClient(admin, client, "BLPOP", "k", "0");
    said.push(await slowNames(admin));
    await admin.command("RPUSH", "k", "1");
    said.push(show(await within(first.reply, HANG_MS, "BLPOP")), await slowNames(admin), await statOf(admin, "blpop"));
    const second = await waitingClient(admin, client, "BLMOVE", "k", "text", "LEFT", "LEFT", "0");
    await admin.command("RPUSH", "k", "2");
    said.push(show(await within(second.reply, HANG_MS, "BLMOVE")), await slowNames(admin));
    said.push(await statOf(admin, "blmove"), await errorsOf(admin));
    await admin.command("CONFIG", "SET", "slowlog-log-slower-than", "10000");
    admin.close();
    client.close();
    return said;
  }

  test("a command is logged when it is served, after the one that served it", async () => {
    const own = await served(both.ferrite);
    expect(own).toEqual([
      [],
      '*["k", "1"]',
      ["BLPOP", "RPUSH"],
      "1,rejected_calls=0,failed_calls=0",
      "-WRONGTYPE Operation against a key holding the wrong kind of value",
      ["BLMOVE", "RPUSH", "BLPOP", "RPUSH"],
      "1,rejected_calls=0,failed_calls=1",
      ["WRONGTYPE:count=1"],
    ]);
    if (both.redis !== null) expect(own).toEqual(await served(both.redis));
  });

  // As in Redis 7.2. 7.0 counts them when they begin to wait, and errors of CLIENT UNBLOCK twice.
  test("timeouts and errors count when the wait is over, without the wait", async () => {
    const [admin, client] = await begin(both.ferrite);
    await client.command("BLPOP", "k", "0.05");
    const { reply, id } = await waitingClient(admin, client, "BRPOP", "k", "0");
    expect(await statOf(admin, "brpop")).toBeUndefined();
    await admin.command("CLIENT", "UNBLOCK", id, "ERROR");
    expect(show(await within(reply, HANG_MS, "BRPOP"))).toStartWith("-UNBLOCKED");
    expect(await slowNames(admin)).toEqual(["BRPOP", "BLPOP"]);
    expect(await statOf(admin, "blpop")).toBe("1,rejected_calls=0,failed_calls=0");
    expect(await statOf(admin, "brpop")).toBe("1,rejected_calls=0,failed_calls=1");
    expect(await errorsOf(admin)).toEqual(["UNBLOCKED:count=1"]);
    const usec = Number(/cmdstat_blpop:calls=1,usec=(\d+)/.exec(show(await admin.command("INFO", "commandstats")))![1]);
    expect(usec).toBeLessThan(50_000);
    await admin.command("CONFIG", "SET", "slowlog-log-slower-than", "10000");
    admin.close();
    client.close();
  });

  test("keys whose deletion ends a wait are counted separately", async () => {
    const [admin, client] = await begin(both.ferrite);
    await admin.command("XADD", "s", "1-1", "f", "v");
    await admin.command("XGROUP", "CREATE", "s", "g", "$");
    const counts = async () =>
      [...show(await admin.command("INFO", "clients")).matchAll(/total_blocking_keys\w*:\d+/g)].join();
    const { reply } = await waitingClient(
      admin,
      client,
      ...["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"],
    );
    expect(await counts()).toBe("total_blocking_keys:1,total_blocking_keys_on_nokey:1");
    expect(show(await admin.command("DEBUG", "CHECK"))).toStartWith(":");
    await admin.command("DEL", "s");
    expect(show(await within(reply, HANG_MS, "XREADGROUP"))).toStartWith("-");
    const none = async () => {
      while ((await counts()) !== "total_blocking_keys:0,total_blocking_keys_on_nokey:0") await Bun.sleep(1);
    };
    await within(none(), HANG_MS, "no keys");
    admin.close();
    client.close();
  });
});

describe("a crowd", () => {
  test(`${CLIENTS} clients, ${ELEMENTS} elements: each comes out once`, async () => {
    const random = new SeededRandom(testSeed());
    const target = await startFerrite({ workers: 2 });
    const admin = await target.connect();
    const keys = Array.from({ length: 8 }, (_, i) => `q${i}`);
    const got: { key: string; element: number }[] = [];
    /** Numbers that may have been sent to a killed client. */
    let done = false;
    const ids: string[] = [];
    const consumer = async (n: number, seed: number) => {
      const own = new SeededRandom(seed);
      const client = await target.connect();
      ids[n] = show(await client.command("CLIENT", "ID")).slice(1);
      while (!done) {
        const some = keys.filter(() => own.chance(0.3));
        if (some.length === 0) some.push(keys[n % keys.length]!);
        const seconds = own.pick(["0", "0.01", "0.05", "1"]);
        const form = own.below(4);
        const args =
          form === 0
            ? ["BLMPOP", seconds, String(some.length), ...some, "LEFT", "COUNT", String(1 + own.below(3))]
            : form === 1
              ? ["BLMOVE", some[0]!, "moved", "LEFT", "RIGHT", seconds]
              : ["BLPOP", ...some, seconds];
        const reply = await client.command(...args);
        if (reply.type === "error") {
          expect(String(reply.value)).toStartWith("UNBLOCKED");
          continue;
        }
        if (reply.type === "null") continue;
        if (reply.type === "bulk") {
          // Moved elements are read at the end.
          continue;
        }
        const [key, value] = reply.value as Reply[];
        const elements = value!.type === "array" ? (value!.value as Reply[]) : [value!];
        for (const element of elements) {
          got.push({
            key: String((key as { value: string }).value),
            element: Number((element as { value: string }).value),
          });
        }
      }
      client.close();
    };
    const consumers = Array.from({ length: CLIENTS }, (_, n) => consumer(n, testSeed() + n + 1));
    // Some clients wait only to be killed, for keys of their own and for shared ones, but never as the first to be served.
    const victims = Array.from({ length: 20 }, async () => {
      const client = await target.connect();
      const id = show(await client.command("CLIENT", "ID")).slice(1);
      client.command("BLPOP", "nobody", "never", 0).catch(() => {});
      return { client, id };
    });
    let next = 0;
    const producer = async (seed: number) => {
      const own = new SeededRandom(seed);
      const client = await target.connect();
      while (next < ELEMENTS) {
        const batch: string[][] = [];
        const pushes = 1 + own.below(20);
        for (let i = 0; i < pushes && next < ELEMENTS; i++) {
          const elements = Array.from({ length: Math.min(1 + own.below(4), ELEMENTS - next) }, () => String(next++));
          batch.push(["RPUSH", own.pick(keys), ...elements]);
        }
        await client.pipeline(batch);
        if (own.chance(0.2)) await Bun.sleep(1);
      }
      client.close();
    };
    const disturber = async () => {
      while (!done) {
        const id = ids[random.below(CLIENTS)];
        if (id !== undefined)
          await admin.command("CLIENT", "UNBLOCK", id, ...random.pick([[], ["ERROR"], ["TIMEOUT"]]));
        if (random.chance(0.05)) {
          const victim = await victims[random.below(victims.length)]!;
          if (random.chance(0.5)) victim.client.close();
          else await admin.command("CLIENT", "KILL", "ID", victim.id);
        }
        await Bun.sleep(1);
      }
    };
    const disturbing = disturber();
    await within(Promise.all([producer(testSeed() ^ 77), producer(testSeed() ^ 78)]), 600_000, "the producers");
    const moved = async () => (await admin.command("LRANGE", "moved", 0, -1)) as { value: { value: string }[] };
    const left = async () => {
      let sum = 0;
      for (const key of keys) sum += Number(show(await admin.command("LLEN", key)).slice(1));
      return sum;
    };
    const finish = async () => {
      while ((await left()) > 0) await Bun.sleep(5);
      // No element is left, so replies are on their way to live clients only.
      while (got.length + (await moved()).value.length < ELEMENTS) await Bun.sleep(5);
    };
    await within(finish(), 60_000, "the consumers");
    done = true;
    await disturbing;
    const stop = async () => {
      const all = Promise.all(consumers);
      let ended = false;
      void all.then(() => {
        ended = true;
      });
      while (!ended) {
        for (const id of ids) await admin.command("CLIENT", "UNBLOCK", id);
        await Bun.sleep(1);
      }
    };
    await within(stop(), HANG_MS, "the consumers' end");
    const elements = [...got.map(({ element }) => element), ...(await moved()).value.map(({ value }) => Number(value))];
    expect(elements.length).toBe(ELEMENTS);
    expect(new Set(elements).size).toBe(ELEMENTS);
    expect(show(await admin.command("DEBUG", "CHECK"))).toStartWith(":");
    for (const victim of victims) (await victim).client.close();
    admin.close();
    await target.stop();
  }, 700_000);
});
