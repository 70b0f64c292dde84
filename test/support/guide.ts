/**
 * Reads the code blocks of a guide in Markdown, and judges what became of them.
 *
 * The word after the language says what a test does with a block:
 *
 *   bash run          runs it; it must succeed
 *   bash fails        runs it; it must fail
 *   bash watch        runs it until its output is there, and stops it: commands that a reader ends with Ctrl-C
 *   bash system       changes the machine: its syntax is checked, and that the kernel's settings in it exist
 *   bash needs=a,b    as `run` where the programs are installed; elsewhere the missing program must be the cause of a failure
 *   bash elsewhere    for another machine (a client's host, a replica's, or one with a GPU of tools): only its syntax is checked
 *   toml config       a part of a configuration: `ferrite --test-config` must take it without a warning
 *   toml file=PATH    a file that the blocks below it use
 *   text              what the block above it prints: each line is found in the output, in this order; `...` is any text
 *
 * Other languages are for the reader alone.
 */

export interface GuideBlock {
  /** Line of the page on which the block begins, from 1. */
  readonly line: number;
  readonly language: string;
  /** The word that says what to do with it, "" without one. */
  readonly mode: string;
  readonly text: string;
  /** Lines that its output must have. */
  readonly expected: readonly string[];
}

/** What a block did. `rc` is null when it was stopped. */
export interface Outcome {
  readonly line: number;
  readonly rc: number | null;
  readonly output: string;
}

/** The blocks of a page, in their order. Blocks within lists are indented by their list. */
export function guideBlocks(page: string): GuideBlock[] {
  const blocks: (GuideBlock & { expected: string[] })[] = [];
  const fence = /^( *)```(\S+)? ?([^\n]*)\n([\s\S]*?)^\1```$/gm;
  for (const match of page.matchAll(fence)) {
    const [, indent, language = "", mode, body] = match as unknown as [
      string,
      string,
      string | undefined,
      string,
      string,
    ];
    const text = body.replaceAll(new RegExp(`^${indent}`, "gm"), "");
    const line = page.slice(0, match.index).split("\n").length;
    const above = blocks.at(-1);
    if (language === "text" && above !== undefined) above.expected.push(...text.trimEnd().split("\n"));
    else blocks.push({ line, language, mode, text, expected: [] });
  }
  return blocks;
}

/** The first expected line that is not in the output behind those before it, or null. */
export function missingLine(expected: readonly string[], output: string): string | null {
  const lines = output.split(/[\r\n]/).map((line) => line.trimEnd());
  let at = 0;
  for (const wanted of expected) {
    const parts = wanted
      .trim()
      .split("...")
      .map((part) => RegExp.escape(part));
    const pattern = new RegExp(`^\\s*${parts.join(".*")}$`);
    while (at < lines.length && !pattern.test(lines[at]!)) at++;
    if (at === lines.length) return wanted;
    at++;
  }
  return null;
}

/** The programs that a block needs by its mode, "needs=mtr,iperf3". */
export function neededPrograms({ mode }: GuideBlock): string[] {
  return mode.startsWith("needs=") ? mode.slice("needs=".length).split(",") : [];
}

/** Kernel settings that a block names, as paths below /proc/sys. */
export function kernelSettings({ text }: GuideBlock): string[] {
  const paths = [...text.matchAll(/\/proc\/sys\/([\w/]+)/g)].map(([, path]) => path!);
  const names = [...text.matchAll(/\b((?:net|vm|kernel|fs)\.[a-z_0-9.]+?) ?=/g)].map(([, name]) => name!);
  return [...paths, ...names.map((name) => name.replaceAll(".", "/"))];
}
