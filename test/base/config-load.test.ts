import { describe, expect, test } from "bun:test";
import { Config } from "../../src/base/config/config.ts";
import {
  chosenValues,
  loadConfig,
  loadConfigText,
  SECRET_PLACEHOLDER,
  type FlagValue,
} from "../../src/base/config/load.ts";
import { cgroupMemoryLimit, readMachine, type Machine } from "../../src/base/config/machine.ts";
import { StartupError } from "../../src/base/errors.ts";
import { MemoryFiles, replaceDurably } from "../../src/base/files.ts";

const GIB = 1024 ** 3;
const MACHINE: Machine = { memoryBytes: 8 * GIB, cgroupMemoryBytes: 0, cpus: 4 };

function fromText(text: string): Config {
  return loadConfigText(text, "ferrite.toml", MACHINE).config;
}

/** The error text that a person reads when `text` is the configuration. */
function errorOf(text: string): string {
  return printedBy(() => loadConfigText(text, "ferrite.toml", MACHINE));
}

function printedBy(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof StartupError) return thrown.printed;
    throw thrown;
  }
  throw new Error("no error was thrown");
}

interface Surroundings {
  readonly files?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly flags?: readonly FlagValue[];
  readonly configPath?: string;
}

function load({ files = {}, environment = {}, flags = [], configPath = "" }: Surroundings) {
  const disk = new MemoryFiles(1, []);
  for (const [path, text] of Object.entries(files)) replaceDurably(disk, path, new TextEncoder().encode(text), 0o644);
  return loadConfig({ configPath, flags, environment, files: disk, machine: MACHINE });
}

function flag(name: string, value: string): FlagValue {
  return { name, value, flag: `--set ${name}` };
}

describe("values of a file", () => {
  test("sizes follow Redis: k is 1000, kb is 1024", () => {
    expect(fromText('[storage]\nmax_memory = "64mb"').number("storage.max_memory")).toBe(64 * 1024 ** 2);
    expect(fromText('[storage]\nmax_memory = "8GB"').number("storage.max_memory")).toBe(8 * GIB);
    expect(fromText('[storage]\nmax_memory = "1k"').number("storage.max_memory")).toBe(1000);
    expect(fromText("[storage]\nmax_memory = 8589934592").number("storage.max_memory")).toBe(8 * GIB);
    expect(errorOf('[storage]\nmax_memory = "1.5gb"')).toContain(
      "ferrite.toml:2: storage.max_memory: expected a number of bytes",
    );
    expect(errorOf("[storage]\nmax_memory = 99999999999999999999")).toContain("too large to be exact");
  });

  test("line ends may be those of Windows, also after comments", () => {
    const config = fromText("# a\r\n[server] # b\r\nclient_timeout = 7 # c\r\n");
    expect(config.number("server.client_timeout")).toBe(7);
    expect(config.provenance("server.client_timeout").text).toBe("ferrite.toml:3");
  });

  test("times may have units", () => {
    const config = fromText(
      '[server]\nclient_timeout = "5m"\nbusy_reply_threshold = "2s"\n[storage]\nexpire_check_interval = 50',
    );
    expect(config.number("server.client_timeout")).toBe(300);
    expect(config.number("server.busy_reply_threshold")).toBe(2000);
    expect(config.hz).toBe(20);
    expect(errorOf('[server]\nclient_timeout = "100ms"')).toContain("expected whole seconds");
  });

  test("permission bits are octal; a decimal 700 is refused, not misread", () => {
    expect(fromText('[server]\nunix_socket_perm = "700"').number("server.unix_socket_perm")).toBe(0o700);
    expect(fromText("[server]\nunix_socket_perm = 0o755").number("server.unix_socket_perm")).toBe(0o755);
    expect(errorOf("[server]\nunix_socket_perm = 700")).toContain('a string like "700" or as 0o700');
  });

  test("errors of bounds and types name file, line, key and the expected value", () => {
    expect(errorOf("[server]\n\nport = 70000")).toBe(
      "Error: Failed to parse config: ferrite.toml:3: server.port: expected an integer between 0 and 65535, found 70000",
    );
    expect(errorOf("[server]\nprotected_mode = 1")).toContain("expected true or false, found 1");
    expect(errorOf("[storage]\nnum_shards = 100")).toContain("expected a power of two between 1 and 4096, found 100");
    expect(errorOf('[logging]\nformat = "xml"')).toContain(
      'expected one of "auto", "pretty", "json", "redis", found "xml"',
    );
  });

  test("all problems of a file are reported at once", () => {
    const printed = errorOf("[server]\nport = -1\nprot = 1\n[srever]\n");
    expect(printed).toContain("ferrite.toml:3: unknown key server.prot; did you mean server.port?");
    expect(printed).toContain("ferrite.toml:4: unknown section [srever]; did you mean server?");
  });

  test("line numbers are right after comments, strings and arrays of many lines", () => {
    const text = [
      "# [server]",
      "[logging]  # level = 3",
      'log_file = """',
      "[server]",
      'port = 9 """',
      "[server]",
      "bind = [",
      '  "127.0.0.1", # ]',
      '  "::1"',
      "]",
      '"prot" = 1',
    ].join("\n");
    expect(errorOf(text)).toContain("ferrite.toml:11: unknown key server.prot");
  });

  test("a syntax error has line and column", () => {
    expect(errorOf("[server]\nport = yes\n")).toMatch(
      /^Error: Failed to parse config: TOML parse error at line 2, column 8: /,
    );
    expect(errorOf("[server]\nport = 1\nport = 2\n")).toContain("TOML parse error at line 3, column");
  });

  test("the error for a key outside any section names its section", () => {
    expect(errorOf("port = 1")).toContain(
      "ferrite.toml:1: port stands outside any section; did you mean server.port, under [server]?",
    );
  });
});

