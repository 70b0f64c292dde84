/**
 * Goal:   the archive of `ferrite diagnostics` has what an operator needs, and none of the secrets of the server: passwords
 *         of the configuration and of users, keys of TLS, names and values of keys, what clients said, in any of its files.
 * Method: a server with a secret in each of these places, all of which contain one word. The archive, unpacked by tar, is
 *         searched for that word, and for the hashes of passwords.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Certificates } from "../support/certificates.ts";
import { RespClient } from "../support/resp.ts";
import { ferriteCommand, freePort, ROOT } from "../support/servers.ts";

/** In every secret. */
const WORD = "hunter2";
const PASSWORD = `main-${WORD}-password`;
const ALICE = `alice-${WORD}-password`;
const LATER = `later-${WORD}-password`;

const root = mkdtempSync(join(tmpdir(), "ferrite-diagnostics-test-"));
const config = join(root, "ferrite.toml");
let port = 0;
let server: Bun.Subprocess;
let key = "";
const certificates = new Certificates();

const environment = (more: Record<string, string> = {}) => ({ PATH: process.env["PATH"] ?? "", HOME: root, ...more });

async function ferrite(args: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn(["timeout", "100", ...ferriteCommand(), ...args], {
    cwd: root,
    env: environment(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err, code };
}

/** The files of an archive, unpacked by tar. */
function unpack(archive: string): Map<string, string> {
  const into = mkdtempSync(join(root, "unpacked-"));
  expect(Bun.spawnSync(["tar", "-xzf", archive, "-C", into, "--strip-components=1"]).exitCode).toBe(0);
  const files = new Map<string, string>();
  for (const name of readdirSync(into, { recursive: true, encoding: "utf8" }))
    if (statSync(join(into, name)).isFile()) files.set(name, readFileSync(join(into, name), "utf8"));
  return files;
}

function expectNoSecret(files: ReadonlyMap<string, string>): void {
  const hashes = [PASSWORD, ALICE, LATER].map((secret) => createHash("sha256").update(secret).digest("hex"));
  const keyLines = key.split("\n").filter((line) => line.length > 20 && !line.startsWith("-"));
  expect(keyLines.length).toBeGreaterThan(0);
  for (const [name, text] of files) {
    const found = text.split("\n").filter((line) => line.toLowerCase().includes(WORD));
    expect([name, found]).toEqual([name, []]);
    for (const secret of [...hashes, ...keyLines]) expect([name, text.includes(secret)]).toEqual([name, false]);
  }
}

/** Whatever the server answers. */
async function answers(client: RespClient, ...words: string[]): Promise<void> {
  expect(await client.command(...words)).not.toMatchObject({ value: expect.stringMatching(/^LOADING/) });
}

/** Waits until the server has loaded its data. */
async function loaded(): Promise<void> {
  for (let turn = 0; turn < 3000; turn++) {
    const client = await RespClient.connect({ port }).catch(() => null);
    if (client !== null) {
      await client.command("AUTH", PASSWORD);
      const reply = await client.command("DBSIZE");
      client.close();
      if (reply.type === "int") return;
    }
    await Bun.sleep(10);
  }
  throw new Error("the server does not load");
}

/** Gives the server secrets wherever a client can put one. */
async function tellSecrets(): Promise<void> {
  const client = await RespClient.connect({ port });
  await answers(client, "AUTH", `wrong-${WORD}`);
  await answers(client, "AUTH", `user-${WORD}`, `wrong-${WORD}`);
  await answers(client, "AUTH", "default", PASSWORD);
  await answers(client, "CLIENT", "SETNAME", `name-${WORD}`);
  await answers(client, "SET", `key:${WORD}`, `value-${WORD}`);
  await answers(client, "HSET", `hash:${WORD}`, `field-${WORD}`, WORD);
  await answers(client, `unknown-${WORD}`, WORD);
  await answers(client, "LPUSH", `key:${WORD}`, "x");
  await answers(client, "ACL", "SETUSER", "bob", "on", `>bob-${WORD}`, `~bob:${WORD}`, "+@all");
  await answers(client, "ACL", "SETUSER", `user-${WORD}`, "on");
  await answers(client, "SUBSCRIBE", `channel-${WORD}`);
  await answers(client, "RESET");
  await answers(client, "AUTH", "default", PASSWORD);
  await answers(client, "CLIENT", "SETNAME", `name-${WORD}`);
  await answers(
    client,
    "EVAL",
    `redis.log(redis.LOG_WARNING, ARGV[1]) return redis.error_reply(ARGV[2])`,
    "0",
    `log ${WORD}`,
    `${WORD.toUpperCase()} failed`,
  );
  await answers(
    client,
    "FUNCTION",
    "LOAD",
    `#!lua name=lib${WORD}\nlocal v${WORD} = 0\nredis.register_function('f${WORD}', function() v${WORD} = v${WORD} + 1 end)`,
  );
  await answers(client, "DEBUG", "LOG", `a ${WORD} "in" quotes`);
  await answers(client, "CONFIG", "SET", "requirepass", LATER);
  await answers(client, "PUBLISH", `channel-${WORD}`, WORD);
  // The name of the connection that stays is in CLIENT LIST, its command in the slow log.
  await answers(client, "SORT", `nosort:${WORD}`);
  const broken = await RespClient.connect({ port });
  broken.write(`*1\r\n${WORD}\r\n`);
  await broken.closed;
}

beforeAll(async () => {
  port = await freePort();
  const metrics = await freePort();
  const authority = certificates.authority("authority");
  const certificate = certificates.signed("server", authority);
  key = readFileSync(certificate.key, "utf8");
  mkdirSync(join(root, "data"));
  writeFileSync(
    config,
    `# a comment with ${WORD}
[server]
port = ${port}
password = "${PASSWORD}"
worker_threads = 2
tls_enabled = true
tls_port = ${await freePort()}
tls_cert_file = "${certificate.cert}"
tls_key_file = "${certificate.key}"
rename_commands = { FLUSHALL = "flush-${WORD}" }
slowlog_log_slower_than = 0
enable_debug_command = "yes"
[server.users]
alice = "on >${ALICE} ~secret:${WORD}:* +@all"
[storage]
data_dir = "${join(root, "data")}"
[logging]
level = "debug"
format = "json"
log_file = "${join(root, "ferrite.log")}"
slow_command_threshold = 1
[metrics]
port = ${metrics}
`,
  );
  server = Bun.spawn(["timeout", "300", ...ferriteCommand(), "--config", config], {
    cwd: root,
    env: environment(),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await loaded();
  await tellSecrets();
}, 60_000);

afterAll(async () => {
  server.kill("SIGTERM");
  await server.exited;
  rmSync(root, { recursive: true });
  certificates.remove();
});

describe("ferrite diagnostics", () => {
  test("has version, configuration, log, figures and facts of the system, and no secret", async () => {
    const { code, out, err } = await ferrite(["diagnostics", "--config", config, "--output", "a.tar.gz"], {
      REDISCLI_AUTH: LATER,
    });
    expect([code, err]).toEqual([0, ""]);
    expect(out).toBe("wrote a.tar.gz\n");
    expect(statSync(join(root, "a.tar.gz")).mode & 0o777).toBe(0o600);
    const files = unpack(join(root, "a.tar.gz"));
    // The word is in what the server wrote: the search below searches for something.
    expect(readFileSync(join(root, "ferrite.log"), "utf8")).toContain(WORD);
    expectNoSecret(files);
    const text = (name: string): string => files.get(name) ?? `no ${name} among ${[...files.keys()].join(" ")}`;
    expect(text("version.txt")).toMatch(/^ferrite \d/);
    expect(text("config.toml")).toContain(`port = ${port}`);
    expect(text("config-running.txt")).toContain("requirepass (removed)");
    expect(text("info.txt")).toContain("log_lines_dropped:");
    expect(text("clients.txt")).toMatch(/^id=\d+ addr=127\.0\.0\.1:\d+ .* name=\(removed\) /m);
    expect(text("slowlog.txt")).toMatch(/ us SORT \(2 arguments\) 127\.0\.0\.1:/);
    expect(text("latency.txt")).toContain("# LATENCY HISTOGRAM\n");
    expect(text("memory.txt")).toContain("# MEMORY STATS\n");
    expect(text("metrics.txt")).toContain("redis_up 1");
    expect(JSON.parse(text("loop.json")).workers).toHaveLength(2);
    expect(JSON.parse(text("doctor.json")).map((each: { check: string }) => each.check)).toContain("data_lock");
    expect(text("log.txt")).toContain('"message":"DEBUG LOG: \\"(removed)\\""');
    expect(text("log.txt")).toContain('"target":"ferrite::protocol"');
    expect(text("process.txt")).toContain("Max open files");
    expect(text("threads.txt")).toContain("worker-0");
    expect(text("system/proc.txt")).toContain("MemTotal");
    expect(text("README.txt")).not.toContain("missing:");
  });

  test("with a wrong password it has the rest, and says what is missing; it overwrites nothing", async () => {
    const args = ["diagnostics", "--config", config, "-o", "b.tar.gz", "--log-lines", "3"];
    const { code, out } = await ferrite(args, { REDISCLI_AUTH: `wrong-${WORD}` });
    expect(code).toBe(0);
    expect(out).toContain("missing: the server's answers: ");
    expect(out).not.toContain(WORD);
    const files = unpack(join(root, "b.tar.gz"));
    expectNoSecret(files);
    expect(files.get("README.txt")).toContain("missing: the server's answers: ");
    expect(files.get("log.txt")!.trim().split("\n")).toHaveLength(3);
    expect(files.has("metrics.txt")).toBe(true);
    const again = await ferrite(args);
    expect([again.code, again.err.split("\n")[0]]).toEqual([
      1,
      "Error: the archive could not be written: open b.tar.gz: File exists (os error 17)",
    ]);
  });

  test("with a configuration that cannot be read, and without any tool, there is still an archive", async () => {
    writeFileSync(join(root, "broken.toml"), `[server]\npasswort = "${PASSWORD}"\n`);
    const tools = join(root, "no-tools");
    mkdirSync(tools, { recursive: true });
    const child = Bun.spawnSync([...ferriteCommand(), "diagnostics", "--config", "broken.toml", "-o", "c.tar.gz"], {
      cwd: root,
      env: { PATH: tools, HOME: root },
    });
    expect(child.exitCode).toBe(0);
    const files = unpack(join(root, "c.tar.gz"));
    expectNoSecret(files);
    expect(files.get("README.txt")).toContain("missing: the configuration");
    expect(files.get("system/iostat.txt")).toBe("iostat is not installed\n");
  });
});

describe("ferrite-diagnostics.sh", () => {
  const script = join(ROOT, "scripts/ferrite-diagnostics.sh");

  /** Runs it under its own name, as pgrep would see it, with these programs before those of the system. */
  function run(
    name: string,
    programs: Record<string, string>,
  ): { code: number; out: string; files: Map<string, string> } {
    const bin = join(root, `bin-${name}`);
    mkdirSync(bin);
    for (const [program, text] of Object.entries(programs)) {
      writeFileSync(join(bin, program), `#!/bin/bash\n${text}\n`);
      chmodSync(join(bin, program), 0o755);
    }
    const output = join(root, `${name}.tar.gz`);
    const child = Bun.spawnSync(["timeout", "100", script, "--config", config], {
      cwd: root,
      env: environment({ PATH: `${bin}:${process.env["PATH"]}`, OUTPUT: output, REDISCLI_AUTH: LATER }),
    });
    return {
      code: child.exitCode,
      out: child.stdout.toString(),
      files: existsSync(output) ? unpack(output) : new Map<string, string>(),
    };
  }
  const ferriteProgram = `exec ${ferriteCommand().join(" ")} "$@"`;

  test("with a server: what `ferrite diagnostics` has, and more; no secret", () => {
    const { code, out, files } = run("up", {
      ferrite: ferriteProgram,
      pgrep: `[ "$*" = "-o -x ferrite" ] && echo ${process.pid}`,
    });
    expect(code).toBe(0);
    expect(out).toContain(`ferrite runs as process ${process.pid}`);
    expectNoSecret(files);
    for (const name of ["info.txt", "log.txt", "config.toml", "uname.txt", "df.txt", "threads.txt"])
      expect([name, files.has(name)]).toEqual([name, true]);
  });

  test("without a server, and without ferrite, it runs to its end", () => {
    const { code, out, files } = run("down", { ferrite: "exit 3", pgrep: "exit 1" });
    expect(code).toBe(0);
    expect(out).toContain("ferrite is not running");
    expect(out).toContain("ferrite diagnostics failed");
    expect(files.has("uname.txt")).toBe(true);
    expect(readFileSync(script, "utf8")).not.toMatch(/^set -e/m);
  });
});
