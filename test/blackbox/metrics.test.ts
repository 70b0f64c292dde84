/**
 * Goal:   /metrics is what Prometheus and its linter accept, has redis_exporter's names with INFO's values, and costs the
 *         workers nothing; /healthz, /readyz and /debug/loop tell the truth while the server loads, stops, refuses writes,
 *         or a worker hangs.
 * Method: a real server is scraped after commands of every kind, and the text is read by a strict reader (support/prometheus).
 */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lintMetric, parseMetrics, type ScrapedMetric, valueOf } from "../support/prometheus.ts";
import { EXPORTER_NAMES, OTHER_EXPORTER_NAMES } from "../support/redis-exporter-names.ts";
import { type RespClient, show, within } from "../support/resp.ts";
import {
  ferriteCommand,
  type FerriteOptions,
  freePort,
  logged,
  type Server,
  startFerrite,
} from "../support/servers.ts";

const HANG_MS = 30_000;

interface Measured {
  readonly server: Server;
  readonly port: number;
  get(path: string, headers?: Record<string, string>): Promise<{ status: number; type: string; text: string }>;
  scrape(): Promise<Map<string, ScrapedMetric>>;
}

async function measured(options: FerriteOptions, body: (of: Measured) => Promise<void>): Promise<void> {
  const port = await freePort();
  const args = ["--set", "metrics.enabled=true", "--metrics-port", String(port), ...(options.args ?? [])];
  const server = await startFerrite({ ...options, args });
  const get: Measured["get"] = async (path, headers = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
    return { status: response.status, type: response.headers.get("content-type") ?? "", text: await response.text() };
  };
  try {
    await body({ server, port, get, scrape: async () => parseMetrics((await get("/metrics")).text) });
  } finally {
    await server.stop();
  }
}

/** Commands of every class, refused and failing ones among them. */
const SOME: readonly (readonly string[])[] = [
  ["SET", "a", "1"],
  ["SET", "t", "1", "EX", "1000"],
  ["GET", "a"],
  ["GET", "none"],
  ["INCR", "a"],
  ["LPUSH", "l", "x", "y"],
  ["LPUSH", "a", "x"],
  ["NOSUCH"],
  ["SET", "a"],
  ["HSET", "h", "f", "v"],
  ["SADD", "s", "m"],
  ["ZADD", "z", "1", "m"],
  ["XADD", "x", "*", "f", "v"],
  ["EVAL", "return 1", "0"],
  ["FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)"],
  ["SELECT", "3"],
  ["SET", "b", "1"],
  ["SELECT", "0"],
  ["CONFIG", "GET", "maxmemory"],
];

async function runSome(client: RespClient): Promise<void> {
  for (const args of SOME) await client.command(...args);
}

async function info(client: RespClient): Promise<Map<string, string>> {
  const reply = await client.command("INFO", "everything");
  const text = "value" in reply ? String(reply.value) : "";
  return new Map([...text.matchAll(/^([a-z_0-9]+):(.*)\r$/gm)].map((match) => [match[1]!, match[2]!]));
}

/** Asks until `isSo` is true of the answer. Workers publish their figures ten times a second. */
async function until<T>(ask: () => Promise<T>, isSo: (answer: T) => boolean, what: string): Promise<T> {
  const asking = (async () => {
    for (;;) {
      const answer = await ask();
      if (isSo(answer)) return answer;
      await Bun.sleep(20);
    }
  })();
  return within(asking, HANG_MS, what);
}