describe("two names for one key", () => {
  test.each([
    ["[server]\ntimeout = 7", "server.client_timeout", 7],
    ["[server]\nmax_connections = 7", "server.maxclients", 7],
    ['[security]\nrequirepass = "x"', "server.password", "x"],
    ["[storage]\ndatabases = 4", "server.databases", 4],
    ['[storage]\nreadonly_region_size = "1mb"', "storage.hybridlog_readonly_size", 1024 ** 2],
    ['[storage]\neviction_policy = "no-eviction"', "storage.maxmemory_policy", "noeviction"],
    ['[persistence]\naof_sync = "everysecond"', "persistence.aof_fsync", "everysec"],
    ["[persistence]\ncheckpoint_interval = 5", "persistence.checkpoint_interval_secs", 5],
    ['[persistence]\naof_path = "log.aof"', "persistence.aof_filename", "log.aof"],
    ['[replication]\nbacklog_size = "3mb"', "replication.repl_backlog_size", 3 * 1024 ** 2],
    ["[tls]\nenabled = false", "server.tls_enabled", false],
    ['[logging]\nfile = "f.log"', "logging.log_file", "f.log"],
    ["[server]\nhz = 50", "storage.expire_check_interval", 20],
  ] as const)("%j sets %s", (text, name, value) => {
    expect(fromText(text).get(name)).toBe(value);
  });

  test("both names with one value load; with two values the error names both lines", () => {
    expect(fromText("[server]\ntimeout = 7\nclient_timeout = 7").number("server.client_timeout")).toBe(7);
    const printed = errorOf("[server]\ntimeout = 0\nclient_timeout = 300");
    expect(printed).toContain("server.timeout = 0 (ferrite.toml:2)");
    expect(printed).toContain("server.client_timeout = 300 (ferrite.toml:3)");
  });

  test("a contradiction about a password does not print it", () => {
    const printed = errorOf('[server]\npassword = "hunter2"\n[security]\nrequirepass = "hunter3"');
    expect(printed).toContain("server.password");
    expect(printed).not.toContain("hunter");
  });

  test("a port in bind counts, and must agree with port", () => {
    const config = fromText('[server]\nbind = "0.0.0.0:6380"');
    expect(config.number("server.port")).toBe(6380);
    expect(config.text("server.bind")).toBe("0.0.0.0");
    expect(fromText('[server]\nbind = "[::1]:7000"').bindHosts).toEqual([{ host: "::1", optional: false }]);
    expect(fromText('[server]\nbind = "* -::*"').bindHosts).toEqual([
      { host: "0.0.0.0", optional: false },
      { host: "::", optional: true },
    ]);
    expect(errorOf('[server]\nbind = "127.0.0.1:6380"\nport = 6379')).toContain(
      "(ferrite.toml:2) and server.port = 6379 (ferrite.toml:3)",
    );
    expect(
      load({
        files: { "./ferrite.toml": '[server]\nbind = "127.0.0.1:6380"' },
        flags: [flag("server.port", "7")],
      }).config.number("server.port"),
    ).toBe(7);
  });
});

