/**
 * Goal:   an argument that is a time gets Redis's reply, however large, small or strange it is. None keeps the server from
 *         serving other clients. Commands that end a pause are served during any pause.
 * Method: each command with each value goes to Ferrite and to redis-server, with a PING of another client in between. A
 *         timeout whose end overflows 64 bits wraps around in Redis 7.0. Later versions and Ferrite refuse it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { type Argument, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite } from "../support/servers.ts";

const HANG_MS = 30_000;
const OUT_OF_RANGE = "-ERR timeout is out of range";

const VALUES = `0 -0 -1 1 2147483647 2147483648 4294967296 9007199254740991 9007199254740992 9007199254740993
  9223372036854774 9223372036854775 9223372036854776 9223370000000000000 9223372036854775807 9223372036854775808
  18446744073709551616 -2147483649 -9007199254740993 -9223372036854775 -9223372036854775808 -9223372036854775809 inf -inf
  nan 1e400 -1e400 1e18 9.3e15 1e5 1e-9 1e-400 1.5 -1.5 +1 0x10 abc`
  .split(/\s+/)
  .concat(" 1", "1 ", "", "1\0");

async function ask(client: RespClient, ...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), HANG_MS, args.join(" ")));
}

describe("beside redis-server", () => {
  if (!requireRedis()) return;
  const both = bothServers({ workers: 2 });
  let redis: RespClient;
  let ferrite: RespClient;
  let other: RespClient;
  let payload: Buffer;
  beforeAll(async () => {
    [redis, ferrite, other] = await Promise.all([
      both.redis!.connect(),
      both.ferrite.connect(),
      both.ferrite.connect(),
    ]);
    await toBoth("SET", "s", "v");
    const dumped = await redis.command("DUMP", "s");
    payload = Buffer.from((dumped as { value: string }).value, "latin1");
    await toBoth("XADD", "x", "1-1", "a", "b");
    await toBoth("XGROUP", "CREATE", "x", "g", "0");
    await toBoth("XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">");
  });
  afterAll(() => {
    for (const client of [redis, ferrite, other]) client.close();
  });

  async function toBoth(...args: Argument[]): Promise<[string, string]> {
    return Promise.all([ask(redis, ...args), ask(ferrite, ...args)]);
  }
  async function expectSame(...args: Argument[]): Promise<void> {
    const [theirs, ours] = await toBoth(...args);
    expect([...args, ours]).toEqual([...args, theirs]);
    expect(await ask(other, "PING")).toBe("+PONG");
  }

  /** V stands for the time. */
  const EXPIRES =
    `EXPIRE s V|PEXPIRE s V|EXPIREAT s V|PEXPIREAT s V|EXPIRE s V NX|PEXPIRE s V XX|EXPIREAT s V GT|EXPIRE s V LT
    |EXPIRE none V|SETEX s V w|PSETEX s V w|SET s w EX V|SET s w PX V|SET s w EXAT V|SET s w PXAT V|SET s w EX V NX
    |GETEX s EX V|GETEX s PX V|GETEX s EXAT V|GETEX s PXAT V|GETEX none EX V`.split(/\s*\|/);
  test.each(EXPIRES)("%s", async (command) => {
    for (const value of VALUES) {
      await toBoth("SET", "s", "v");
      await expectSame(...command.split(" ").map((word) => (word === "V" ? value : word)));
      // A deadline of 1 ms may have passed by now, or not.
      if (value !== "1") await expectSame("EXISTS", "s");
    }
  });

  const RESTORES = ["RESTORE d V P", "RESTORE d V P ABSTTL", "RESTORE d 0 P IDLETIME V", "RESTORE d 0 P FREQ V"];
  const CLAIMS = `XCLAIM x g c V 1-1|XCLAIM x g c 0 1-1 IDLE V JUSTID|XCLAIM x g c 0 1-1 TIME V JUSTID
    |XCLAIM x g c 0 1-1 RETRYCOUNT V JUSTID|XAUTOCLAIM x g c V 0|XPENDING x g IDLE V - + 0`.split(/\s*\|/);
  test.each([...RESTORES, ...CLAIMS, "WAIT V 1"])("%s", async (command) => {
    for (const value of VALUES) {
      await toBoth("DEL", "d");
      // The entry was idle for longer than 1 ms in both servers, whatever they have just done with it.
      await toBoth("XCLAIM", "x", "g", "c", "0", "1-1", "IDLE", "100000", "JUSTID");
      const args = command.split(" ").map((word) => (word === "V" ? value : word === "P" ? payload : word));
      await expectSame(...args);
      if (value !== "1") await expectSame("EXISTS", "d");
    }
  });

  test("XAUTOCLAIM COUNT", async () => {
    for (const value of VALUES) {
      const args = ["XAUTOCLAIM", "x", "g", "c", "0", "0", "COUNT", value];
      const [theirs, ours] = await toBoth(...args);
      // Redis allocates room for all of them.
      if (theirs.includes("Insufficient memory"))
        expect([value, ours]).toEqual([value, await ask(other, ...args.slice(0, 6))]);
      else expect([value, ours]).toEqual([value, theirs]);
    }
  });

  const SETTINGS =
    `timeout tcp-keepalive slowlog-log-slower-than latency-monitor-threshold busy-reply-threshold lua-time-limit
    repl-timeout lfu-decay-time hz`.split(/\s+/);
  test.each(SETTINGS)("CONFIG SET %s", async (name) => {
    const was = await redis.command("CONFIG", "GET", name);
    const value = ((was as { value: { value: string }[] }).value[1] ?? { value: "0" }).value;
    for (const one of VALUES) {
      await expectSame("CONFIG", "SET", name, one);
      await toBoth("CONFIG", "SET", name, value);
    }
  });

  /** The reply to a command with timeout `value`: its error, or the reply after CLIENT UNBLOCK. */
  async function outcome(server: Server, admin: RespClient, ...args: Argument[]): Promise<string> {
    const client = await server.connect();
    const id = (await ask(client, "CLIENT", "ID")).slice(1);
    let isOver = false;
    const reply = ask(client, ...args).finally(() => {
      isOver = true;
    });
    while (!isOver) await ask(admin, "CLIENT", "UNBLOCK", id);
    client.close();
    return reply;
  }

  const SECONDS =
    `BLPOP none V|BRPOP none V|BLMOVE none no LEFT LEFT V|BRPOPLPUSH none no V|BLMPOP V 1 none LEFT|BZPOPMIN none V
    |BZPOPMAX none V|BZMPOP V 1 none MIN`.split(/\s*\|/);
  const MILLISECONDS = `XREAD BLOCK V STREAMS x $|XREADGROUP GROUP g c BLOCK V STREAMS x >|WAIT 0 V|WAIT 1 V
    |CLIENT PAUSE V WRITE`.split(/\s*\|/);
  test.each([...SECONDS.map((one) => [one, 1000] as const), ...MILLISECONDS.map((one) => [one, 1] as const)])(
    "%s",
    async (command, unitMs) => {
      for (const value of VALUES) {
        const args = command.split(" ").map((word) => (word === "V" ? value : word));
        const theirs = await outcome(both.redis!, redis, ...args);
        const ours = await outcome(both.ferrite, ferrite, ...args);
        await toBoth("CLIENT", "UNPAUSE");
        const overflows = Number(value.replace("inf", "Infinity")) * unitMs + Date.now() >= 2 ** 63;
        const expected = overflows && !theirs.startsWith("-ERR timeout is not a") ? OUT_OF_RANGE : theirs;
        expect([...args, ours]).toEqual([...args, expected]);
        expect(await ask(other, "SET", "served", "1")).toBe("+OK");
      }
    },
  );

  test("CLIENT PAUSE checks its mode before its time", async () => {
    for (const value of VALUES) await expectSame("CLIENT", "PAUSE", value, "FOO");
  });

  test("DEBUG SLEEP ends at once, or is out of range", async () => {
    for (const value of "0 -1 inf -inf nan abc 1e-9 -0 1e-400 -9223372036854775808".split(" ")) {
      expect([value, await ask(ferrite, "DEBUG", "SLEEP", value)]).toEqual([value, "+OK"]);
    }
    for (const value of ["1e400", "1e18", "9223372036854775807", "Infinity", "3601"]) {
      expect([value, await ask(ferrite, "DEBUG", "SLEEP", value)]).toEqual([value, OUT_OF_RANGE]);
    }
  });
});

