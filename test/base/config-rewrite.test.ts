/**
 * Goal:   CONFIG REWRITE makes a file produce the running configuration, preserves all other content, and never leaves a
 *         file that is half old and half new.
 * Method: examples of each form; seeded random files with random changes; a failure of the n-th file operation, for every
 *         n, and a power cut after each.
 */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, FROM_RUNTIME } from "../../src/base/config/config.ts";
import { loadConfigText } from "../../src/base/config/load.ts";
import { rewriteConfig, RewriteRefused, rewrittenText, tryRewriteConfig } from "../../src/base/config/rewrite.ts";
import { allSpellings, findKey, isSupported, KEYS, type KeySpec } from "../../src/base/config/schema.ts";
import { type ConfigValue, parseText, Refusal, sameValue, tomlText } from "../../src/base/config/values.ts";
import { FileFailure, MemoryFiles, readText, realFiles } from "../../src/base/files.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

const MACHINE = { memoryBytes: 8 * 1024 ** 3, cgroupMemoryBytes: 0, cpus: 2 };
const PATH = "/etc/x/ferrite.toml";

function load(text: string): Config {
  return loadConfigText(text, PATH, MACHINE).config;
}

/** Returns `text` rewritten after changes at run time. */
function after(text: string, changes: Record<string, ConfigValue>): string {
  const config = load(text);
  for (const [name, value] of Object.entries(changes)) config.place(name, value, FROM_RUNTIME);
  const next = rewrittenText(text, config);
  expectSame(load(next), config);
  return next;
}

function expectSame(found: Config, wanted: Config): void {
  const differing = KEYS.filter(({ name }) => !sameValue(found.get(name), wanted.get(name)));
  expect(differing.map(({ name }) => `${name}: ${found.get(name)} for ${wanted.get(name)}`)).toEqual([]);
}

