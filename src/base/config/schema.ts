/**
 * The one table of configuration keys.
 *
 * Everything else is derived from it: what a file may contain, the environment variables, the flags, CONFIG GET and SET,
 * `--dump-config`, ferrite.example.toml and docs/CONFIGURATION.md. To add a key, add a row.
 *
 * Support, the honest column
 *   built    works in this version
 *   inert    accepted and remembered so that Redis tools go on working; by design it changes nothing
 *   switch   turns on a feature this version does not have: only its default or an off value is accepted
 *   detail   tunes a feature this version does not have: accepted, with a warning when set
 */
import { resolve } from "node:path";
import {
  bindSyntax,
  clientsMemorySyntax,
  DEFAULT_OUTPUT_LIMITS,
  hostnameSyntax,
  notifySyntax,
  oomScoresSyntax,
  outputLimitsSyntax,
  percentilesSyntax,
  processTitleSyntax,
  saveSyntax,
  shutdownSyntax,
} from "./syntax.ts";
import {
  INT32_MAX,
  INT64_MAX,
  integerText,
  parseInteger,
  parseRedisBytes,
  Refusal,
  type ConfigValue,
  type Parsed,
  type ValueRule,
  type ValueType,
} from "./values.ts";

export type Support = "built" | "inert" | "switch" | "detail";

/** How a key answers to a Redis parameter whose unit or sense differs. */
export interface RedisForm {
  toRedis(value: ConfigValue): string;
  fromRedis(text: string): Parsed;
}

/** A further spelling of a key; `convert` translates its value, null when they mean the same. */
export interface Alias {
  readonly name: string;
  readonly convert: ((value: unknown) => unknown) | null;
}

export interface KeySpec<N extends string = string, T extends ValueType = ValueType> extends ValueRule {
  /** Canonical "section.key". */
  readonly name: N;
  readonly section: string;
  readonly key: string;
  readonly type: T;
  /** The unit of a plain number; "" for none. */
  readonly unit: string;
  readonly default: ConfigValue;
  readonly doc: string;
  readonly aliases: readonly Alias[];
  /** Redis's names, the current one first; empty when Redis has none. */
  readonly redis: readonly string[];
  readonly redisForm: RedisForm | null;
  /**
   * true: CONFIG SET works. "protected": Redis refuses it under its own word. "fixed": Redis sets it while it runs, here
   * it stays as it was at the start: only that value is accepted.
   */
  readonly runtime: boolean | "protected" | "fixed";
  readonly secret: boolean;
  readonly support: Support;
  /** For a switch: values, beside the default, that mean off. */
  readonly off: readonly ConfigValue[];
}

interface KeyOptions<T extends ValueType> {
  readonly type: T;
  readonly default: ConfigValue;
  readonly doc: string;
  readonly unit?: string;
  readonly min?: number;
  readonly max?: number;
  readonly powerOfTwo?: boolean;
  readonly choices?: readonly string[];
  readonly synonyms?: Readonly<Record<string, string>>;
  readonly automatic?: boolean;
  readonly syntax?: (text: string) => string | Refusal;
  readonly aliases?: readonly (string | Alias)[];
  readonly redis?: string | readonly string[];
  readonly redisForm?: RedisForm;
  readonly runtime?: boolean | "protected" | "fixed";
  readonly secret?: boolean;
  readonly support?: Support;
  readonly off?: readonly ConfigValue[];
}

const UNITS: Readonly<Partial<Record<ValueType, string>>> = {
  bytes: "bytes",
  seconds: "seconds",
  milliseconds: "milliseconds",
};
const TOP: Readonly<Partial<Record<ValueType, number>>> = {
  int: INT32_MAX,
  bytes: INT64_MAX,
  seconds: INT32_MAX,
  milliseconds: INT64_MAX,
  octal: 0o777,
};

function key<const N extends string, const T extends ValueType>(name: N, options: KeyOptions<T>): KeySpec<N, T> {
  const dot = name.indexOf(".");
  const bounded = TOP[options.type] !== undefined;
  return {
    name,
    section: name.slice(0, dot),
    key: name.slice(dot + 1),
    type: options.type,
    unit: options.unit ?? UNITS[options.type] ?? "",
    default: options.default,
    doc: options.doc,
    min: options.min ?? (bounded ? 0 : -Infinity),
    max: options.max ?? TOP[options.type] ?? Infinity,
    powerOfTwo: options.powerOfTwo ?? false,
    choices: options.choices ?? [],
    synonyms: options.synonyms ?? {},
    automatic: options.automatic ?? false,
    syntax: options.syntax ?? null,
    aliases: (options.aliases ?? []).map((alias) =>
      typeof alias === "string" ? { name: alias, convert: null } : alias,
    ),
    redis: options.redis === undefined ? [] : typeof options.redis === "string" ? [options.redis] : options.redis,
    redisForm: options.redisForm ?? null,
    runtime: options.runtime ?? false,
    secret: options.secret ?? false,
    support: options.support ?? "built",
    off: options.off ?? [],
  };
}

/** hz and storage.expire_check_interval are one thing: 1000 / hz milliseconds; Redis keeps hz within 1 and 500. */
const HZ: RedisForm = {
  toRedis: (value) => String(Math.max(1, Math.round(1000 / Number(value)))),
  fromRedis: (text) => {
    const hz = parseInteger(text);
    if (Number.isNaN(hz)) return new Refusal("argument couldn't be parsed into an integer");
    if (hz < 0 || hz > INT32_MAX) return new Refusal(`argument must be between 0 and ${INT32_MAX} inclusive`);
    return Math.round(1000 / Math.min(500, Math.max(1, hz)));
  },
};

/** auto-aof-rewrite-percentage 50 is a threshold of 1.5. */
const REWRITE_PERCENTAGE: RedisForm = {
  toRedis: (value) => String(Math.round((Number(value) - 1) * 100)),
  fromRedis: (text) => {
    const percent = parseInteger(text);
    if (Number.isNaN(percent)) return new Refusal("argument couldn't be parsed into an integer");
    if (percent < 0 || percent > INT32_MAX) return new Refusal(`argument must be between 0 and ${INT32_MAX} inclusive`);
    return 1 + percent / 100;
  },
};

/** disable-thp is the opposite of storage.huge_pages. */
const NOT_HUGE_PAGES: RedisForm = {
  toRedis: (value) => (value === true ? "no" : "yes"),
  fromRedis: () => new Refusal("can't set immutable config"),
};

/** Redis answers dir as an absolute path; backup scripts rely on it. */
const ABSOLUTE_PATH: RedisForm = {
  toRedis: (value) => resolve(String(value)),
  fromRedis: () => new Refusal("can't set protected config"),
};

