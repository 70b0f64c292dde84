/**
 * Goal:   the embedded mode runs the server's commands in this process, and returns whole replies within the call.
 * Method: in process with a held clock, without sockets and workers.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { HeldClock } from "../src/base/clock.ts";
import { Ferrite, ReplyError } from "../src/embedded/index.ts";

const START_MS = 1_800_000_000_000;

function open(options: { maxMemory?: number; databases?: number } = {}) {
  const clock = new HeldClock(START_MS, 1000);
  const db = Ferrite.open({ maxMemory: 64 << 20, clock, ...options });
  return { db, clock, client: db.client() };
}

describe("embedded", () => {
  test("takes requests whole and in pieces, and returns reply bytes", () => {
    const { client } = open();
    expect(client.send(Buffer.from("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n")).toString()).toBe("+OK\r\n");
    expect(client.send(Buffer.from("GET k\r\nPING\r\n")).toString()).toBe("$5\r\nhello\r\n+PONG\r\n");
    expect(client.send(Buffer.from("*2\r\n$3\r\nGE")).toString()).toBe("");
    expect(client.send(Buffer.from("T\r\n$1\r\nk\r\n")).toString()).toBe("$5\r\nhello\r\n");
  });

  test("call returns values of both protocol versions", () => {
    const { client } = open();
    expect(client.call("SET", "number", 12)).toBe("OK");
    expect(client.call("GET", "number")).toBe("12");
    expect(client.call("GET", "nothing")).toBeNull();
    expect(client.call("CONFIG", "GET", "databases")).toEqual(["databases", "16"]);
    expect(() => client.call("GET")).toThrow(ReplyError);
    const hello = client.call("HELLO", 3) as Map<string, unknown>;
    expect(hello.get("proto")).toBe(3);
    expect(client.call("CONFIG", "GET", "databases")).toEqual(new Map([["databases", "16"]]));
    expect(client.call("GET", "nothing")).toBeNull();
  });

  test("clients have their own state and share the data", () => {
    const { db, client } = open();
    const other = db.client();
    client.call("CLIENT", "SETNAME", "first");
    client.call("SELECT", 1);
    client.call("SET", "k", "in one");
    expect(other.call("GET", "k")).toBeNull();
    other.call("SELECT", 1);
    expect(other.call("GET", "k")).toBe("in one");
    const lines = String(other.call("CLIENT", "LIST")).trimEnd().split("\n");
    expect(lines.length).toBe(2);
    expect(lines[0]).toContain("name=first");
    expect(other.call("CLIENT", "KILL", "ID", Number(client.call("CLIENT", "ID")))).toBe(1);
    expect(() => client.call("PING")).toThrow("closed");
    expect(other.call("PING")).toBe("PONG");
  });

  test("services that involve other workers in a server reply at once", () => {
    const { client } = open();
    expect(client.send(Buffer.from("CONFIG SET maxmemory 50mb\r\nCONFIG GET maxmemory\r\n")).toString()).toBe(
      "+OK\r\n*2\r\n$9\r\nmaxmemory\r\n$8\r\n52428800\r\n",
    );
    expect(client.call("CONFIG", "RESETSTAT")).toBe("OK");
    expect(String(client.call("INFO", "stats"))).toContain("total_connections_received:0");
    expect(client.call("CLIENT", "KILL", "SKIPME", "no")).toBe(1);
    expect(() => client.call("PING")).toThrow("closed");
  });

  test("memory grows by regions up to the limit, then writes are refused and reads work", () => {
    const { db, client } = open({ maxMemory: 100 << 20 });
    const value = Buffer.alloc(1 << 20, "v");
    let written = 0;
    let refusal = "";
    for (; written < 200 && refusal === ""; written++) {
      try {
        client.call("SET", `k${written}`, value);
      } catch (thrown) {
        refusal = (thrown as Error).message;
      }
    }
    expect(refusal).toStartWith("OOM ");
    expect(written).toBeGreaterThan(80);
    expect(db.reservedMemory).toBeGreaterThan(64 << 20);
    expect(String(client.call("GET", "k0")).length).toBe(1 << 20);
    expect(client.call("DEBUG", "CHECK")).toBe(written - 1);
  });

  test("the clock is the caller's, and tick removes expired keys", () => {
    const { db, clock, client } = open();
    for (let i = 0; i < 1000; i++) client.call("SET", `k${i}`, "v", "PX", 100 + i);
    expect(String(client.call("INFO", "keyspace"))).toContain("db0:keys=1000,expires=1000,avg_ttl=600");
    clock.advance(600);
    expect(client.call("GET", "k499")).toBeNull();
    expect(client.call("GET", "k501")).toBe("v");
    expect(client.call("TIME")).toEqual([String(START_MS / 1000), "600000"]);
    for (let i = 0; i < 20; i++) {
      clock.advance(200);
      db.tick(5);
    }
    expect(String(client.call("INFO", "keyspace"))).not.toContain("db0");
    expect(client.call("DEBUG", "CHECK")).toBe(0);
    expect(client.call("CONFIG", "SET", "timeout", "0")).toBe("OK");
  });

  test("a reply without an end is refused, and its client closed", async () => {
    const { db, client } = open();
    client.call("HSET", "h", "f", "v");
    expect(() => client.call("HRANDFIELD", "h", "-9223372036854775807")).toThrow(
      "longer than client-output-buffer-limit",
    );
    expect(() => client.call("PING")).toThrow("closed");
    const other = db.client();
    expect(await other.callAsync("HRANDFIELD", "h", "-9223372036854775807").catch(String)).toContain("closed");
    expect(db.client().call("HRANDFIELD", "h", "-2")).toEqual(["f", "f"]);
  });

  test("SHUTDOWN closes the clients", () => {
    const { client } = open();
    client.send(Buffer.from("SHUTDOWN NOSAVE\r\n"));
    expect(() => client.call("PING")).toThrow("closed");
  });
});

describe("waiting", () => {
  test("the Async forms wait for other clients, in the order they came", async () => {
    const { db, client } = open();
    const [first, second] = [db.client(), db.client()];
    const replies = [first.callAsync("BLPOP", "k", 0), second.callAsync("BLMPOP", 0, 2, "other", "k", "LEFT")];
    expect(String(client.call("INFO", "clients"))).toMatch(/blocked_clients:2\r\n[\s\S]*total_blocking_keys:2\r\n/);
    expect(client.call("RPUSH", "k", "a", "b", "c")).toBe(3);
    expect(await Promise.all(replies)).toEqual([
      ["k", "a"],
      ["k", ["b"]],
    ]);
    expect(client.call("LRANGE", "k", 0, -1)).toEqual(["c"]);
    expect(String(client.call("INFO", "clients"))).toMatch(/blocked_clients:0\r\n[\s\S]*total_blocking_keys:0\r\n/);
    expect(client.call("DEBUG", "CHECK")).toBe(1);
  });

  test("a move wakes who waits for its target", async () => {
    const { db, client } = open();
    const [mover, taker] = [db.client(), db.client()];
    const moved = mover.callAsync("BLMOVE", "from", "to", "LEFT", "RIGHT", 0);
    const taken = taker.callAsync("BRPOP", "to", 0);
    client.call("RPUSH", "from", "x");
    expect(await moved).toBe("x");
    expect(await taken).toEqual(["to", "x"]);
  });

  test("tick ends a wait whose time is over, and no other", async () => {
    const { db, clock, client } = open();
    const [short, long] = [db.client(), db.client()];
    let ended = 0;
    const count = (value: unknown) => {
      ended++;
      return value;
    };
    const shortReply = short.callAsync("BLPOP", "k", 0.05).then(count);
    const longReply = long.callAsync("BZPOPMIN", "z", 5).then(count);
    clock.advance(49);
    db.tick(1);
    await Promise.resolve();
    expect(ended).toBe(0);
    clock.advance(1);
    db.tick(1);
    expect(await shortReply).toBeNull();
    expect(ended).toBe(1);
    client.call("ZADD", "z", 1, "m");
    expect(await longReply).toEqual(["z", "m", "1"]);
    expect(client.call("CLIENT", "UNBLOCK", 1)).toBe(0);
  });

  test("tick gives what became idle to who claims it, and tells who waits for a group that its key expired", async () => {
    const { db, clock, client } = open();
    const [claimer, waiter] = [db.client(), db.client()];
    client.call("XADD", "s", "1-1", "f", "v");
    client.call("XGROUP", "CREATE", "s", "g", "0");
    client.call("XREADGROUP", "GROUP", "g", "c1", "STREAMS", "s", ">");
    const claimed = claimer.callAsync("XREADGROUP", "GROUP", "g", "c2", "BLOCK", 0, "CLAIM", 100, "STREAMS", "s", ">");
    const waited = waiter.callAsync("XREADGROUP", "GROUP", "g", "c3", "BLOCK", 0, "STREAMS", "s", ">").catch(String);
    clock.advance(60);
    // Another takes it meanwhile, so that it is idle later.
    client.call("XCLAIM", "s", "g", "c4", 0, "1-1");
    clock.advance(60);
    db.tick(1);
    expect(client.call("INFO", "clients")).toMatch(/blocked_clients:2\r/);
    clock.advance(40);
    db.tick(1);
    expect(await claimed).toEqual([["s", [["1-1", ["f", "v"], 100, 2]]]]);
    client.call("PEXPIRE", "s", 10);
    clock.advance(1000);
    for (let i = 0; i < 50; i++) db.tick(5);
    expect(await waited).toContain("NOGROUP No such key 's'");
    expect(client.call("DEBUG", "CHECK")).toBe(0);
  });

  test("requests of one client run one after the other; send waits for nothing", async () => {
    const { db, client } = open();
    const waiter = db.client();
    const first = waiter.sendAsync(Buffer.from("BLPOP k 0\r\nPING\r\n"));
    const second = waiter.callAsync("BLPOP", "k", 0);
    const third = waiter.callAsync("GET", "nothing");
    expect(() => waiter.call("PING")).toThrow("waits");
    client.call("RPUSH", "k", "1");
    expect((await first).toString()).toBe("*2\r\n$1\r\nk\r\n$1\r\n1\r\n+PONG\r\n");
    client.call("RPUSH", "k", "2");
    expect(await second).toEqual(["k", "2"]);
    expect(await third).toBeNull();
    expect(waiter.call("BLPOP", "k", 0)).toBeNull();
    expect(waiter.call("WAIT", 1, 0)).toBe(0);
    expect(await waiter.callAsync("BLPOP", "k", "x").catch(String)).toContain("timeout is not a float");
  });

  test("a wait ends by CLIENT UNBLOCK, with an error, and with its client", async () => {
    const { db, client } = open();
    const [unblocked, killed, closed] = [db.client(), db.client(), db.client()];
    const id = Number(unblocked.call("CLIENT", "ID"));
    const killedId = Number(killed.call("CLIENT", "ID"));
    const replies = [unblocked, killed, closed].map((each) => each.callAsync("BLPOP", "k", 0).catch(String));
    expect(client.call("CLIENT", "UNBLOCK", id, "ERROR")).toBe(1);
    expect(await replies[0]).toContain("UNBLOCKED");
    expect(client.call("CLIENT", "KILL", "ID", killedId)).toBe(1);
    expect(await replies[1]).toContain("closed");
    closed.close();
    expect(await replies[2]).toContain("closed");
    expect(await closed.callAsync("PING").catch(String)).toContain("closed");
    expect(client.call("RPUSH", "k", "1")).toBe(1);
    expect(client.call("LLEN", "k")).toBe(1);
    expect(String(client.call("INFO", "clients"))).toContain("total_blocking_keys:0\r\n");
  });
});

test("commands are counted and logged as by the server", () => {
  const db = Ferrite.open({ maxMemory: 32 << 20 });
  const client = db.client();
  client.call("CONFIG", "SET", "slowlog-log-slower-than", "0");
  client.call("SET", "k", "v");
  expect(() => client.call("INCR", "k")).toThrow("not an integer");
  expect(client.call("SLOWLOG", "LEN")).toBe(3);
  const [newest] = client.call("SLOWLOG", "GET", "1") as unknown[][];
  expect(newest!.slice(3)).toEqual([["SLOWLOG", "LEN"], "embedded:0", ""]);
  expect(client.call("SLOWLOG", "RESET")).toBe("OK");
  const stats = client.call("INFO", "commandstats", "errorstats", "workers") as string;
  expect(stats).toMatch(/cmdstat_incr:calls=1,usec=\d+,usec_per_call=[\d.]+,rejected_calls=0,failed_calls=1\r\n/);
  expect(stats).toContain("errorstat_ERR:count=1\r\n");
  expect(stats).toContain("worker0:clients=1,blocked=0,");
  expect(client.call("LATENCY", "LATEST")).toEqual([]);
  client.call("CONFIG", "RESETSTAT");
  expect(client.call("INFO", "commandstats") as string).not.toContain("cmdstat_incr");
});

describe("messages", () => {
  test("are handed to onPush in the order of the commands that published, and replies stay replies", () => {
    const { db, client } = open();
    for (const protocol of [2, 3]) {
      const subscriber = db.client();
      subscriber.call("HELLO", protocol);
      const messages: unknown[] = [];
      subscriber.onPush = (message) => messages.push(message);
      expect(subscriber.call("SUBSCRIBE", "news")).toEqual(["subscribe", "news", 1]);
      expect(subscriber.call("PSUBSCRIBE", "n*")).toEqual(["psubscribe", "n*", 2]);
      expect(client.call("PUBLISH", "news", "one")).toBe(2);
      expect(messages).toEqual([
        ["message", "news", "one"],
        ["pmessage", "n*", "news", "one"],
      ]);
      expect(client.send(Buffer.from("PUBLISH news two\r\nPUBLISH other x\r\nPUBLISH next three\r\n")).toString()).toBe(
        ":2\r\n:0\r\n:1\r\n",
      );
      expect(messages.slice(2)).toEqual([
        ["message", "news", "two"],
        ["pmessage", "n*", "news", "two"],
        ["pmessage", "n*", "next", "three"],
      ]);
      expect(client.call("PUBSUB", "NUMSUB", "news")).toEqual(["news", 1]);
      if (protocol === 3) expect(subscriber.call("GET", "k")).toBeNull();
      else expect(() => subscriber.call("GET", "k")).toThrow("Can't execute 'get'");
      subscriber.close();
      expect(client.call("PUBLISH", "news", "late")).toBe(0);
      expect(messages.length).toBe(5);
    }
  });

  test("tell of changes, and of expired keys in tick", () => {
    const { db, clock, client } = open();
    const subscriber = db.client();
    const messages: string[] = [];
    subscriber.onPush = ([, , channel, text]) => messages.push(`${String(channel)} ${String(text)}`);
    client.call("CONFIG", "SET", "notify-keyspace-events", "KEA");
    subscriber.call("PSUBSCRIBE", "__key*__:*");
    client.call("SET", "k", "v", "PX", 10);
    expect(messages).toEqual([
      "__keyspace@0__:k set",
      "__keyevent@0__:set k",
      "__keyspace@0__:k expire",
      "__keyevent@0__:expire k",
    ]);
    messages.length = 0;
    clock.advance(1000);
    for (let i = 0; i < 50; i++) db.tick(5);
    expect(messages).toEqual(["__keyspace@0__:k expired", "__keyevent@0__:expired k"]);
  });

  test("may be answered from within onPush", () => {
    const { db, client } = open();
    const [echo, reader] = [db.client(), db.client()];
    const heard: string[] = [];
    echo.onPush = ([, , text]) => {
      heard.push(`${String(text)} has ${String(client.call("PUBLISH", "answers", `re ${String(text)}`))}`);
    };
    reader.onPush = ([, , text]) => heard.push(String(text));
    echo.call("SUBSCRIBE", "questions");
    reader.call("SUBSCRIBE", "answers");
    expect(client.send(Buffer.from("PUBLISH questions a\r\nPUBLISH questions b\r\n")).toString()).toBe(":1\r\n:1\r\n");
    expect(heard).toEqual(["a has 1", "b has 1", "re a", "re b"]);
  });

  test("reach the next client, and the publisher its reply, when onPush throws", () => {
    const program = `
      import { Ferrite } from "./src/embedded/index.ts";
      const db = Ferrite.open({ maxMemory: 64 << 20 });
      const [client, broken, reader] = [db.client(), db.client(), db.client()];
      process.on("uncaughtException", (thrown) => console.log("uncaught: " + thrown.message));
      broken.onPush = () => { throw new Error("no"); };
      reader.onPush = (message) => console.log(message.join(" "));
      broken.call("SUBSCRIBE", "a");
      reader.call("SUBSCRIBE", "a");
      console.log(client.call("PUBLISH", "a", "text"));
    `;
    const { stdout } = Bun.spawnSync([process.execPath, "-e", program], { cwd: join(import.meta.dir, "..") });
    expect(stdout.toString()).toBe("message a text\n2\nuncaught: no\n");
  });

  test("come among the replies without onPush, and call refuses to guess", () => {
    const { db, client } = open();
    const subscriber = db.client();
    subscriber.send(Buffer.from("SUBSCRIBE news\r\n"));
    client.call("PUBLISH", "news", "x");
    expect(subscriber.send(Buffer.from("PING\r\n")).toString()).toBe(
      "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n",
    );
    expect(() => subscriber.call("PING")).toThrow("set onPush");
    subscriber.send(Buffer.from("UNSUBSCRIBE\r\n"));
    expect(subscriber.call("PING")).toBe("PONG");
  });
});
