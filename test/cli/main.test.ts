import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseServerArguments } from "../../src/cli/arguments.ts";
import { checkAof } from "../../src/cli/check-aof.ts";
import { examine } from "../../src/cli/doctor.ts";
import { realSurroundings } from "../../src/cli/surroundings.ts";
import { loadConfigText } from "../../src/base/config/load.ts";
import { realFiles } from "../../src/base/files.ts";
import { LOCK_FILE, lockFile } from "../../src/memory/native.ts";

const ENTRY = join(import.meta.dir, "../../src/cli/entry.ts");
const root = mkdtempSync(join(tmpdir(), "ferrite-cli-"));
afterAll(() => rmSync(root, { recursive: true }));

let count = 0;
function place(): string {
  const path = join(root, `d${count++}`);
  mkdirSync(path);
  return path;
}

async function ferrite(
  cwd: string,
  args: string[],
  environment: Record<string, string> = {},
): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, ENTRY, ...args], {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", HOME: cwd, ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

function usageError(argv: string[]): string {
  try {
    parseServerArguments(argv);
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
  return "";
}

describe("arguments", () => {
  test("short and long options set keys", () => {
    const { flags, configPath, action } = parseServerArguments([
      "-p",
      "7000",
      "--host=0.0.0.0",
      "-d",
      "/d",
      "--workers",
      "3",
      "-l",
      "debug",
      "--databases",
      "4",
      "-c",
      "f.toml",
      "--set",
      "server.maxclients=5",
    ]);
    expect(action).toBe("serve");
    expect(configPath).toBe("f.toml");
    expect(Object.fromEntries(flags.map(({ name, value }) => [name, value]))).toEqual({
      "server.port": "7000",
      "server.bind": "0.0.0.0",
      "storage.data_dir": "/d",
      "server.worker_threads": "3",
      "logging.level": "debug",
      "server.databases": "4",
      "server.maxclients": "5",
    });
    expect(flags.find(({ name }) => name === "server.port")?.flag).toBe("--port");
  });

  test.each<[string[], string[]]>([
    [
      ["--maxmemory", "1gb", "--client-output-buffer-limit", "replica", "1mb", "2mb", "60", "--port", "7"],
      ["maxmemory 1gb", "client-output-buffer-limit replica 1mb 2mb 60", "server.port=7"],
    ],
    [
      ["--save", "", "--appendonly", "no"],
      ["save ", "appendonly no"],
    ],
    [
      ["--save", "--appendonly", "no", "--save"],
      ["save ", "appendonly no", "save "],
    ],
    [
      ["--bind", "127.0.0.1", "-::1", "-p", "7"],
      ["server.port=7", "server.bind=127.0.0.1 -::1"],
    ],
    [["--requirepass", "--secret"], ["requirepass --secret"]],
    [["--requirepass", "-p"], ["requirepass -p"]],
    [
      ["--MaxMemory 1gb", '--requirepass "a b"'],
      ["maxmemory 1gb", "requirepass a b"],
    ],
    [["--user", "a", "on", ">x", "~*"], ["user a on >x ~*"]],
    [["--rename-command", "KEYS", ""], ["rename-command KEYS "]],
    [["--set", "server.password=--port 1"], ["server.password=--port 1"]],
    [["--data-dir", "--odd"], ["storage.data_dir=--odd"]],
  ])("Redis's options mean the same as to redis-server: %j", (argv, expected) => {
    const { flags, directives } = parseServerArguments(argv);
    const shown = flags.map(({ name, value }) => `${name}=${value}`);
    expect([...directives.map(({ name, words }) => `${name} ${words.join(" ")}`), ...shown]).toEqual(expected);
  });

  test("a dash is standard input", () => {
    expect(parseServerArguments(["-"])).toMatchObject({ configPath: "", readsStandardInput: true });
    expect(parseServerArguments(["a.conf", "-"])).toMatchObject({ configPath: "a.conf", readsStandardInput: true });
    expect(parseServerArguments(["a.conf"]).readsStandardInput).toBe(false);
  });

  test("an invalid command line is a usage error", () => {
    expect(usageError(["--prot", "1"])).toContain("Unknown option '--prot'");
    expect(usageError(["--port"])).toContain("--port");
    expect(usageError(["--set", "port"])).toBe("--set port: expected section.key=value");
    expect(usageError(["redis"])).toContain("a configuration file's name ends in .toml or .conf");
  });
});

describe("the program", () => {
  test("--version is one line with version, commit, Bun, platform and allocator", async () => {
    const { code, out, err } = await ferrite(place(), ["--version"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^ferrite \d+\.\d+\.\d+ \(commit \S+, bun \d+\.\d+\.\d+, \w+-\w+, mimalloc\)\n$/);
  });

  test("--help names every option; a wrong option exits with 2 and says so on standard error", async () => {
    const help = await ferrite(place(), ["--help"]);
    expect(help.code).toBe(0);
    for (const option of [
      "--config",
      "--port",
      "--bind",
      "--data-dir",
      "--workers",
      "--databases",
      "--log-level",
      "--set",
      "--dump-config",
      "--test-config",
    ])
      expect(help.out).toContain(option);
    const wrong = await ferrite(place(), ["--prot", "1"]);
    expect(wrong).toMatchObject({ code: 2, out: "" });
    expect(wrong.err).toStartWith("Error: Unknown option '--prot'");
  });

  test("--dump-config prints a file that can be used, and nothing else", async () => {
    const cwd = place();
    const { code, out, err } = await ferrite(
      cwd,
      ["--dump-config", "--port", "7001", "--requirepass", "s3cret", "--show-secrets"],
      { FERRITE_MAXCLIENTS: "77" },
    );
    expect([code, err]).toEqual([0, ""]);
    writeFileSync(join(cwd, "ferrite.toml"), out);
    const again = await ferrite(cwd, ["--dump-config", "--show-secrets"]);
    const values = (text: string): string =>
      text
        .split("\n")
        .slice(1)
        .map((line) => line.replace(/ {3}# .*$/, ""))
        .join("\n");
    expect(values(again.out)).toBe(values(out));
    expect(out).toContain('password = "s3cret"');
    expect(out).toContain("maxclients = 77   # FERRITE_MAXCLIENTS");
    expect((await ferrite(cwd, ["--dump-config"])).out).not.toContain("s3cret");
  });

  test("--test-config says whether the configuration is valid", async () => {
    const cwd = place();
    writeFileSync(join(cwd, "f.toml"), "[server]\nport = 7\nprot = 1\n");
    const bad = await ferrite(cwd, ["--test-config", "-c", "f.toml"]);
    expect(bad).toMatchObject({ code: 1, out: "" });
    expect(bad.err).toBe(
      "Error: Failed to parse config: f.toml:3: unknown key server.prot; did you mean server.port?\n",
    );
    writeFileSync(join(cwd, "f.toml"), "[server]\nport = 7\n");
    expect(await ferrite(cwd, ["--test-config", "-c", "f.toml"])).toEqual({
      code: 0,
      out: "configuration is valid (f.toml)\n",
      err: "",
    });
    expect((await ferrite(cwd, ["--test-config", "-c", "g.toml"])).err).toStartWith(
      "Error: Config file not found: g.toml\n",
    );
  });

  test("a redis.conf is the first argument, as of redis-server, and options override it", async () => {
    const cwd = place();
    writeFileSync(join(cwd, "redis.conf"), "port 7\nappendonly no\nmaxmemory 1gb\n");
    const { code, out } = await ferrite(cwd, ["redis.conf", "--dump-config", "--maxmemory", "2gb"]);
    expect(code).toBe(0);
    const { config } = loadConfigText(out, "f.toml", { memoryBytes: 2 ** 33, cgroupMemoryBytes: 0, cpus: 2 });
    expect(config.number("server.port")).toBe(7);
    expect(config.flag("persistence.enable_aof")).toBe(false);
    expect(config.number("storage.max_memory")).toBe(2 ** 31);
    writeFileSync(join(cwd, "redis.conf"), "port 7\nmaxmemoy 1gb\n");
    expect(await ferrite(cwd, ["redis.conf"])).toMatchObject({
      code: 1,
      err: "Error: Failed to parse config: redis.conf:2: unknown directive maxmemoy; did you mean maxmemory?\n",
    });
    const two = await ferrite(cwd, ["redis.conf", "-c", "f.toml"]);
    expect(two.err).toStartWith("Error: two configuration files are named: redis.conf and f.toml");
  });

  test("ferrite-check-aof is a link to the program", async () => {
    const cwd = place();
    writeFileSync(join(cwd, "a.aof"), "*1\r\n$4\r\nPING\r\n");
    // As in the executable when it is called through a link: argv0 is the link's name.
    const child = Bun.spawn([process.execPath, ENTRY, "a.aof"], {
      cwd,
      argv0: "ferrite-check-aof",
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await child.stdout.text()).toContain("AOF a.aof is valid");
    expect(await child.exited).toBe(0);
    expect(checkAof(realFiles, join(cwd, "a.aof")).records).toBe(1);
  });
});

describe("init", () => {
  test("writes a file that loads, creates the data directory, and does not overwrite", async () => {
    const cwd = place();
    const first = await ferrite(cwd, ["init", "-o", "conf/f.toml", "-d", "data dir"]);
    expect([first.code, first.err]).toEqual([0, ""]);
    expect(statSync(join(cwd, "data dir")).isDirectory()).toBe(true);
    const text = readFileSync(join(cwd, "conf/f.toml"), "utf8");
    expect(
      loadConfigText(text, "f", { memoryBytes: 2 ** 33, cgroupMemoryBytes: 0, cpus: 2 }).config.text(
        "storage.data_dir",
      ),
    ).toBe("data dir");
    expect((await ferrite(cwd, ["--test-config", "-c", "conf/f.toml"])).code).toBe(0);

    const second = await ferrite(cwd, ["init", "-o", "conf/f.toml"]);
    expect(second.code).toBe(1);
    expect(second.err).toStartWith("Error: conf/f.toml already exists\n");
    expect(readFileSync(join(cwd, "conf/f.toml"), "utf8")).toBe(text);
    expect((await ferrite(cwd, ["init", "-o", "conf/f.toml", "--force", "--minimal", "--no-dirs"])).code).toBe(0);
    expect(readFileSync(join(cwd, "conf/f.toml"), "utf8").length).toBeLessThan(text.length / 10);
  });

  test("a data directory that cannot be created gives the guide's error", async () => {
    const cwd = place();
    writeFileSync(join(cwd, "file"), "");
    const { code, err } = await ferrite(cwd, ["init", "-d", "file/data"]);
    expect(code).toBe(1);
    expect(err).toStartWith("Error: Failed to create data directory: Not a directory\n");
  });
});

describe("doctor", () => {
  test("reports a running server that uses the data directory", async () => {
    const cwd = place();
    const data = join(cwd, "data");
    mkdirSync(data);
    const lockOf = async (): Promise<{ level: string; text: string } | undefined> => {
      const config = loadConfigText(
        `[server]\nport = 0\nunix_socket = "s"\n[storage]\ndata_dir = "${data}"`,
        "f",
        machine,
      ).config;
      return (await examine(config, realSurroundings())).find(({ check }) => check === "data_lock");
    };
    expect(await lockOf()).toBeUndefined();
    const path = join(data, LOCK_FILE);
    writeFileSync(path, "4711\n");
    const holder = openSync(path, "r");
    try {
      if (lockFile(holder) === "unknown") {
        expect((await lockOf())?.level).toBe("info");
        return;
      }
      const found = await lockOf();
      expect(found?.level).toBe("warning");
      expect(found?.text).toContain(`${data} is in use by a running Ferrite (process 4711)`);
    } finally {
      closeSync(holder);
    }
    expect((await lockOf())?.level).toBe("ok");
  });

  const machine = { memoryBytes: 2 ** 33, cgroupMemoryBytes: 0, cpus: 2 };

  async function levels(text: string): Promise<Record<string, string>> {
    const { config } = loadConfigText(text, "f.toml", machine);
    return Object.fromEntries((await examine(config, realSurroundings())).map(({ check, level }) => [check, level]));
  }

  test("a configuration error is an error, in text and in JSON", async () => {
    const cwd = place();
    writeFileSync(join(cwd, "ferrite.toml"), "[server]\nprot = 1\n");
    const { code, out } = await ferrite(cwd, ["doctor", "--json"]);
    expect(code).toBe(1);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ ok: false, errors: 1 });
    expect(report.findings.at(-1)).toEqual({
      check: "config",
      level: "error",
      text: "Failed to parse config: ./ferrite.toml:2: unknown key server.prot; did you mean server.port?",
      meaning: "The server does not start with this configuration.",
      mend: "change the line that is named, then: ferrite --test-config",
    });
    const text = await ferrite(cwd, ["doctor"]);
    expect(text.code).toBe(1);
    expect(text.out).toContain("[error  ] config: Failed to parse config");
    expect(text.out).toContain("\n          mend:  change the line that is named");
  });

  test("it names the source of the configuration and exits with 0 when nothing is wrong", async () => {
    const cwd = place();
    writeFileSync(join(cwd, "ferrite.toml"), "");
    const { code, out } = await ferrite(cwd, ["doctor", "--port", "0", "--unixsocket", "/tmp/x.sock"]);
    expect(out).toContain("configuration source: ./ferrite.toml");
    expect(out).toContain("no TCP port is configured");
    expect(code).toBe(0);
  });

  test("a port taken by another program is an error, by a Redis server it is not", async () => {
    const silent = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end("HTTP/1.1 400\r\n") },
    });
    const redis = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.write("+PONG\r\n") },
    });
    expect((await levels(`[server]\nport = ${silent.port}`))["port"]).toBe("error");
    expect((await levels(`[server]\nport = ${redis.port}`))["port"]).toBe("info");
    const free = silent.port;
    silent.stop(true);
    redis.stop(true);
    expect((await levels(`[server]\nport = ${free}`))["port"]).toBe("ok");
  });

  test("directories, memory and access are checked", async () => {
    const cwd = place();
    writeFileSync(join(cwd, "file"), "");
    const base = `[server]\nport = 0\nunix_socket = "x"\n`;
    expect((await levels(`${base}[storage]\ndata_dir = "${cwd}/new/dir"`))["data_dir"]).toBe("ok");
    expect((await levels(`${base}[storage]\ndata_dir = "${cwd}/file"`))["data_dir"]).toBe("error");
    expect((await levels(`${base}[logging]\nlog_file = "${cwd}/file/x.log"`))["log_file"]).toBe("error");
    expect((await levels(`${base}[storage]\nmax_memory = "9gb"`))["memory"]).toBe("error");
    expect((await levels(`${base}[storage]\nmax_memory = "4gb"`))["memory"]).toBe("ok");
    expect((await levels(base))["access"]).toBe("ok");
    expect((await levels(`${base}bind = "0.0.0.0"`))["access"]).toBe("warning");
    expect((await levels(`${base}bind = "0.0.0.0"\nprotected_mode = false`))["access"]).toBe("error");
    expect((await levels(`${base}bind = "0.0.0.0"\npassword = "short"`))["access"]).toBe("warning");
    expect((await levels(`${base}bind = "0.0.0.0"\npassword = "long enough to be a password"`))["access"]).toBe("ok");
  });

  test("it leaves nothing behind", async () => {
    const cwd = place();
    await levels(`[storage]\ndata_dir = "${cwd}"\n[server]\nport = 0\nunix_socket = "x"`);
    expect(realFiles.list(cwd)).toEqual([]);
  });
});
