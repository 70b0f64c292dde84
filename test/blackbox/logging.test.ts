/**
 * Goal:   the log of a server is what the guide says: its jq lines find what they are meant to find, levels follow CONFIG
 *         SET, files rotate and are opened anew, a log that cannot be written holds up nobody and is counted, and the
 *         threads have names.
 * Method: a server with a log file, read with jq itself; /dev/full as a full disk; a pipe that nobody reads as a slow one.
 */
import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, RespClient } from "../support/resp.ts";
import { ferriteCommand, freePort, logged, type Server, startFerrite } from "../support/servers.ts";

const root = mkdtempSync(join(tmpdir(), "ferrite-logging-"));
afterAll(() => rmSync(root, { recursive: true }));

if (Bun.which("jq") === null)
  throw new Error(
    "jq is missing: the lines of the guide CANNOT BE TESTED (node scripts/setup.mjs --system installs it)",
  );

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 3000; turn++) {
    if (await holds()) return;
    await Bun.sleep(10);
  }
  throw new Error(`not within 30 s: ${what}`);
}

function shell(command: string): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(["bash", "-o", "pipefail", "-c", command]);
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  return stdout.toString();
}

async function infoField(client: RespClient, name: string): Promise<number> {
  const text = await ask(client, "INFO", "stats");
  return Number(new RegExp(`${name}:(\\d+)`).exec(text)![1]);
}

describe("the guide's jq lines", () => {
  const path = join(root, "ferrite.log");
  let server: Server;
  let client: RespClient;

  test("a server writes what they look for", async () => {
    server = await startFerrite({
      args: ["--set", `logging.log_file=${path}`, "--set", "server.enable_debug_command=yes"],
      settings: { "logging.slow_command_threshold": "1", "logging.log_thread_names": "true" },
      env: { FERRITE_LOG: "ferrite::server=debug,ferrite=info" },
    });
    client = await server.connect();
    await ask(client, "DEBUG", "SLEEP", "0.15");
    // Slow enough for one millisecond, after a few attempts at the latest.
    const large = "v".repeat(24 << 20);
    const found = () => /"command":"SET"/.test(readFileSync(path, "utf8"));
    for (let i = 0; i < 20 && !found(); i++) await ask(client, "SET", `key:${i}`, large);
    await until("a slow SET", found);
    // An error: the directory of the data is none.
    rmSync(server.dataDir, { recursive: true });
    writeFileSync(server.dataDir, "");
    expect(await ask(client, "SAVE")).toStartWith("-ERR");
    await until("the failed save", () => /"level":"ERROR"/.test(readFileSync(path, "utf8")));
  });

  test("by level, by target, slow operations, by a field", () => {
    const log = `tail -n +1 ${path}`;
    expect(shell(`${log} | jq -c 'select(.level == "ERROR")'`)).toContain('"error_type":"save_failed"');
    const storage = shell(`${log} | jq -c 'select(.target == "ferrite::storage")'`).trim().split("\n");
    for (const line of storage) expect(JSON.parse(line).target).toBe("ferrite::storage");
    const slow = shell(`${log} | jq -c 'select(.duration_ms > 100)'`);
    expect(JSON.parse(slow.split("\n")[0]!)).toMatchObject({
      command: "DEBUG",
      level: "WARN",
      message: "slow command",
    });
    const sets = shell(`${log} | jq -c 'select(.command == "SET")'`).trim().split("\n");
    for (const line of sets)
      expect(JSON.parse(line)).toMatchObject({ command: "SET", thread_name: expect.stringMatching(/^worker-\d$/) });
    // Neither keys nor values.
    expect(readFileSync(path, "utf8")).not.toMatch(/key:\d|vvvv/);
  });

  test("errors for people, and counted by type", () => {
    const errors = shell(`tail -n +1 ${path} | jq -r 'select(.level == "ERROR") | "\\(.timestamp) \\(.message)"'`);
    expect(errors).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z Error saving dump\.rdb/);
    const types = shell(`grep '"level":"ERROR"' ${path} | jq -r '.error_type' | sort | uniq -c | sort -rn`);
    expect(types).toMatch(/^ +\d+ save_failed\n$/);
  });

  test("every layer has a target, and connections are debug lines", async () => {
    await ask(client, "CONFIG", "SET", "loglevel", "debug");
    const other = await server.connect();
    other.write("*1\r\n!\r\n");
    await other.closed;
    await ask(client, "AUTH", "nobody", "wrong");
    await ask(client, "ACL", "SETUSER", "alice", "on");
    await ask(client, "EVAL", "redis.log(redis.LOG_NOTICE, 'a secret')", "0");
    const targets = () =>
      new Set(
        readFileSync(path, "utf8")
          .split("\n")
          .map((line) => /"target":"ferrite::(\w+)"/.exec(line)?.[1]),
      );
    const wanted = ["server", "storage", "protocol", "persistence", "config", "acl", "lua", "commands"];
    await until("lines of all layers", () => wanted.every((target) => targets().has(target)));
    const connected = shell(`jq -c 'select(.message == "client connected")' ${path}`);
    expect(JSON.parse(connected.trim().split("\n").at(-1)!)).toMatchObject({
      level: "DEBUG",
      client: expect.any(Number),
    });
    expect(shell(`jq -r 'select(.target == "ferrite::lua") | .message' ${path}`)).toBe('"a secret"\n');
    await ask(client, "CONFIG", "SET", "loglevel", "warn");
    const before = readFileSync(path, "utf8").length;
    (await server.connect()).close();
    await ask(client, "CONFIG", "SET", "loglevel", "info");
    await until("the next line", () => readFileSync(path, "utf8").length > before);
    expect(readFileSync(path, "utf8").slice(before)).not.toContain("client connected");
    client.close();
    await server.kill();
  });

  test("no level has a line for each command", async () => {
    const quiet = await startFerrite({ args: ["--set", "logging.level=trace", "--set", "logging.repeat_limit=0"] });
    const other = await quiet.connect();
    await ask(other, "SET", "k", "v");
    const lines = (): number => quiet.log().split("\n").length;
    const before = lines();
    for (let n = 0; n < 300; n++) expect(await ask(other, "GET", "k")).toBe('"v"');
    // A line that is written afterwards shows that those of the commands would have been.
    await ask(other, "DEBUG", "LOG", "the last line");
    await logged(quiet, "the last line");
    expect(lines() - before).toBeLessThan(30);
    other.close();
    await quiet.stop();
  });
});