describe("a changed text", () => {
  test("is the same text without changes", () => {
    const text = '# mine\n[server]\nport=7000 # p\n\n\n [storage]\n\tmax_memory = "1gb"';
    expect(after(text, {})).toBe(text);
    expect(after("", {})).toBe("");
  });

  test("has a value replaced in place", () => {
    expect(after("[server]\nclient_timeout = 5   # idle\nport = 1\n", { "server.client_timeout": 60 })).toBe(
      "[server]\nclient_timeout = 60   # idle\nport = 1\n",
    );
    expect(after('[ "server" ]\n  "\\u0074imeout"="5m"', { "server.client_timeout": 1 })).toBe(
      '[ "server" ]\n  "\\u0074imeout"=1',
    );
    expect(after("server.timeout = 5\n", { "server.client_timeout": 6 })).toBe("server.timeout = 6\n");
    expect(after("server = { timeout = 5, port = 7 } # x\n", { "server.client_timeout": 6 })).toBe(
      "server = { timeout = 6, port = 7 } # x\n",
    );
    expect(after("[security]\nrequirepass = 'a'\n", { "server.password": 'q"\n' })).toBe(
      '[security]\nrequirepass = "q\\"\\n"\n',
    );
    expect(after("[storage]\nmaxmemory_policy = '''\nnoeviction''' # p\n", { "storage.max_memory": 2 ** 30 })).toBe(
      "[storage]\nmaxmemory_policy = '''\nnoeviction''' # p\nmax_memory = \"1gb\"\n",
    );
  });

  test("has both spellings of a key changed", () => {
    expect(after("[server]\ntimeout = 5\nclient_timeout = 5\n", { "server.client_timeout": 7 })).toBe(
      "[server]\ntimeout = 7\nclient_timeout = 7\n",
    );
  });

  test("has new keys in their section, in every form of it", () => {
    const change = { "server.client_timeout": 9 };
    expect(after("[server]\nport = 1\n\n[storage]\n", change)).toBe(
      "[server]\nport = 1\nclient_timeout = 9\n\n[storage]\n",
    );
    expect(after("[server]\n# client_timeout = 0\n# none\nport = 1", change)).toBe(
      "[server]\n# client_timeout = 0\nclient_timeout = 9\n# none\nport = 1",
    );
    expect(after("[server]", change)).toBe("[server]\nclient_timeout = 9");
    expect(after("[server]\n  port = 1", change)).toBe("[server]\n  port = 1\n  client_timeout = 9");
    expect(after("server = {}\n", change)).toBe("server = { client_timeout = 9 }\n");
    expect(after("server = { port = 1 }\n", change)).toBe("server = { port = 1, client_timeout = 9 }\n");
    expect(after("server.port = 1\n[storage]\n", change)).toBe(
      "server.port = 1\nserver.client_timeout = 9\n[storage]\n",
    );
    expect(after("# only this", change)).toBe("# only this\n\n[server]\nclient_timeout = 9\n");
    expect(after("", change)).toBe("[server]\nclient_timeout = 9\n");
    expect(after('[server.rename_commands]\nGET = "G"\n', change)).toContain("\n[server]\nclient_timeout = 9\n");
  });

  test("preserves its line ends and its byte order mark", () => {
    expect(after("[server]\r\nport = 1\r\n", { "server.client_timeout": 9, "logging.level": "debug" })).toBe(
      '[server]\r\nport = 1\r\nclient_timeout = 9\r\n\r\n[logging]\r\nlevel = "debug"\r\n',
    );
    const files = new MemoryFiles(1, []);
    put(files, "\ufeff[server]\nport = 1\n");
    const config = load("[server]\nport = 2\n");
    rewriteConfig(files, config);
    expect(content(files)).toBe("\ufeff[server]\nport = 2\n");
  });

  test("has a port removed from bind when the two differ", () => {
    expect(after('[server]\nbind = "127.0.0.1:7000" # here\n', { "server.port": 7001 })).toBe(
      '[server]\nbind = "127.0.0.1" # here\nport = 7001\n',
    );
    expect(after('[server]\nbind = ["127.0.0.1:7000", "::1"]\nport = 7000\n', { "server.port": 7001 })).toBe(
      '[server]\nbind = "127.0.0.1 ::1"\nport = 7001\n',
    );
    expect(after('[server]\nbind = "127.0.0.1:7000"\n', { "server.bind": "::1" })).toBe(
      '[server]\nbind = "::1"\nport = 7000\n',
    );
  });

  test("has hz as an interval", () => {
    expect(after("[server]\nhz = 10 # old\nport = 1\n", { "storage.expire_check_interval": 50 })).toBe(
      "[server]\nport = 1\n\n[storage]\nexpire_check_interval = 50\n",
    );
    expect(after("server = { hz = 10 }\n", { "storage.expire_check_interval": 50, "server.client_timeout": 1 })).toBe(
      "server = { client_timeout = 1 }\n\n[storage]\nexpire_check_interval = 50\n",
    );
  });

  test("has a table replaced, however it was written", () => {
    const change = { "server.rename_commands": { KEYS: "K", "a b": "" } };
    const line = 'rename_commands = { "KEYS" = "K", "a b" = "" }\n';
    for (const old of [
      '[server]\nrename_commands = { GET = "G" }\n',
      '[server]\nrename_commands.GET = "G"\nrename_commands."SET" = ""\n',
      '[server]\n[server.rename_commands]\nGET = "G"\n',
    ]) {
      expect(after(old, change)).toBe(`[server]\n${line}`);
    }
  });

  test("does not change other sections", () => {
    const foreign = '[cluster]\nname = "server.port = 1" # [server]\n[[otel.a]]\nport = 1\n[[otel.a]]\nport = 2\n';
    expect(after(foreign, { "server.port": 7 })).toBe(`${foreign}\n[server]\nport = 7\n`);
  });

  test("can contain integers beyond 2^53, secrets and every kind of character", () => {
    after("", {
      "server.slowlog_max_len": 2 ** 63,
      "storage.max_memory": 2 ** 62,
      "server.slowlog_log_slower_than": -1,
    });
    after("", { "server.password": "\u0000\u007f\\'\"\t\u2028é🙂", "server.tls_key_file_pass": "#[x]" });
  });

  test("is refused when no text can express the configuration", () => {
    const config = load("");
    config.place("server.require_auth", true, FROM_RUNTIME);
    expect(() => rewrittenText("", config)).toThrow(RewriteRefused);
    expect(() => rewrittenText("[server\n", load(""))).toThrow("Failed to parse config");
  });
});

// ---- random files ----

/** Keys that constrain each other, or the start. */
const LEFT_OUT =
  /^(server\.(tls_enabled|require_auth|password|port|bind|rename_commands|io_threads|worker_threads)|storage\.(hybridlog|max_memory|num_|region_)|replication\.primary)/;
const USABLE = KEYS.filter((spec) => !LEFT_OUT.test(spec.name));

const STRINGS = ["", "x", "a b # c", '"q"', "[server]", "é\n🙂", "\\u0041 = 1", "'''"];

/** A random valid value of the key. It may equal the current one. */
function randomValue(random: SeededRandom, spec: KeySpec): ConfigValue {
  const candidates: string[] = [];
  switch (spec.type) {
    case "bool":
      candidates.push("true", "false");
      break;
    case "enum":
      candidates.push(...spec.choices);
      break;
    case "string":
    case "path":
      candidates.push(...STRINGS, "900 1", "AKE", "50 99.9", "10%", "normal 1 2 3");
      break;
    default:
      candidates.push(
        "0",
        "1",
        "2",
        "64",
        "100",
        "1024",
        "65536",
        "1048576",
        "9007199254740992",
        "1.5",
        "0.25",
        "0700",
      );
  }
  for (let tries = 0; tries < 20; tries++) {
    const value = parseText(spec, candidates[random.below(candidates.length)]!);
    if (!(value instanceof Refusal) && isSupported(spec, value)) return value;
  }
  return spec.default;
}

