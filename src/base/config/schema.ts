/**
 * The table of configuration keys.
 *
 * Everything else is derived from it: the content of files, environment variables, flags, CONFIG GET and SET,
 * `--dump-config`, ferrite.example.toml and docs/CONFIGURATION.md. To add a key, add a row.
 *
 * Values of `support`
 *   built    works in this version
 *   inert    accepted and stored, because Redis tools set it; by design it has no effect
 *   switch   turns on a feature that this version lacks: only the default or an off value is accepted
 *   detail   tunes a feature that this version lacks: accepted, with a warning when set
 */
import { resolve } from "node:path";
import { parseFilter } from "../log.ts";
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

/** Converts a key's value to and from a Redis parameter with another unit or sense. */
export interface RedisForm {
  toRedis(value: ConfigValue): string;
  fromRedis(text: string): Parsed;
}

/** Another spelling of a key. `convert` translates its value; null = the values are the same. */
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
  /** The unit of a plain number; "" = none. */
  readonly unit: string;
  readonly default: ConfigValue;
  readonly doc: string;
  readonly aliases: readonly Alias[];
  /** Redis's names, the current one first. Empty when Redis has no such parameter. */
  readonly redis: readonly string[];
  readonly redisForm: RedisForm | null;
  /**
   * true: CONFIG SET works. "protected": CONFIG SET is refused, as Redis does, as a protected config. "fixed": Redis can
   * change it at run time, Ferrite cannot, so CONFIG SET accepts only the current value.
   */
  readonly runtime: boolean | "protected" | "fixed";
  /** The value names something that may change by itself (a file): CONFIG SET of the same value is a change too. */
  readonly isReference: boolean;
  readonly secret: boolean;
  readonly support: Support;
  /** For a switch: values besides the default that mean off. */
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
  readonly isReference?: boolean;
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
    isReference: options.isReference ?? false,
    secret: options.secret ?? false,
    support: options.support ?? "built",
    off: options.off ?? [],
  };
}

/** storage.expire_check_interval is 1000 / hz milliseconds. Redis limits hz to 1 to 500. */
const HZ: RedisForm = {
  toRedis: (value) => String(Math.max(1, Math.round(1000 / Number(value)))),
  fromRedis: (text) => {
    const hz = parseInteger(text);
    if (Number.isNaN(hz)) return new Refusal("argument couldn't be parsed into an integer");
    if (hz < 0 || hz > INT32_MAX) return new Refusal(`argument must be between 0 and ${INT32_MAX} inclusive`);
    return Math.round(1000 / Math.min(500, Math.max(1, hz)));
  },
};

/** An auto-aof-rewrite-percentage of 50 is a threshold of 1.5. */
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
  fromRedis: (text) => {
    const word = text.toLowerCase();
    return word === "yes" || word === "no" ? word === "no" : new Refusal("argument must be 'yes' or 'no'");
  },
};

/** Redis replies dir as an absolute path, and backup scripts rely on it. */
const ABSOLUTE_PATH: RedisForm = {
  toRedis: (value) => resolve(String(value)),
  fromRedis: () => new Refusal("can't set protected config"),
};

/** [[security.users]]: blocks of a name and rules, as one table. What is no such list is returned as it is. */
function usersTable(given: unknown): unknown {
  if (!Array.isArray(given)) return given;
  const table: Record<string, unknown> = {};
  for (const block of given as { name?: unknown; rules?: unknown }[]) {
    const { name, rules } = block;
    if (typeof name !== "string" || Object.hasOwn(table, name)) return given;
    table[name] = Array.isArray(rules) ? rules.join(" ") : (rules ?? "");
  }
  return table;
}

/** Redis's words for who must show a certificate. */
const TLS_AUTH: RedisForm = {
  toRedis: (value) => (value === "true" ? "yes" : value === "optional" ? "optional" : "no"),
  fromRedis: (text) => {
    const word = text.toLowerCase();
    if (word === "yes" || word === "no") return word === "yes" ? "true" : "false";
    return word === "optional" ? word : new Refusal("argument(s) must be one of the following: no, yes, optional");
  },
};

/** Redis 8.6 and Valkey 9 write it in capitals. */
const TLS_USER: RedisForm = {
  toRedis: (value) => (value === "cn" ? "CN" : "off"),
  fromRedis: (text) => {
    const word = text.toLowerCase();
    if (word === "cn" || word === "off") return word;
    return new Refusal("argument(s) must be one of the following: off, CN");
  },
};

/** Redis's level names. Ferrite's names are accepted too, but the error text lists only Redis's. */
const REDIS_LEVEL: RedisForm = {
  toRedis: String,
  fromRedis: (text) => {
    const level = text.toLowerCase();
    if (Object.hasOwn(LOG_LEVELS, level)) return level;
    return new Refusal("argument(s) must be one of the following: debug, verbose, notice, warning");
  },
};

/** Redis accepts any size and raises it to at least 16 KiB. */
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

