/**
 * Goal:   a redis.conf means to Ferrite what it means to redis-server, and CONFIG REWRITE keeps it a redis.conf.
 * Method: lines and whole files against the words and keys that they must give; values that come back from their own text.
 */
import { describe, expect, test } from "bun:test";
import { type Config, FROM_RUNTIME } from "../../src/base/config/config.ts";
import { loadConfig, loadConfigText } from "../../src/base/config/load.ts";
import { isRedisConf, redisWord, splitRedisLine } from "../../src/base/config/redis-conf.ts";
import { rewriteConfig, rewrittenText } from "../../src/base/config/rewrite.ts";
import type { ConfigValue } from "../../src/base/config/values.ts";
import { parseServerArguments } from "../../src/cli/arguments.ts";
import { StartupError } from "../../src/base/errors.ts";
import { MemoryFiles, readText, replaceDurably } from "../../src/base/files.ts";

const MACHINE = { memoryBytes: 8 * 1024 ** 3, cgroupMemoryBytes: 0, cpus: 4 };

function fromText(text: string): Config {
  return loadConfigText(text, "redis.conf", MACHINE).config;
}

function errorOf(text: string): string {
  try {
    fromText(text);
  } catch (thrown) {
    if (thrown instanceof StartupError) return thrown.printed;
    throw thrown;
  }
  throw new Error("no error was thrown");
}

function diskWith(files: Record<string, string>): MemoryFiles {
  const disk = new MemoryFiles(1, []);
  for (const [path, text] of Object.entries(files)) replaceDurably(disk, path, new TextEncoder().encode(text), 0o644);
  return disk;
}

test("a file is a redis.conf by its name", () => {
  expect(["redis.conf", "/etc/redis/6379.conf", "tmp/redis.conf.123.4"].map(isRedisConf)).toEqual([true, true, true]);
  expect(["ferrite.toml", "x.conf.toml", "/etc/redis.conf/f", "config"].map(isRedisConf)).toEqual(Array(4).fill(false));
});

describe("lines", () => {
  test.each<[string, string[] | null]>([
    ["", null],
    ["   # port 1", null],
    ["PORT 7000\r", ["port", "7000"]],
    ["\tsave  900   1 ", ["save", "900", "1"]],
    ['save ""', ["save", ""]],
    ["logfile ''", ["logfile", ""]],
    ['requirepass "a \\"b\\" \\x41\\n\\\\"', ["requirepass", 'a "b" A\n\\']],
    ["requirepass 'it\\'s \\n'", ["requirepass", "it's \\n"]],
    ["requirepass a#b", ["requirepass", "a#b"]],
  ])("%j", (line, words) => {
    const found = splitRedisLine(line);
    expect(found === null || typeof found === "string" ? found : [found.name, ...found.words]).toEqual(words);
  });

  test.each(['requirepass "a', "requirepass 'a", 'requirepass "a"b', 'requirepass "a\\"'])("%j is refused", (line) => {
    expect(splitRedisLine(line)).toBe("unbalanced quotes");
  });

  test("a word comes back from its text", () => {
    for (const word of ["plain", "", "two words", 'quo"te', "back\\slash", "it's", "#", "line\nbreak", "\x7f\x00"]) {
      const found = splitRedisLine(`requirepass ${redisWord(word)}`);
      expect(found).toEqual({ name: "requirepass", words: [word] });
    }
  });
});