const SPELLINGS = allSpellings();

function randomFile(random: SeededRandom): string {
  const eol = random.below(3) === 0 ? "\r\n" : "\n";
  const bySection = new Map<string, string[]>();
  for (let i = random.below(12); i > 0; i--) {
    const spec = USABLE[random.below(USABLE.length)]!;
    const names = SPELLINGS.filter((name) => findKey(name)!.spec === spec && findKey(name)!.alias?.convert == null);
    const [section, key] = names[random.below(names.length)]!.split(".") as [string, string];
    const pairs = bySection.get(section) ?? [];
    const written = random.below(4) === 0 ? `"${key}"` : key;
    const pair = `${written}${random.below(2) === 0 ? " = " : "="}${tomlText(spec.type, randomValue(random, spec))}`;
    if (
      !pairs.some(
        (other) => other.replaceAll('"', "").startsWith(`${key} =`) || other.replaceAll('"', "").startsWith(`${key}=`),
      )
    )
      pairs.push(pair);
    bySection.set(section, pairs);
  }
  const noise = (): string[] => [["# note = 1"], [""], ["", "  # [server]"], []][random.below(4)]!;
  const root: string[] = [];
  const blocks: string[] = [];
  for (const [section, pairs] of bySection) {
    switch (random.below(4)) {
      case 0:
        root.push(`${section} = { ${pairs.join(", ")} }`, ...noise());
        break;
      case 1:
        for (const pair of pairs) root.push(...noise(), `${section} . ${pair} # ${section}`);
        break;
      default:
        blocks.push(...noise(), `[${random.below(2) === 0 ? section : ` "${section}" `}] # of ${section}`);
        for (const pair of pairs)
          blocks.push(...noise(), `${" ".repeat(random.below(3))}${pair}${random.below(2) === 0 ? "  # say" : ""}`);
    }
  }
  if (random.below(3) === 0)
    blocks.push("[[wasm.parts]]", 'a = """', "[server]", 'timeout = 1"""', "[cluster.x]", "y = [ 1, # one", "  2 ]");
  return [...root, ...blocks].join(eol) + (random.below(2) === 0 ? eol : "");
}

