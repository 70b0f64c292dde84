/**
 * Goal:   a script that runs too long, eats memory, recurses without end or sorts by a lie harms nobody: other clients are
 *         answered BUSY, SCRIPT KILL and FUNCTION KILL end it, SHUTDOWN NOSAVE ends the server, and nothing crashes. With one
 *         worker, whose event loop the script keeps from turning, and with two.
 * Method: the executable over real sockets. Old connections, and new ones that come meanwhile.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ask, RespClient, show, within } from "../support/resp.ts";
import { alternateTransports, type Server, startFerrite } from "../support/servers.ts";

alternateTransports();

/** A guard: a script takes some seconds to use up its memory on a busy machine. */
const EATING_MS = 50_000;
const SETTINGS = { "server.busy_reply_threshold": "100", "server.script_memory_limit": "64mb" };
const BUSY = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const BUSY_FUNCTION = "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

/** Asks until the answer is another one than `before`. */
async function until(client: RespClient, wanted: (reply: string) => boolean, ...args: string[]): Promise<string> {
  for (let n = 0; n < 400; n++) {
    const reply = await ask(client, ...args);
    if (wanted(reply)) return reply;
    await Bun.sleep(10);
  }
  throw new Error(`${args.join(" ")} never got the reply that was waited for`);
}
const isBusy = (reply: string) => reply.startsWith("-BUSY");