const TLS_AUTH: RedisForm = {
  toRedis: (value) => (value === true ? "yes" : "no"),
  fromRedis: (text) => {
    const word = text.toLowerCase();
    return word === "no" || word === "optional"
      ? false
      : word === "yes"
        ? true
        : new Refusal("argument(s) must be one of the following: no, yes, optional");
  },
};

/** Redis's level names; ours are taken too, and named to nobody who does not know them. */
const REDIS_LEVEL: RedisForm = {
  toRedis: String,
  fromRedis: (text) => {
    const level = text.toLowerCase();
    if (Object.hasOwn(LOG_LEVELS, level)) return level;
    return new Refusal("argument(s) must be one of the following: debug, verbose, notice, warning");
  },
};

/** Redis takes any size and makes it at least 16 KiB. */
const BACKLOG_SIZE: RedisForm = {
  toRedis: (value) => integerText(Number(value)),
  fromRedis: (text) => {
    const bytes = parseRedisBytes(text);
    if (bytes < 0) return new Refusal("argument must be a memory value");
    if (bytes < 1 || bytes > INT64_MAX)
      return new Refusal(`argument must be between 1 and ${integerText(INT64_MAX)} inclusive`);
    return Math.max(bytes, 16 * 1024);
  },
};

const KIB = 1024;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** Redis's level names and ours, by the level each means; "debug" is both. */
export const LOG_LEVELS: Readonly<Record<string, "trace" | "debug" | "info" | "warn" | "error" | "off">> = {
  trace: "trace",
  debug: "debug",
  info: "info",
  warn: "warn",
  error: "error",
  verbose: "debug",
  notice: "info",
  warning: "warn",
  nothing: "off",
};

export const POLICIES = [
  "volatile-lru",
  "volatile-lfu",
  "volatile-random",
  "volatile-ttl",
  "allkeys-lru",
  "allkeys-lfu",
  "allkeys-random",
  "noeviction",
] as const;

