/**
 * Goal:   INFO has the sections and fields that Redis's monitoring tools read. Its figures are right for the whole process,
 *         whichever worker replies.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, residentBytes, type Server, startFerrite, startRedis } from "../support/servers.ts";

let server: Server;
let client: RespClient;
beforeAll(async () => {
  server = await startFerrite({ workers: 3 });
  client = await server.connect();
});
afterAll(() => server.stop());

async function info(...sections: string[]): Promise<string> {
  const reply = await within(client.command("INFO", ...sections), 5000, "INFO");
  if (reply.type !== "bulk" && reply.type !== "verbatim") throw new Error(show(reply));
  return reply.value;
}

function fields(text: string): Map<string, string> {
  const pairs = text
    .split("\r\n")
    .filter((line) => line.includes(":"))
    .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)] as const);
  return new Map(pairs);
}

function titles(text: string): string[] {
  return text.split("\r\n").filter((line) => line.startsWith("# "));
}

const ALL =
  "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster Keyspace HybridLog Workers"
    .split(" ")
    .map((title) => `# ${title}`);
const DEFAULT = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace"
  .split(" ")
  .map((title) => `# ${title}`);

/** Fields that redis_exporter, Datadog, Sentinel, ioredis and BullMQ read. */
const READ_BY_TOOLS =
  `redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds uptime_in_days hz
  executable config_file connected_clients maxclients blocked_clients pubsub_clients watching_clients
  client_recent_max_input_buffer
  client_recent_max_output_buffer used_memory used_memory_human used_memory_rss used_memory_peak used_memory_overhead
  used_memory_dataset total_system_memory used_memory_lua maxmemory maxmemory_human maxmemory_policy
  mem_fragmentation_ratio mem_fragmentation_bytes mem_allocator mem_clients_normal mem_clients_slaves
  active_defrag_running lazyfree_pending_objects loading async_loading rdb_bgsave_in_progress rdb_last_save_time
  rdb_last_bgsave_status rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec aof_enabled aof_rewrite_in_progress
  aof_rewrite_scheduled aof_last_rewrite_time_sec aof_last_bgrewrite_status aof_last_write_status
  total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
  total_net_output_bytes instantaneous_input_kbps instantaneous_output_kbps rejected_connections expired_keys
  evicted_keys keyspace_hits keyspace_misses pubsub_channels pubsub_patterns latest_fork_usec sync_full sync_partial_ok
  sync_partial_err total_error_replies
  allocator_active allocator_allocated allocator_resident allocator_frag_ratio allocator_rss_ratio rss_overhead_ratio
  used_memory_startup unexpected_error_replies role connected_slaves master_replid master_repl_offset second_repl_offset
  repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen used_cpu_sys used_cpu_user
  used_cpu_sys_children used_cpu_user_children cluster_enabled
  expired_stale_perc expired_time_cap_reached_count expire_cycle_cpu_milliseconds total_reads_processed
  total_writes_processed reply_buffer_shrinks reply_buffer_expands used_cpu_sys_main_thread used_cpu_user_main_thread
  gcc_version atomicvar_api`.split(/\s+/);

