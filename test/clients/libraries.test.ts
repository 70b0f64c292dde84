/**
 * Goal:   unchanged client libraries work with Ferrite: ioredis, node-redis (RESP2 and RESP3), redis-py. A metrics exporter
 *         finds its fields in the form it expects.
 * Method: programs for each library beside this file, run by its own runtime against the executable. The programs over
 *         every type, and those that publish and subscribe, also run against redis-server and must print the same. This file does the exporter's reads.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { pythonWithRedis, runProgram } from "../support/programs.ts";
import { type Reply, type RespClient, show, within } from "../support/resp.ts";
import type { Server } from "../support/servers.ts";

const GUARD_MS = 30_000;

const both = bothServers({ workers: 3 });

/** Runs a program of this folder against Ferrite. Returns its output, and its errors too when it failed. */
function run(runtime: string, file: string, ...args: string[]): Promise<string> {
  return runOn(both.ferrite, runtime, file, ...args);
}
function runOn(target: Server, runtime: string, file: string, ...args: string[]): Promise<string> {
  return runProgram(target, file, { runtime, args, guardMs: GUARD_MS });
}

describe("libraries", () => {
  test(
    "ioredis",
    async () => {
      expect(await run("node", "ioredis.mjs")).toBe("ok\n");
    },
    GUARD_MS,
  );

  test(
    "node-redis with RESP2 and with RESP3",
    async () => {
      for (const version of ["2", "3"]) expect(await run("node", "node-redis.mjs", version)).toBe("ok\n");
    },
    GUARD_MS,
  );

  for (const [name, file, ...args] of [
    ["ioredis", "ioredis-types.mjs"],
    ["node-redis with RESP2", "node-redis-types.mjs", "2"],
    ["node-redis with RESP3", "node-redis-types.mjs", "3"],
  ] as const) {
    test(
      `${name}: a program over every type prints what it prints with redis-server`,
      async () => {
        const ours = await run("node", file, ...args);
        expect(ours).toMatch(/\nkeys: \[.*\]\n$/);
        if (both.redis !== null) expect(ours).toBe(await runOn(both.redis, "node", file, ...args));
      },
      2 * GUARD_MS,
    );
  }

  for (const [name, file, ...args] of [
    ["ioredis", "ioredis-pubsub.mjs"],
    ["node-redis with RESP2", "node-redis-pubsub.mjs", "2"],
    ["node-redis with RESP3", "node-redis-pubsub.mjs", "3"],
    ["redis-py", "python-pubsub.py"],
  ] as const) {
    test(
      `${name}: a program that publishes and subscribes prints what it prints with redis-server`,
      async () => {
        const runtime = file.endsWith(".py") ? pythonWithRedis() : "node";
        if (runtime === null) return;
        const ours = await run(runtime, file, ...args);
        expect(ours.split("\n").length).toBeGreaterThan(20);
        if (both.redis !== null) expect(ours).toBe(await runOn(both.redis, runtime, file, ...args));
      },
      2 * GUARD_MS,
    );
  }

  test(
    "redis-py",
    async () => {
      const python = pythonWithRedis();
      if (python !== null) expect(await run(python, "python-redis.py")).toBe("ok\n");
    },
    GUARD_MS,
  );
});

/** Fields that the dashboards of redis_exporter use. All are numbers. */
const EXPORTED = `
  uptime_in_seconds process_id connected_clients blocked_clients tracking_clients client_recent_max_input_buffer
  client_recent_max_output_buffer maxclients used_memory used_memory_rss used_memory_peak used_memory_overhead
  used_memory_dataset used_memory_lua used_memory_scripts maxmemory mem_fragmentation_ratio mem_fragmentation_bytes
  mem_clients_slaves mem_clients_normal mem_not_counted_for_evict lazyfree_pending_objects lazyfreed_objects
  active_defrag_running loading async_loading rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_time_sec
  rdb_current_bgsave_time_sec rdb_last_cow_size aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled
  aof_last_rewrite_time_sec aof_current_rewrite_time_sec aof_last_cow_size total_connections_received
  total_commands_processed instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes
  instantaneous_input_kbps instantaneous_output_kbps rejected_connections sync_full sync_partial_ok sync_partial_err
  expired_keys evicted_keys evicted_clients keyspace_hits keyspace_misses pubsub_channels pubsub_patterns
  latest_fork_usec migrate_cached_sockets slave_expires_tracked_keys active_defrag_hits active_defrag_misses
  active_defrag_key_hits active_defrag_key_misses total_error_replies dump_payload_sanitizations
  io_threaded_reads_processed io_threaded_writes_processed connected_slaves master_repl_offset second_repl_offset
  repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen used_cpu_sys used_cpu_user
  used_cpu_sys_children used_cpu_user_children cluster_enabled
`;