test("random files with random changes give the running configuration and preserve the rest", () => {
  const seedUsed = testSeed();
  const random = new SeededRandom(seedUsed);
  let files = 0;
  for (let round = 0; round < 800; round++) {
    const text = randomFile(random);
    let config: Config;
    try {
      config = load(text);
    } catch {
      continue; // two spellings that disagree
    }
    files++;
    const changed: KeySpec[] = [];
    for (let i = random.below(5); i > 0; i--) {
      const spec = USABLE[random.below(USABLE.length)]!;
      config.place(spec.name, randomValue(random, spec), FROM_RUNTIME);
      changed.push(spec);
    }
    const next = rewrittenText(text, config);
    const seed = `FERRITE_SEED=${seedUsed}, round ${round}:\n${text}\n---\n${next}`;
    const loaded = load(next);
    for (const { name } of KEYS)
      if (!sameValue(loaded.get(name), config.get(name))) throw new Error(`${name}: ${seed}`);
    if (rewrittenText(next, config) !== next) throw new Error(`a second rewrite changes it: ${seed}`);
    // Every line that names no changed key still exists, in the same order.
    const words = changed.flatMap((spec) => [spec.key, ...spec.aliases.map(({ name }) => name.split(".")[1]!)]);
    const lines = next.split("\n");
    let at = 0;
    for (const line of text.split("\n")) {
      if (words.some((word) => line.includes(word))) continue;
      const inline = /^(\w+) = \{/.exec(line);
      if (inline !== null) continue; // a new key may stand in it
      const found = lines.findIndex((other, i) => i >= at && (other === line || other === `${line}\r`));
      if (found < 0 && line !== "") throw new Error(`the line ${JSON.stringify(line)} is gone: ${seed}`);
      if (found >= 0) at = found + 1;
    }
    if (/^[^\n]*\r\n/.test(text) && /[^\r]\n/.test(next.replaceAll("\\n", "")))
      throw new Error(`line ends are mixed: ${seed}`);
  }
  expect(files).toBeGreaterThan(350);
});

// ---- files ----

function put(files: MemoryFiles, text: string): void {
  files.mkdir("/etc/x", 0o755);
  const file = files.open(PATH, "wx", 0o640);
  const bytes = new TextEncoder().encode(text);
  files.write(file, bytes, 0, bytes.length, 0);
  files.setOwner(file, 5, 6);
  files.fsync(file);
  files.close(file);
  files.syncDirectory("/etc/x");
}

function content(files: MemoryFiles): string {
  const file = files.open(PATH, "r", 0);
  const bytes = new Uint8Array(files.size(file));
  files.read(file, bytes, 0, bytes.length, 0);
  files.close(file);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

const OLD = "[server]\ntimeout = 1 # old\n";
const NEW = "[server]\ntimeout = 2 # old\n";

describe("the file", () => {
  const changed = (): Config => load(NEW);

  test("preserves mode and owner; no temporary file is left", () => {
    const files = new MemoryFiles(1, []);
    put(files, OLD);
    rewriteConfig(files, changed());
    expect(content(files)).toBe(NEW);
    expect(files.stat(PATH)).toMatchObject({ mode: 0o640, userId: 5, groupId: 6 });
    expect(files.list("/etc/x")).toEqual(["ferrite.toml"]);
  });

  test("is created again when it was removed", () => {
    const files = new MemoryFiles(1, []);
    files.mkdir("/etc/x", 0o755);
    rewriteConfig(files, changed());
    expect(content(files)).toBe("[server]\nclient_timeout = 2\n");
    expect(files.stat(PATH)?.mode).toBe(0o600);
  });

  test("a temporary file left by a crash does not matter", () => {
    const files = new MemoryFiles(1, []);
    put(files, OLD);
    files.close(files.open(`/etc/x/.ferrite.toml.${process.pid}.tmp`, "wx", 0o600));
    rewriteConfig(files, changed());
    expect(files.list("/etc/x")).toEqual(["ferrite.toml"]);
  });

  test("a file that is not UTF-8 is not changed", () => {
    const files = new MemoryFiles(1, []);
    put(files, OLD);
    const file = files.open(PATH, "r+", 0);
    files.write(file, Uint8Array.of(0xff), 0, 1, 0);
    expect(tryRewriteConfig(files, changed())).toBe("the file is not UTF-8");
  });

  test("is completely old or new when any operation fails, and after a power cut", () => {
    let failures = 0;
    for (let nth = 1; ; nth++) {
      // The n-th operation from now on fails.
      const files = new MemoryFiles(nth, [{ operation: "*", nth: nth + operationsOfPut(), code: "ENOSPC" }]);
      put(files, OLD);
      let failed = "";
      try {
        rewriteConfig(files, changed());
      } catch (thrown) {
        if (!(thrown instanceof FileFailure)) throw thrown;
        failed = thrown.operation;
      }
      const found = contentLeft(files);
      expect([OLD, NEW]).toContain(found);
      if (failed === "") expect(found).toBe(NEW);
      expect([OLD, NEW]).toContain(contentLeft(files.crash()));
      if (failed === "") break;
      failures++;
    }
    expect(failures).toBeGreaterThan(8);
  });

  test("errors are the system's texts", () => {
    for (const [operation, code, words] of [
      ["write", "ENOSPC", "No space left on device"],
      ["rename", "EACCES", "Permission denied"],
      ["open", "EROFS", "Read-only file system"],
    ] as const) {
      const nth = operation === "rename" ? 1 : operation === "write" ? 2 : 3;
      const files = new MemoryFiles(1, [{ operation, nth, code }]);
      put(files, OLD);
      expect(tryRewriteConfig(files, changed())).toBe(words);
      expect(files.list("/etc/x")).toEqual(["ferrite.toml"]);
    }
    // A failure to set the owner is not an error.
    const files = new MemoryFiles(1, [{ operation: "chown", nth: 2, code: "EPERM" }]);
    put(files, OLD);
    expect(tryRewriteConfig(files, changed())).toBe("");
  });

  test("a link is followed, on a real disk", () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrite-rewrite-"));
    try {
      const real = join(folder, "real.toml");
      const link = join(folder, "link.toml");
      writeFileSync(real, OLD);
      chmodSync(real, 0o604);
      symlinkSync(real, link);
      const { config } = loadConfigText(NEW, link, MACHINE);
      rewriteConfig(realFiles, config);
      expect(readFileSync(real, "utf8")).toBe(NEW);
      expect(readText(realFiles, link)).toBe(NEW);
      expect(statSync(real).mode & 0o777).toBe(0o604);
      expect(readdirSync(folder).sort()).toEqual(["link.toml", "real.toml"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** Calls that `put` makes: mkdir, open, write, chown, fsync, close, fsync of the directory. */
function operationsOfPut(): number {
  return 7;
}

/** Reads the content in spite of the planned failure. */
function contentLeft(files: MemoryFiles): string {
  for (let tries = 0; ; tries++) {
    try {
      return content(files);
    } catch (thrown) {
      if (!(thrown instanceof FileFailure) || tries > 2) throw thrown;
    }
  }
}
