/**
 * Goal:   each net of the redaction catches what it is for, and lets the rest through.
 * Method: texts of every kind that the archive of `ferrite diagnostics` has, with a secret in each place for one.
 */
import { describe, expect, test } from "bun:test";
import { loadConfigText } from "../../src/base/config/load.ts";
import {
  redactedLogLine,
  Redaction,
  slowLogText,
  withoutClientNames,
  withoutErrorWords,
} from "../../src/cli/redaction.ts";

describe("log lines", () => {
  test("of JSON, what is quoted and unknown fields are removed, figures stay", () => {
    const line = JSON.stringify({
      timestamp: "2026-01-02T03:04:05.678Z",
      level: "WARN",
      target: "ferrite::commands",
      message: "DEBUG LOG: \"hunter2 \\\" hunter3\" and 'hunter4', can't",
      duration_ms: 12.5,
      command: "SET",
      text: "hunter5",
    });
    expect(JSON.parse(redactedLogLine(line))).toEqual({
      timestamp: "2026-01-02T03:04:05.678Z",
      level: "WARN",
      target: "ferrite::commands",
      message: "DEBUG LOG: \"(removed)\" and '(removed)', can't",
      duration_ms: 12.5,
      command: "SET",
      text: "(removed)",
    });
  });

  test("of the other forms, and torn ones", () => {
    expect(redactedLogLine('1:M 29 Nov 2026 15:25:25.123 # DEBUG LOG: "hunter2"')).toBe(
      '1:M 29 Nov 2026 15:25:25.123 # DEBUG LOG: "(removed)"',
    );
    expect(redactedLogLine('2026  WARN ferrite::lua: "an open hunter2')).toBe('2026  WARN ferrite::lua: "(removed)"');
    expect(redactedLogLine('"hunter2"')).toBe("(removed)");
  });
});

describe("figures", () => {
  test("the slow log has commands and counts", () => {
    const entries = [
      [7, 1767323045, 12000, ["set", "key-hunter2", "hunter2"], "127.0.0.1:5", "name-hunter2"],
      [8, 1767323045, 9, ["hunter2 with spaces"], "127.0.0.1:5", ""],
    ];
    expect(slowLogText(entries)).toBe(
      "7 2026-01-02T03:04:05.000Z 12000 us SET (3 arguments) 127.0.0.1:5\n8 2026-01-02T03:04:05.000Z 9 us (removed) (1 arguments) 127.0.0.1:5\n",
    );
  });

  test("names of clients, and words of errors that the server does not know", () => {
    expect(withoutClientNames("id=1 addr=a name=hunter2 db=0 lib-name=ioredis\nid=2 name= db=0")).toBe(
      "id=1 addr=a name=(removed) db=0 lib-name=ioredis\nid=2 name= db=0",
    );
    expect(withoutErrorWords("errorstat_ERR:count=1\r\nerrorstat_HUNTER2:count=1\r\n")).toBe(
      "errorstat_ERR:count=1\r\nerrorstat_(removed):count=1\r\n",
    );
    expect(withoutErrorWords('x_total{err="OOM"} 1\nx_total{err="HUN\\"TER"} 1')).toBe(
      'x_total{err="OOM"} 1\nx_total{err="(removed)"} 1',
    );
  });
});

describe("secrets of the configuration", () => {
  test("are found in any text: passwords, those of users, new names of commands, keys, hashes", () => {
    const redaction = new Redaction();
    const { config } = loadConfigText(
      '[server]\npassword = "hunter-one"\nrename_commands = { CONFIG = "hunter-two" }\n[server.users]\nalice = "on >hunter-three +@all"\n',
      "f.toml",
      { memoryBytes: 2 ** 33, cgroupMemoryBytes: 0, cpus: 2 },
    );
    redaction.addConfig(config);
    redaction.add("abc");
    const pem = "-----BEGIN PRIVATE KEY-----\nMIIhunter\n-----END PRIVATE KEY-----";
    expect(redaction.text(`hunter-one/hunter-two/hunter-three abc ${"0f".repeat(32)} ${pem} ${"0f".repeat(20)}`)).toBe(
      `(removed)/(removed)/(removed) abc (removed) (removed) ${"0f".repeat(20)}`,
    );
  });

  test("parameters of a running server: its secrets are hidden, and found in later texts", () => {
    const redaction = new Redaction();
    expect(
      redaction.parameters([
        ["requirepass", "new-hunter"],
        ["masterauth", ""],
        ["maxmemory", "1"],
      ]),
    ).toBe("requirepass (removed)\nmasterauth \nmaxmemory 1\n");
    expect(redaction.text("x new-hunter")).toBe("x (removed)");
  });
});