describe("a scrape as redis_exporter does it", () => {
  let client: RespClient;
  beforeAll(async () => {
    client = await both.ferrite.connect();
    await client.command("CLIENT", "SETNAME", "redis_exporter");
    await client.command("SELECT", "9");
    await client.pipeline([
      ["SET", "a", "1"],
      ["SET", "b", "1", "EX", "100"],
      ["GET", "a"],
    ]);
  });
  afterAll(() => client.close());

  async function ask(...args: string[]): Promise<Reply> {
    return within(client.command(...args), 5000, args.join(" "));
  }
  function text(reply: Reply): string {
    if (reply.type !== "bulk") throw new Error(show(reply));
    return reply.value;
  }

  test("every line of INFO is a section, a field, or empty, and the exported fields are numbers", async () => {
    const fields = new Map<string, string>();
    let section = "";
    for (const line of text(await ask("INFO", "ALL")).split("\r\n")) {
      if (line === "") continue;
      if (line.startsWith("# ")) {
        section = line.slice(2);
        continue;
      }
      expect(line).toMatch(/^[A-Za-z0-9_|.-]+:/);
      expect(section).not.toBe("");
      const colon = line.indexOf(":");
      fields.set(line.slice(0, colon), line.slice(colon + 1));
    }
    for (const name of EXPORTED.split(/\s+/).filter((word) => word !== "")) {
      expect([name, fields.get(name)]).toEqual([name, expect.stringMatching(/^-?\d+(\.\d+)?$/)]);
    }
    expect(fields.get("db9")).toMatch(/^keys=2,expires=1,avg_ttl=\d+/);
    expect(fields.get("role")).toBe("master");
    for (const name of ["rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"]) {
      expect(fields.get(name)).toBe("ok");
    }
    // "cmdstat_get:calls=1,usec=2,..." and "errorstat_ERR:count=1", where they are counted.
    for (const [name, value] of fields) {
      if (/^(cmdstat|errorstat|latency_percentiles_usec)_/.test(name))
        expect(value).toMatch(/^([a-z0-9_.]+=[\d.]+,?)+$/);
    }
  });

  test("CONFIG GET *, CLIENT LIST, and the logs", async () => {
    const config = await ask("CONFIG", "GET", "*");
    if (config.type !== "array") throw new Error(show(config));
    const names = config.value.filter((_, i) => i % 2 === 0).map(text);
    expect(names).toEqual(expect.arrayContaining(["maxmemory", "maxclients", "databases", "save", "appendonly"]));
    for (const value of config.value) text(value);

    const lines = text(await ask("CLIENT", "LIST"))
      .split("\n")
      .slice(0, -1);
    const own = lines.find((line) => line.includes(" name=redis_exporter "))!;
    for (const part of own.split(" ")) expect(part).toMatch(/^[a-z-]+=\S*$/);

    for (const [command, pattern] of [
      ["SLOWLOG LEN", /^:\d+$/],
      ["SLOWLOG GET 1", /^\*\[/],
      ["LATENCY LATEST", /^\*\[/],
      ["LATENCY HISTOGRAM", /^\*\[/],
    ] as const) {
      const args = command.split(" ");
      const known = show(await ask("COMMAND", "INFO", `${args[0]!}|${args[1]!}`)) !== "*[null*]";
      const answer = show(await ask(...args));
      if (known && !answer.startsWith("-ERR unknown command"))
        expect([command, answer]).toEqual([command, expect.stringMatching(pattern)]);
    }
  });
});
