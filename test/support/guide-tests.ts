/** Tests of a page in docs/ whose blocks are to be run (test/support/guide.ts says how they are marked). */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type GuideBlock, guideBlocks, missingLine, neededPrograms, type Outcome } from "./guide.ts";
import { ferriteCommand, ROOT } from "./servers.ts";

const MARKS = /^(run|fails|watch|system|elsewhere|needs=\S+|config|file=\/\S+)$/;
const SANDBOX = join(ROOT, "test/support/guide-sandbox.ts");
const NAMESPACES = ["--mount", "--pid", "--net", "--fork", "--mount-proc", "--kill-child"];

/** Runs all blocks of a page on a machine of their own. */
async function runGuide(path: string): Promise<Map<number, Outcome>> {
  const [ferrite, ...rest] = ferriteCommand();
  if (rest.length > 0) throw new Error("the guide is about the executable: run bun build.ts first");
  // The shell is the machine's first process: it takes over the services that systemctl starts.
  const init = ["bash", "-c", '"$@"; exit $?', "init"];
  const namespaces = process.getuid?.() === 0 ? NAMESPACES : ["-r", ...NAMESPACES];
  const child = Bun.spawn(["unshare", ...namespaces, ...init, process.execPath, SANDBOX, path, ferrite!], {
    stdout: "pipe",
    stderr: "pipe",
    cwd: ROOT,
  });
  const [output, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0)
    throw new Error(`the machine failed (it needs unshare and ip):\n${errors}\n${output}`);
  return new Map((JSON.parse(output) as Outcome[]).map((outcome) => [outcome.line, outcome]));
}

/** What a block must have done. Throws with its output otherwise. */
function judge(block: GuideBlock, { rc, output }: Outcome): void {
  const said = `${block.text}\n--- exit code ${rc ?? "none, it was stopped"}, output:\n${output}`;
  const asMarked = block.mode === "watch" || (block.mode === "fails" ? rc !== 0 && rc !== null : rc === 0);
  if (!asMarked) throw new Error(said);
  if (neededPrograms(block).length > 0 && output.startsWith("not installed: ")) return;
  const missing = missingLine(block.expected, output);
  if (missing !== null) throw new Error(`no line "${missing}" after\n${said}`);
}

/** Links of a page that lead nowhere: to a title of it, or to another file. */
function deadLinks(page: string): string[] {
  const anchors = new Set(
    [...page.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replace(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
  const links = [...page.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!).filter((link) => !link.includes("://"));
  return links.filter((link) =>
    link.startsWith("#") ? !anchors.has(link.slice(1)) : !existsSync(join(ROOT, "docs", link.split("#")[0]!)),
  );
}

/** Declares the tests of docs/`name`. */
export async function guideTests(name: string): Promise<void> {
  const path = join(ROOT, "docs", name);
  const page = await Bun.file(path).text();
  const blocks = guideBlocks(page).filter(({ language }) => language === "bash" || language === "toml");
  const titled = blocks.map(
    (block) => [block.line, block.text.split("\n").find((line) => !/^\s*(#|$)/.test(line)), block] as const,
  );

  describe(`docs/${name}`, () => {
    let outcomes = new Map<number, Outcome>();
    beforeAll(async () => {
      outcomes = await runGuide(path);
    }, 600_000);

    test.each(titled)("line %d: %s", (line, _, block) => judge(block, outcomes.get(line)!));

    test("every block is marked, one that is watched has something to wait for, and most run", () => {
      expect(blocks.filter(({ mode }) => !MARKS.test(mode)).map(({ line }) => line)).toEqual([]);
      expect(blocks.filter(({ mode, expected }) => mode === "watch" && expected.length === 0)).toEqual([]);
      expect(blocks.filter(({ mode }) => /^(run|fails|watch|config)$/.test(mode)).length).toBeGreaterThan(
        blocks.length / 2,
      );
    });

    test("links lead somewhere", () => expect(deadLinks(page)).toEqual([]));
  });
}