const SERVER = [
  key("server.bind", {
    type: "string",
    default: "127.0.0.1",
    syntax: bindSyntax,
    redis: "bind",
    runtime: "fixed",
    doc: 'Addresses to listen on: one, or several separated by blanks. "0.0.0.0" or "*" is every IPv4 address, "::" every IPv6 one; a leading "-" makes an address optional. A port may stand inside ("127.0.0.1:6380", "[::1]:6380"); it then must agree with `port`, if that is set beside it.',
  }),
  key("server.port", {
    type: "int",
    default: 6379,
    max: 65535,
    redis: "port",
    runtime: "fixed",
    doc: "TCP port for RESP. 0: no TCP port (then set unix_socket).",
  }),
  key("server.unix_socket", {
    type: "path",
    default: "",
    redis: "unixsocket",
    aliases: ["server.unixsocket"],
    doc: "Path of a Unix socket to listen on as well. Empty: none.",
  }),
  key("server.unix_socket_perm", {
    type: "octal",
    default: 0,
    redis: "unixsocketperm",
    aliases: ["server.unixsocketperm"],
    doc: 'Permission bits of the Unix socket, "700". 0: as the umask leaves them.',
  }),
  key("server.client_timeout", {
    type: "seconds",
    default: 0,
    runtime: true,
    redis: "timeout",
    aliases: ["server.timeout"],
    doc: "Close a client that is idle for so long. 0: never.",
  }),
  key("server.tcp_keepalive", {
    type: "seconds",
    default: 300,
    runtime: true,
    redis: "tcp-keepalive",
    doc: "Interval of TCP keepalive probes. 0: none.",
  }),
  key("server.tcp_backlog", {
    type: "int",
    default: 511,
    redis: "tcp-backlog",
    support: "inert",
    doc: "Length of the accept queue. Bun chooses its own; this is only reported.",
  }),
  key("server.maxclients", {
    type: "int",
    default: 10000,
    min: 1,
    max: 4294967295,
    runtime: true,
    redis: "maxclients",
    aliases: ["server.max_connections"],
    doc: "Most clients at a time; one more is answered `ERR max number of clients reached` and closed.",
  }),
  key("server.databases", {
    type: "int",
    default: 16,
    min: 1,
    max: 16384,
    redis: "databases",
    aliases: ["storage.databases"],
    doc: "Number of databases (SELECT 0 up to this number less one).",
  }),
  key("server.worker_threads", {
    type: "int",
    default: 0,
    max: 1024,
    doc: "Data workers. 0: one per CPU this process may use (cgroup quota counted), at least 2.",
  }),
  key("server.io_threads", {
    type: "int",
    default: 0,
    max: 1024,
    redis: "io-threads",
    redisForm: {
      toRedis: (value) => String(Math.max(1, Number(value))),
      fromRedis: () => new Refusal("can't set immutable config"),
    },
    doc: "Ferrite's workers do both I/O and data, so the larger of this and worker_threads counts. 0: as worker_threads.",
  }),
  key("server.require_auth", {
    type: "bool",
    default: null,
    automatic: true,
    doc: 'Whether clients must authenticate. "auto": when a password is set. true without a password is an error.',
  }),
  key("server.password", {
    type: "string",
    default: "",
    secret: true,
    runtime: true,
    redis: "requirepass",
    aliases: ["security.requirepass", "server.requirepass"],
    doc: "Password of the default user. Empty: none.",
  }),
  key("server.protected_mode", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "protected-mode",
    doc: "Without a password, refuse clients that are not on this machine.",
  }),
  key("server.enable_debug_command", {
    type: "enum",
    default: "local",
    choices: ["no", "yes", "local"],
    redis: "enable-debug-command",
    doc: 'Who may use DEBUG: nobody, everybody, or only clients on this machine ("local").',
  }),
  key("server.disable_dangerous_commands", {
    type: "bool",
    default: false,
    doc: "Refuse KEYS, FLUSHDB, FLUSHALL, SWAPDB, CONFIG SET/REWRITE/RESETSTAT, DEBUG, SHUTDOWN, SAVE, BGSAVE, BGREWRITEAOF, REPLICAOF, SLAVEOF, FAILOVER, MIGRATE, MODULE and MONITOR. CONFIG GET stays, with secrets hidden.",
  }),
  key("server.rename_commands", {
    type: "table",
    default: {},
    doc: 'New names of commands for clients: { "KEYS" = "KEYS_DISABLED", "FLUSHALL" = "" }; the empty name removes the command. "CONFIG|SET" names a subcommand.',
  }),
  key("server.acl_file", {
    type: "path",
    default: "",
    redis: "aclfile",
    support: "switch",
    doc: "File of ACL users.",
  }),
  key("server.turn_max_commands", {
    type: "int",
    default: 256,
    min: 1,
    max: 1_000_000,
    runtime: true,
    unit: "commands",
    doc: "Most commands of one connection in one turn of a worker; the rest waits for the next turn.",
  }),
  key("server.turn_max_microseconds", {
    type: "int",
    default: 1000,
    min: 50,
    max: 1_000_000,
    runtime: true,
    unit: "microseconds",
    doc: "Longest time one connection may take in one turn of a worker.",
  }),
  key("server.proto_max_bulk_len", {
    type: "bytes",
    default: 512 * MIB,
    min: MIB,
    runtime: true,
    redis: "proto-max-bulk-len",
    doc: "Largest single argument.",
  }),
  key("server.query_buffer_limit", {
    type: "bytes",
    default: GIB,
    min: MIB,
    runtime: true,
    redis: "client-query-buffer-limit",
    aliases: ["server.client_query_buffer_limit"],
    doc: "Largest unparsed input of one client; beyond it the client is closed.",
  }),
  key("server.proto_max_inline_len", {
    type: "bytes",
    default: 64 * KIB,
    min: KIB,
    max: MIB,
    doc: "Longest inline command, and longest line of the protocol.",
  }),
  key("server.proto_max_arguments", {
    type: "int",
    default: INT32_MAX,
    min: 16,
    max: INT32_MAX,
    doc: "Most arguments of one command.",
  }),
  key("server.preauth_max_arguments", {
    type: "int",
    default: 10,
    min: 3,
    max: INT32_MAX,
    doc: "Most arguments of a command before the client has authenticated.",
  }),
  key("server.preauth_max_bulk_len", {
    type: "bytes",
    default: 16 * KIB,
    min: 64,
    doc: "Largest argument before the client has authenticated.",
  }),
  key("server.client_output_buffer_limit", {
    type: "string",
    default: DEFAULT_OUTPUT_LIMITS,
    syntax: outputLimitsSyntax,
    runtime: true,
    redis: "client-output-buffer-limit",
    doc: 'Limits of unsent replies by class of client, as in redis.conf: "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60" (class, hard limit, soft limit, seconds above the soft limit). 0: none.',
  }),
  key("server.maxmemory_clients", {
    type: "string",
    default: "0",
    syntax: clientsMemorySyntax,
    runtime: true,
    redis: "maxmemory-clients",
    doc: "Memory of all clients together, a size or a share of max_memory; above it the largest are closed. 0: no limit.",
  }),
  key("server.busy_reply_threshold", {
    type: "milliseconds",
    default: 5000,
    runtime: true,
    redis: ["busy-reply-threshold", "lua-time-limit"],
    aliases: ["server.lua_time_limit"],
    doc: "A command or script that runs longer makes other clients' commands answer -BUSY.",
  }),
  key("server.notify_keyspace_events", {
    type: "string",
    default: "",
    syntax: notifySyntax,
    runtime: true,
    redis: "notify-keyspace-events",
    support: "switch",
    doc: "Keyspace event classes to publish, as in Redis. Empty: none.",
  }),
  key("server.tracking_table_max_keys", {
    type: "int",
    default: 1_000_000,
    max: INT64_MAX,
    runtime: true,
    redis: "tracking-table-max-keys",
    support: "detail",
    doc: "Most keys remembered for client-side caching. 0: no limit.",
  }),
  key("server.slowlog_log_slower_than", {
    type: "int",
    default: 10000,
    min: -1,
    max: INT64_MAX,
    runtime: true,
    unit: "microseconds",
    redis: ["slowlog-log-slower-than", "commandlog-execution-slower-than"],
    doc: "Commands slower than this enter the slow log. 0: all. -1: none.",
  }),
  key("server.slowlog_max_len", {
    type: "int",
    default: 128,
    max: INT64_MAX,
    runtime: true,
    redis: ["slowlog-max-len", "commandlog-slow-execution-max-len"],
    doc: "Length of the slow log.",
  }),
  key("server.commandlog_request_larger_than", {
    type: "int",
    default: 1 << 20,
    min: -1,
    max: INT64_MAX,
    runtime: true,
    unit: "bytes",
    redis: "commandlog-request-larger-than",
    doc: "Commands whose request is as large enter COMMANDLOG's large-request. 0: all. -1: none.",
  }),
  key("server.commandlog_large_request_max_len", {
    type: "int",
    default: 128,
    max: INT64_MAX,
    runtime: true,
    redis: "commandlog-large-request-max-len",
    doc: "Length of COMMANDLOG's large-request.",
  }),
  key("server.commandlog_reply_larger_than", {
    type: "int",
    default: 1 << 20,
    min: -1,
    max: INT64_MAX,
    runtime: true,
    unit: "bytes",
    redis: "commandlog-reply-larger-than",
    doc: "Commands whose reply is as large enter COMMANDLOG's large-reply. 0: all. -1: none.",
  }),
  key("server.commandlog_large_reply_max_len", {
    type: "int",
    default: 128,
    max: INT64_MAX,
    runtime: true,
    redis: "commandlog-large-reply-max-len",
    doc: "Length of COMMANDLOG's large-reply.",
  }),
  key("server.latency_monitor_threshold", {
    type: "milliseconds",
    default: 0,
    runtime: true,
    redis: "latency-monitor-threshold",
    doc: "Events slower than this are kept for LATENCY. 0: off.",
  }),
  key("server.latency_tracking", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "latency-tracking",
    doc: "Keep a latency histogram per command (INFO latencystats).",
  }),
  key("server.latency_tracking_info_percentiles", {
    type: "string",
    default: "50 99 99.9",
    syntax: percentilesSyntax,
    runtime: true,
    redis: "latency-tracking-info-percentiles",
    doc: "Percentiles that INFO latencystats shows.",
  }),
  key("server.shutdown_timeout", {
    type: "seconds",
    default: 10,
    runtime: true,
    redis: "shutdown-timeout",
    doc: "Longest wait for replicas, clients and files at a shutdown.",
  }),
  key("server.tcp_fast_open", {
    type: "bool",
    default: false,
    support: "switch",
    doc: "TCP Fast Open on the listening socket (Linux).",
  }),
  key("server.io_uring", {
    type: "bool",
    default: false,
    support: "switch",
    doc: "Ferrite's event loop uses epoll. true is answered with `io_uring not supported on this system`.",
  }),
  key("server.tls_enabled", {
    type: "bool",
    default: false,
    support: "switch",
    aliases: ["tls.enabled"],
    doc: "Serve TLS.",
  }),
  key("server.tls_port", {
    type: "int",
    default: 6380,
    max: 65535,
    support: "detail",
    aliases: ["tls.port"],
    doc: "Port for TLS.",
  }),
  key("server.tls_cert_file", {
    type: "path",
    default: "",
    support: "detail",
    redis: "tls-cert-file",
    runtime: "fixed",
    aliases: ["tls.cert_file"],
    doc: "Certificate (PEM).",
  }),
  key("server.tls_key_file", {
    type: "path",
    default: "",
    support: "detail",
    redis: "tls-key-file",
    runtime: "fixed",
    aliases: ["tls.key_file"],
    doc: "Private key (PEM).",
  }),
  key("server.tls_ca_file", {
    type: "path",
    default: "",
    support: "detail",
    redis: "tls-ca-cert-file",
    runtime: "fixed",
    aliases: ["tls.ca_file"],
    doc: "Certificate authorities for client certificates (PEM).",
  }),
  key("server.tls_verify_client", {
    type: "bool",
    default: false,
    support: "detail",
    redis: "tls-auth-clients",
    runtime: "fixed",
    redisForm: TLS_AUTH,
    aliases: ["tls.require_client_cert"],
    doc: "Ask clients for a certificate; needs tls_ca_file.",
  }),
  key("server.tls_min_protocol_version", {
    type: "enum",
    default: "tlsv1.2",
    choices: ["tlsv1.2", "tlsv1.3"],
    synonyms: { "1.2": "tlsv1.2", "1.3": "tlsv1.3" },
    support: "detail",
    aliases: ["tls.min_protocol_version"],
    doc: "Oldest TLS version.",
  }),
] as const;

