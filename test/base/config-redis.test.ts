import { describe, expect, test } from "bun:test";
import { Config, type ConfigChange } from "../../src/base/config/config.ts";
import { configGet, configSet, globMatches, PARAMETER_NAMES } from "../../src/base/config/redis.ts";
import { KEYS } from "../../src/base/config/schema.ts";
import { Referee } from "./redis.ts";
// CONFIG GET * of redis-server 7.0.15 started without a configuration file and with --save "".
import redis from "./config-redis-7.0.15.json" with { type: "json" };

function fresh(): Config {
  return new Config("", { memoryBytes: 8 * 1024 ** 3, cgroupMemoryBytes: 0, cpus: 2 });
}

function get(config: Config, name: string): string {
  return configGet(config, [name], false)[0]?.[1] ?? "(none)";
}

function set(config: Config, ...words: string[]): string {
  const pairs: [string, string][] = [];
  for (let i = 0; i < words.length; i += 2) pairs.push([words[i]!, words[i + 1]!]);
  const result = configSet(config, pairs);
  return result.ok ? "OK" : result.error;
}

function failure(name: string, reason: string): string {
  return `ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}`;
}

/** Parameters whose default intentionally differs from Redis's. */
const OTHER_DEFAULTS: Readonly<Record<string, string>> = {
  // Durable by default.
  appendonly: "yes",
  "active-defrag-threshold-lower": "30",
  "auto-aof-rewrite-percentage": "50",
  bind: "127.0.0.1",
  dir: `${process.cwd()}/data`,
  "disable-thp": "no",
  "enable-debug-command": "local",
  "repl-backlog-size": "104857600",
  "tls-auth-clients": "no",
};

/** Parameters of Redis 7.2 to 8.0 and of Valkey 8 and 9, with their defaults there. */
const LATER: Readonly<Record<string, string>> = {
  "active-defrag-cycle-us": "500",
  "aof-rewrite-cpulist": "",
  "availability-zone": "",
  "bgsave-cpulist": "",
  "bio-cpulist": "",
  "cluster-announce-client-ipv4": "",
  "cluster-announce-client-ipv6": "",
  "cluster-announce-human-nodename": "",
  "cluster-blacklist-ttl": "60",
  "cluster-compatibility-sample-ratio": "0",
  "cluster-databases": "1",
  "cluster-manual-failover-timeout": "5000",
  "cluster-slot-stats-enabled": "no",
  "commandlog-execution-slower-than": "10000",
  "commandlog-large-reply-max-len": "128",
  "commandlog-large-request-max-len": "128",
  "commandlog-reply-larger-than": "1048576",
  "commandlog-request-larger-than": "1048576",
  "commandlog-slow-execution-max-len": "128",
  "dual-channel-replication-enabled": "no",
  "events-per-io-thread": "2",
  "extended-redis-compatibility": "no",
  "hide-user-data-from-log": "no",
  "import-mode": "no",
  "locale-collate": "",
  "log-format": "legacy",
  "log-timestamp-format": "legacy",
  "max-new-connections-per-cycle": "10",
  "max-new-tls-connections-per-cycle": "1",
  "prefetch-batch-max-size": "16",
  primaryauth: "",
  primaryuser: "",
  "rdb-version-check": "strict",
  "repl-rdb-channel": "no",
  "replica-full-sync-buffer-limit": "0",
  "server-cpulist": "",
  "set-max-listpack-entries": "128",
  "set-max-listpack-value": "64",
  "tls-auth-clients-user": "off",
  unixsocketgroup: "",
};

/** Parameters for which redis-server 7.0.15 replies "can't set immutable config". */
const IMMUTABLE =
  "aclfile always-show-logo aof_rewrite_cpulist appenddirname appendfilename bgsave_cpulist bio_cpulist cluster-config-file cluster-enabled cluster-port daemonize databases disable-thp enable-debug-command enable-module-command enable-protected-configs io-threads io-threads-do-reads logfile pidfile rdbchecksum replicaof server_cpulist set-proc-title slaveof socket-mark-id supervised syslog-enabled syslog-facility syslog-ident tcp-backlog unixsocket unixsocketperm".split(
    " ",
  );
/** Parameters that can be set in Redis but not in this version. */
const NOT_YET_SETTABLE = ["tls-port"];
/** The same, but CONFIG SET accepts the current value. Each with another value, which is refused. */
const FIXED: Record<string, string> = {
  bind: "127.0.0.2",
  port: "6380",
  "bind-source-addr": "127.0.0.1",
};

/** Parameters that are Ferrite's own. */
const OWN: Readonly<Record<string, string>> = { "script-memory-limit": "268435456" };