describe("a pause", () => {
  test("that would end after 2^63 ms is refused, and none begins", async () => {
    const server = await startFerrite({ workers: 3 });
    const clients = await Promise.all(Array.from({ length: 6 }, () => server.connect()));
    for (const mode of [["WRITE"], ["ALL"], []]) {
      expect(await ask(clients[0]!, "CLIENT", "PAUSE", "9223372036854775807", ...mode)).toBe(OUT_OF_RANGE);
      for (const client of clients) expect(await ask(client, "SET", "k", "v")).toBe("+OK");
    }
    await server.stop();
  });

  test("of all commands lets UNPAUSE through, and the commands that authenticate", async () => {
    const server = await startFerrite({ workers: 3, settings: { requirepass: "secret" } });
    const clients = await Promise.all(Array.from({ length: 6 }, () => server.connect()));
    for (const client of clients) expect(await ask(client, "AUTH", "secret")).toBe("+OK");
    for (const timeout of ["1000000", "9223370000000000000"]) {
      expect(await ask(clients[0]!, "CLIENT", "PAUSE", timeout)).toBe("+OK");
      const held = clients.slice(0, 5).map((client) => ask(client, "INCR", "k"));
      const late = await server.connect();
      expect(await ask(late, "HELLO", "2", "AUTH", "default", "secret")).toContain("server");
      expect(await ask(late, "AUTH", "secret")).toBe("+OK");
      expect(await ask(late, "CLIENT", "UNPAUSE")).toBe("+OK");
      expect((await Promise.all(held)).sort()).toEqual(
        timeout.length < 10 ? [":1", ":2", ":3", ":4", ":5"] : [":10", ":6", ":7", ":8", ":9"],
      );
      late.close();
    }
    await server.stop();
  });

  test("of all commands lets SHUTDOWN through", async () => {
    const server = await startFerrite({ workers: 2 });
    const [one, two] = [await server.connect(), await server.connect()];
    expect(await ask(one, "CLIENT", "PAUSE", "9223370000000000000", "ALL")).toBe("+OK");
    one.write("PING\r\n");
    two.write("SHUTDOWN NOSAVE\r\n");
    expect((await within(server.exited, HANG_MS, "SHUTDOWN")).code).toBe(0);
    await server.stop();
  });
});
