/**
 * Goal:   redis-cli works with Ferrite as with Redis, in every mode that needs no replication.
 * Method: the executable and Debian's redis-cli. Each mode runs until it has printed something. A mode that never ends is
 *         stopped by its process ID.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { show } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const HAS_REDIS = requireRedis() && Bun.which("redis-cli") !== null;
const GUARD_MS = 20_000;

let server: Server;
beforeAll(async () => {
  server = await startFerrite({ workers: 2 });
  if (HAS_REDIS) await fill(server);
});
afterAll(() => server.stop());

async function fill(target: Server): Promise<void> {
  const client = await target.connect();
  await client.pipeline(Array.from({ length: 500 }, (_, i) => ["SET", `key:${i}`, `value:${i}`]));
  await client.pipeline([
    ["SETRANGE", "big", "100000", "x"],
    ["SET", 'we"ird\x00 k\xff', "odd"],
    ["PFADD", "sketch", "a", "b", "c"],
  ]);
  client.close();
}

interface Output {
  out: string;
  error: string;
  code: number | null;
}

/** Runs redis-cli to its end. */
async function cli(args: readonly string[], input = "", target = server): Promise<Output> {
  const child = Bun.spawn(["redis-cli", "-p", String(target.port), ...args], {
    stdin: Buffer.from(input, "latin1"),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, TERM: "dumb" },
  });
  const guard = setTimeout(() => child.kill("SIGKILL"), GUARD_MS);
  const [out, error] = await Promise.all([new Response(child.stdout).bytes(), new Response(child.stderr).text()]);
  clearTimeout(guard);
  await child.exited;
  return { out: Buffer.from(out).toString("latin1"), error, code: child.exitCode };
}

/** Runs redis-cli until its output satisfies `isEnough`, then ends it. Returns the output. */
async function endless(args: readonly string[], isEnough: (out: string) => boolean): Promise<string> {
  // Line-buffered, because output would otherwise come in blocks of 4 KiB.
  const child = Bun.spawn(["stdbuf", "-o0", "redis-cli", "-p", String(server.port), ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    env: { ...process.env, TERM: "dumb" },
  });
  const guard = setTimeout(() => child.kill("SIGKILL"), GUARD_MS);
  let out = "";
  for await (const chunk of child.stdout) {
    out += Buffer.from(chunk).toString("latin1");
    if (isEnough(out)) break;
  }
  child.kill("SIGKILL");
  clearTimeout(guard);
  await child.exited;
  return out;
}