describe("INFO", () => {
  test("sections: default, all, everything, one, several, unknown", async () => {
    expect(titles(await info())).toEqual(DEFAULT);
    expect(titles(await info("default"))).toEqual(DEFAULT);
    expect(titles(await info("default", "commandstats"))).toEqual(
      ALL.filter((title) => DEFAULT.includes(title) || title === "# Commandstats"),
    );
    expect(titles(await info("all"))).toEqual(ALL);
    expect(titles(await info("EVERYTHING"))).toEqual(ALL);
    expect(titles(await info("server"))).toEqual(["# Server"]);
    expect(titles(await info("keyspace", "server", "SERVER", "nothing"))).toEqual(["# Server", "# Keyspace"]);
    expect(await info("nothing")).toBe("");
    expect(await info("modules", "cluster")).toBe("# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n");
  });

  test("is verbatim text in RESP3", async () => {
    const other = await server.connect();
    await other.command("HELLO", "3");
    expect(show(await other.command("INFO", "cluster"))).toBe('=txt:"# Cluster\\r\\ncluster_enabled:0\\r\\n"');
    other.close();
  });

  test("has the fields that tools read", async () => {
    const all = fields(await info());
    expect(READ_BY_TOOLS.filter((name) => !all.has(name))).toEqual([]);
    expect(all.get("redis_version")).toBe("7.2.4");
    expect(all.get("process_id")).toBe(String(server.pid));
    expect(all.get("tcp_port")).toBe(String(server.port));
    expect(all.get("role")).toBe("master");
    expect(all.get("run_id")).toMatch(/^[0-9a-f]{40}$/);
    expect(all.get("maxclients")).toBe("10000");
  });

  test("figures of threads, and of reads and writes", async () => {
    const single = await startFerrite({ workers: 1 });
    try {
      const other = await single.connect();
      const ask = async () => fields(show(await other.command("INFO", "everything")).replaceAll("\\r\\n", "\r\n"));
      const first = await ask();
      const second = await ask();
      for (const name of ["total_reads_processed", "total_writes_processed"])
        expect({ name, grown: Number(second.get(name)) - Number(first.get(name)) }).toEqual({ name, grown: 1 });
      // The kernel divides a thread's time into both kinds by samples: only the sums can be compared.
      const time = (suffix: string): number =>
        ["sys", "user"].reduce((sum, mode) => sum + Number(second.get(`used_cpu_${mode}${suffix}`)), 0);
      expect(time("_main_thread")).toBeGreaterThan(0);
      expect(time("_main_thread")).toBeLessThanOrEqual(time(""));
      other.close();
    } finally {
      await single.stop();
    }
  });

  test("has every field of Redis 7.0", async () => {
    if (!requireRedis()) return;
    const redis = await startRedis();
    const other = await redis.connect();
    const theirs = fields(show(await other.command("INFO", "everything")).replaceAll("\\r\\n", "\r\n"));
    const ours = fields(await info("everything"));
    const missing = [...theirs.keys()].filter(
      (name) => !ours.has(name) && !/^(cmdstat|latency_percentiles)_/.test(name),
    );
    other.close();
    await redis.stop();
    expect(missing).toEqual([]);
  });

  test("memory figures are plausible: they count used memory, not the regions' address space", async () => {
    const before = fields(await info("memory"));
    expect(Number(before.get("used_memory"))).toBeLessThan(200 << 20);
    const resident = Number(before.get("used_memory_rss"));
    expect(Math.abs(resident - residentBytes(server.pid).total)).toBeLessThan(64 << 20);
    for (let i = 0; i < 200; i++) await client.command("SET", `filler:${i}`, "x".repeat(50_000));
    const after = fields(await info("memory"));
    const grown = Number(after.get("used_memory_dataset")) - Number(before.get("used_memory_dataset"));
    expect(grown).toBeGreaterThan(9_900_000);
    expect(grown).toBeLessThan(25_000_000);
    const used = Number(after.get("used_memory"));
    expect(used).toBeGreaterThan(9_900_000);
    expect(used).toBeLessThan(200 << 20);
    expect(Number(after.get("used_memory_peak"))).toBeGreaterThanOrEqual(Number(after.get("used_memory")));
    expect(after.get("used_memory_human")).toMatch(/^\d+\.\d\d[KMG]$/);
  });

  test("counters are sums over the workers, and exact", async () => {
    const before = fields(await info());
    const others = await Promise.all(Array.from({ length: 12 }, () => server.connect()));
    for (const other of others) {
      await other.command("GET", "nothing");
      await other.command("SET", "there", "v");
      await other.command("GET", "there");
      await other.command("FOO");
    }
    // A worker publishes its counters at the end of a turn, just after its replies have left.
    await Bun.sleep(50);
    const after = fields(await info());
    const grown = (name: string) => Number(after.get(name)) - Number(before.get(name));
    expect(after.get("connected_clients")).toBe("13");
    expect(grown("total_connections_received")).toBe(12);
    expect(grown("keyspace_hits")).toBe(12);
    expect(grown("keyspace_misses")).toBe(12);
    expect(grown("total_error_replies")).toBe(12);
    expect(grown("total_commands_processed")).toBeGreaterThanOrEqual(37);
    expect(grown("total_net_input_bytes")).toBeGreaterThan(12 * 60);
    expect(grown("total_net_output_bytes")).toBeGreaterThan(12 * 20);
    expect(after.get("blocked_clients")).toBe("0");
    for (const other of others) other.close();
  });

  test("keys that FLUSHALL removed are counted when their memory is freed", async () => {
    await client.command("FLUSHALL");
    await client.command("CONFIG", "RESETSTAT");
    await client.command("SET", "few:1", "v");
    await client.command("SET", "few:2", "v");
    await client.command("FLUSHALL");
    const freed = async (): Promise<number> => Number(fields(await info("memory")).get("lazyfreed_objects"));
    expect(await freed()).toBe(2);
    const pairs = Array.from({ length: 20_000 }, (_, i) => [`many:${i}`, "v"]).flat();
    await client.command("MSET", ...pairs);
    await client.command("FLUSHALL");
    for (let tries = 0; tries < 250 && (await freed()) < 20_002; tries++) await Bun.sleep(20);
    expect(await freed()).toBe(20_002);
    expect(fields(await info("memory")).get("lazyfree_pending_objects")).toBe("0");
    await client.command("SET", "one", "v");
  });

  test("rates rise under load and fall without it", async () => {
    for (let round = 0; round < 10; round++) {
      await client.pipeline(Array.from({ length: 1000 }, () => ["PING"]));
      await Bun.sleep(60);
    }
    expect(Number(fields(await info("stats")).get("instantaneous_ops_per_sec"))).toBeGreaterThan(500);
    await Bun.sleep(2500);
    expect(Number(fields(await info("stats")).get("instantaneous_ops_per_sec"))).toBeLessThan(50);
  });

  test("keyspace has a line for each database with keys", async () => {
    const count = Number(/^keys=(\d+),/.exec(fields(await info("keyspace")).get("db0") ?? "keys=0,")![1]);
    await client.command("SELECT", "9");
    for (let i = 0; i < 50; i++) await client.command("SET", `nine:${i}`, "v");
    await client.command("SELECT", "0");
    const keyspace = fields(await info("keyspace"));
    expect(keyspace.get("db9")).toBe("keys=50,expires=0,avg_ttl=0");
    expect(keyspace.get("db0")).toStartWith(`keys=${count},expires=`);
    expect(keyspace.has("db1")).toBe(false);
  });
});