/** The level that each name means. Redis's names and Ferrite's; "debug" is both. */
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
    doc: 'Addresses to listen on, separated by blanks. "0.0.0.0" or "*" means every IPv4 address, "::" every IPv6 address. A leading "-" makes an address optional. An address may include a port ("127.0.0.1:6380", "[::1]:6380"), which must then agree with `port` if both are set.',
  }),
  key("server.port", {
    type: "int",
    default: 6379,
    max: 65535,
    redis: "port",
    runtime: "fixed",
    doc: "TCP port for RESP. 0: no TCP port; set unix_socket instead.",
  }),
  key("server.unix_socket", {
    type: "path",
    default: "",
    redis: "unixsocket",
    aliases: ["server.unixsocket"],
    doc: "Path of an additional Unix socket to listen on. Empty: none.",
  }),
  key("server.unix_socket_perm", {
    type: "octal",
    default: 0,
    redis: "unixsocketperm",
    aliases: ["server.unixsocketperm"],
    doc: 'Permission bits of the Unix socket, such as "700". 0: determined by the umask.',
  }),
  key("server.client_timeout", {
    type: "seconds",
    default: 0,
    runtime: true,
    redis: "timeout",
    aliases: ["server.timeout"],
    doc: "Close a client after this idle time. 0: never.",
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
    doc: "Length of the accept queue. Bun chooses the length itself; this value is only reported.",
  }),
  key("server.maxclients", {
    type: "int",
    default: 10000,
    min: 1,
    max: 4294967295,
    runtime: true,
    redis: "maxclients",
    aliases: ["server.max_connections"],
    doc: "Most clients at a time. A further client gets `ERR max number of clients reached` and is closed.",
  }),
  key("server.admin_port", {
    type: "int",
    default: 0,
    max: 65535,
    doc: "A further port, for administrators: its connections have places beyond maxclients, do not wait for accept_rate, and are not evicted (as after CLIENT NO-EVICT ON). Those of unix_socket are treated alike. 0: none.",
  }),
  key("server.admin_bind", {
    type: "string",
    default: "127.0.0.1",
    doc: "Address of admin_port.",
  }),
  key("server.admin_clients", {
    type: "int",
    default: 16,
    max: 1024,
    doc: "Places beyond maxclients that only connections of admin_port and unix_socket can take.",
  }),
  key("server.accept_rate", {
    type: "int",
    default: 0,
    unit: "connections a second",
    runtime: true,
    doc: "New connections that are served a second, over all workers. Further ones stay connected and wait for their turn, in the order in which they came, so that a storm of them does not stall the clients that are there. 0: no limit.",
  }),
  key("server.databases", {
    type: "int",
    default: 16,
    min: 1,
    // Twice as many keyspaces and the internal ones fit into the 14 bits of a record.
    max: 8187,
    redis: "databases",
    aliases: ["storage.databases"],
    doc: "Number of databases. They are numbered from 0.",
  }),
  key("server.worker_threads", {
    type: "int",
    default: 0,
    max: 1024,
    doc: "Number of workers. 0: one per CPU that the process may use, including the cgroup quota, and at least 2.",
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
    doc: "A worker does both I/O and data, so the larger of io_threads and worker_threads is used. 0: the same as worker_threads.",
  }),
  key("server.require_auth", {
    type: "bool",
    default: null,
    automatic: true,
    doc: 'Whether clients must authenticate. "auto": if a password is set. true without a password is an error.',
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
  key("server.auth_delay_max", {
    type: "milliseconds",
    default: 2000,
    min: 0,
    max: 60_000,
    runtime: true,
    doc: "Longest wait for the answer to one login from an address with many failed logins. The waits begin at 20 milliseconds after five failures. 0: no waits.",
  }),
  key("server.transport", {
    type: "enum",
    default: "auto",
    choices: ["auto", "bun", "epoll"],
    doc: 'How plain connections are served: by the sockets of the runtime ("bun"), or on Linux by system calls of the server\'s own ("epoll"), which cost less. "auto" is "epoll" where that is available. TLS connections are always those of the runtime.',
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
    doc: 'Which clients may use DEBUG: none, all, or only those on this machine ("local").',
  }),
  key("server.disable_dangerous_commands", {
    type: "bool",
    default: false,
    doc: "Refuse KEYS, FLUSHDB, FLUSHALL, SWAPDB, CONFIG SET/REWRITE/RESETSTAT, DEBUG, SHUTDOWN, SAVE, BGSAVE, BGREWRITEAOF, REPLICAOF, SLAVEOF, FAILOVER, MIGRATE, MODULE and MONITOR. CONFIG GET remains available, with secrets hidden.",
  }),
  key("server.rename_commands", {
    type: "table",
    default: {},
    doc: 'New names of commands for clients: { "KEYS" = "KEYS_DISABLED", "FLUSHALL" = "" }. The empty name removes the command. "CONFIG|SET" is a subcommand.',
  }),
  key("server.acl_file", {
    type: "path",
    default: "",
    redis: "aclfile",
    aliases: ["security.acl_file"],
    doc: "File of users, one a line as in ACL LIST. ACL LOAD reads it again, ACL SAVE writes it. A relative path begins at data_dir.",
  }),
  key("server.users", {
    type: "table",
    default: {},
    secret: true,
    aliases: [{ name: "security.users", convert: usersTable }],
    doc: 'Users and their rules, as in ACL SETUSER: { "app" = "on #<SHA-256 of the password> ~app:* +@all -@dangerous" }. The same in blocks: [[security.users]] with name and rules. In a redis.conf: user <name> <rules>. Not together with acl_file.',
  }),
  key("server.acl_pubsub_default", {
    type: "enum",
    default: "resetchannels",
    choices: ["allchannels", "resetchannels"],
    runtime: true,
    redis: "acl-pubsub-default",
    doc: "The channels of a new user.",
  }),
  key("server.acllog_max_len", {
    type: "int",
    default: 128,
    min: 0,
    max: INT64_MAX,
    runtime: true,
    redis: "acllog-max-len",
    unit: "entries",
    doc: "Most entries of ACL LOG.",
  }),
  key("server.turn_max_commands", {
    type: "int",
    default: 256,
    min: 1,
    max: 1_000_000,
    runtime: true,
    unit: "commands",
    doc: "Most commands of one connection in one turn of a worker. The others wait for the next turn.",
  }),
  key("server.turn_max_microseconds", {
    type: "int",
    default: 1000,
    min: 50,
    max: 1_000_000,
    runtime: true,
    unit: "microseconds",
    doc: "Longest time that one connection may use in one turn of a worker.",
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
    doc: "Largest unparsed input of one client. A client with more is closed.",
  }),
  key("server.proto_max_inline_len", {
    type: "bytes",
    default: 64 * KIB,
    min: KIB,
    max: MIB,
    doc: "Longest inline command, and longest protocol line.",
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
    doc: 'Limits of unsent replies for each class of clients, as in redis.conf: "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60" (class, hard limit, soft limit, seconds above the soft limit). 0: no limit.',
  }),
  key("server.maxmemory_clients", {
    type: "string",
    default: "0",
    syntax: clientsMemorySyntax,
    runtime: true,
    redis: "maxmemory-clients",
    doc: "Most memory of all clients together: a size or a share of max_memory. Above it the largest clients are closed. 0: no limit.",
  }),
  key("server.busy_reply_threshold", {
    type: "milliseconds",
    default: 5000,
    runtime: true,
    redis: ["busy-reply-threshold", "lua-time-limit"],
    aliases: ["server.lua_time_limit"],
    doc: "While a command or script runs longer than this, commands of other clients that need its keys get -BUSY.",
  }),
  key("server.script_memory_limit", {
    type: "bytes",
    default: 256 * MIB,
    min: MIB,
    runtime: true,
    redis: "script-memory-limit",
    doc: 'Memory that one run of a script or function may use. Beyond it the script fails with "not enough memory".',
  }),
  key("server.notify_keyspace_events", {
    type: "string",
    default: "",
    syntax: notifySyntax,
    runtime: true,
    redis: "notify-keyspace-events",
    doc: "Classes of keyspace events to publish, as in Redis, with n, m, o and c. Empty: none.",
  }),
  key("server.tracking_table_max_keys", {
    type: "int",
    default: 1_000_000,
    max: INT64_MAX,
    runtime: true,
    redis: "tracking-table-max-keys",
    doc: "Most keys tracked for client-side caching. 0: no limit.",
  }),
  key("server.heap_profiling", {
    type: "bool",
    default: false,
    runtime: true,
    doc: "SIGUSR2 and the end of the process have each worker write a snapshot of its heap, as --enable-heap-profiling does. Snapshots show keys and passwords. DEBUG HEAP writes them in any case.",
  }),
  key("server.profile_dir", {
    type: "path",
    default: "/tmp",
    runtime: true,
    doc: "Where heap snapshots (ferrite-heap.<pid>.<n>.heapsnapshot) and profiles (ferrite-cpu.<pid>.<n>.cpuprofile) are written.",
  }),
  key("server.slowlog_log_slower_than", {
    type: "int",
    default: 10000,
    min: -1,
    max: INT64_MAX,
    runtime: true,
    unit: "microseconds",
    redis: ["slowlog-log-slower-than", "commandlog-execution-slower-than"],
    doc: "Log commands that take longer than this in the slow log. 0: all. -1: none.",
  }),
  key("server.slowlog_max_len", {
    type: "int",
    default: 128,
    max: INT64_MAX,
    runtime: true,
    redis: ["slowlog-max-len", "commandlog-slow-execution-max-len"],
    doc: "Most entries of the slow log.",
  }),
  key("server.commandlog_request_larger_than", {
    type: "int",
    default: 1 << 20,
    min: -1,
    max: INT64_MAX,
    runtime: true,
    unit: "bytes",
    redis: "commandlog-request-larger-than",
    doc: "Log commands with a request of at least this size in COMMANDLOG's large-request. 0: all. -1: none.",
  }),
  key("server.commandlog_large_request_max_len", {
    type: "int",
    default: 128,
    max: INT64_MAX,
    runtime: true,
    redis: "commandlog-large-request-max-len",
    doc: "Most entries of COMMANDLOG's large-request.",
  }),
  key("server.commandlog_reply_larger_than", {
    type: "int",
    default: 1 << 20,
    min: -1,
    max: INT64_MAX,
    runtime: true,
    unit: "bytes",
    redis: "commandlog-reply-larger-than",
    doc: "Log commands with a reply of at least this size in COMMANDLOG's large-reply. 0: all. -1: none.",
  }),
  key("server.commandlog_large_reply_max_len", {
    type: "int",
    default: 128,
    max: INT64_MAX,
    runtime: true,
    redis: "commandlog-large-reply-max-len",
    doc: "Most entries of COMMANDLOG's large-reply.",
  }),
  key("server.latency_monitor_threshold", {
    type: "milliseconds",
    default: 0,
    runtime: true,
    redis: "latency-monitor-threshold",
    doc: "Record events that take at least this long for LATENCY. 0: off.",
  }),
  key("server.latency_tracking", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "latency-tracking",
    doc: "Record a latency histogram for each command (INFO latencystats).",
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
    doc: "Longest wait for replicas, clients and files at shutdown.",
  }),
  key("server.tcp_fast_open", {
    type: "bool",
    default: false,
    doc: "Let clients that ask for it send their first command with the SYN (TCP Fast Open, Linux): a new connection then takes a round trip less. The kernel has to allow it: `net.ipv4.tcp_fastopen` 3. Not for TLS.",
  }),
  key("server.io_uring", {
    type: "bool",
    default: false,
    support: "switch",
    doc: "Ferrite's event loop uses epoll. With true the start fails with `io_uring not supported on this system`.",
  }),
  key("server.tls_enabled", {
    type: "bool",
    default: false,
    aliases: ["tls.enabled"],
    doc: "Serve TLS on tls_port, beside `port` or, with port = 0, alone. Redis's tls-port turns it on too.",
  }),
  key("server.tls_port", {
    type: "int",
    default: 6380,
    min: 1,
    max: 65535,
    aliases: ["tls.port"],
    doc: "Port for TLS.",
  }),
  key("server.tls_cert_file", {
    type: "path",
    default: "",
    redis: "tls-cert-file",
    runtime: true,
    isReference: true,
    aliases: ["tls.cert_file"],
    doc: "Certificate of the server, followed by those of intermediate authorities (PEM). CONFIG SET and SIGHUP read the files again.",
  }),
  key("server.tls_key_file", {
    type: "path",
    default: "",
    redis: "tls-key-file",
    runtime: true,
    isReference: true,
    aliases: ["tls.key_file"],
    doc: "Private key of the certificate (PEM).",
  }),
  key("server.tls_key_file_pass", {
    type: "string",
    default: "",
    secret: true,
    redis: "tls-key-file-pass",
    runtime: true,
    isReference: true,
    doc: "Password of an encrypted private key.",
  }),
  key("server.tls_ca_file", {
    type: "path",
    default: "",
    redis: "tls-ca-cert-file",
    runtime: true,
    isReference: true,
    aliases: ["tls.ca_file"],
    doc: "Certificate authorities for client certificates (PEM).",
  }),
  key("server.tls_ca_dir", {
    type: "path",
    default: "",
    redis: "tls-ca-cert-dir",
    runtime: true,
    isReference: true,
    doc: "Directory of such files, all of which are read.",
  }),
  key("server.tls_verify_client", {
    type: "enum",
    default: null,
    automatic: true,
    choices: ["false", "true", "optional"],
    synonyms: { no: "false", yes: "true" },
    redis: "tls-auth-clients",
    runtime: true,
    redisForm: TLS_AUTH,
    aliases: ["tls.require_client_cert"],
    doc: 'Whether clients must show a certificate: false, true, or "optional": a client may have none, but a bad one is refused. "auto": false, or true under a redis.conf, as in Redis. Needs tls_ca_file or tls_ca_dir.',
  }),
  key("server.tls_auth_clients_user", {
    type: "enum",
    default: "off",
    choices: ["off", "cn"],
    redis: "tls-auth-clients-user",
    runtime: true,
    redisForm: TLS_USER,
    doc: 'With "cn", a client whose certificate is good is logged in as the user that has the name in it (its common name), if there is such a user and it is on.',
  }),
  key("server.tls_min_protocol_version", {
    type: "enum",
    default: "tlsv1.2",
    choices: ["tlsv1.2", "tlsv1.3"],
    synonyms: { "1.2": "tlsv1.2", "1.3": "tlsv1.3" },
    runtime: true,
    aliases: ["tls.min_protocol_version"],
    doc: "Oldest TLS version.",
  }),
  key("server.tls_protocols", {
    type: "string",
    default: "",
    redis: "tls-protocols",
    runtime: true,
    doc: 'TLS versions, separated by blanks: "TLSv1.2 TLSv1.3". Older ones are accepted and not offered. Empty: from tls_min_protocol_version up.',
  }),
  key("server.tls_ciphers", {
    type: "string",
    default: "",
    redis: "tls-ciphers",
    runtime: true,
    doc: "Ciphers of TLS 1.2, in OpenSSL's form. Empty: the library's choice.",
  }),
  key("server.tls_ciphersuites", {
    type: "string",
    default: "",
    redis: "tls-ciphersuites",
    runtime: true,
    doc: "Cipher suites of TLS 1.3. The library always offers its three, so only a list that contains them is accepted.",
  }),
  key("server.tls_prefer_server_ciphers", {
    type: "bool",
    default: false,
    redis: "tls-prefer-server-ciphers",
    runtime: true,
    support: "inert",
    doc: "The server's order of ciphers always decides, whatever this value is.",
  }),
] as const;

