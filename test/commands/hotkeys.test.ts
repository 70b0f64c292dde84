/**
 * Goal:   HOTKEYS finds the keys that cost the most bytes and the most time over all workers, with Redis 8.6's replies.
 * Method: a server of three workers and a biased stream of commands; then the errors.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Argument, type Reply, type RespClient, show, within } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

let server: Server;
let client: RespClient;
beforeAll(async () => {
  server = await startFerrite({ workers: 3 });
  client = await server.connect();
});
afterAll(() => server.stop());

async function ask(...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), 5000, args.join(" ")));
}

/** The one map of a HOTKEYS GET in RESP2. */
async function results(): Promise<Map<string, Reply>> {
  const reply = await within(client.command("HOTKEYS", "GET"), 5000, "HOTKEYS GET");
  if (reply.type !== "array" || reply.value.length !== 1) throw new Error(show(reply));
  const map = reply.value[0]!;
  if (map.type !== "array") throw new Error(show(reply));
  const found = new Map<string, Reply>();
  for (let i = 0; i < map.value.length; i += 2) found.set(textOf(map.value[i]!), map.value[i + 1]!);
  return found;
}

function textOf(reply: Reply): string {
  if (!("value" in reply) || typeof reply.value !== "string") throw new Error(show(reply));
  return reply.value;
}

function keysOf(reply: Reply | undefined): [string, number][] {
  if (reply?.type !== "array") throw new Error("no list");
  const keys: [string, number][] = [];
  for (let i = 0; i < reply.value.length; i += 2) {
    keys.push([textOf(reply.value[i]!), Number(textOf(reply.value[i + 1]!))]);
  }
  return keys;
}

const COMMON = [
  "tracking-active",
  "sample-ratio",
  "selected-slots",
  "all-commands-all-slots-us",
  "net-bytes-all-commands-all-slots",
  "collection-start-time-unix-ms",
  "collection-duration-ms",
];