describe("against Redis 7.0.15", () => {
  test("CONFIG GET * has every name, with Redis's default unless the exceptions name another", () => {
    const ours = Object.fromEntries(configGet(fresh(), ["*"], false));
    const expected: Record<string, string> = {
      ...redis,
      ...OTHER_DEFAULTS,
      ...LATER,
      ...OWN,
    };
    expect(ours).toEqual(expected);
  });

  test("the parameters that can be set at run time are Redis's", () => {
    for (const name of Object.keys(redis)) {
      const config = fresh();
      const answer = set(config, name, get(config, name));
      if (name === "dir" || name === "dbfilename") expect(answer).toBe(failure(name, "can't set protected config"));
      else if (IMMUTABLE.includes(name) || NOT_YET_SETTABLE.includes(name))
        expect(answer).toBe(failure(name, "can't set immutable config"));
      else expect(`${name}: ${answer}`).toBe(`${name}: OK`);
    }
  });

  test("a parameter that only Redis can set is refused, and does not change", () => {
    for (const [name, other] of Object.entries(FIXED)) {
      const config = fresh();
      const before = get(config, name);
      expect(set(config, name, other)).toStartWith(`ERR CONFIG SET failed (possibly related to argument '${name}') - `);
      expect(get(config, name)).toBe(before);
      expect(set(config, name, before)).toBe("OK");
    }
  });

  test("a value that was set is read back", () => {
    const config = fresh();
    for (const name of PARAMETER_NAMES) {
      const before = get(config, name);
      if (set(config, name, before) === "OK") expect(`${name} ${get(config, name)}`).toBe(`${name} ${before}`);
    }
  });

  test.each([
    ["maxmemory", "-1", "argument must be a memory value"],
    ["maxmemory", "1xb", "argument must be a memory value"],
    ["maxmemory", "1.5gb", "argument must be a memory value"],
    ["maxclients", "0", "argument must be between 1 and 4294967295 inclusive"],
    ["tcp-keepalive", "x", "argument couldn't be parsed into an integer"],
    ["timeout", "-1", "argument must be between 0 and 2147483647 inclusive"],
    ["hz", "0501", "argument couldn't be parsed into an integer"],
    ["hz", "+5", "argument couldn't be parsed into an integer"],
    ["hz", "", "argument couldn't be parsed into an integer"],
    ["slowlog-log-slower-than", "-5", "argument must be between -1 and 9223372036854775807 inclusive"],
    ["proto-max-bulk-len", "1", "argument must be between 1048576 and 9223372036854775807 inclusive"],
    ["appendonly", "maybe", "argument must be 'yes' or 'no'"],
    ["appendfsync", "x", "argument(s) must be one of the following: everysec, always, no"],
    [
      "maxmemory-policy",
      "foo",
      "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
    ],
    ["save", "abc", "Invalid save parameters"],
    ["save", "900 1 300", "Invalid save parameters"],
    ["notify-keyspace-events", "Z", "Invalid event class character. Use 'Ag$lshzxeKEtmdnoc'."],
    ["client-output-buffer-limit", "x", "Wrong number of arguments in buffer limit configuration."],
    ["client-output-buffer-limit", "foo 1 2 3", "Invalid client class specified in buffer limit configuration."],
    [
      "client-output-buffer-limit",
      "normal 1 x 3",
      "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
    ],
    ["maxmemory-clients", "101%", "percentage argument must be less or equal to 100"],
    ["maxmemory-clients", "zz", "argument must be a memory or percent value"],
    ["latency-tracking-info-percentiles", "a", "Invalid latency-tracking-info-percentiles parameters"],
    [
      "latency-tracking-info-percentiles",
      "101",
      "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
    ],
    ["databases", "3", "can't set immutable config"],
    ["dir", "/", "can't set protected config"],
  ])("CONFIG SET %s %j is refused in Redis's words", (name, value, reason) => {
    const config = fresh();
    const before = get(config, name);
    expect(set(config, name, value)).toBe(failure(name, reason));
    expect(get(config, name)).toBe(before);
  });

  test("errors of names come first, in order, as typed", () => {
    const config = fresh();
    expect(set(config, "nosuch", "1")).toBe("ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'");
    expect(set(config, "oom-score-adj", "bad", "NoSuch", "3")).toBe(
      "ERR Unknown option or number of arguments for CONFIG SET - 'NoSuch'",
    );
    expect(set(config, "hz", "10", "daemonize", "no", "nosuch", "1")).toBe(
      failure("daemonize", "can't set immutable config"),
    );
    expect(set(config, "hz", "10", "HZ", "11")).toBe(failure("HZ", "duplicate parameter"));
    expect(set(config, "timeout", "1", "Hz", "x")).toBe(failure("hz", "argument couldn't be parsed into an integer"));
  });
});

