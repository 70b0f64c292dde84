import { expect, test } from "bun:test";
import { Config } from "../../src/base/config/config.ts";
import { dumpConfig, exampleConfig, initialConfig, referencePage } from "../../src/base/config/dump.ts";
import { loadConfigText } from "../../src/base/config/load.ts";
import { configSet } from "../../src/base/config/redis.ts";
import { KEYS } from "../../src/base/config/schema.ts";
import { realFiles, readText } from "../../src/base/files.ts";

const MACHINE = { memoryBytes: 8 * 1024 ** 3, cgroupMemoryBytes: 0, cpus: 2 };
const ROOT = `${import.meta.dir}/../..`;

function valuesOf(config: Config): Record<string, unknown> {
  return Object.fromEntries(KEYS.map((spec) => [spec.name, config.get(spec.name)]));
}

function reload(text: string): Config {
  return loadConfigText(text, "dump.toml", MACHINE).config;
}

test("a dump of the defaults loads back unchanged", () => {
  const config = new Config("", MACHINE);
  expect(valuesOf(reload(dumpConfig(config, true)))).toEqual(valuesOf(config));
});

test("a dump of any values loads back unchanged", () => {
  const config = new Config("x.toml", MACHINE);
  const from = { kind: "file", text: "x.toml:1" } as const;
  config.place("server.password", 'a"b\\c\u007f\t#é', from);
  config.place("server.bind", "* -::*", from);
  config.place("server.unix_socket_perm", 0o750, from);
  config.place("server.require_auth", false, from);
  config.place("storage.max_memory", 123456789, from);
  config.place("storage.compaction_threshold", 1, from);
  config.place("redis.oom_score_adj_values", "1 2 3", from);
  const result = configSet(config, [
    ["client-output-buffer-limit", "normal 1mb 2 3"],
    ["slowlog-max-len", "9007199254740991"],
    ["loglevel", "verbose"],
  ]);
  expect(result.ok).toBe(true);
  expect(valuesOf(reload(dumpConfig(config, true)))).toEqual(valuesOf(config));
  expect(dumpConfig(config, true)).toContain("max_memory = 123456789   # x.toml:1");
});

test("secrets are placeholders unless asked for, and a start with a placeholder is refused", () => {
  const config = new Config("", MACHINE);
  config.place("server.password", "hunter2", { kind: "flag", text: "--set" });
  const dump = dumpConfig(config, false);
  expect(dump).not.toContain("hunter2");
  expect(() => reload(dump)).toThrow("server.password is the placeholder");
});

test("the example file gives the defaults, and names every key outside [redis]", () => {
  const text = exampleConfig();
  expect(valuesOf(reload(text))).toEqual(valuesOf(new Config("", MACHINE)));
  for (const spec of KEYS.filter((key) => key.section !== "redis"))
    expect(text).toMatch(new RegExp(`^(# )?${spec.key} = `, "m"));
});

test("every commented-out default loads when it is active", () => {
  const active = exampleConfig().replace(/^# ([a-z_]+ = )/gm, "$1");
  expect(valuesOf(reload(active))).toEqual(valuesOf(new Config("", MACHINE)));
});

test("a minimal file has the chosen values and no comments", () => {
  const text = initialConfig({ values: { "storage.data_dir": "/srv/f" }, minimal: true });
  expect(reload(text).text("storage.data_dir")).toBe("/srv/f");
  expect(text.split("\n").length).toBeLessThan(20);
});

test("ferrite.example.toml and docs/CONFIGURATION.md are those of the schema (else: bun scripts/generate-config-docs.ts)", () => {
  expect(readText(realFiles, `${ROOT}/ferrite.example.toml`)).toBe(exampleConfig());
  expect(readText(realFiles, `${ROOT}/docs/CONFIGURATION.md`)).toBe(referencePage());
});
