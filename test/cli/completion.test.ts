/**
 * Goal:   shells complete every option of the command line, and its values; help, parser and completion have one table.
 * Method: run the script of bash in bash with command lines that are half typed. The scripts of zsh and fish are read for
 *         every option of the table, and by the shells themselves where they are installed.
 */
import { describe, expect, test } from "bun:test";
import { parseServerArguments } from "../../src/cli/arguments.ts";
import { completionScript } from "../../src/cli/completion.ts";
import { commandHelp, commandSpec, helpText, optionsOf, SERVER, SHELLS, SUBCOMMANDS } from "../../src/cli/options.ts";

/** What bash offers for a command line; its last word is the one that is being typed. */
function offers(...words: string[]): string[] {
  const line = `
    compopt() { :; }
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
    _ferrite; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const script = `${completionScript("bash")}\n${line}`;
  const { stdout, stderr } = Bun.spawnSync(["bash", "-u", "-c", script, "bash", ...words], { cwd: "/etc" });
  expect(stderr.toString()).toBe("");
  return stdout.toString().trim().split("\n");
}

describe("bash", () => {
  test.each<[string[], string[]]>([
    [["ferrite", "do"], ["doctor"]],
    [["ferrite", "check-aof", "--f"], ["--fix"]],
    [["ferrite", "--log-level", "de"], ["debug"]],
    [["ferrite", "--port", "1", "-l", "w"], ["warn"]],
    [
      ["ferrite", "--maxmemory-policy", "volatile-l"],
      ["volatile-lru", "volatile-lfu"],
    ],
    [
      ["ferrite", "doctor", "--appendonly", ""],
      ["yes", "no"],
    ],
    [["ferrite", "--set", "storage.max_mem"], ["storage.max_memory="]],
    [["ferrite", "completion", "f"], ["fish"]],
    [
      ["ferrite", "--config", "host"],
      ["hostname", "hosts"],
    ],
    [["ferrite", "rdb", "convert", "hostn"], ["hostname"]],
    [["ferrite", "init", "--data-dir", "ss"], ["ssl"]],
    [["ferrite", "--port", ""], [""]],
    [["ferrite", "top", "--clu"], [""]],
  ])("%j", (words, expected) => {
    const found = offers(...words);
    for (const each of expected) expect(found).toContain(each);
    expect(found.length).toBeLessThan(expected.length + 3);
  });

  test("without a beginning it offers commands, options and files", () => {
    const found = offers("ferrite", "");
    expect(found).toEqual(expect.arrayContaining([...SUBCOMMANDS, "--config", "--maxmemory", "-p", "hosts"]));
  });
});

describe.each(SHELLS)("the script for %s", (shell) => {
  const script = completionScript(shell);

  test("has every option of every command", () => {
    for (const command of [SERVER, ...SUBCOMMANDS.map(commandSpec)])
      for (const { name } of optionsOf(command)) expect(script).toMatch(new RegExp(`(--|-l )${name}\\b`));
    expect(script).toMatch(/(--|-l )client-output-buffer-limit\b/);
  });

  test("is good to the shell", () => {
    // bash is everywhere; the others where they are installed.
    const path = Bun.which(shell);
    if (path === null) return expect(shell).not.toBe("bash");
    const { exitCode, stderr } = Bun.spawnSync([path, "-n", "/dev/stdin"], { stdin: Buffer.from(script) });
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  });
});

describe("help", () => {
  test("names every command and option, in lines of at most 120 characters", () => {
    const help = helpText();
    for (const name of SUBCOMMANDS) expect(help).toContain(`ferrite ${name}`);
    for (const { name } of SERVER.options) expect(help).toContain(`--${name}`);
    for (const name of SUBCOMMANDS) {
      const own = commandHelp(name);
      for (const option of commandSpec(name).options) expect(own).toContain(`--${option.name}`);
      for (const line of own.split("\n")) expect(line.length).toBeLessThanOrEqual(120);
    }
    for (const line of help.split("\n")) expect(line.length).toBeLessThanOrEqual(120);
  });

  test("every option of the server is parsed, and those with a key set it", () => {
    for (const { name, value, key } of SERVER.options) {
      const given = parseServerArguments([`--${name}`, ...(value === "" ? [] : ["server.hz=1"])]);
      if (key !== "")
        expect(given.flags).toEqual([{ name: key, value: value === "" ? "true" : "server.hz=1", flag: `--${name}` }]);
    }
  });
});