describe("HOTKEYS", () => {
  test("finds the keys of a biased stream over all workers", async () => {
    expect(await ask("HOTKEYS", "GET")).toBe("null$");
    expect(await ask("HOTKEYS", "START", "METRICS", "2", "CPU", "NET", "COUNT", "5")).toBe("+OK");
    const clients = await Promise.all(Array.from({ length: 9 }, () => server.connect()));
    for (const [n, one] of clients.entries()) {
      const commands: string[][] = [];
      for (let i = 0; i < 400; i++) {
        commands.push(["SET", `hot:${i % 5}`, "x".repeat(100)], ["SET", `cold:${n}:${i % 150}`, "x"]);
      }
      await within(one.pipeline(commands), 5000, "a pipeline");
    }
    const found = await results();
    expect([...found.keys()]).toEqual([
      ...COMMON,
      "total-cpu-time-user-ms",
      "total-cpu-time-sys-ms",
      "total-net-bytes",
      "by-cpu-time-us",
      "by-net-bytes",
    ]);
    expect(show(found.get("tracking-active")!)).toBe(":1");
    expect(show(found.get("selected-slots")!)).toBe("*[*[:0, :16383]]");
    const byBytes = keysOf(found.get("by-net-bytes"));
    expect(byBytes.map(([key]) => key).sort()).toEqual(["hot:0", "hot:1", "hot:2", "hot:3", "hot:4"]);
    // *3, $3 SET, $5 hot:0, $100 ..., and +OK, 80 times from each of nine clients.
    for (const [, bytes] of byBytes) expect(bytes).toBe(9 * 80 * (4 + 9 + 11 + 108 + 5));
    expect(keysOf(found.get("by-cpu-time-us")).length).toBeLessThanOrEqual(5);
    expect(await ask("HOTKEYS", "STOP")).toBe("+OK");
    expect(await ask("HOTKEYS", "STOP")).toBe("null$");
    await ask("SET", "after", "x".repeat(1_000_000));
    const stopped = await results();
    expect(show(stopped.get("tracking-active")!)).toBe(":0");
    expect(keysOf(stopped.get("by-net-bytes"))).toEqual(byBytes);
    expect(stopped.get("collection-duration-ms")).toEqual((await results()).get("collection-duration-ms")!);
    expect(await ask("HOTKEYS", "RESET")).toBe("+OK");
    expect(await ask("HOTKEYS", "GET")).toBe("null$");
    for (const one of clients) one.close();
  });

  test("bytes of a command are divided among its keys; long replies count; RESP3 has a map", async () => {
    await ask("SETRANGE", "{a}long", "299999", "x");
    expect(await ask("HOTKEYS", "START", "METRICS", "1", "NET")).toBe("+OK");
    expect(await ask("HOTKEYS", "START", "METRICS", "1", "CPU")).toBe(
      "-ERR hotkey tracking session already in progress",
    );
    expect(await ask("HOTKEYS", "RESET")).toBe("-ERR hotkey tracking session in progress, stop tracking first");
    await ask("MSET", "a", "1", "b", "2");
    await ask("GET", "{a}long");
    const found = await results();
    expect([...found.keys()]).toEqual([...COMMON, "total-net-bytes", "by-net-bytes"]);
    expect(keysOf(found.get("by-net-bytes"))).toEqual([
      ["{a}long", 26 + 300_011],
      ["a", 23],
      ["b", 23],
    ]);
    await ask("HELLO", "3");
    expect(await ask("HOTKEYS", "GET")).toStartWith('*[%{"tracking-active" => :1, "sample-ratio" => :1, ');
    await ask("HELLO", "2");
    expect(await ask("HOTKEYS", "STOP")).toBe("+OK");
    expect(await ask("HOTKEYS", "START", "METRICS", "1", "CPU", "SAMPLE", "5")).toBe("+OK");
    expect(show((await results()).get("sample-ratio")!)).toBe(":5");
    expect(await ask("HOTKEYS", "STOP")).toBe("+OK");
    expect(await ask("HOTKEYS", "RESET")).toBe("+OK");
  });

  test("a session ends with its duration", async () => {
    expect(await ask("HOTKEYS", "START", "METRICS", "2", "FUTURE", "CPU", "DURATION", "1")).toBe("+OK");
    await Bun.sleep(1020);
    const found = await results();
    expect(show(found.get("tracking-active")!)).toBe(":0");
    expect(show(found.get("collection-duration-ms")!)).toBe(":1000");
    expect(await ask("HOTKEYS", "RESET")).toBe("+OK");
  });

  test("errors", async () => {
    const cases: [string, ...string[]][] = [
      ["METRICS parameter is required"],
      ["METRICS parameter is required", "COUNT", "5"],
      ["METRICS count must be > 0 and <= 2", "METRICS", "0"],
      ["METRICS count must be > 0 and <= 2", "METRICS", "3", "CPU", "NET"],
      ["METRICS count must be > 0 and <= 2", "METRICS", "x"],
      ["METRICS count does not match number of metric types provided", "METRICS", "2", "CPU"],
      ["METRICS CPU defined more than once!", "METRICS", "2", "CPU", "CPU"],
      ["METRICS NET defined more than once!", "METRICS", "2", "NET", "NET"],
      ["METRICS no valid metrics passed. Supported: CPU|NET", "METRICS", "1", "GPU"],
      ["syntax error", "METRICS", "1", "CPU", "NET"],
      ["COUNT must be between 1 and 64", "METRICS", "1", "CPU", "COUNT", "65"],
      ["DURATION must be between 1 and 1000000", "METRICS", "1", "CPU", "DURATION", "0"],
      ["SAMPLE ratio must be positive", "METRICS", "1", "CPU", "SAMPLE", "0"],
      ["SLOTS parameter cannot be used in non-cluster mode", "METRICS", "1", "CPU", "SLOTS", "2", "0", "5"],
    ];
    for (const [error, ...args] of cases) expect(await ask("HOTKEYS", "START", ...args)).toBe(`-ERR ${error}`);
    expect(await ask("HOTKEYS", "GET", "x")).toBe("-ERR wrong number of arguments for 'hotkeys|get' command");
    expect(await ask("HOTKEYS", "nothing")).toBe("-ERR unknown subcommand 'nothing'. Try HOTKEYS HELP.");
    expect(await ask("HOTKEYS", "HELP")).toStartWith("*[+HOTKEYS <subcommand> ");
    expect(await ask("HOTKEYS", "GET")).toBe("null$");
  });
});