describe("a file", () => {
  test("sets keys by Redis's names, in Redis's units and senses", () => {
    const config = fromText(
      "maxmemory 64mb\nappendonly no\ntimeout 300\nhz 20\nbind 127.0.0.1 -::1\nloglevel verbose\ndisable-thp yes\n" +
        "dir ./data\nmaxmemory-policy allkeys-lfu\nslave-read-only no\nlatency-monitor-threshold 1\nunixsocketperm 700",
    );
    expect(config.number("storage.max_memory")).toBe(64 * 1024 ** 2);
    expect(config.flag("persistence.enable_aof")).toBe(false);
    expect(config.number("server.client_timeout")).toBe(300);
    expect(config.hz).toBe(20);
    expect(config.text("server.bind")).toBe("127.0.0.1 -::1");
    expect(config.flag("storage.huge_pages")).toBe(false);
    expect(config.text("storage.data_dir")).toBe("./data");
    expect(config.get("server.unix_socket_perm")).toBe(0o700);
    expect(config.provenance("server.client_timeout").text).toBe("redis.conf:3");
  });

  test("the last directive counts, under either of its names; save points and output limits add up", () => {
    const config = fromText(
      "timeout 1\ntimeout 2\nsave 900 1\nsave 300 10\nclient-output-buffer-limit normal 1mb 0 0\n" +
        "client-output-buffer-limit pubsub 2mb 0 0\nset-max-intset-entries 5",
    );
    expect(config.number("server.client_timeout")).toBe(2);
    expect(config.text("persistence.save")).toBe("900 1 300 10");
    expect(config.outputBufferLimits.normal.hardBytes).toBe(1024 ** 2);
    expect(config.outputBufferLimits.pubsub.hardBytes).toBe(2 * 1024 ** 2);
    expect(fromText('save 900 1\nsave ""').text("persistence.save")).toBe("");
    expect(fromText('save 900 1\nsave ""\nsave 5 1').text("persistence.save")).toBe("5 1");
    expect(fromText("save 900 1\nsave").text("persistence.save")).toBe("");
  });

  test("commands are renamed, and keys of Ferrite's are set", () => {
    const config = fromText('rename-command KEYS ""\nrename-command FLUSHALL wipe\nserver.turn_max_commands 64');
    expect(config.get("server.rename_commands")).toEqual({ KEYS: "", FLUSHALL: "wipe" });
    expect(config.get("server.turn_max_commands")).toBe(64);
  });

  test("includes other files in their place, and not itself for ever", () => {
    const disk = diskWith({
      "redis.conf": "timeout 1\ninclude other.conf\nmaxclients 7",
      "other.conf": "timeout 2\nmaxclients 8",
      "loop.conf": "include loop.conf",
      "lost.conf": "include none.conf",
    });
    const options = { flags: [], environment: {}, files: disk, machine: MACHINE };
    const { config } = loadConfig({ ...options, configPath: "redis.conf" });
    expect([config.number("server.client_timeout"), config.number("server.maxclients")]).toEqual([2, 7]);
    expect(config.provenance("server.client_timeout").text).toBe("other.conf:1");
    expect(() => loadConfig({ ...options, configPath: "loop.conf" })).toThrow("include each other");
    expect(() => loadConfig({ ...options, configPath: "lost.conf" })).toThrow("lost.conf:1: include none.conf");
  });

  test("what it asks for in vain, an option may take back, as Debian's unit does", () => {
    const options = { environment: {}, files: diskWith({ "redis.conf": "daemonize yes\nport 7\n" }), machine: MACHINE };
    const flags = [{ name: "daemonize", value: "no", flag: "--daemonize" }];
    const { config } = loadConfig({ ...options, configPath: "redis.conf", flags });
    expect(config.number("server.port")).toBe(7);
    expect(() => loadConfig({ ...options, configPath: "redis.conf", flags: [] })).toThrow("redis.conf:1: daemonize");
  });

  test.each([
    ["port 1\nmaxmemoy 1gb", "redis.conf:2: unknown directive maxmemoy; did you mean maxmemory?"],
    ["appendonly perhaps", "redis.conf:1: appendonly: expected true or false"],
    ["port", "redis.conf:1: port has no argument"],
    ["replicaof here", 'replicaof takes a host and a port, or "no one"'],
    ["rename-command KEYS", "rename-command takes a name and the new name"],
    ["user default on\nuser default off", "Duplicate user found. A user can only be defined once in config files"],
    ["loadmodule x.so", "loadmodule: not supported in this version"],
    ["daemonize yes", "not supported in this version: Ferrite stays in the foreground"],
    ['logfile "x', "redis.conf:1: unbalanced quotes"],
  ])("%j is refused", (text, expected) => {
    expect(errorOf(text)).toContain(expected);
  });
});