describe("beside a redis-server", () => {
  /** Changing these would break the connection to redis-server; tls-replication needs certificates, which the server checks. */
  const LEFT_OUT = ["port", "bind", "unixsocket", "tls-port", "requirepass", "maxclients", "tls-replication"];
  const VALUES =
    "|yes|NO|0|1|-1|-2|abc|100|501|1gb|1G|10k|-1gb|1.5|50%|101%|+1|007|9223372036854775807|4294967296|2147483648|1 2|normal 0 0 0|900 1 60 5|900  1|KEA|n|always|allkeys-lru|0x10|1e3|65536|50 99|-1 0 2000|1 2 2001|{title} x|{x}|a.b-c|save now|save nosave".split(
      "|",
    );
  test("every value is accepted or refused alike, and reads back alike", async () => {
    const referee = await Referee.start();
    const differences: string[] = [];
    for (const name of Object.keys(redis)) {
      if (LEFT_OUT.includes(name)) continue;
      const [found] = await referee.pipeline([["CONFIG", "GET", name]]);
      const original = (found as string[])[1]!;
      const replies = await referee.pipeline(
        VALUES.flatMap((value) => [
          ["CONFIG", "SET", name, value],
          ["CONFIG", "GET", name],
          ["CONFIG", "SET", name, original],
        ]),
      );
      VALUES.forEach((value, i) => {
        const config = fresh();
        // The classes o and c are newer.
        const ours = set(config, name, value).replace("KEtmdnoc'.", "KEtmdn'.");
        // Features that this version lacks are refused with a different text, see above.
        if (/not supported in this version|immutable|protected/.test(ours)) return;
        const answer = replies[i * 3];
        const theirs = answer instanceof Error ? answer.message : String(answer);
        const [, reads] = replies[i * 3 + 1] as [string, string];
        if (ours !== theirs) differences.push(`${name} ${JSON.stringify(value)}: ${ours} for ${theirs}`);
        else if (ours === "OK" && get(config, name) !== reads)
          differences.push(`${name} ${JSON.stringify(value)} reads ${get(config, name)} for ${reads}`);
      });
    }
    referee.stop();
    expect(differences).toEqual([]);
  });
});

describe("CONFIG GET", () => {
  test("a plain name is replied once, as it was spelled in the request", () => {
    expect(configGet(fresh(), ["HZ", "hz"], false)).toEqual([["HZ", "10"]]);
    expect(configGet(fresh(), ["nosuch"], false)).toEqual([]);
    expect(configGet(fresh(), [new TextEncoder().encode("maxclients")], false)).toEqual([["maxclients", "10000"]]);
  });

  test("several patterns give each match once", () => {
    expect(configGet(fresh(), ["maxmemory", "maxm*s", "[gh]z"], false).map(([name]) => name)).toEqual([
      "maxmemory",
      "maxmemory-clients",
      "maxmemory-samples",
      "hz",
    ]);
  });

  test("Ferrite's names are known, and listed only by a pattern with a dot", () => {
    expect(configGet(fresh(), ["server.turn_max_commands"], false)).toEqual([["server.turn_max_commands", "256"]]);
    expect(configGet(fresh(), ["metrics.*"], false).map(([name]) => name)).toEqual([
      "metrics.enabled",
      "metrics.bind",
      "metrics.port",
      "metrics.page",
    ]);
    const config = fresh();
    expect(set(config, "server.turn_max_commands", "64")).toBe("OK");
    expect(config.number("server.turn_max_commands")).toBe(64);
  });

  test("globs", () => {
    expect(globMatches("a*c", "abbbc")).toBe(true);
    expect(globMatches("a?c", "ac")).toBe(false);
    expect(globMatches("[a-c]x", "bx")).toBe(true);
    expect(globMatches("[^a-c]x", "bx")).toBe(false);
    expect(globMatches("\\*", "*")).toBe(true);
    expect(globMatches("\\*", "a")).toBe(false);
    expect(globMatches("", "")).toBe(true);
    expect(globMatches("*", "")).toBe(true);
  });

  test("a glob of many stars ends soon, which full backtracking would not", () => {
    expect(globMatches(`${"*a".repeat(30)}b`, "a".repeat(60))).toBe(false);
  });
});