const STORAGE = [
  key("storage.data_dir", {
    type: "path",
    default: "./data",
    runtime: "protected",
    redis: "dir",
    redisForm: ABSOLUTE_PATH,
    doc: "Directory for all files that Ferrite writes. With the configuration file /etc/ferrite/ferrite.toml the default is /var/lib/ferrite.",
  }),
  key("storage.max_memory", {
    type: "bytes",
    default: 0,
    runtime: true,
    redis: "maxmemory",
    aliases: ["storage.maxmemory", "server.maxmemory"],
    doc: "Most memory for data. Above it, writes are refused or keys are evicted (see maxmemory_policy). With a disk tier (tiering) it limits the resident memory of the process, without pages of files. 0: 75 % of the cgroup's limit or of the machine's memory.",
  }),
  key("storage.maxmemory_policy", {
    type: "enum",
    default: "noeviction",
    choices: POLICIES,
    synonyms: { "no-eviction": "noeviction" },
    runtime: true,
    redis: "maxmemory-policy",
    aliases: ["storage.eviction_policy"],
    doc: "Which keys are evicted at max_memory: among all keys or those with a deadline (volatile), the least recently used, the least frequently used, random ones, or those that expire next. noeviction: none; writes are refused.",
  }),
  key("storage.maxmemory_samples", {
    type: "int",
    default: 5,
    min: 1,
    runtime: true,
    redis: "maxmemory-samples",
    doc: "Keys sampled for each eviction.",
  }),
  key("storage.maxmemory_eviction_tenacity", {
    type: "int",
    default: 10,
    max: 100,
    runtime: true,
    redis: "maxmemory-eviction-tenacity",
    doc: "How long one round of eviction may take: 50 us for each step up to 10, 15 % more for each further step. 100: no limit.",
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
    doc: "Minutes without access after which the access counter of LFU decreases by one. 0: never.",
  }),
  key("storage.num_shards", {
    type: "int",
    default: 256,
    min: 1,
    max: 4096,
    powerOfTwo: true,
    doc: "Number of shards. More of them, less waiting for each other's locks. Files do not depend on it.",
  }),
  key("storage.region_size", {
    type: "bytes",
    default: GIB,
    min: MIB,
    max: GIB,
    powerOfTwo: true,
    doc: "Size of the shared-memory regions that hold the data. Regions are created when needed.",
  }),
  key("storage.huge_pages", {
    type: "bool",
    default: true,
    redis: "disable-thp",
    redisForm: NOT_HUGE_PAGES,
    doc: "Ask the system to back the regions with huge pages (madvise). No effect where that is not possible. With a disk tier no further ones are asked for once max_memory is reached.",
  }),
  key("storage.hybridlog_mutable_size", {
    type: "bytes",
    default: 64 * MIB,
    min: 0,
    aliases: ["storage.mutable_region_size"],
    doc: "With a disk tier: bytes of data in memory, together with hybridlog_readonly_size. Above their sum values go to disk, even below max_memory. While both have their default only max_memory counts.",
  }),
  key("storage.hybridlog_readonly_size", {
    type: "bytes",
    default: 256 * MIB,
    min: 0,
    aliases: ["storage.readonly_region_size"],
    doc: "See hybridlog_mutable_size. All data in memory is updated in place.",
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
    doc: "How often each shard is checked for expired keys, and clients for timeouts. Once a second while the server has nothing to do. Redis's hz is 1000 divided by this.",
  }),
  key("storage.expire_check_count", {
    type: "int",
    default: 20,
    min: 1,
    max: 1_000_000,
    runtime: true,
    support: "inert",
    doc: "Keys that the earlier program sampled per shard and interval. Deadlines are filed in a wheel, which finds all that are due.",
  }),
  key("storage.active_expire_effort", {
    type: "int",
    default: 1,
    min: 1,
    max: 10,
    runtime: true,
    redis: "active-expire-effort",
    support: "inert",
    doc: "Redis's effort to find expired keys. Ferrite finds them in an expiry wheel, without a search.",
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
    doc: "Share of dead bytes in a shard's log from which its sparsest segment is cleaned.",
  }),
  key("storage.compaction_interval_secs", {
    type: "seconds",
    default: 300,
    min: 1,
    runtime: true,
    doc: "How often segment files of the disk tier are looked at, to compact those with more dead bytes than compaction_threshold.",
  }),
  key("storage.compaction_bandwidth", {
    type: "bytes",
    default: 64 * MIB,
    min: MIB,
    runtime: true,
    doc: "Most bytes a second that each worker reads to compact segment files of the disk tier.",
  }),
  key("storage.tiering", {
    type: "bool",
    default: false,
    doc: "Disk tier: above max_memory, values that are used less than others go to segment files under data_dir, and are read back when they are needed. Keys stay in memory.",
  }),
  key("storage.max_disk", {
    type: "bytes",
    default: 0,
    min: 0,
    runtime: true,
    doc: "Most bytes of the segment files of the disk tier. Above it max_memory holds as without a disk tier. 0: no limit.",
  }),
  key("storage.tier_min_value_size", {
    type: "bytes",
    default: 64,
    min: 16,
    max: 64 * KIB,
    runtime: true,
    doc: "Shortest value that goes to the disk tier, in bytes of memory beside the key. A cold value of 8 bytes would take as much memory as it saves.",
  }),
  key("storage.tier_max_value_size", {
    type: "bytes",
    default: 2 * MIB,
    min: 64 * KIB,
    max: 16 * MIB,
    runtime: true,
    doc: "Longest string or largest collection that goes to the disk tier, in bytes of memory. A worker writes and brings back such a value in one go, and serves nobody else meanwhile.",
  }),
  key("storage.tier_segment_size", {
    type: "bytes",
    default: 64 * MIB,
    min: MIB,
    max: GIB,
    runtime: true,
    doc: "Size at which a segment file of the disk tier is complete.",
  }),
  key("storage.tier_promotion", {
    type: "bool",
    default: true,
    runtime: true,
    doc: "A string or small collection of the disk tier that is read a second time comes back into memory, while memory is below its limit.",
  }),
  key("storage.tier_io_threads", {
    type: "int",
    default: 32,
    min: 2,
    max: 256,
    doc: 'Threads that read from and write to the disk tier: with `tier_reads` "pool" so many reads are under way at most. They are started as they are needed. UV_THREADPOOL_SIZE in the environment comes first; `bunx ferrite` and `npm start` set it to 32.',
  }),
  key("storage.tier_reads", {
    type: "enum",
    default: "auto",
    choices: ["auto", "io_uring", "pool"],
    doc: 'How values of the disk tier are read that are not in the page cache: through io_uring, where one system call begins the reads of many commands and ends them, or by the threads of the pool. "auto" is io_uring where the system allows it. With "io_uring" the start warns when it does not.',
  }),
  key("storage.tier_page_cache", {
    type: "bool",
    default: true,
    runtime: true,
    doc: "A value of the disk tier of up to 64 KiB that the system has in its page cache is read by the worker itself, at once. Otherwise, and without system calls, its client waits until a thread has read it.",
  }),
  key("storage.tier_read_buffer", {
    type: "bytes",
    default: 8 * MIB,
    min: 0,
    runtime: true,
    doc: "Bytes of values read from the disk tier that each worker keeps for the next commands.",
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
        "Most entries of a stream node. 0: no limit.",
      ],
      ["stream_node_max_bytes", "bytes", 4096, ["stream-node-max-bytes"], "Largest stream node. 0: no limit."],
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
    doc: "Largest list node: a number of elements, or -1 to -5 for 4, 8, 16, 32, 64 KiB.",
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
    default: true,
    runtime: true,
    redis: "appendonly",
    support: "built",
    aliases: ["persistence.aof_enabled"],
    doc: "Write every change to an append-only file.",
  }),
  key("persistence.enable_checkpoints", {
    type: "bool",
    default: true,
    aliases: ["persistence.checkpoint_enabled"],
    doc: "Keep checkpoints: whole data sets in directories of their own. SAVE, BGSAVE and save points take one too, and rdb_filename becomes a second name of its data.",
  }),
  key("persistence.save", {
    type: "string",
    default: "",
    syntax: saveSyntax,
    runtime: true,
    redis: "save",
    doc: 'Save points as in Redis ("3600 1 300 100": after 3600 seconds if 1 key changed, ...). Empty: none.',
  }),
  key("persistence.checkpoint_interval_secs", {
    type: "seconds",
    default: 3600,
    runtime: true,
    aliases: ["persistence.checkpoint_interval"],
    doc: "Time between checkpoints. None is taken when nothing has changed. 0: none by time.",
  }),
  key("persistence.checkpoint_on_shutdown", {
    type: "bool",
    default: true,
    runtime: true,
    doc: "Write a checkpoint at SIGTERM and SHUTDOWN, when something has changed.",
  }),
  key("persistence.stop_image", {
    type: "enum",
    default: "auto",
    choices: ["auto", "yes", "no"],
    runtime: true,
    doc: 'Write the memory to stop.image in data_dir at SIGTERM and SHUTDOWN, for the next start to read instead of loading the data. "auto": with storage.tiering.',
  }),
  key("persistence.max_checkpoints", {
    type: "int",
    default: 3,
    min: 1,
    runtime: true,
    doc: "Number of checkpoints to retain. Older ones are removed after a successful one.",
  }),
  key("persistence.checkpoint_dir", {
    type: "path",
    default: "",
    doc: "Directory of the checkpoints. Empty: <data_dir>/checkpoints. On another disk files are copied instead of linked.",
  }),
  key("persistence.aof_fsync", {
    type: "enum",
    default: "everysec",
    choices: ["everysec", "always", "no"],
    synonyms: { everysecond: "everysec" },
    runtime: true,
    redis: "appendfsync",
    support: "built",
    aliases: ["persistence.aof_sync"],
    doc: "When the append-only file is synced: always (before the reply), everysec (once a second), no (when the system decides).",
  }),
  key("persistence.aof_filename", {
    type: "string",
    default: "appendonly.aof",
    redis: "appendfilename",
    support: "built",
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
    doc: "Rewrite the file automatically when it has grown to this multiple of its size after the last rewrite. 1.0: never.",
  }),
  key("persistence.auto_aof_rewrite_min_size", {
    type: "bytes",
    default: 64 * MIB,
    runtime: true,
    redis: "auto-aof-rewrite-min-size",
    doc: "Smallest file that is rewritten automatically.",
  }),
  key("persistence.aof_load_truncated", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "aof-load-truncated",
    support: "built",
    doc: "Start even if the last record of the append-only file is truncated.",
  }),
  key("persistence.aof_truncate_max", {
    type: "bytes",
    default: 64 * MIB,
    support: "built",
    doc: "Longest damaged end of the append-only file that is cut off at the start. The cut bytes are kept beside the file.",
  }),
  key("persistence.aof_segment_references", {
    type: "bool",
    default: true,
    runtime: true,
    doc: "With the disk tier a rewritten append-only file refers to strings in segment files instead of having them again, and needs these files from then on: rewrites and starts read no value that is on disk. Otherwise it has all values, and Redis can load it.",
  }),
  key("persistence.change_log_size", {
    type: "bytes",
    default: 16 * MIB,
    min: 1 * MIB,
    max: 1024 * MIB,
    support: "built",
    doc: "Size of the change log's ring in data_dir, a power of two. Writes wait while three quarters of it are not yet in the append-only file.",
  }),
  key("persistence.rdb_filename", {
    type: "string",
    default: "dump.rdb",
    runtime: "protected",
    redis: "dbfilename",
    doc: "Name of the RDB file in data_dir.",
  }),
  key("persistence.rdb_version", {
    type: "int",
    default: 10,
    min: 10,
    max: 12,
    runtime: true,
    doc: "Version of the RDB files that SAVE and BGSAVE write: 10 for Redis 7.0, 11 for 7.2, 12 for 7.4, which alone has a form for deadlines of hash fields. Files of versions 1 to 12 are loaded.",
  }),
  key("persistence.rdb_compression", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "rdbcompression",
    doc: "Compress strings of 21 bytes to 64 KiB in RDB files, if they become shorter by it.",
  }),
  key("persistence.rdb_checksum", {
    type: "bool",
    default: true,
    redis: "rdbchecksum",
    doc: "Write a checksum at the end of RDB files, and verify it.",
  }),
  key("persistence.stop_writes_on_save_error", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "stop-writes-on-bgsave-error",
    doc: "Refuse writes (MISCONF) after a failed save.",
  }),
] as const;