describe("directives of the command line", () => {
  function loaded(file: string, argv: string[], standardInput = ""): Config {
    const { directives, flags } = parseServerArguments(argv);
    const files = diskWith({ "redis.conf": file, "other.conf": "timeout 9\n" });
    return loadConfig({
      configPath: "redis.conf",
      flags,
      directives,
      standardInput,
      environment: {},
      files,
      machine: MACHINE,
    }).config;
  }

  test("they follow the file: parameters replace it, lists grow", () => {
    const config = loaded("save 900 1\nmaxmemory 1mb\nport 7\n", ["--save", "60", "5", "--maxmemory", "2mb"]);
    expect(config.text("persistence.save")).toBe("900 1 60 5");
    expect([config.number("storage.max_memory"), config.number("server.port")]).toEqual([2 << 20, 7]);
    expect(config.provenance("storage.max_memory")).toEqual({ kind: "flag", text: "--maxmemory" });
    expect(loaded("save 900 1\n", ["--save", "", "--save", "5", "1"]).text("persistence.save")).toBe("5 1");
  });

  test("standard input comes between the file and the options", () => {
    const config = loaded("save 900 1\nport 7\n", ["--maxmemory", "2mb", "-"], "save 60 5\nport 8\nmaxmemory 9mb\n");
    expect(config.text("persistence.save")).toBe("900 1 60 5");
    expect([config.number("server.port"), config.number("storage.max_memory")]).toEqual([8, 2 << 20]);
    expect(() => loaded("", ["-"], "port x")).toThrow("standard input:1: port");
  });

  test("include, user and rename-command work, and say what is wrong with them", () => {
    const config = loaded("user a on\nrename-command KEYS k\n", [
      ...["--include", "other.conf", "--user", "b", "on", "--rename-command", "GET", "g"],
    ]);
    expect(config.number("server.client_timeout")).toBe(9);
    expect(config.get("server.users")).toEqual({ a: "on", b: "on" });
    expect(config.get("server.rename_commands")).toEqual({ KEYS: "k", GET: "g" });
    expect(() => loaded("", ["--loadmodule", "x.so"])).toThrow("--loadmodule: loadmodule: not supported");
    expect(() => loaded("", ["--maxmemory"])).toThrow("--maxmemory: maxmemory has no argument");
    expect(() => loaded("", ["--daemonize", "yes"])).toThrow(
      "--daemonize: daemonize = true: not supported in this version: Fe",
    );
  });

  test('`save ""` means no checkpoints, unless the configuration has its own word on them', () => {
    const takesCheckpoints = (file: string, argv: string[]): boolean =>
      loaded(file, argv).flag("persistence.enable_checkpoints");
    expect(takesCheckpoints("", [])).toBe(true);
    expect(takesCheckpoints("save 900 1", [])).toBe(true);
    expect(takesCheckpoints('save ""', [])).toBe(false);
    expect(takesCheckpoints("save 900 1", ["--save", ""])).toBe(false);
    expect(takesCheckpoints('save ""', ["--save", "900", "1"])).toBe(true);
    expect(takesCheckpoints("persistence.enable_checkpoints yes", ["--save"])).toBe(true);
  });

  test("as redis-server: no file is searched, the log is Redis's, and there is no further port", () => {
    const files = diskWith({ "./ferrite.toml": "[server]\nport = 9\n" });
    const options = { configPath: "", flags: [], environment: {}, files, machine: MACHINE };
    const { config } = loadConfig({ ...options, asRedisServer: true });
    expect([config.number("server.port"), config.text("logging.format")]).toEqual([6379, "redis"]);
    expect(config.flag("metrics.enabled")).toBe(false);
    const own = loadConfig(options).config;
    expect([own.number("server.port"), own.text("logging.format"), own.flag("metrics.enabled")]).toEqual([
      9,
      "auto",
      true,
    ]);
  });
});

describe("CONFIG REWRITE", () => {
  function after(text: string, changes: Record<string, ConfigValue>): string {
    const config = fromText(text);
    for (const [name, value] of Object.entries(changes)) config.place(name, value, FROM_RUNTIME);
    return rewrittenText(text, config);
  }

  test("changes the directive in place and keeps the rest", () => {
    const text = "# mine\nport 7000\n\ntimeout 1\ntimeout 2\n# end";
    expect(after(text, {})).toBe(text);
    expect(after(text, { "server.client_timeout": 60 })).toBe("# mine\nport 7000\n\ntimeout 60\n# end");
  });

  test("adds what is missing at the end, in Redis's words where it has any", () => {
    expect(after("port 7000\n", { "storage.max_memory": 1024 ** 3 })).toBe("port 7000\nmaxmemory 1073741824\n");
    expect(after("port 7000", { "server.password": 'a "b"' })).toBe('port 7000\nrequirepass "a \\"b\\""\n');
    expect(after("port 1\r\nhz 10\r\n", { "storage.expire_check_interval": 70 })).toContain(
      "storage.expire_check_interval 70",
    );
  });

  test("save points and output limits become one line", () => {
    const text = "save 900 1\nport 1\nsave 300 10\n";
    expect(after(text, { "persistence.save": "5 1 6 2" })).toBe("port 1\nsave 5 1 6 2\n");
    // A file with `save ""` means no checkpoints either (below), and this server takes some.
    expect(after(text, { "persistence.save": "" })).toBe('port 1\nsave ""\npersistence.enable_checkpoints yes\n');
  });

  test("overrides an included file, which stays as it is", () => {
    const disk = diskWith({ "/redis.conf": "port 1\ninclude /other.conf\n", "/other.conf": "timeout 2\n" });
    const { config } = loadConfig({
      configPath: "/redis.conf",
      flags: [],
      environment: {},
      files: disk,
      machine: MACHINE,
    });
    config.place("server.client_timeout", 9, FROM_RUNTIME);
    rewriteConfig(disk, config);
    expect(readText(disk, "/redis.conf")).toBe("port 1\ninclude /other.conf\ntimeout 9\n");
    expect(readText(disk, "/other.conf")).toBe("timeout 2\n");
  });
});