describe.each([1, 2])("%d workers", (workers) => {
  let server: Server;
  beforeAll(async () => {
    server = await startFerrite({ workers, settings: SETTINGS });
  }, 30_000);
  afterAll(() => server.stop());

  const LOOPS = [
    "while true do end",
    "repeat until false",
    "for i = 1, 1e308 do end",
    "local function f() return f() end return f()",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(error, 'x') end",
    "while true do redis.call('PING') end",
    "while true do redis.pcall('GET', 'k') end",
    "return string.rep('a', 100000):find(string.rep('a*', 30) .. 'b')",
    "local t = {} for i = 1, 200 do t[i] = i end while true do pcall(table.sort, t, function(a, b) return true end) end",
    "return (('x'):rep(100):gsub('.', function() while true do end end))",
    "return coroutine.wrap(function() while true do end end)()",
  ];

  test.each(LOOPS)("SCRIPT KILL ends: %s", async (text) => {
    const runner = await server.connect();
    const before = await Promise.all([server.connect(), server.connect(), server.connect()]);
    for (const client of before) expect(await ask(client, "PING")).toBe("+PONG");
    const running = ask(runner, "EVAL", text, "0");
    expect(await until(before[0]!, isBusy, "PING")).toBe(BUSY);
    const after = await Promise.all([server.connect(), server.connect(), server.connect()]);
    for (const client of [...before, ...after]) {
      expect(await ask(client, "GET", "k")).toBe(BUSY);
      expect(await ask(client, "FUNCTION", "KILL")).toBe(BUSY);
    }
    expect(await ask(after[0]!, "SCRIPT", "KILL")).toBe("+OK");
    expect(await running).toStartWith("-ERR Script killed by user with SCRIPT KILL... script: ");
    for (const client of [...before, ...after, runner]) {
      expect(await until(client, (reply) => !isBusy(reply), "PING")).toBe("+PONG");
      expect(await ask(client, "SET", "k", "v")).toBe("+OK");
      client.close();
    }
    const last = await server.connect();
    expect(await ask(last, "SCRIPT", "KILL")).toBe("-NOTBUSY No scripts in execution right now.");
    last.close();
  });

  test("a script that has written cannot be killed, and what it wrote stays when it fails by itself", async () => {
    const runner = await server.connect();
    const other = await server.connect();
    await ask(other, "SET", "turns", "0");
    const text = "redis.call('SET', 'w', 1) local t = os.clock() while os.clock() - t < 0.8 do end error('at the end')";
    const running = ask(runner, "EVAL", text, "0");
    await until(other, isBusy, "PING");
    expect(await ask(other, "SCRIPT", "KILL")).toStartWith("-UNKILLABLE ");
    expect(await running).toStartWith("-ERR user_script:1: at the end script: ");
    expect(await until(other, (reply) => !isBusy(reply), "GET", "w")).toBe('"1"');
    runner.close();
    other.close();
  });

  test("FUNCTION KILL ends a function, and FUNCTION STATS shows it", async () => {
    const runner = await server.connect();
    const other = await server.connect();
    const code = "#!lua name=loops\nredis.register_function('loop', function() while true do end end)";
    expect(await ask(other, "FUNCTION", "LOAD", "REPLACE", code)).toBe('"loops"');
    const running = ask(runner, "FCALL", "loop", "1", "key", "arg");
    expect(await until(other, isBusy, "PING")).toBe(BUSY_FUNCTION);
    expect(await ask(other, "SCRIPT", "KILL")).toBe(BUSY_FUNCTION);
    // Connections to the worker that runs it wait for its end.
    const asking = await Promise.all(Array.from({ length: workers === 1 ? 0 : 16 }, () => server.connect()));
    if (workers > 1) {
      const shown = await Promise.race(asking.map((client) => ask(client, "FUNCTION", "STATS")));
      expect(shown).toMatch(
        /^\*\["running_script", \*\["name", "loop", "command", \*\["FCALL", "loop", "1", "key", "arg"\], "duration_ms", :\d+\], "engines"/,
      );
    }
    expect(await ask(other, "FUNCTION", "KILL")).toBe("+OK");
    expect(await running).toStartWith("-ERR Script killed by user with FUNCTION KILL... script: loop");
    for (const client of asking) client.close();
    runner.close();
    other.close();
  });

  test("a transaction that met BUSY is discarded", async () => {
    const runner = await server.connect();
    const other = await server.connect();
    const third = await server.connect();
    for (const client of [other, third]) expect(await ask(client, "MULTI")).toBe("+OK");
    const running = ask(runner, "EVAL", "while true do end", "0");
    const killer = await server.connect();
    await until(killer, isBusy, "PING");
    expect(await ask(other, "SET", "k", "v")).toBe(BUSY);
    expect(await ask(third, "EXEC")).toBe(`-EXECABORT Transaction discarded because of: ${BUSY.slice(1)}`);
    expect(await ask(killer, "SCRIPT", "KILL")).toBe("+OK");
    await running;
    await until(killer, (reply) => !isBusy(reply), "PING");
    expect(await ask(other, "EXEC")).toBe("-EXECABORT Transaction discarded because of previous errors.");
    expect(await ask(third, "EXEC")).toBe("-ERR EXEC without MULTI");
    for (const client of [runner, other, killer, third]) client.close();
  });

  const EATERS = [
    "local t = {} while true do t[#t + 1] = {#t} end",
    "local s = 'x' while true do s = s .. s end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
    "return ('x'):rep(1e10)",
    "return cjson.decode(('['):rep(1000) .. (']'):rep(1000))[1] and ('x'):rep(2e9)",
  ];
  test.each(EATERS)("memory is bounded: %s", async (text) => {
    const client = await server.connect();
    const reply = show(await within(client.command("EVAL", text, "0"), EATING_MS, text));
    expect(reply).toMatch(/not enough memory|resulting string too large/);
    expect(await ask(client, "PING")).toBe("+PONG");
    client.close();
  });

  const DEEP = [
    "local function f() return 1 + f() end return f()",
    "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k] end return t.x",
    "local t = {} for i = 1, 10000 do t = {t} end return t",
    "local t = {} t[1] = t return t",
    "return pcall(string.rep)",
    "table.sort({3, 1, 2, 5, 4, 9, 7}, function(a, b) return true end)",
    "local function g(n) local ok, e = pcall(g, n + 1) return ok end return tostring(g(1))",
  ];
  test.each(DEEP)("nothing crashes: %s", async (text) => {
    const client = await server.connect();
    // The reader of the tests refuses a reply that is nested too deep.
    await ask(client, "EVAL", text, "0").catch(() => "");
    client.close();
    const other = await server.connect();
    expect(await ask(other, "PING")).toBe("+PONG");
    other.close();
  });
});

test.each([1, 2])("SHUTDOWN NOSAVE ends a server whose script has written, %d workers", async (workers) => {
  const server = await startFerrite({ workers, settings: SETTINGS });
  const runner = await server.connect();
  const other = await server.connect();
  const running = ask(runner, "EVAL", "redis.call('SET', 'x', 1) while true do end", "0").catch(() => "closed");
  await until(other, isBusy, "PING");
  expect(await ask(other, "SHUTDOWN")).toBe(BUSY);
  void ask(other, "SHUTDOWN", "NOSAVE").catch(() => "closed");
  expect((await server.exited).code).toBe(0);
  await running;
});

test("a client that connects to the Unix socket while the only worker is busy is listed with that socket", async () => {
  const server = await startFerrite({ workers: 1, settings: { ...SETTINGS, unixsocket: "busy.sock" } });
  try {
    const [runner, other] = [await server.connect(), await server.connect()];
    const running = ask(runner, "EVAL", "while true do end", "0");
    expect(await until(other, isBusy, "PING")).toBe(BUSY);
    const local = await RespClient.connect({ path: `${server.dataDir}/busy.sock` });
    expect(await ask(local, "PING")).toBe(BUSY);
    expect(await ask(local, "SCRIPT", "KILL")).toBe("+OK");
    expect(await running).toStartWith("-ERR Script killed by user");
    expect(await until(local, (reply) => !isBusy(reply), "CLIENT", "INFO")).toMatch(
      / addr=\S*busy\.sock:0 .* flags=\S*U/,
    );
    for (const client of [runner, other, local]) client.close();
  } finally {
    await server.stop();
  }
}, 30_000);
