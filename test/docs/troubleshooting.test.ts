/**
 * Goal:   every block of docs/TROUBLESHOOTING.md does what the text says.
 * Method: the blocks run in their order on a machine of their own (test/support/guide-sandbox.ts), with one server for most of
 *         them. Each is judged by its mark (test/support/guide.ts), whose reader has tests of its own.
 */
import { describe, expect, test } from "bun:test";
import { guideBlocks, kernelSettings, missingLine, neededPrograms } from "../support/guide.ts";
import { guideTests } from "../support/guide-tests.ts";

await guideTests("TROUBLESHOOTING.md");

describe("the reader of guides", () => {
  test("takes blocks with their marks, lines and output", () => {
    const [first, second] = guideBlocks(
      "a\n```bash run\nls\n```\n\n```text\nx\n```\n1. b\n   ```toml config\n   [a]\n   ```\n",
    );
    expect(first).toEqual({ line: 2, language: "bash", mode: "run", text: "ls\n", expected: ["x"] });
    expect(second).toEqual({ line: 10, language: "toml", mode: "config", text: "[a]\n", expected: [] });
  });

  test("finds expected lines in their order", () => {
    expect(missingLine(["a", "c...e"], "x\na\nb\nc d e\n")).toBeNull();
    expect(missingLine(["c", "a"], "a\nc\n")).toBe("a");
    expect(missingLine(["a"], "ab\n")).toBe("a");
  });

  test("finds programs and kernel settings", () => {
    const text = "sysctl -w vm.swappiness=1; cat /proc/sys/net/core/somaxconn";
    const block = { line: 1, language: "bash", mode: "needs=mtr,ping", text, expected: [] };
    expect(neededPrograms(block)).toEqual(["mtr", "ping"]);
    expect(kernelSettings(block)).toEqual(["net/core/somaxconn", "vm/swappiness"]);
  });
});