const STORAGE = [
  key("storage.data_dir", {
    type: "path",
    default: "./data",
    runtime: "protected",
    redis: "dir",
    redisForm: ABSOLUTE_PATH,
    doc: "Directory of everything Ferrite writes. When the file is /etc/ferrite/ferrite.toml the default is /var/lib/ferrite.",
  }),
  key("storage.max_memory", {
    type: "bytes",
    default: 0,
    runtime: true,
    redis: "maxmemory",
    aliases: ["storage.maxmemory", "server.maxmemory"],
    doc: "Most memory for data; beyond it writes are refused (or keys evicted, see maxmemory_policy). 0: 75 % of the cgroup's limit, or of the machine's memory.",
  }),
  key("storage.maxmemory_policy", {
    type: "enum",
    default: "noeviction",
    choices: POLICIES,
    synonyms: { "no-eviction": "noeviction" },
    runtime: true,
    redis: "maxmemory-policy",
    aliases: ["storage.eviction_policy"],
    doc: "Which keys go at max_memory: of all, or of those with a deadline (volatile); the least recently or least frequently used, any, or the ones that expire next. noeviction: none, writes are refused.",
  }),
  key("storage.maxmemory_samples", {
    type: "int",
    default: 5,
    min: 1,
    runtime: true,
    redis: "maxmemory-samples",
    doc: "Keys looked at per eviction.",
  }),
  key("storage.maxmemory_eviction_tenacity", {
    type: "int",
    default: 10,
    max: 100,
    runtime: true,
    redis: "maxmemory-eviction-tenacity",
    doc: "How long one round of eviction may take: up to 10 in steps of 50 us, above that 15 % more for each; 100: as long as needed.",
  }),
  key("storage.lfu_log_factor", {
    type: "int",
    default: 10,
    runtime: true,
    redis: "lfu-log-factor",
    doc: "How slowly the access counter of LFU grows.",
  }),
  key("storage.lfu_decay_time", {
    type: "int",
    default: 1,
    unit: "minutes",
    runtime: true,
    redis: "lfu-decay-time",
    doc: "Minutes without access after which the counter of LFU falls by one; 0: it never falls.",
  }),
  key("storage.num_shards", {
    type: "int",
    default: 256,
    min: 1,
    max: 4096,
    powerOfTwo: true,
    doc: "Shards of the keyspace. Fixed in a data directory once it has data; the directory wins over this key.",
  }),
  key("storage.region_size", {
    type: "bytes",
    default: GIB,
    min: MIB,
    max: GIB,
    powerOfTwo: true,
    doc: "Size of the shared-memory regions data is kept in. They are made when needed.",
  }),
  key("storage.huge_pages", {
    type: "bool",
    default: true,
    redis: "disable-thp",
    redisForm: NOT_HUGE_PAGES,
    doc: "Ask the system for huge pages under the regions (madvise). Without effect where that is not possible.",
  }),
  key("storage.hybridlog_mutable_size", {
    type: "bytes",
    default: 64 * MIB,
    min: MIB,
    aliases: ["storage.mutable_region_size"],
    doc: "Part of the log that is updated in place (hot tier).",
  }),
  key("storage.hybridlog_readonly_size", {
    type: "bytes",
    default: 256 * MIB,
    min: 0,
    aliases: ["storage.readonly_region_size"],
    doc: "Part of the log behind it that is copied forward on update (warm tier).",
  }),
  key("storage.expire_check_interval", {
    type: "milliseconds",
    default: 100,
    min: 2,
    max: 1000,
    runtime: true,
    redis: "hz",
    redisForm: HZ,
    aliases: [
      {
        name: "server.hz",
        convert: (value) =>
          typeof value === "number" || typeof value === "string"
            ? Math.round(1000 / Math.min(500, Math.max(1, Number(value))))
            : value,
      },
    ],
    doc: "How often each shard looks for expired keys. Redis's hz is 1000 divided by it.",
  }),
  key("storage.expire_check_count", {
    type: "int",
    default: 20,
    min: 1,
    max: 1_000_000,
    runtime: true,
    doc: "Keys looked at per shard and interval.",
  }),
  key("storage.active_expire_effort", {
    type: "int",
    default: 1,
    min: 1,
    max: 10,
    runtime: true,
    redis: "active-expire-effort",
    support: "inert",
    doc: "Redis's effort of expiry. Ferrite files deadlines in time buckets, so nothing is searched for.",
  }),
  key("storage.active_defrag", {
    type: "bool",
    default: false,
    runtime: true,
    redis: "activedefrag",
    support: "switch",
    doc: "Compact memory in the background.",
  }),
  key("storage.active_defrag_threshold", {
    type: "int",
    default: 30,
    max: 1000,
    unit: "percent",
    runtime: true,
    redis: "active-defrag-threshold-lower",
    support: "detail",
    doc: "Fragmentation at which compaction begins.",
  }),
  key("storage.compaction_threshold", {
    type: "float",
    default: 0.2,
    min: 0,
    max: 1,
    runtime: true,
    doc: "Share of dead bytes in a shard's log at which its sparsest segment is compacted.",
  }),
  key("storage.compaction_interval_secs", {
    type: "seconds",
    default: 300,
    min: 1,
    runtime: true,
    support: "detail",
    doc: "How often cold segments are looked at.",
  }),
  key("storage.tiering", {
    type: "bool",
    default: false,
    support: "switch",
    doc: "Move cold data to files under data_dir.",
  }),
  ...(
    [
      [
        "hash_max_listpack_entries",
        "int",
        512,
        ["hash-max-listpack-entries", "hash-max-ziplist-entries"],
        "Most fields of a packed hash.",
      ],
      [
        "hash_max_listpack_value",
        "bytes",
        64,
        ["hash-max-listpack-value", "hash-max-ziplist-value"],
        "Largest field or value of a packed hash.",
      ],
      [
        "zset_max_listpack_entries",
        "int",
        128,
        ["zset-max-listpack-entries", "zset-max-ziplist-entries"],
        "Most members of a packed sorted set.",
      ],
      [
        "zset_max_listpack_value",
        "bytes",
        64,
        ["zset-max-listpack-value", "zset-max-ziplist-value"],
        "Largest member of a packed sorted set.",
      ],
      ["set_max_intset_entries", "int", 512, ["set-max-intset-entries"], "Most members of a set of integers."],
      ["set_max_listpack_entries", "int", 128, ["set-max-listpack-entries"], "Most members of a packed set."],
      ["set_max_listpack_value", "bytes", 64, ["set-max-listpack-value"], "Largest member of a packed set."],
      [
        "stream_node_max_entries",
        "int",
        100,
        ["stream-node-max-entries"],
        "Most entries of a node of a stream. 0: no limit.",
      ],
      ["stream_node_max_bytes", "bytes", 4096, ["stream-node-max-bytes"], "Largest node of a stream. 0: no limit."],
      ["hll_sparse_max_bytes", "bytes", 3000, ["hll-sparse-max-bytes"], "Largest sparse HyperLogLog."],
    ] as const
  ).map(([name, type, value, redis, doc]) =>
    key(`storage.${name}`, { type, default: value, max: INT64_MAX, runtime: true, redis, doc }),
  ),
  key("storage.list_max_listpack_size", {
    type: "int",
    default: -2,
    min: -2147483648,
    runtime: true,
    redis: ["list-max-listpack-size", "list-max-ziplist-size"],
    support: "detail",
    doc: "Largest node of a list: a number of elements, or -1 to -5 for 4, 8, 16, 32, 64 KiB.",
  }),
  key("storage.list_compress_depth", {
    type: "int",
    default: 0,
    runtime: true,
    redis: "list-compress-depth",
    support: "inert",
    doc: "Nodes at each end of a list that Redis leaves uncompressed. Ferrite does not compress.",
  }),
] as const;