describe("/metrics", () => {
  test("keeps the rules of the format and of promtool, in both forms", async () => {
    await measured({}, async ({ server, get, scrape }) => {
      const client = await server.connect();
      await runSome(client);
      const plain = await get("/metrics");
      expect(plain.type).toBe("text/plain; version=0.0.4; charset=utf-8");
      const metrics = await scrape();
      expect(metrics.size).toBeGreaterThan(120);
      for (const metric of metrics.values()) {
        expect(["counter", "gauge", "histogram"]).toContain(metric.type);
        // The names of redis_exporter are as they are.
        if (!metric.name.startsWith("redis_")) expect([metric.name, ...lintMetric(metric)]).toEqual([metric.name]);
      }
      const open = await get("/metrics", { accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" });
      expect(open.type).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
      expect(parseMetrics(open.text, true).size).toBe(metrics.size);
      client.close();
    });
  });

  test("has no label that grows with keys, clients or what clients send", async () => {
    await measured({}, async ({ server, scrape }) => {
      const client = await server.connect();
      await runSome(client);
      const labelsOf = (metrics: Map<string, ScrapedMetric>): number =>
        [...metrics.values()].reduce((sum, { samples }) => sum + samples.length, 0);
      const before = await until(scrape, (found) => valueOf(found, "redis_db_keys", { db: "db3" }) === 1, "a scrape");
      for (let i = 0; i < 300; i++) {
        const other = i % 10 === 0 ? await server.connect() : client;
        await other.command("CLIENT", "SETNAME", `name-${i}`);
        await other.command("SET", `key:${i}`, "v");
        await other.command(`NOSUCH${i}`, `argument-${i}`);
        await other.command("SUBSCRIBE", `channel-${i}`).catch(() => null);
        await other.command("UNSUBSCRIBE", `channel-${i}`).catch(() => null);
        await other.command("EVAL", `return redis.error_reply('E${i} own words')`, "0");
        if (other !== client) other.close();
      }
      const after = await scrape();
      // Five commands were new. Kinds of errors are counted up to a limit, and the rest as one.
      expect(labelsOf(after) - labelsOf(before)).toBeLessThan(5 * 4 + 5 * 24 + 130);
      client.close();
    });
  });

  test("tells how full the disk of the data is, as df does", async () => {
    await measured({}, async ({ server, scrape }) => {
      const df = Bun.spawnSync(["df", "--output=pcent", server.dataDir]).stdout.toString();
      const text = await scrape();
      // df rounds up.
      expect(Math.abs(valueOf(text, "ferrite_disk_used_ratio") * 100 - Number(/(\d+)%/.exec(df)![1]))).toBeLessThan(2);
      expect(valueOf(text, "ferrite_disk_free_bytes")).toBeGreaterThan(0);
    });
  });

  test("every redis_ name is one of redis_exporter's", async () => {
    await measured({}, async ({ server, scrape }) => {
      const client = await server.connect();
      await runSome(client);
      const known = new Set([...EXPORTER_NAMES.values(), ...OTHER_EXPORTER_NAMES]);
      const names = [...(await scrape()).keys()].filter((name) => name.startsWith("redis_"));
      expect(names.filter((name) => !known.has(name))).toEqual([]);
      expect(OTHER_EXPORTER_NAMES.filter((name) => !names.includes(name))).toEqual([]);
      client.close();
    });
  });

  test("has what redis_exporter makes of INFO, with INFO's values", async () => {
    await measured({ persistence: true }, async ({ server, scrape }) => {
      const client = await server.connect();
      await runSome(client);
      const fields = await info(client);
      const metrics = await until(
        scrape,
        (found) =>
          valueOf(found, "redis_commands_processed_total") === Number(fields.get("total_commands_processed")) + 1,
        "the figures of the workers",
      );
      const missing: string[] = [];
      let compared = 0;
      for (const [field, name] of EXPORTER_NAMES) {
        const text = fields.get(field);
        if (text === undefined || NOT_COVERED.has(field)) continue;
        if (!metrics.has(name)) missing.push(name);
        else if (!MOVES.test(field)) {
          const value = text === "ok" ? 1 : text === "err" ? 0 : Number(text);
          expect([name, valueOf(metrics, name)]).toEqual([name, value]);
          compared++;
        }
      }
      expect(missing).toEqual([]);
      expect(compared).toBeGreaterThan(30);
      expect(valueOf(metrics, "redis_db_keys", { db: "db0" })).toBe(7);
      expect(valueOf(metrics, "redis_db_keys_expiring", { db: "db0" })).toBe(1);
      expect(valueOf(metrics, "redis_db_avg_ttl_seconds", { db: "db0" })).toBeGreaterThan(900);
      expect(valueOf(metrics, "redis_commands_total", { cmd: "set" })).toBe(3);
      expect(valueOf(metrics, "redis_commands_rejected_calls_total", { cmd: "set" })).toBe(1);
      expect(valueOf(metrics, "redis_commands_failed_calls_total", { cmd: "lpush" })).toBe(1);
      expect(valueOf(metrics, "redis_errors_total", { err: "WRONGTYPE" })).toBe(1);
      expect(metrics.get("redis_instance_info")!.samples[0]!.labels["run_id"]).toBe(fields.get("run_id")!);
      const strings = metrics.get("ferrite_command_latency_seconds")!.samples;
      const count = strings.find(({ name, labels }) => name.endsWith("_count") && labels["class"] === "string")!;
      expect(count.value).toBe(6);
      client.close();
    });
  });

  test("asks no worker: it answers while all of them are busy", async () => {
    await measured({ workers: 1 }, async ({ server, get, scrape }) => {
      const [busy, client] = [await server.connect(), await server.connect()];
      const script = busy.command("EVAL", "while true do end", "0").catch(() => null);
      const late = (found: Map<string, ScrapedMetric>) => valueOf(found, "ferrite_event_loop_behind_seconds") > 0.3;
      await until(scrape, late, "a worker that hangs");
      const { workers } = JSON.parse((await get("/debug/loop")).text) as { workers: Record<string, number>[] };
      expect(workers.length).toBe(1);
      expect(workers[0]!["behind_ms"]).toBeGreaterThan(300);
      expect((await get("/healthz")).text).toBe("ok\n");
      await until(
        () => client.command("SCRIPT", "KILL"),
        (reply) => show(reply) === "+OK",
        "SCRIPT KILL",
      );
      await within(script, HANG_MS, "the script");
      await until(scrape, (found) => valueOf(found, "ferrite_event_loop_behind_seconds") < 0.3, "a worker that turns");
      const delays = (await scrape()).get("ferrite_event_loop_delay_seconds")!.samples;
      expect(delays.find(({ name }) => name.endsWith("_sum"))!.value).toBeGreaterThan(0.3);
      expect(valueOf(await scrape(), "ferrite_event_loop_delay_max_seconds")).toBeGreaterThan(0.3);
      busy.close();
      client.close();
    });
  });
});

/** Fields that change between INFO and the scrape, or are the same figure in another unit. */
const MOVES =
  /memory|^mem_|allocator|uptime|cpu|clients|reads|writes|net_|commands_processed|connections|stale|time_cap|cycle|buffer|aof_.*size|delayed|ratio|last_save|error_replies/;

/** Fields of features that this version lacks, or whose figure INFO only has for form's sake. */
const NOT_COVERED: ReadonlySet<string> = new Set([
  "clients_in_timeout_table",
  ...["used_memory_lua", "used_memory_vm_eval", "used_memory_vm_functions", "used_memory_vm_total"],
  ...["mem_clients_slaves", "mem_cluster_links", "mem_aof_buffer", "mem_replication_backlog"],
  ...["mem_not_counted_for_evict", "mem_total_replication_buffers", "mem_overhead_db_hashtable_rehashing"],
  ...["lazyfree_pending_objects", "active_defrag_running", "migrate_cached_sockets", "latest_fork_usec"],
  ...["active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses"],
  ...["async_loading", "rdb_last_cow_size", "aof_rewrite_scheduled", "aof_last_cow_size", "aof_pending_rewrite"],
  ...["aof_buffer_length", "aof_pending_bio_fsync"],
  ...["connected_slaves", "repl_backlog_size", "repl_backlog_active", "repl_backlog_first_byte_offset"],
  ...["repl_backlog_histlen", "master_repl_offset", "second_repl_offset", "slave_expires_tracked_keys"],
  ...["sync_full", "sync_partial_ok", "sync_partial_err", "total_net_repl_input_bytes", "total_net_repl_output_bytes"],
  ...["used_cpu_sys_children", "used_cpu_user_children", "unexpected_error_replies", "dump_payload_sanitizations"],
]);

describe("readiness", () => {
  test("unknown paths and methods are answered in words", async () => {
    await measured({}, async ({ port, get }) => {
      expect((await get("/nothing")).status).toBe(404);
      const post = await fetch(`http://127.0.0.1:${port}/metrics`, { method: "POST" });
      expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
      const head = await fetch(`http://127.0.0.1:${port}/metrics`, { method: "HEAD" });
      expect([head.status, await head.text()]).toEqual([200, ""]);
      await until(
        () => get("/readyz"),
        ({ text }) => text === "ready\n",
        "the end of the start",
      );
    });
  });

  test("a server without memory for writes is not ready", async () => {
    await measured({}, async ({ server, get, scrape }) => {
      const client = await server.connect();
      await until(
        () => get("/readyz"),
        ({ status }) => status === 200,
        "the end of the start",
      );
      expect(show(await client.command("CONFIG", "SET", "maxmemory", "1mb"))).toBe("+OK");
      const refused = await get("/readyz");
      expect(refused.status).toBe(503);
      expect(refused.text).toContain("the memory is used up");
      expect(valueOf(await scrape(), "ferrite_ready")).toBe(0);
      await client.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
      expect((await get("/readyz")).status).toBe(200);
      client.close();
    });
  });

  test.if(process.getuid?.() !== 0 || Bun.which("setpriv") !== null)(
    "a server whose save failed is not ready until one succeeds",
    async () => {
      const directory = mkdtempSync(join(tmpdir(), "ferrite-test-ready-"));
      try {
        const settings = { save: "3600 1" };
        await measured({ dataDir: directory, settings }, async ({ server, get }) => {
          const client = await server.connect();
          await client.command("SET", "a", "1");
          // A directory stands where the file is to go.
          expect(show(await client.command("CONFIG", "SET", "dbfilename", "taken.rdb"))).toMatch(/OK|protected/);
          const path = join(directory, "dump.rdb");
          rmSync(path, { force: true });
          Bun.spawnSync(["mkdir", "-p", join(path, "x")]);
          await client.command("BGSAVE");
          await until(
            () => get("/readyz"),
            // While the server starts it is not ready either.
            ({ status, text }) => status === 503 && text.includes("the last save failed"),
            "the failed save",
          );
          rmSync(path, { recursive: true });
          await client.command("BGSAVE");
          await until(
            () => get("/readyz"),
            ({ status }) => status === 200,
            "the good save",
          );
          client.close();
        });
      } finally {
        chmodSync(directory, 0o700);
        rmSync(directory, { recursive: true, force: true });
      }
    },
  );

  test("a server that loads its data is alive and not ready", async () => {
    const directory = mkdtempSync(join(tmpdir(), "ferrite-test-loading-"));
    try {
      const commands = Array.from(
        { length: 400_000 },
        (_, i) => `*3\r\n$3\r\nSET\r\n$7\r\n${1_000_000 + i}\r\n$1\r\nv\r\n`,
      );
      writeFileSync(join(directory, "appendonly.aof"), commands.join(""));
      const port = await freePort();
      const metrics = ["--set", "metrics.enabled=true", "--metrics-port", String(port)];
      const server = await startFerrite({ persistence: true, dataDir: directory, args: metrics, waitForReply: false });
      try {
        const ask = async (path: string) => {
          const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => null);
          return response === null ? null : { status: response.status, text: await response.text() };
        };
        const first = await until(
          () => ask("/readyz"),
          (answer) => answer !== null,
          "an answer",
        );
        expect(first).toEqual({ status: 503, text: "not ready: the data is being loaded\n" });
        expect((await ask("/healthz"))!.status).toBe(200);
        await until(
          () => ask("/readyz"),
          (answer) => answer!.status === 200,
          "the end of the load",
        );
      } finally {
        await server.stop();
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }, 60_000);
});

describe("the port", () => {
  test("a port that was asked for and is taken stops the start; by default it is a warning", async () => {
    await measured({}, async ({ port }) => {
      const asked = await startFerrite({
        waitForReply: false,
        args: ["--set", "metrics.enabled=true", "--metrics-port", String(port)],
      });
      const { code } = await within(asked.exited, HANG_MS, "the end");
      await logged(asked, "Address already in use");
      expect(code).not.toBe(0);
      await asked.stop();
    });
  });

  test("with default settings it listens on 9090 of this machine, or says why it does not", async () => {
    const directory = mkdtempSync(join(tmpdir(), "ferrite-test-default-"));
    const port = await freePort();
    const child = Bun.spawn([...ferriteCommand(), "--port", String(port), "--data-dir", directory], {
      cwd: directory,
      stdout: "pipe",
      stderr: "pipe",
    });
    let text = "";
    for await (const chunk of child.stdout) {
      text += new TextDecoder().decode(chunk);
      if (text.includes("Ready to accept")) break;
    }
    child.kill();
    await child.exited;
    rmSync(directory, { recursive: true, force: true });
    expect(text).toMatch(
      /metrics: http:\/\/127\.0\.0\.1:9090\/metrics|no metrics: 127\.0\.0\.1:9090: another process has the port/,
    );
  });
});