const REPLICATION = [
  key("replication.primary_host", {
    type: "string",
    default: "",
    doc: "Start as a replica of this host. Empty: start as a primary.",
  }),
  key("replication.primary_port", {
    type: "int",
    default: 6379,
    min: 0,
    max: 65535,
    doc: "Port of the primary.",
  }),
  key("replication.primary_user", {
    type: "string",
    default: "",
    runtime: true,
    redis: ["masteruser", "primaryuser"],
    doc: "User name for the primary.",
  }),
  key("replication.primary_auth", {
    type: "string",
    default: "",
    secret: true,
    runtime: true,
    redis: ["masterauth", "primaryauth"],
    doc: "Password for the primary.",
  }),
  key("replication.primary_tls", {
    type: "bool",
    default: false,
    runtime: true,
    redis: "tls-replication",
    doc: "The link to the primary is TLS, with the certificate and the authorities of server.tls_*. The primary's certificate must be good, whatever name is in it.",
  }),
  key("replication.repl_backlog_size", {
    type: "bytes",
    default: 100 * MIB,
    min: 1,
    runtime: true,
    redis: "repl-backlog-size",
    redisForm: BACKLOG_SIZE,
    aliases: ["replication.backlog_size"],
    doc: "Size of the backlog of changes for replicas that reconnect. At most 960 MiB are kept.",
  }),
  key("replication.backlog_disk_size", {
    type: "bytes",
    default: 0,
    runtime: "fixed",
    doc: "Size of a file in storage.data_dir with the older part of the backlog, for replicas on slow links and those that are away for long. Everything that replicas are sent is written to it. 0: there is none.",
  }),
  key("replication.repl_backlog_ttl", {
    type: "seconds",
    default: 3600,
    max: INT64_MAX,
    runtime: true,
    redis: "repl-backlog-ttl",
    doc: "How long the backlog is retained without replicas. 0: for ever.",
  }),
  key("replication.repl_buffer_size", {
    type: "bytes",
    default: 256 * MIB,
    doc: "How far a replica may be behind before it is dropped, unless that is less than the backlog. The default leaves this to client-output-buffer-limit.",
  }),
  key("replication.max_write_delay_ms", {
    type: "milliseconds",
    default: 20,
    max: 1000,
    runtime: true,
    doc: "While a replica is more than half as far behind as it may be, writes wait: the longer the farther, for so long at most. So it is less often dropped and synchronized in full. 0: writers never wait for replicas.",
  }),
  key("replication.repl_bind", {
    type: "string",
    default: "",
    redis: "bind-source-addr",
    runtime: "fixed",
    doc: "Local address of outgoing links to the primary. None: the routing table chooses.",
  }),
  key("replication.repl_timeout", {
    type: "seconds",
    default: 60,
    min: 1,
    runtime: true,
    redis: "repl-timeout",
    doc: "A replication link that is silent for this long is closed.",
  }),
  key("replication.repl_ping_period", {
    type: "seconds",
    default: 10,
    min: 1,
    runtime: true,
    redis: ["repl-ping-replica-period", "repl-ping-slave-period"],
    doc: "How often a primary pings its replicas.",
  }),
  key("replication.replica_read_only", {
    type: "bool",
    default: true,
    runtime: true,
    redis: ["replica-read-only", "slave-read-only"],
    doc: "Refuse writes on a replica.",
  }),
  key("replication.replica_ignore_maxmemory", {
    type: "bool",
    default: true,
    runtime: true,
    redis: ["replica-ignore-maxmemory", "slave-ignore-maxmemory"],
    doc: "A replica evicts nothing: its primary says what goes. It may then need more memory than max_memory.",
  }),
  key("replication.replica_announced", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "replica-announced",
    doc: "Sentinel names this replica to clients that ask for the replicas.",
  }),
  key("replication.replica_serve_stale_data", {
    type: "bool",
    default: true,
    runtime: true,
    redis: ["replica-serve-stale-data", "slave-serve-stale-data"],
    doc: "Serve reads while the link to the primary is down.",
  }),
  key("replication.replica_priority", {
    type: "int",
    default: 100,
    runtime: true,
    redis: ["replica-priority", "slave-priority"],
    doc: "Sentinel prefers replicas with a lower number. 0: never promoted.",
  }),
  key("replication.replica_announce_ip", {
    type: "string",
    default: "",
    runtime: true,
    redis: ["replica-announce-ip", "slave-announce-ip"],
    doc: "Address that a replica announces to its primary. Empty: the one that the primary sees.",
  }),
  key("replication.replica_announce_port", {
    type: "int",
    default: 0,
    max: 65535,
    runtime: true,
    redis: ["replica-announce-port", "slave-announce-port"],
    doc: "Port that a replica announces to its primary. 0: its own port.",
  }),
  key("replication.repl_diskless_sync", {
    type: "bool",
    default: true,
    runtime: true,
    redis: "repl-diskless-sync",
    doc: "Send a snapshot to replicas while it is taken. false: when its file is complete and its length known.",
  }),
  key("replication.repl_diskless_sync_delay", {
    type: "seconds",
    default: 5,
    runtime: true,
    redis: "repl-diskless-sync-delay",
    doc: "How long a snapshot waits for further replicas that want one too.",
  }),
  key("replication.repl_diskless_sync_max_replicas", {
    type: "int",
    default: 0,
    runtime: true,
    redis: "repl-diskless-sync-max-replicas",
    doc: "Begin the snapshot early when so many replicas wait. 0: never.",
  }),
  key("replication.rdb_version", {
    type: "int",
    default: 10,
    min: 10,
    max: 12,
    runtime: true,
    doc: "Version of the RDB format that replicas are sent. 10: Redis 7.0 and everything newer reads it. 11: Redis 7.2. 12: Redis 7.4.",
  }),
  key("replication.dialect", {
    type: "enum",
    default: "redis-7.0",
    choices: ["redis-7.0", "ferrite"],
    runtime: true,
    doc: "What replicas understand. redis-7.0: they are sent commands and values of Redis 7.0 alone; deadlines of fields and members stay at the primary, which tells when one expires. ferrite: all replicas are Ferrite, and have the deadlines too.",
  }),
  key("replication.min_replicas_to_write", {
    type: "int",
    default: 0,
    runtime: true,
    redis: ["min-replicas-to-write", "min-slaves-to-write"],
    doc: "Refuse writes with fewer good replicas. This limits the damage of a split brain but does not prevent one.",
  }),
  key("replication.min_replicas_max_lag", {
    type: "seconds",
    default: 10,
    runtime: true,
    redis: ["min-replicas-max-lag", "min-slaves-max-lag"],
    doc: "A replica that is silent for longer does not count as good.",
  }),
  key("replication.parallel_sync", {
    type: "bool",
    default: false,
    doc: "A replica applies what its primary sends on several workers, where many commands of one key each wait. A full synchronization is always loaded by all workers.",
  }),
  key("replication.sync_threads", {
    type: "int",
    default: 4,
    min: 1,
    max: 1024,
    doc: "Most workers that apply together with parallel_sync, 16 at most.",
  }),
] as const;