test("a primary by both spellings", () => {
  for (const text of ['replicaof = "10.0.0.1:7000"', 'primary_host = "10.0.0.1"\nprimary_port = 7000']) {
    const { config } = loadConfigText(`[replication]\n${text}\n`, "ferrite.toml", MACHINE);
    expect(config.text("replication.primary_host")).toBe("10.0.0.1");
    expect(config.number("replication.primary_port")).toBe(7000);
  }
});

describe("features that this version lacks", () => {
  test.each([
    "[storage]\nactive_defrag = true",
    "[redis]\ncluster_enabled = true",
    "[cluster]\nenabled = true",
    "[encryption]\nenabled = true",
  ])("%j is refused", (text) => {
    expect(errorOf(text)).toContain("ferrite.toml:2: ");
    expect(errorOf(text)).toContain("not supported in this version");
  });

  test("a feature that is off, or a parameter of it, loads", () => {
    const text =
      "[persistence]\nenable_checkpoints = false\nmax_checkpoints = 5\n[storage]\nactive_defrag = false\nactive_defrag_threshold = 5";
    const { warnings } = loadConfigText(text, "ferrite.toml", MACHINE);
    expect(warnings).toEqual(["ferrite.toml:6: storage.active_defrag_threshold has no effect in this version"]);
  });

  test("io_uring gets the guide's message", () => {
    expect(errorOf("[server]\nio_uring = true")).toStartWith("Error: io_uring not supported on this system");
  });

  test("unused keys of the Rust program load with a warning", () => {
    const { warnings } = loadConfigText(
      '[storage]\nbackend = "hybridlog"\nprefetch_size = 3\n[otel]\nendpoint = "x"\n[server]\nrate_limit_per_sec = 0',
      "f.toml",
      MACHINE,
    );
    expect(warnings).toEqual([
      "f.toml:2: storage.backend is not used",
      "f.toml:3: storage.prefetch_size is not used",
      "f.toml:5: otel.endpoint is not used",
      "f.toml:7: server.rate_limit_per_sec is not used",
    ]);
  });
});

describe("keys that must agree", () => {
  test("require_auth needs a password", () => {
    expect(errorOf("[server]\nrequire_auth = true")).toContain(
      "server.require_auth (ferrite.toml:2) is true, but there is no password",
    );
    expect(fromText('[server]\npassword = "p"').requiredPassword).toBe("p");
    expect(fromText('[server]\nrequire_auth = "auto"\npassword = "p"').requiredPassword).toBe("p");
    expect(fromText('[server]\nrequire_auth = false\npassword = "p"').requiredPassword).toBe("");
    for (const spelling of ['password = "p"', 'requirepass = "p"', '[security]\nrequirepass = "p"']) {
      expect(fromText(`[server]\nrequire_auth = true\n${spelling}`).requiredPassword).toBe("p");
    }
    expect(errorOf('[server]\nrequire_auth = true\npassword = "p"\n[security]\nrequirepass = "q"')).toContain(
      "set the same thing to different values",
    );
  });

  test("the server must listen on an address", () => {
    expect(errorOf("[server]\nport = 0")).toContain("there is nothing to listen on");
    expect(fromText('[server]\nport = 0\nunix_socket = "/tmp/f.sock"').number("server.port")).toBe(0);
  });

  test("configured tiers must fit max_memory; default ones shrink", () => {
    expect(errorOf('[storage]\nmax_memory = "1gb"\nmutable_region_size = "1gb"')).toContain(
      "more than storage.max_memory, 1gb (ferrite.toml:2)",
    );
    expect(
      fromText(
        '[storage]\nmax_memory = "8gb"\nhybridlog_mutable_size = 1073741824\nhybridlog_readonly_size = 2147483648',
      ).maxMemoryBytes,
    ).toBe(8 * GIB);
    expect(fromText('[storage]\nmax_memory = "10mb"').maxMemoryBytes).toBe(10 * 1024 ** 2);
  });

  test("the larger of worker_threads and io_threads is used, with a message", () => {
    const { config, warnings } = loadConfigText("[server]\nworker_threads = 2\nio_threads = 3", "f.toml", MACHINE);
    expect(config.workerThreads).toBe(3);
    expect(warnings[0]).toContain("so there will be 3");
    expect(fromText("").workerThreads).toBe(4);
  });

  test("the placeholder of a dumped secret is refused", () => {
    expect(errorOf(`[server]\npassword = "${SECRET_PLACEHOLDER}"`)).toContain("placeholder");
  });
});