const PERSISTENCE = [
  key("persistence.enable_aof", {
    type: "bool",
    default: false,
    runtime: true,
    redis: "appendonly",
    support: "switch",
    aliases: ["persistence.aof_enabled"],
    doc: "Write every change to an append-only file.",
  }),
  key("persistence.enable_checkpoints", {
    type: "bool",
    default: false,
    support: "switch",
    aliases: ["persistence.checkpoint_enabled"],
    doc: "Write checkpoints.",
  }),
  key("persistence.save", {
    type: "string",
    default: "",
    syntax: saveSyntax,
    runtime: true,
    redis: "save",
    support: "switch",
    doc: 'Save points as in Redis ("3600 1 300 100": after 3600 seconds if 1 key changed, ...). Empty: none.',
  }),
  key("persistence.checkpoint_interval_secs", {
    type: "seconds",
    default: 3600,
    runtime: true,
    support: "detail",
    aliases: ["persistence.checkpoint_interval"],
    doc: "Time between checkpoints. 0: none.",
  }),
  key("persistence.checkpoint_on_shutdown", {
    type: "bool",
    default: true,
    runtime: true,
    support: "detail",
    doc: "Write a checkpoint at SIGTERM and SHUTDOWN.",
  }),
  key("persistence.max_checkpoints", {
    type: "int",
    default: 3,
    min: 1,
    runtime: true,
    support: "detail",
    doc: "Checkpoints to keep; older ones are removed after a good one.",
  }),
  key("persistence.checkpoint_dir", {
    type: "path",
    default: "",
    support: "detail",
    doc: "Where checkpoints go. Empty: <data_dir>/checkpoints.",
  }),
  key("persistence.aof_fsync", {
    type: "enum",
    default: "everysec",
    choices: ["everysec", "always", "no"],
    synonyms: { everysecond: "everysec" },
    runtime: true,
    redis: "appendfsync",
    support: "detail",
    aliases: ["persistence.aof_sync"],
    doc: "When the append-only file is synced: always (before the reply), everysec, no (left to the system).",
  }),
  key("persistence.aof_filename", {
    type: "string",
    default: "appendonly.aof",
    redis: "appendfilename",
    support: "detail",
    aliases: ["persistence.aof_path"],
    doc: "Name of the append-only file in data_dir.",
  }),
  key("persistence.aof_rewrite_threshold", {
    type: "float",
    default: 1.5,
    min: 1,
    max: 1_000_000,
    unit: "ratio",
    runtime: true,
    redis: "auto-aof-rewrite-percentage",
    redisForm: REWRITE_PERCENTAGE,
    support: "detail",
    doc: "Rewrite the file when it is so many times its size after the last rewrite. 1.0: never by itself.",
  }),
  key("persistence.auto_aof_rewrite_min_size", {
    type: "bytes",
    default: 64 * MIB,
    runtime: true,
    redis: "auto-aof-rewrite-min-size",
    support: "detail",
    doc: "Never rewrite a smaller file by itself.",
  }),
  key("persistence.aof_load_truncated", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "aof-load-truncated",
    support: "detail",
    doc: "Start with an append-only file whose last record is cut off.",
  }),
  key("persistence.rdb_filename", {
    type: "string",
    default: "dump.rdb",
    runtime: "protected",
    redis: "dbfilename",
    support: "detail",
    doc: "Name of the RDB file in data_dir.",
  }),
  key("persistence.rdb_compression", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "rdbcompression",
    support: "detail",
    doc: "Compress long strings in RDB files.",
  }),
  key("persistence.rdb_checksum", {
    type: "bool",
    default: true,
    redis: "rdbchecksum",
    support: "detail",
    doc: "End RDB files with a checksum, and check it.",
  }),
  key("persistence.stop_writes_on_save_error", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "stop-writes-on-bgsave-error",
    support: "detail",
    doc: "Refuse writes (MISCONF) after a failed save.",
  }),
] as const;