describe("files of the log", () => {
  test("SIGHUP opens the file anew; size-based rotation retains max_log_files; nothing is lost between", async () => {
    const directory = join(root, "rotated");
    const path = join(directory, "f.log");
    Bun.spawnSync(["mkdir", directory]);
    const server = await startFerrite({
      args: ["--set", `logging.log_file=${path}`],
      settings: {
        "logging.log_rotation": "size-based",
        "logging.max_log_size": "4096",
        "logging.max_log_files": "3",
        "logging.repeat_limit": "0",
      },
    });
    const client = await server.connect();
    renameSync(path, join(root, "moved.log"));
    server.signal("SIGHUP");
    await until("a new file", () => existsSync(path));
    for (let i = 0; i < 120; i++) expect(await ask(client, "DEBUG", "LOG", `number ${i};`)).toBe("+OK");
    await until("the last line", () => readFileSync(path, "utf8").includes("number 119;"));
    const names = readdirSync(directory).sort();
    expect(names).toHaveLength(4);
    for (const name of names) expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(4096);
    const [newest, ...older] = names;
    const text = [...older, newest!].map((name) => readFileSync(join(directory, name), "utf8")).join("");
    // Consecutive up to the end: each worker has its own ring, but this is one connection.
    const numbers = [...text.matchAll(/number (\d+);/g)].map((match) => Number(match[1]));
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => 120 - numbers.length + i));
    client.close();
    await server.stop();
    const all = readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8"));
    expect(all.join("")).toContain("SIGTERM: stopping");
  });

  test("a full disk: clients are served, lost lines are counted in INFO and the metric", async () => {
    const metrics = await freePort();
    const server = await startFerrite({
      args: ["--set", "logging.log_file=/dev/full"],
      settings: { "metrics.enabled": "true", "metrics.port": String(metrics) },
    });
    const client = await server.connect();
    for (let i = 0; i < 10; i++) await ask(client, "DEBUG", "LOG", "x");
    await until("lost lines", async () => (await infoField(client, "log_lines_dropped")) >= 10);
    const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
    expect(Number(/^ferrite_log_lines_dropped_total (\d+)$/m.exec(text)![1])).toBeGreaterThanOrEqual(10);
    await logged(server, "log file /dev/full: write /dev/full: No space left on device");
    client.close();
    expect((await server.stop()).code).toBe(0);
  });

  test("a pipe that nobody reads holds up nobody; the first lines that come through say how many are missing", async () => {
    const port = await freePort();
    const pipe = join(root, "pipe");
    Bun.spawnSync(["mkfifo", pipe]);
    const settings = ["logging.buffer_size=16384", "logging.repeat_limit=0", "metrics.enabled=false"];
    const command = [...ferriteCommand(), "--port", String(port), "--workers", "2", "--data-dir", join(root, "data")];
    const options = [...settings, "persistence.enable_aof=false"].flatMap((each) => ["--set", each]);
    // The reader opens the pipe, so that the server can, and reads only when it is told to.
    const script = `exec 3<>${pipe}; "$@" >${pipe} 2>/dev/null & echo $!; read -r; exec cat <&3`;
    const child = Bun.spawn(["timeout", "120", "bash", "-c", script, "bash", ...command, ...options], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "ignore",
    });
    const reader = child.stdout.getReader();
    let output = new TextDecoder().decode((await reader.read()).value);
    const pid = Number.parseInt(output, 10);
    let found: RespClient | null = null;
    await until("the server", async () => {
      found = await RespClient.connect({ port }).catch(() => null);
      return found !== null;
    });
    const client = found!;
    const text = "x".repeat(1000);
    const step = async (): Promise<boolean> => {
      for (let i = 0; i < 20; i++) expect(await ask(client, "DEBUG", "LOG", text)).toBe("+OK");
      return (await infoField(client, "log_lines_dropped")) > 100;
    };
    await until("dropped lines", step);
    child.stdin.write("\n");
    child.stdin.flush();
    while (!output.includes('"dropped_in_all":')) output += new TextDecoder().decode((await reader.read()).value);
    expect(output).toContain('"target":"ferrite::log","message":"lines of the log were dropped');
    client.close();
    process.kill(pid, "SIGTERM");
    while (!output.includes("SIGTERM: stopping")) output += new TextDecoder().decode((await reader.read()).value);
    child.kill();
    await child.exited;
  }, 60_000);
});