function filterSyntax(text: string): string | Refusal {
  const [part] = parseFilter(text).refused;
  return part === undefined ? text : new Refusal(`"${part}" is no directive of the form target=level`);
}

const LOGGING = [
  key("logging.level", {
    type: "enum",
    default: "info",
    choices: Object.keys(LOG_LEVELS),
    runtime: true,
    redis: "loglevel",
    redisForm: REDIS_LEVEL,
    doc: "Lowest level that is logged: trace, debug, info, warn, error; or Redis's debug, verbose, notice, warning, nothing. FERRITE_LOG overrides it at start.",
  }),
  key("logging.format", {
    type: "enum",
    default: "auto",
    choices: ["auto", "pretty", "json", "redis"],
    doc: "pretty is for people, json for programs, redis has the form of redis-server's log. auto is redis under a redis.conf, else pretty on a terminal and json elsewhere.",
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
    doc: "When to begin a new log file. Days and hours are UTC.",
  }),
  key("logging.max_log_size", {
    type: "bytes",
    default: 100 * MIB,
    min: 4 * KIB,
    doc: "Size at which size-based rotation begins a new file.",
  }),
  key("logging.max_log_files", {
    type: "int",
    default: 10,
    min: 1,
    max: 10000,
    doc: "Number of rotated files to retain.",
  }),
  key("logging.filter", {
    type: "string",
    default: "",
    runtime: true,
    syntax: filterSyntax,
    doc: "Levels of single targets, on top of logging.level: ferrite::storage=debug,ferrite::acl=trace. The longest target wins. FERRITE_LOG overrides it at start, and CONFIG SET loglevel ends it.",
  }),
  key("logging.repeat_limit", {
    type: "int",
    default: 20,
    runtime: true,
    doc: "Most lines of one kind that a thread logs in a second; the others are counted, and a line says how many there were. Lines are of one kind if only numbers in them differ. Debug and trace lines are not limited. 0 = no limit.",
  }),
  key("logging.slow_command_threshold", {
    type: "milliseconds",
    default: 100,
    runtime: true,
    doc: "Commands that take at least this long are logged, with their duration and without their arguments. 0 = none.",
  }),
  key("logging.buffer_size", {
    type: "bytes",
    default: 256 * KIB,
    min: 16 * KIB,
    max: 64 * MIB,
    powerOfTwo: true,
    doc: "What each thread may have waiting for the log's disk. Further lines are dropped and counted (log_lines_dropped in INFO); a quarter is kept for warnings and errors.",
  }),
  key("logging.log_thread_ids", {
    type: "bool",
    default: false,
    doc: "Add the thread's number to each line.",
  }),
  key("logging.log_thread_names", {
    type: "bool",
    default: false,
    doc: "Add the thread's name to each line (main, worker-3, aof).",
  }),
  key("logging.log_module_path", {
    type: "bool",
    default: true,
    doc: "Add the target to each line (ferrite::storage).",
  }),
] as const;