const REPLICATION = [
  key("replication.primary_host", {
    type: "string",
    default: "",
    support: "switch",
    doc: "Start as a replica of this host. Empty: a primary.",
  }),
  key("replication.primary_port", {
    type: "int",
    default: 6379,
    min: 1,
    max: 65535,
    support: "detail",
    doc: "Port of the primary.",
  }),
  key("replication.primary_user", {
    type: "string",
    default: "",
    runtime: true,
    redis: ["masteruser", "primaryuser"],
    support: "detail",
    doc: "User to authenticate as at the primary.",
  }),
  key("replication.primary_auth", {
    type: "string",
    default: "",
    secret: true,
    runtime: true,
    redis: ["masterauth", "primaryauth"],
    support: "detail",
    doc: "Password for the primary.",
  }),
  key("replication.repl_backlog_size", {
    type: "bytes",
    default: 100 * MIB,
    min: 1,
    runtime: true,
    redis: "repl-backlog-size",
    redisForm: BACKLOG_SIZE,
    support: "detail",
    aliases: ["replication.backlog_size"],
    doc: "Changes kept for replicas that come back.",
  }),
  key("replication.repl_backlog_ttl", {
    type: "seconds",
    default: 3600,
    max: INT64_MAX,
    runtime: true,
    redis: "repl-backlog-ttl",
    support: "detail",
    doc: "How long the backlog is kept without replicas. 0: for ever.",
  }),
  key("replication.repl_buffer_size", {
    type: "bytes",
    default: 256 * MIB,
    support: "detail",
    doc: "Hard limit of a replica's output buffer.",
  }),
  key("replication.repl_bind", {
    type: "string",
    default: "",
    support: "detail",
    redis: "bind-source-addr",
    runtime: "fixed",
    doc: "Local address of outgoing links to the primary.",
  }),
  key("replication.repl_timeout", {
    type: "seconds",
    default: 60,
    min: 1,
    runtime: true,
    redis: "repl-timeout",
    support: "detail",
    doc: "Silence after which a replication link is given up.",
  }),
  key("replication.repl_ping_period", {
    type: "seconds",
    default: 10,
    min: 1,
    runtime: true,
    redis: ["repl-ping-replica-period", "repl-ping-slave-period"],
    support: "detail",
    doc: "How often a primary pings its replicas.",
  }),
  key("replication.replica_read_only", {
    type: "bool",
    default: true,
    runtime: true,
    redis: ["replica-read-only", "slave-read-only"],
    support: "detail",
    doc: "Refuse writes on a replica.",
  }),
  key("replication.replica_serve_stale_data", {
    type: "bool",
    default: true,
    runtime: true,
    redis: ["replica-serve-stale-data", "slave-serve-stale-data"],
    support: "detail",
    doc: "Answer reads while the link to the primary is down.",
  }),
  key("replication.replica_priority", {
    type: "int",
    default: 100,
    runtime: true,
    redis: ["replica-priority", "slave-priority"],
    support: "detail",
    doc: "Sentinel prefers replicas with a lower number. 0: never promote.",
  }),
  key("replication.replica_announce_ip", {
    type: "string",
    default: "",
    runtime: true,
    redis: ["replica-announce-ip", "slave-announce-ip"],
    support: "detail",
    doc: "Address a replica tells its primary. Empty: the one the primary sees.",
  }),
  key("replication.replica_announce_port", {
    type: "int",
    default: 0,
    max: 65535,
    runtime: true,
    redis: ["replica-announce-port", "slave-announce-port"],
    support: "detail",
    doc: "Port a replica tells its primary. 0: its own.",
  }),
  key("replication.min_replicas_to_write", {
    type: "int",
    default: 0,
    runtime: true,
    redis: ["min-replicas-to-write", "min-slaves-to-write"],
    support: "switch",
    doc: "Refuse writes with fewer good replicas. It narrows a split brain, it does not prevent one.",
  }),
  key("replication.min_replicas_max_lag", {
    type: "seconds",
    default: 10,
    runtime: true,
    redis: ["min-replicas-max-lag", "min-slaves-max-lag"],
    support: "detail",
    doc: "A replica that has been silent for longer is not good.",
  }),
  key("replication.parallel_sync", {
    type: "bool",
    default: false,
    support: "switch",
    doc: "Load a full synchronization on several threads.",
  }),
  key("replication.sync_threads", {
    type: "int",
    default: 4,
    min: 1,
    max: 1024,
    support: "detail",
    doc: "Threads of parallel_sync.",
  }),
] as const;

const LOGGING = [
  key("logging.level", {
    type: "enum",
    default: "info",
    choices: Object.keys(LOG_LEVELS),
    runtime: true,
    redis: "loglevel",
    redisForm: REDIS_LEVEL,
    doc: "Least level that is logged: trace, debug, info, warn, error; or Redis's debug, verbose, notice, warning, nothing. FERRITE_LOG wins over it at the start.",
  }),
  key("logging.format", {
    type: "enum",
    default: "auto",
    choices: ["auto", "pretty", "json"],
    doc: "pretty for people, json for programs; auto is pretty on a terminal and json elsewhere.",
  }),
  key("logging.log_file", {
    type: "path",
    default: "",
    redis: "logfile",
    aliases: ["logging.file"],
    doc: "File to log to. Empty: standard output.",
  }),
  key("logging.log_rotation", {
    type: "enum",
    default: "none",
    choices: ["none", "daily", "hourly", "size-based"],
    synonyms: { never: "none", size: "size-based" },
    doc: "When to begin a new log file (days and hours are UTC).",
  }),
  key("logging.max_log_size", {
    type: "bytes",
    default: 100 * MIB,
    min: 4 * KIB,
    doc: "Size at which a size-based log begins a new file.",
  }),
  key("logging.max_log_files", {
    type: "int",
    default: 10,
    min: 1,
    max: 10000,
    doc: "Rotated files to keep.",
  }),
  key("logging.log_thread_ids", {
    type: "bool",
    default: false,
    doc: "Add the number of the thread.",
  }),
  key("logging.log_thread_names", {
    type: "bool",
    default: false,
    doc: "Add the name of the thread (main, worker-3, aof).",
  }),
  key("logging.log_module_path", {
    type: "bool",
    default: true,
    doc: "Add the target (ferrite::storage).",
  }),
] as const;

const METRICS = [
  key("metrics.enabled", {
    type: "bool",
    default: false,
    support: "switch",
    doc: "Serve /metrics, /healthz and /readyz over HTTP.",
  }),
  key("metrics.bind", {
    type: "string",
    default: "127.0.0.1",
    support: "detail",
    doc: "Address of the HTTP endpoint.",
  }),
  key("metrics.port", {
    type: "int",
    default: 9090,
    max: 65535,
    support: "detail",
    doc: "Port of the HTTP endpoint.",
  }),
] as const;

/** One Redis parameter without a meaning here: names, type, default, whether CONFIG SET may change it, choices. */
type InertRow = readonly [
  names: string,
  type: ValueType,
  value: ConfigValue,
  runtime: boolean,
  bounds?: readonly [number, number] | readonly string[],
];

/**
 * Parameters of Redis 7.0 that mean nothing here. They can be read, and set where Redis lets them be set, because
 * tools and test suites do so; nothing else reads them.
 */