describe("where values come from", () => {
  test("./ferrite.toml, ./ferrite.example.toml, ~/.config, /etc, defaults", () => {
    const all = {
      "./ferrite.toml": "[server]\nport = 1",
      "./ferrite.example.toml": "[server]\nport = 2",
      "/home/u/.config/ferrite/ferrite.toml": "[server]\nport = 3",
      "/etc/ferrite/ferrite.toml": "[server]\nport = 4",
    };
    const environment = { HOME: "/home/u" };
    const left: Record<string, string> = { ...all };
    for (const [path, port] of [
      ["./ferrite.toml", 1],
      ["./ferrite.example.toml", 2],
      ["/home/u/.config/ferrite/ferrite.toml", 3],
      ["/etc/ferrite/ferrite.toml", 4],
    ] as const) {
      const { config, warnings } = load({ files: left, environment });
      expect(config.source).toBe(path);
      expect(config.number("server.port")).toBe(port);
      expect(warnings.some((line) => line.includes("ferrite.example.toml"))).toBe(port === 2);
      delete left[path];
    }
    const { config } = load({ files: left, environment });
    expect(config.source).toBe("");
    expect(config.number("server.port")).toBe(6379);
  });

  test("a file that is named must exist", () => {
    expect(printedBy(() => load({ configPath: "other.toml", files: { "./ferrite.toml": "" } }))).toStartWith(
      "Error: Config file not found: other.toml",
    );
    expect(
      load({
        configPath: "other.toml",
        files: { "other.toml": "[server]\nport = 5", "./ferrite.toml": "" },
      }).config.number("server.port"),
    ).toBe(5);
  });

  test("an installed configuration has its data in /var/lib/ferrite", () => {
    expect(load({ files: { "/etc/ferrite/ferrite.toml": "" } }).config.text("storage.data_dir")).toBe(
      "/var/lib/ferrite",
    );
    expect(load({ files: { "./ferrite.toml": "" } }).config.text("storage.data_dir")).toBe("./data");
  });

  test("flags override variables, variables override the file, and each value has its source", () => {
    const files = { "./ferrite.toml": "[server]\nport = 1\nmaxclients = 11\ndatabases = 3" };
    const environment = { FERRITE_SERVER_PORT: "2", FERRITE_SERVER_MAX_CONNECTIONS: "12" };
    const { config } = load({ files, environment, flags: [{ name: "server.port", value: "3", flag: "--port" }] });
    expect([
      config.number("server.port"),
      config.number("server.maxclients"),
      config.number("server.databases"),
    ]).toEqual([3, 12, 3]);
    expect(config.provenance("server.port")).toEqual({ kind: "flag", text: "--port" });
    expect(config.provenance("server.maxclients")).toEqual({
      kind: "environment",
      text: "FERRITE_SERVER_MAX_CONNECTIONS",
    });
    expect(config.provenance("server.databases")).toEqual({ kind: "file", text: "./ferrite.toml:4" });
    expect(config.provenance("logging.level").kind).toBe("default");
    expect(chosenValues(config)).toContain("server.port = 3 (--port)");
  });

  test("short variables work, wrong ones are errors or warnings", () => {
    const { config, warnings } = load({
      environment: { FERRITE_PORT: "7000", FERRITE_DATA_DIR: "/d", FERRITE_SERVER_PROT: "1", FERRITE_LOG: "debug" },
    });
    expect([config.number("server.port"), config.text("storage.data_dir")]).toEqual([7000, "/d"]);
    expect(warnings).toEqual(["FERRITE_SERVER_PROT is not used; did you mean FERRITE_SERVER_PORT?"]);
    expect(printedBy(() => load({ environment: { FERRITE_SERVER_PORT: "x" } }))).toContain(
      "FERRITE_SERVER_PORT: server.port: expected an integer",
    );
    expect(printedBy(() => load({ environment: { FERRITE_SERVER_PORT: "1", FERRITE_PORT: "2" } }))).toContain(
      "(FERRITE_PORT) and server.port = 1 (FERRITE_SERVER_PORT)",
    );
  });

  test("the variables Kubernetes sets beside a service called ferrite do not stop the start", () => {
    const environment = {
      FERRITE_PORT: "tcp://10.0.0.7:6379",
      FERRITE_SERVICE_HOST: "10.0.0.7",
      FERRITE_PORT_6379_TCP_ADDR: "10.0.0.7",
    };
    const { config, warnings } = load({ environment });
    expect(config.number("server.port")).toBe(6379);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("Kubernetes");
  });

  test("an empty variable counts as not set", () => {
    const environment = { FERRITE_SERVER_PORT: "", FERRITE_PORT: "", FERRITE_PASSWORD: "", FERRITE_CONFIG: "" };
    const { config, warnings } = load({ environment });
    expect(config.provenance("server.port").kind).toBe("default");
    expect(config.provenance("server.password").kind).toBe("default");
    expect(warnings).toEqual([]);
  });

  test("flags accept Redis's names and units", () => {
    const { config } = load({
      flags: [flag("maxmemory", "1gb"), flag("hz", "20"), flag("requirepass", "p"), flag("appendonly", "no")],
    });
    expect(config.number("storage.max_memory")).toBe(GIB);
    expect(config.number("storage.expire_check_interval")).toBe(50);
    expect(config.requiredPassword).toBe("p");
    expect(config.flag("persistence.enable_aof")).toBe(false);
    expect(printedBy(() => load({ flags: [flag("server.prot", "1")] }))).toContain("did you mean server.port?");
  });
});

