/**
 * Goal:   what an operator looks at is true: the descriptor limit, how often background work is done, INFO while a worker is
 *         busy, the memory ratio, the JavaScript inspector, and TCP Fast Open.
 * Method: the executable. Waits are bounded, and nothing depends on how fast the machine is.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseMetrics } from "../support/prometheus.ts";
import { ask, type RespClient, within } from "../support/resp.ts";
import { clientOfEach, freePort, ROOT, type Server, startFerrite } from "../support/servers.ts";

const HANG_MS = 60_000;
const MIB = 1 << 20;

let server: Server;
let clients: RespClient[];
let metricsPort: number;
let inspectorPort: number;

beforeAll(async () => {
  [metricsPort, inspectorPort] = [await freePort(), await freePort()];
  server = await startFerrite({
    workers: 2,
    settings: { maxmemory: "2gb" },
    args: [
      ...["--set", "metrics.enabled=true", "--metrics-port", String(metricsPort)],
      ...["--hz", "1", "--set", "server.enable_debug_command=yes"],
    ],
    env: { BUN_INSPECT: `ws://127.0.0.1:${inspectorPort}/ferrite` },
    wrapper: ["prlimit", "--nofile=256:5000"],
  });
  clients = await clientOfEach(2, () => server.connect());
}, HANG_MS);
afterAll(() => server.stop());

test("the soft limit of descriptors is raised to the hard one at the start", async () => {
  const limits = readFileSync(`/proc/${server.pid}/limits`, "utf8");
  expect(/Max open files +(\d+) +(\d+)/.exec(limits)!.slice(1)).toEqual(["5000", "5000"]);
  // 5000 less what the server itself needs.
  expect(Number(/"(\d+)"\]$/.exec(await ask(clients[0]!, "CONFIG", "GET", "maxclients"))?.[1])).toBeGreaterThan(4000);
});

test("hz decides how often each worker does its background work, also at run time", async () => {
  const rounds = async (): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    const { samples } = parseMetrics(text).get("ferrite_event_loop_delay_seconds")!;
    return samples.find(({ name, labels }) => name.endsWith("_count") && labels["worker"] === "0")!.value;
  };
  const beganMs = performance.now();
  const before = await rounds();
  await Bun.sleep(1500);
  const slow = (await rounds()) - before;
  expect(slow).toBeLessThanOrEqual(Math.ceil((performance.now() - beganMs) / 1000) + 1);
  // 120 rounds would take two minutes at hz 1.
  expect(await ask(clients[0]!, "CONFIG", "SET", "hz", "200")).toBe("+OK");
  const fast = (async () => {
    // Without a command the worker would rest.
    while ((await rounds()) < before + slow + 120) {
      await ask(clients[0]!, "PING");
      await Bun.sleep(20);
    }
  })();
  await within(fast, HANG_MS, "120 rounds of background work");
});

test("INFO asks no other worker: it replies while another sleeps", async () => {
  let isAsleep = true;
  const sleeping = ask(clients[0]!, "DEBUG", "SLEEP", "3").finally(() => (isAsleep = false));
  for (let n = 0; n < 3; n++) expect(await ask(clients[1]!, "INFO", "everything")).toContain("connected_clients:");
  expect(isAsleep).toBe(true);
  expect(await within(sleeping, HANG_MS, "the end of the sleep")).toBe("+OK");
});

test("mem_fragmentation_ratio is resident by used memory, and falls as the data outweighs the runtime", async () => {
  const memory = async (): Promise<{ ratio: number; rss: number; used: number }> => {
    const text = await ask(clients[0]!, "INFO", "memory");
    const field = (name: string): number => Number(new RegExp(`${name}:([\\d.]+)`).exec(text)?.[1]);
    return { ratio: field("mem_fragmentation_ratio"), rss: field("used_memory_rss"), used: field("used_memory") };
  };
  const empty = await memory();
  expect(empty.ratio).toBeCloseTo(empty.rss / empty.used, 1);
  const value = Buffer.alloc(MIB, "v");
  for (let n = 0; n < 64; n++) expect(await ask(clients[0]!, "SET", `key:${n}`, value)).toBe("+OK");
  const full = await memory();
  expect(full.ratio).toBeCloseTo(full.rss / full.used, 1);
  expect(full.used).toBeGreaterThan(64 * MIB);
  expect(full.ratio).toBeGreaterThan(0.9);
  expect(full.ratio).toBeLessThan(empty.ratio / 2);
});

test("BUN_INSPECT opens the JavaScript inspector of the executable", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${inspectorPort}/ferrite`);
  const answer = new Promise<string>((resolve, reject) => {
    const request = { id: 1, method: "Runtime.evaluate", params: { expression: "String(process.pid)" } };
    socket.onopen = () => socket.send(JSON.stringify(request));
    socket.onmessage = ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { id?: number; result?: { result: { value: string } } };
      if (id === 1) resolve(result!.result.value);
    };
    socket.onerror = () => reject(new Error("the inspector does not answer"));
  });
  expect(await within(answer, HANG_MS, "the inspector's answer")).toBe(String(server.pid));
  socket.close();
});

test.each([
  [true, 1],
  [false, 0],
])("tcp_fast_open %p: the kernel hands over %d connections together with their first command", (isOn, withData) => {
  const probe = Bun.spawnSync(
    [
      ...["unshare", ...(process.getuid?.() === 0 ? [] : ["-r"]), "-n"],
      ...[process.execPath, join(ROOT, "test/support/fast-open-probe.ts"), String(isOn)],
    ],
    { stdout: "pipe", stderr: "pipe", timeout: HANG_MS },
  );
  if (probe.exitCode !== 0) throw new Error(`the probe failed (unshare, ip, python3): ${probe.stderr.toString()}`);
  expect(JSON.parse(probe.stdout.toString().trim().split("\n").at(-1)!)).toEqual({
    replies: ["+PONG", "+PONG"],
    withData,
  });
});