const INERT_ROWS: readonly InertRow[] = [
  ["acl-pubsub-default", "enum", "resetchannels", true, ["allchannels", "resetchannels"]],
  ["acllog-max-len", "int", 128, true, [0, INT64_MAX]],
  ["active-defrag-cycle-max", "int", 25, true, [1, 99]],
  ["active-defrag-cycle-min", "int", 1, true, [1, 99]],
  ["active-defrag-ignore-bytes", "bytes", 100 * MIB, true, [1, INT64_MAX]],
  ["active-defrag-max-scan-fields", "int", 1000, true, [1, INT64_MAX]],
  ["active-defrag-threshold-upper", "int", 100, true, [0, 1000]],
  ["activerehashing", "bool", true, true],
  ["always-show-logo", "bool", false, false],
  ["aof-disable-auto-gc", "bool", false, true],
  ["aof-rewrite-incremental-fsync", "bool", true, true],
  ["aof-timestamp-enabled", "bool", false, true],
  ["aof-use-rdb-preamble", "bool", true, true],
  ["aof_rewrite_cpulist aof-rewrite-cpulist", "string", "", false],
  ["appenddirname", "string", "appendonlydir", false],
  ["bgsave_cpulist bgsave-cpulist", "string", "", false],
  ["bio_cpulist bio-cpulist", "string", "", false],
  ["cluster-allow-pubsubshard-when-down", "bool", true, true],
  ["cluster-allow-reads-when-down", "bool", false, true],
  ["cluster-allow-replica-migration", "bool", true, true],
  ["cluster-announce-bus-port", "int", 0, true, [0, 65535]],
  ["cluster-announce-hostname", "string", "", true],
  ["cluster-announce-ip", "string", "", true],
  ["cluster-announce-port", "int", 0, true, [0, 65535]],
  ["cluster-announce-tls-port", "int", 0, true, [0, 65535]],
  ["cluster-config-file", "string", "nodes.conf", false],
  ["cluster-enabled", "bool", false, false],
  ["cluster-link-sendbuf-limit", "bytes", 0, true],
  ["cluster-migration-barrier", "int", 1, true],
  ["cluster-node-timeout", "milliseconds", 15000, true],
  ["cluster-port", "int", 0, false, [0, 65535]],
  ["cluster-preferred-endpoint-type", "enum", "ip", true, ["ip", "hostname", "unknown-endpoint"]],
  ["cluster-replica-no-failover cluster-slave-no-failover", "bool", false, true],
  ["cluster-replica-validity-factor cluster-slave-validity-factor", "int", 10, true],
  ["cluster-require-full-coverage", "bool", true, true],
  ["crash-log-enabled", "bool", true, true],
  ["crash-memcheck-enabled", "bool", true, true],
  ["daemonize", "bool", false, false],
  ["dynamic-hz", "bool", true, true],
  ["enable-module-command", "enum", "no", false, ["no", "yes", "local"]],
  ["enable-protected-configs", "enum", "no", false, ["no", "yes", "local"]],
  ["ignore-warnings", "string", "", true],
  ["io-threads-do-reads", "bool", false, false],
  ["jemalloc-bg-thread", "bool", true, true],
  ["lazyfree-lazy-eviction", "bool", false, true],
  ["lazyfree-lazy-expire", "bool", false, true],
  ["lazyfree-lazy-server-del", "bool", false, true],
  ["lazyfree-lazy-user-del", "bool", false, true],
  ["lazyfree-lazy-user-flush", "bool", false, true],
  ["no-appendfsync-on-rewrite", "bool", false, true],
  ["oom-score-adj", "enum", "no", true, ["no", "yes", "relative", "absolute"]],
  ["oom-score-adj-values", "string", "0 200 800", true],
  ["pidfile", "string", "", false],
  ["proc-title-template", "string", "{title} {listen-addr} {server-mode}", true],
  ["propagation-error-behavior", "enum", "ignore", true, ["ignore", "panic", "panic-on-replicas"]],
  ["rdb-del-sync-files", "bool", false, true],
  ["rdb-save-incremental-fsync", "bool", true, true],
  ["repl-disable-tcp-nodelay", "bool", false, true],
  ["repl-diskless-load", "enum", "disabled", true, ["disabled", "on-empty-db", "swapdb"]],
  ["repl-diskless-sync", "bool", true, true],
  ["repl-diskless-sync-delay", "seconds", 5, true],
  ["repl-diskless-sync-max-replicas", "int", 0, true],
  ["replica-announced", "bool", true, true],
  ["replica-ignore-disk-write-errors", "bool", false, true],
  ["replica-ignore-maxmemory slave-ignore-maxmemory", "bool", true, true],
  ["replica-lazy-flush slave-lazy-flush", "bool", false, true],
  ["sanitize-dump-payload", "enum", "no", true, ["no", "yes", "clients"]],
  ["server_cpulist server-cpulist", "string", "", false],
  ["set-proc-title", "bool", true, false],
  ["shutdown-on-sigint", "string", "default", true],
  ["shutdown-on-sigterm", "string", "default", true],
  ["socket-mark-id", "int", 0, false, [0, 4294967295]],
  ["supervised", "enum", "no", false, ["upstart", "systemd", "auto", "no"]],
  ["syslog-enabled", "bool", false, false],
  ["syslog-facility", "string", "local0", false],
  ["syslog-ident", "string", "redis", false],
  ["tls-ca-cert-dir", "string", "", true],
  ["tls-ciphers", "string", "", true],
  ["tls-ciphersuites", "string", "", true],
  ["tls-client-cert-file", "string", "", true],
  ["tls-client-key-file", "string", "", true],
  ["tls-client-key-file-pass", "string", "", true],
  ["tls-cluster", "bool", false, true],
  ["tls-dh-params-file", "string", "", true],
  ["tls-key-file-pass", "string", "", true],
  ["tls-prefer-server-ciphers", "bool", false, true],
  ["tls-protocols", "string", "", true],
  ["tls-replication", "bool", false, true],
  ["tls-session-cache-size", "int", 20480, true],
  ["tls-session-cache-timeout", "int", 300, true],
  ["tls-session-caching", "bool", true, true],
];