test("without a choice the form is pretty on a terminal (elsewhere it is JSON, as above)", async () => {
  let text = "";
  const terminal = new Bun.Terminal({
    cols: 250,
    rows: 50,
    data: (_terminal, bytes) => {
      text += Buffer.from(bytes).toString("latin1");
    },
  });
  const settings = ["metrics.enabled=false", "persistence.enable_aof=false"].flatMap((each) => ["--set", each]);
  const options = ["--port", String(await freePort()), "--workers", "1", "--data-dir", join(root, "terminal")];
  const child = Bun.spawn([...ferriteCommand(), ...options, ...settings], { terminal });
  await until("the start", () => text.includes("Ready to accept connections"));
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  terminal.close();
  expect(text).toMatch(/\d{4}-\d\d-\d\dT[\d:.]+Z {2}INFO ferrite::server: ferrite \d/);
}, 60_000);

test("SIGHUP without a log file and certificates is ignored", async () => {
  const server = await startFerrite();
  server.signal("SIGHUP");
  await logged(server, "SIGHUP is ignored: there is neither a log file nor a certificate");
  await server.stop();
});

test("threads have names; one process is called ferrite", async () => {
  const server = await startFerrite({ persistence: true });
  const names = (): string[] =>
    readdirSync(`/proc/${server.pid}/task`).map((task) =>
      readFileSync(`/proc/${server.pid}/task/${task}/comm`, "utf8").trim(),
    );
  await until("the names", () => ["worker-0", "worker-1", "aof", "log"].every((name) => names().includes(name)));
  const top = shell(`top -H -b -n 1 -w 200 -p ${server.pid}`);
  for (const name of ["worker-0", "worker-1", "aof", "log"]) expect(top).toContain(name);
  expect(readFileSync(`/proc/${server.pid}/comm`, "utf8").trim()).toMatch(/^(ferrite|bun)$/);
  await server.stop();
});
