/**
 * Goal:   a row of docs/STATUS.md that says "works" names a test that exists, and no row names one that does not.
 * Method: read the page as scripts/status.ts does; the reader itself is tried on rows that are wrong.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { examineProof, statusRows, testFiles, titlesOf, withCounts } from "../../scripts/status.ts";

const PAGE = await Bun.file(join(import.meta.dir, "../../docs/STATUS.md")).text();
const files = await testFiles();

describe("docs/STATUS.md", () => {
  test("every row has a number of its own", () => {
    const numbers = statusRows(PAGE).map(({ row }) => row);
    expect(numbers.length).toBeGreaterThan(300);
    expect(numbers).toEqual([...new Set(numbers)]);
  });

  test("each test that a row names exists", () => {
    const wrong = statusRows(PAGE).flatMap(({ row, proof }) =>
      examineProof(proof, files).missing.map((name) => `${row}: ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("each row that works names a test", () => {
    const bare = statusRows(PAGE).filter(
      ({ state, proof }) => state === "works" && examineProof(proof, files).named === 0,
    );
    expect(bare.map(({ row }) => row)).toEqual([]);
  });
});

describe("the reader", () => {
  const few = {
    names: new Set(["cli/main", "layers"]),
    titles: (): string[] => ["doctor", "it tells, and ends", "%s: runs", `\${n} kills under load`],
  };
  const missing = (proof: string): readonly string[] => examineProof(proof, few).missing;

  test("finds titles in a test file's source", () => {
    const source = `describe("doctor", () => {\n  test(\`\${n} "x" here\`, f); // "not this"\n  each("a \\"b\\" c", g);`;
    expect(titlesOf(source)).toEqual(["doctor", `\${n} "x" here`, 'a "b" c']);
  });

  test("takes what exists, remarks, and titles with values in them", () => {
    expect(
      missing("cli/main > it tells, and ends (a remark), doctor: runs; 12 kills under load; layers > doctor. Prose"),
    ).toEqual([]);
    expect(missing("docs/TEXT.md says so; /metrics and a/b")).toEqual([]);
    expect(examineProof("cli/main; layers > doctor, runs", few).named).toBe(4);
    expect(examineProof("by hand", few).named).toBe(0);
  });

  test("tells files and titles that do not exist", () => {
    expect(missing("cli/other > doctor")).toEqual(["cli/other"]);
    expect(missing("cli/other (remark)")).toEqual(["cli/other"]);
    expect(missing("cli/main > it tells nothing")).toEqual(["cli/main > it tells nothing"]);
  });

  test("counts the rows", () => {
    const page =
      "<!-- counts: bun scripts/status.ts -->\nold\n<!-- end of counts -->\n| 1 | a \\| b | works | x |\n| 2 | c | not yet | y |\n";
    expect(withCounts(page)).toContain("\nOf 2 rows 1 work, 0 work partly, 1 do not yet.\n<!-- end");
  });
});