const METRICS = [
  key("metrics.enabled", {
    type: "bool",
    default: true,
    doc: "Serve /metrics (Prometheus), /healthz, /readyz and /debug/loop over HTTP. Unless one of these keys is set, a port in use is only a warning.",
  }),
  key("metrics.bind", {
    type: "string",
    default: "127.0.0.1",
    doc: "Address of the HTTP endpoint. It asks for no password.",
  }),
  key("metrics.port", {
    type: "int",
    default: 9090,
    min: 1,
    max: 65535,
    doc: "Port of the HTTP endpoint.",
  }),
  key("metrics.page", {
    type: "bool",
    default: null,
    automatic: true,
    doc: 'Serve a page of charts at / of the HTTP endpoint, and its figures at /facts.json. "auto": if metrics.bind is an address that only this machine reaches.',
  }),
] as const;

/** A Redis parameter without effect in Ferrite: names, type, default, whether CONFIG SET may change it, range or choices. */
type InertRow = readonly [
  names: string,
  type: ValueType,
  value: ConfigValue,
  runtime: boolean,
  bounds?: readonly [number, number] | readonly string[],
];

/**
 * Parameters of Redis 7.0 without effect in Ferrite. They can be read, and set where Redis allows it, because tools and
 * test suites do so. No other code reads them.
 */