describe("CONFIG SET", () => {
  test("sets all or nothing", () => {
    const config = fresh();
    expect(set(config, "maxmemory", "5m", "hz", "abc")).toBe(
      failure("hz", "argument couldn't be parsed into an integer"),
    );
    expect(get(config, "maxmemory")).toBe("0");
    expect(set(config, "maxmemory", "5mb", "hz", "50", "timeout", "7")).toBe("OK");
    expect(configGet(config, ["maxmemory", "hz", "timeout"], false).map(([, value]) => value)).toEqual([
      "5242880",
      "50",
      "7",
    ]);
    expect(config.number("storage.expire_check_interval")).toBe(20);
  });

  test("a feature that this version lacks cannot be turned on", () => {
    const config = fresh();
    expect(set(config, "activedefrag", "yes")).toBe(failure("activedefrag", "not supported in this version"));
    expect(set(config, "save", "", "maxmemory-policy", "ALLKEYS-LRU")).toBe("OK");
  });

  test("loglevel accepts Redis's and Rust's names and replies the kind last used", () => {
    const config = fresh();
    expect(get(config, "loglevel")).toBe("notice");
    for (const level of ["debug", "verbose", "notice", "warning", "nothing", "trace", "info", "warn", "error"]) {
      expect(set(config, "loglevel", level.toUpperCase())).toBe("OK");
      expect(get(config, "loglevel")).toBe(level);
    }
    expect(set(config, "loglevel", "loud")).toContain("argument(s) must be one of the following: ");
  });

  test("setting one class of output limits does not change the others", () => {
    const config = fresh();
    expect(set(config, "client-output-buffer-limit", "replica 1mb 2mb 60")).toBe("OK");
    expect(set(config, "client-output-buffer-limit", "PUBSUB 1 2 3")).toBe("OK");
    expect(get(config, "client-output-buffer-limit")).toBe("normal 0 0 0 slave 1048576 2097152 60 pubsub 1 2 3");
    expect(config.outputBufferLimits.pubsub).toEqual({ hardBytes: 1, softBytes: 2, softSeconds: 3 });
  });

  test("a password set at run time is required for any value of require_auth", () => {
    const config = fresh();
    config.place("server.require_auth", false, { kind: "file", text: "f:1" });
    expect(set(config, "requirepass", "secret")).toBe("OK");
    expect(config.requiredPassword).toBe("secret");
    expect(set(config, "requirepass", "")).toBe("OK");
    expect(config.requiredPassword).toBe("");
  });

  test("sizes beyond 2^53 are replied with all digits", () => {
    const config = fresh();
    expect(set(config, "slowlog-max-len", "9223372036854775807")).toBe("OK");
    expect(get(config, "slowlog-max-len")).toBe("9223372036854775807");
    expect(set(config, "slowlog-max-len", "9223372036854775808")).toBe(
      failure("slowlog-max-len", "argument couldn't be parsed into an integer"),
    );
  });

  test("a check can refuse a value", () => {
    const config = fresh();
    config.addCheck("server.maxclients", (value) => (Number(value) > 500 ? "too many" : null));
    expect(set(config, "hz", "20", "maxclients", "501")).toBe(failure("maxclients", "too many"));
    expect(get(config, "hz")).toBe("10");
    expect(set(config, "maxclients", "500")).toBe("OK");
  });

  test("observers see all keys of one change at their new values, and are not called without a change", () => {
    const config = fresh();
    const seen: string[] = [];
    config.onChange("server.client_timeout", (change, now) =>
      seen.push(`${change.previous}>${change.value} ${now.number("storage.max_memory")}`),
    );
    config.onChange("*", (change) => seen.push(change.name));
    expect(set(config, "timeout", "5", "maxmemory", "1mb")).toBe("OK");
    expect(seen).toEqual(["0>5 1048576", "server.client_timeout", "storage.max_memory"]);
    seen.length = 0;
    expect(set(config, "timeout", "5")).toBe("OK");
    expect(set(config, "timeout", "x")).toContain("ERR");
    expect(seen).toEqual([]);
  });
});

test("a worker's copy follows the main thread's through plain JSON", () => {
  const main = fresh();
  main.place("server.port", 7000, { kind: "flag", text: "--port" });
  const worker = Config.fromSnapshot(JSON.parse(JSON.stringify(main.toSnapshot())));
  expect(worker.number("server.port")).toBe(7000);
  expect(worker.provenance("server.port").text).toBe("--port");
  expect(worker.machine).toEqual(main.machine);

  const heard: ConfigChange[] = [];
  worker.onChange("storage.max_memory", (change) => heard.push(change));
  const result = configSet(main, [
    ["maxmemory", "1mb"],
    ["loglevel", "debug"],
  ]);
  if (!result.ok) throw new Error(result.error);
  worker.apply(JSON.parse(JSON.stringify(result.changes)));
  expect(worker.toSnapshot()).toEqual(main.toSnapshot());
  expect(heard).toEqual([{ name: "storage.max_memory", value: 1048576, previous: 0 }]);
});

test("no two keys share a name, an alias, a variable or a parameter", () => {
  const all = KEYS.flatMap((spec) => [spec.name, ...spec.aliases.map((alias) => alias.name)]);
  expect(new Set(all).size).toBe(all.length);
  expect(new Set(all.map((name) => name.replace(".", "_"))).size).toBe(all.length);
  expect(new Set(PARAMETER_NAMES).size).toBe(PARAMETER_NAMES.length);
});