/** Calls `work` with a function that writes a script into a temporary file and returns its path. */
async function withScripts(work: (file: (text: string) => string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ferrite-scripts-"));
  let count = 0;
  try {
    await work((text) => {
      const path = join(folder, `${count++}.lua`);
      writeFileSync(path, text);
      return path;
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function lines(out: string): string[] {
  return out.split("\n").filter((line) => line !== "");
}

/** A test that needs redis-cli. Without one, requireRedis has reported it or failed. */
function check(name: string, run: () => Promise<void>): void {
  test(name, async () => {
    if (HAS_REDIS) await run();
  });
}

describe("redis-cli", () => {
  check("SUBSCRIBE and PSUBSCRIBE print messages as they come", async () => {
    const publisher = await server.connect();
    for (const [command, channel, wanted] of [
      ["SUBSCRIBE", "news", "subscribe\nnews\n1\nmessage\nnews\nhello\n"],
      ["PSUBSCRIBE", "n*", "psubscribe\nn*\n1\npmessage\nn*\nnews\nhello\n"],
      ["SSUBSCRIBE", "news", "ssubscribe\nnews\n1\nsmessage\nnews\nhello\n"],
    ] as const) {
      // The one before, which has gone, may still be counted for a moment.
      const nobody = command === "SSUBSCRIBE" ? ["SHARDNUMSUB", "news"] : ["NUMSUB", "news"];
      for (let tries = 0; tries < 2000 && command !== "SUBSCRIBE"; tries++) {
        if (show(await publisher.command("PUBSUB", ...nobody)).endsWith(":0]")) break;
        await Bun.sleep(2);
      }
      const publish = async (): Promise<void> => {
        const name = command === "SSUBSCRIBE" ? "SPUBLISH" : "PUBLISH";
        for (let tries = 0; tries < 2000; tries++) {
          if (show(await publisher.command(name, "news", "hello")) !== ":0") return;
          await Bun.sleep(2);
        }
      };
      const [out] = await Promise.all([endless([command, channel], (text) => text.includes("hello\n")), publish()]);
      expect(out).toBe(wanted);
    }
    publisher.close();
  });

  check("single commands, protocols and formats print the same as with Redis", async () => {
    const redis = await startRedis();
    await fill(redis);
    const cases: [string[], string?][] = [
      [["GET", "key:1"]],
      [["--no-raw", "GET", "key:1"]],
      [["--no-raw", "GET", "nothing"]],
      [["--no-raw", "MGET", "key:1", "nothing", "key:2"]],
      [["--csv", "MGET", "key:1", "nothing", "key:2"]],
      [["--json", "MGET", "key:1", "nothing", "key:2"]],
      [["-3", "--no-raw", "MGET", "key:1", "nothing"]],
      [["-3", "--no-raw", "CONFIG", "GET", "maxmemory-samples"]],
      [["-3", "--json", "CONFIG", "GET", "maxmemory-samples"]],
      [["-3", "--no-raw", "HELLO", "4"]],
      [["--quoted-input", "--no-raw", "SET", '"\\x00\\x01"', '"v\\xff\\n"']],
      [["--quoted-input", "--no-raw", "GET", '"\\x00\\x01"']],
      [["-x", "SET", "from:stdin"], "one\r\ntwo\x00"],
      [["--no-raw", "GET", "from:stdin"]],
      [["-X", "TAG", "SET", "TAG", "value"], "key from stdin"],
      [["--no-raw", "GET", "key from stdin"]],
      [["-n", "3", "SET", "x", "1"]],
      [["-n", "3", "--no-raw", "DBSIZE"]],
      [["-n", "99", "GET", "x"]],
      [["-r", "3", "-i", "0.001", "INCR", "counter"]],
      [["-e", "INCR", "key:1"]],
      [["GET"]],
      [["nothing", "here"]],
      [["--no-auth-warning", "-a", "secret", "PING"]],
      [[], "SET a 1\nGET a\nINCR a\n\nSELECT 5\nGET a\nnothing\nGET 'unbalanced\n"],
    ];
    for (const [args, input] of cases) {
      const [ours, theirs] = await Promise.all([cli(args, input), cli(args, input, redis)]);
      expect([args, ours]).toEqual([args, theirs]);
    }
    await redis.stop();
  });

  check("--eval prints the same as with Redis", async () => {
    const redis = await startRedis();
    await fill(redis);
    await withScripts(async (file) => {
      const good = file("local n = redis.call('INCR', KEYS[1])\nreturn {n, ARGV, KEYS, {ok='fine'}, false}\n");
      const cases: string[][] = [
        ["--eval", good, "evaluated", ",", "a b", "c"],
        ["--no-raw", "--eval", good, "evaluated"],
        ["-3", "--no-raw", "--eval", good, "evaluated", ",", "x"],
        ["--json", "--eval", good, "evaluated", ",", "x"],
        ["--eval", good, "key:1"],
        ["--eval", file("return ("), "evaluated"],
        ["--eval", file("return nothing")],
        ["--eval", file("#!lua flags=no-writes\nreturn redis.call('SET', 'a', 'b')")],
        ["--eval", "no such file"],
      ];
      for (const args of cases) {
        const [ours, theirs] = await Promise.all([cli(args), cli(args, "", redis)]);
        expect([args, ours]).toEqual([args, theirs]);
      }
    });
    await redis.stop();
  });

  check("--ldb says that there is no debugger, and runs nothing", async () => {
    await withScripts(async (file) => {
      const script = file("return redis.call('SET', 'debugged', 'yes')\n");
      for (const mode of ["--ldb", "--ldb-sync-mode"]) {
        const { out } = await cli([mode, "--eval", script]);
        expect(out).toContain("ERR The script debugger (LDB) is not available in Ferrite");
      }
    });
    expect((await cli(["EXISTS", "debugged"])).out).toBe("0\n");
    // The connection that has asked for it runs no script until it takes that back, or is reset.
    const client = await server.connect();
    const none = /^-ERR The script debugger \(LDB\) is not available in Ferrite/;
    expect(show(await client.command("SCRIPT", "DEBUG", "SYNC"))).toMatch(none);
    expect(show(await client.command("EVAL", "return 1", "0"))).toMatch(none);
    expect(show(await client.command("SCRIPT", "DEBUG", "NO"))).toBe("+OK");
    expect(show(await client.command("EVAL", "return 1", "0"))).toBe(":1");
    expect(show(await client.command("SCRIPT", "DEBUG", "YES"))).toMatch(none);
    await client.command("RESET");
    expect(show(await client.command("EVAL", "return 1", "0"))).toBe(":1");
    client.close();
  });

  check("--scan, with a pattern, also a quoted one", async () => {
    expect(lines((await cli(["--scan"])).out).length).toBeGreaterThanOrEqual(503);
    const found = lines((await cli(["--scan", "--pattern", "key:1?"])).out).sort();
    expect(found).toEqual(Array.from({ length: 10 }, (_, i) => `key:1${i}`));
    expect(lines((await cli(["--scan", "--quoted-pattern", '"we\\"ird\\x00*"', "--no-raw"])).out)).toEqual([
      '"we\\"ird\\x00 k\\xff"',
    ]);
  });

  check("--bigkeys, --memkeys and --memkeys-samples", async () => {
    const big = (await cli(["--bigkeys"])).out;
    expect(big).toContain("Biggest string found '\"big\"' has 100001 bytes");
    expect(big).toMatch(/\n5\d\d strings with \d+ bytes \(100\.00% of keys/);
    for (const args of [["--memkeys"], ["--memkeys-samples", "0"]]) {
      const memory = await cli(args);
      expect(memory.out).toMatch(/Biggest string found '"big"' has 1[0-9]{5} bytes/);
      expect(memory.error).toBe("");
    }
  });

  check("--hotkeys: the keys read most under a policy of frequencies, the refusal under others", async () => {
    const refused = await cli(["--hotkeys"]);
    expect(refused.error).toStartWith("Error: ERR An LFU maxmemory policy is not selected");
    expect(refused.code).toBe(1);
    const policy = await cli(["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]);
    if (policy.out === "OK\n") {
      const client = await server.connect();
      for (let i = 0; i < 50; i++) await client.pipeline(Array.from({ length: 100 }, () => ["GET", "key:7"]));
      client.close();
      const hot = await cli(["--hotkeys"]);
      await cli(["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
      expect(hot.out).toMatch(/hot key found with counter: \d+\tkeyname: "key:7"/);
    } else {
      // Until there are such policies in this version.
      expect(policy.out).toContain("not supported in this version");
    }
  });

  check("--pipe: a mass insert, and its errors", async () => {
    const count = 50_000;
    let commands = "";
    for (let i = 0; i < count; i++) {
      const key = `mass:${i}`;
      commands += `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$1\r\nv\r\n`;
    }
    expect((await cli(["--pipe"], commands)).out).toContain(`errors: 0, replies: ${count}`);
    expect((await cli(["EXISTS", "mass:0", `mass:${count - 1}`])).out).toBe("2\n");
    const broken = await cli(["--pipe"], "SET a 1\nnothing x\nINCR big\nGET a\n");
    expect(broken.out).toContain("errors: 2, replies: 4");
    await cli(["FLUSHALL"]);
    await fill(server);
  });

  check("--latency, --latency-history and --latency-dist", async () => {
    expect((await cli(["--latency", "-i", "0.1"])).out).toMatch(/^\d+ \d+ \d+\.\d+ \d+\n$/);
    const history = await endless(["--latency-history", "-i", "0.1"], (out) => lines(out).length >= 2);
    expect(history).toMatch(/\d+ \d+ \d+\.\d+ \d+/);
    const spectrum = await endless(["--latency-dist", "-i", "0.1"], (out) => lines(out).length >= 7);
    expect(spectrum).toContain("milliseconds");
  });

  check("--stat has figures in all its columns", async () => {
    const out = await endless(["--stat", "-i", "0.05"], (text) => lines(text).length >= 6);
    const rows = lines(out).slice(2, 5);
    expect(lines(out)[1]).toStartWith("keys       mem      clients blocked requests            connections");
    for (const row of rows) expect(row).toMatch(/^50\d\s+[\d.]+[KMG]\s+\d+\s+0\s+\d+ \(\+\d+\)\s+\d+\s*$/);
  });

  check("monitor shows the commands of others", async () => {
    const client = await server.connect();
    let sent = 0;
    const timer = setInterval(() => void client.command("ECHO", `number ${++sent}`), 20);
    const out = await endless(["monitor"], (text) => lines(text).length >= 4);
    clearInterval(timer);
    client.close();
    expect(lines(out)[0]).toBe("OK");
    expect(lines(out)[1]).toMatch(/^\d{10}\.\d{6} \[0 127\.0\.0\.1:\d+\] "ECHO" "number \d+"$/);
  });

  check("help and hints come from COMMAND DOCS", async () => {
    const help = (await cli(["help", "SETRANGE"])).out;
    expect(help).toContain("SETRANGE");
    expect(help).toContain("key offset value");
    expect(help).toContain("since:");
    expect((await cli(["help", "CLIENT", "NO-EVICT"])).out).toContain("ON|OFF");
    expect((await cli(["help", "@connection"])).out).toContain("PING");
  });

  check("a server that is not there", async () => {
    expect((await cli(["-p", "1", "PING"])).error).toContain("Could not connect to Redis at 127.0.0.1:1");
    expect((await cli(["--verbose", "PING"])).out).toContain("PONG");
  });
});