const INERT_ROWS: readonly InertRow[] = [
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
  ["replica-ignore-disk-write-errors", "bool", false, true],
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
  ["tls-client-cert-file", "string", "", true],
  ["tls-client-key-file", "string", "", true],
  ["tls-client-key-file-pass", "string", "", true],
  ["tls-cluster", "bool", false, true],
  ["tls-dh-params-file", "string", "", true],
  ["tls-session-cache-size", "int", 20480, true],
  ["tls-session-cache-timeout", "int", 300, true],
  ["tls-session-caching", "bool", true, true],
];

/** The same for parameters introduced after Redis 7.0, by Redis 7.2 to 8.0 and Valkey 8 and 9. */
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

/** Syntax of inert parameters that do not accept every text. */
const INERT_SYNTAX: Readonly<Record<string, (text: string) => string | Refusal>> = {
  "cluster-announce-hostname": hostnameSyntax,
  "oom-score-adj-values": oomScoresSyntax,
  "proc-title-template": processTitleSyntax,
  "shutdown-on-sigint": shutdownSyntax,
  "shutdown-on-sigterm": shutdownSyntax,
};

/** Parameters that turn on a feature Ferrite lacks. They cannot be turned on. */
const INERT_SWITCHES: ReadonlySet<string> = new Set([
  "cluster-enabled",
  "daemonize",
  "dual-channel-replication-enabled",
  "import-mode",
  "repl-rdb-channel",
  "syslog-enabled",
  "tls-cluster",
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
/** Canonical names, by the type of their values. */
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
  { name: "server", doc: "Network, clients, protocol limits." },
  { name: "storage", doc: "Memory, shards, expiry, encodings." },
  {
    name: "persistence",
    doc: "RDB file, append-only file and checkpoints.",
  },
  { name: "replication", doc: "Primary and replicas." },
  { name: "logging", doc: "Destination and format of the log." },
  { name: "metrics", doc: "HTTP endpoint for monitoring." },
  {
    name: "redis",
    doc: "Parameters of Redis without effect in Ferrite. They are stored for CONFIG GET.",
  },
];

const BY_NAME = new Map(KEYS.map((spec) => [spec.name, spec]));
const BY_ALIAS = new Map<string, { spec: KeySpec; alias: Alias }>();
const BY_REDIS = new Map<string, KeySpec>();
for (const spec of KEYS) {
  for (const alias of spec.aliases) BY_ALIAS.set(alias.name, { spec, alias });
  for (const name of spec.redis) BY_REDIS.set(name, spec);
}

/** The key with this canonical name. Throws for a name that is not in the table (a bug, not bad input). */
export function specOf(name: string): KeySpec {
  const spec = BY_NAME.get(name);
  if (spec === undefined) throw new RangeError(`no configuration key is called ${name}`);
  return spec;
}

/** The key with this "section.key", canonical or alias; null = none. */
export function findKey(name: string): { spec: KeySpec; alias: Alias | null } | null {
  const spec = BY_NAME.get(name);
  return spec !== undefined ? { spec, alias: null } : (BY_ALIAS.get(name) ?? null);
}

/** The key of a Redis parameter (lower case); null = none. */
export function findRedisKey(name: string): KeySpec | null {
  return BY_REDIS.get(name) ?? null;
}

/** All spellings of all keys, for suggestions. */
export function allSpellings(): string[] {
  return [...BY_NAME.keys(), ...BY_ALIAS.keys()];
}

/** False when `value` turns on a switch, which this version does not support. */
export function isSupported(spec: KeySpec, value: ConfigValue): boolean {
  if (spec.support !== "switch") return true;
  const allowed = [spec.default, ...spec.off];
  if (spec.type === "table") return typeof value === "object" && value !== null && Object.keys(value).length === 0;
  return allowed.includes(value);
}

/** Keys and sections of the Rust program that Ferrite does not use. They load with the warning "not used". */
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