/** Parameters that came after Redis 7.0: Redis 7.2 to 8.0, Valkey 8 and 9. Treated as those above. */
const LATER_ROWS: readonly InertRow[] = [
  ["active-defrag-cycle-us", "int", 500, true, [0, 100000]],
  ["availability-zone", "string", "", true],
  ["cluster-announce-client-ipv4", "string", "", true],
  ["cluster-announce-client-ipv6", "string", "", true],
  ["cluster-announce-human-nodename", "string", "", true],
  ["cluster-blacklist-ttl", "int", 60, true, [0, INT64_MAX]],
  ["cluster-compatibility-sample-ratio", "int", 0, true, [0, 100]],
  ["cluster-databases", "int", 1, false, [1, INT32_MAX]],
  ["cluster-manual-failover-timeout", "milliseconds", 5000, true, [1, INT32_MAX]],
  ["cluster-slot-stats-enabled", "bool", false, true],
  ["dual-channel-replication-enabled", "bool", false, true],
  ["events-per-io-thread", "int", 2, true],
  ["extended-redis-compatibility", "bool", false, true],
  ["hide-user-data-from-log", "bool", false, true],
  ["import-mode", "bool", false, true],
  ["locale-collate", "string", "", true],
  ["log-format", "enum", "legacy", true, ["legacy", "logfmt"]],
  ["log-timestamp-format", "enum", "legacy", true, ["legacy", "iso8601", "milliseconds"]],
  ["max-new-connections-per-cycle", "int", 10, true, [1, 1000]],
  ["max-new-tls-connections-per-cycle", "int", 1, true, [1, 1000]],
  ["prefetch-batch-max-size", "int", 16, true, [0, 128]],
  ["rdb-version-check", "enum", "strict", true, ["strict", "relaxed"]],
  ["repl-rdb-channel", "bool", false, true],
  ["replica-full-sync-buffer-limit", "bytes", 0, true],
  ["unixsocketgroup", "string", "", false],
];

/** Texts of inert rows that have a form of their own. */
const INERT_SYNTAX: Readonly<Record<string, (text: string) => string | Refusal>> = {
  "cluster-announce-hostname": hostnameSyntax,
  "oom-score-adj-values": oomScoresSyntax,
  "proc-title-template": processTitleSyntax,
  "shutdown-on-sigint": shutdownSyntax,
  "shutdown-on-sigterm": shutdownSyntax,
};

/** Inert rows that would promise something when switched on. */
const INERT_SWITCHES: ReadonlySet<string> = new Set([
  "cluster-enabled",
  "daemonize",
  "dual-channel-replication-enabled",
  "import-mode",
  "repl-rdb-channel",
  "syslog-enabled",
  "tls-cluster",
  "tls-replication",
  "unixsocketgroup",
]);

function inertKey([names, type, value, runtime, bounds]: InertRow): KeySpec {
  const redis = names.split(" ");
  const numeric = bounds !== undefined && typeof bounds[0] === "number" ? (bounds as readonly [number, number]) : null;
  return key(`redis.${redis[0]!.replaceAll("-", "_")}`, {
    type,
    default: value,
    runtime,
    redis,
    ...(numeric !== null ? { min: numeric[0], max: numeric[1] } : {}),
    ...(bounds !== undefined && numeric === null ? { choices: bounds as readonly string[] } : {}),
    ...(INERT_SYNTAX[redis[0]!] !== undefined ? { syntax: INERT_SYNTAX[redis[0]!]! } : {}),
    secret: redis[0]!.endsWith("-pass"),
    support: INERT_SWITCHES.has(redis[0]!) ? "switch" : "inert",
    doc: `Redis's ${redis[0]}.`,
  });
}

const NATIVE = [...SERVER, ...STORAGE, ...PERSISTENCE, ...REPLICATION, ...LOGGING, ...METRICS] as const;

type Row = (typeof NATIVE)[number];
/** Canonical names, by what their values are. */
export type KeyName = Row["name"];
export type NumberKey = Extract<
  Row,
  { type: "int" | "float" | "bytes" | "seconds" | "milliseconds" | "octal" }
>["name"];
export type TextKey = Extract<Row, { type: "string" | "path" | "enum" }>["name"];
export type FlagKey = Extract<Row, { type: "bool" }>["name"];

/** Every key, in the order they are printed. */
export const KEYS: readonly KeySpec[] = [...NATIVE, ...[...INERT_ROWS, ...LATER_ROWS].map(inertKey)];

export interface SectionSpec {
  readonly name: string;
  readonly doc: string;
}

export const SECTIONS: readonly SectionSpec[] = [
  { name: "server", doc: "Network, clients, limits of the protocol." },
  { name: "storage", doc: "Memory, shards, expiry, encodings." },
  {
    name: "persistence",
    doc: "Append-only file and checkpoints. Not in this version: everything is kept in memory only.",
  },
  { name: "replication", doc: "Primary and replicas. Not in this version." },
  { name: "logging", doc: "Where the log goes and how it looks." },
  { name: "metrics", doc: "HTTP endpoint for monitoring. Not in this version." },
  {
    name: "redis",
    doc: "Parameters of Redis without a meaning here; they are remembered for CONFIG GET and change nothing.",
  },
];

const BY_NAME = new Map(KEYS.map((spec) => [spec.name, spec]));
const BY_ALIAS = new Map<string, { spec: KeySpec; alias: Alias }>();
const BY_REDIS = new Map<string, KeySpec>();
for (const spec of KEYS) {
  for (const alias of spec.aliases) BY_ALIAS.set(alias.name, { spec, alias });
  for (const name of spec.redis) BY_REDIS.set(name, spec);
}

/** The key of a canonical name; throws for a name that is not in the table (a bug, not bad input). */
export function specOf(name: string): KeySpec {
  const spec = BY_NAME.get(name);
  if (spec === undefined) throw new RangeError(`no configuration key is called ${name}`);
  return spec;
}

/** The key a user means by "section.key", canonical or alias; null for none. */
export function findKey(name: string): { spec: KeySpec; alias: Alias | null } | null {
  const spec = BY_NAME.get(name);
  return spec !== undefined ? { spec, alias: null } : (BY_ALIAS.get(name) ?? null);
}

/** The key behind a Redis parameter (lower case); null for none. */
export function findRedisKey(name: string): KeySpec | null {
  return BY_REDIS.get(name) ?? null;
}

/** All spellings of all keys, for suggestions. */
export function allSpellings(): string[] {
  return [...BY_NAME.keys(), ...BY_ALIAS.keys()];
}

/** Whether this version can honour `value` of `spec`: false for a switch that is turned on. */
export function isSupported(spec: KeySpec, value: ConfigValue): boolean {
  if (spec.support !== "switch") return true;
  const allowed = [spec.default, ...spec.off];
  if (spec.type === "table") return typeof value === "object" && value !== null && Object.keys(value).length === 0;
  return allowed.includes(value);
}

/** Keys and whole sections of the Rust program that Ferrite has no use for: loaded with the warning "not used". */
export const IGNORED_SECTIONS: readonly string[] = [
  "cluster",
  "audit",
  "encryption",
  "otel",
  "cloud",
  "acl",
  "plugins",
  "wasm",
  "tenancy",
  "cdc",
  "vector",
];
export const IGNORED_KEYS: readonly RegExp[] = [
  /^storage\.backend$/,
  /^storage\.prefetch_/,
  /^storage\.max_(key|value)_size$/,
  /^storage\.hybridlog_disk_/,
  /^server\.rate_limit_/,
  /^server\.proto_max_(multi_bulk|nesting)_/,
  /^server\.acl_/,
  /^tls\.cipher_suites$/,
];