describe("the machine", () => {
  function disk(files: Readonly<Record<string, string>>): MemoryFiles {
    const all = new MemoryFiles(1, []);
    for (const [path, text] of Object.entries(files)) replaceDurably(all, path, new TextEncoder().encode(text), 0o644);
    return all;
  }

  test("the lowest limit up to the root counts, in both versions of cgroups", () => {
    const v2 = disk({
      "/proc/self/cgroup": "0::/a/b\n",
      "/sys/fs/cgroup/a/b/memory.max": "max\n",
      "/sys/fs/cgroup/a/memory.max": "1073741824\n",
    });
    expect(cgroupMemoryLimit(v2, 8 * GIB)).toBe(GIB);
    const v1 = disk({
      "/proc/self/cgroup": "4:cpu,cpuacct:/\n3:memory:/x\n",
      "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "536870912\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    });
    expect(cgroupMemoryLimit(v1, 8 * GIB)).toBe(GIB / 2);
    expect(cgroupMemoryLimit(disk({}), 8 * GIB)).toBe(0);
  });

  test("a host's path in a container falls back on the container's root", () => {
    expect(
      cgroupMemoryLimit(
        disk({ "/proc/self/cgroup": "0::/docker/abc\n", "/sys/fs/cgroup/memory.max": "1073741824" }),
        8 * GIB,
      ),
    ).toBe(GIB);
  });

  test("a CPU quota lowers the number of workers", () => {
    expect(readMachine(disk({ "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "100000 100000\n" })).cpus).toBe(
      1,
    );
  });

  test("max_memory 0 is three quarters of the limit, or of the machine", () => {
    expect(new Config("", MACHINE).maxMemoryBytes).toBe(6 * GIB);
    expect(new Config("", { ...MACHINE, cgroupMemoryBytes: GIB }).maxMemoryBytes).toBe(0.75 * GIB);
  });
});
