/**
 * As much of Helm's templates as our chart uses: if, else, define, include, variables, pipelines, and a few functions. It takes
 * nothing else, so a chart that needs more fails here.
 */
import { createHash } from "node:crypto";

type Scope = Map<string, unknown>;
interface Block {
  readonly kind: "text" | "action" | "if";
  readonly text: string;
  /** Of an if: each condition with its body; the last may be "" for else. */
  readonly branches: { condition: string; body: Block[] }[];
}

/** The chart has called `fail` or `required`. */
export class ChartFailed extends Error {}

export class Chart {
  private readonly defined = new Map<string, Block[]>();

  constructor(private readonly root: unknown) {}

  /** Renders a template. Its definitions stay for the next ones. */
  render(source: string): string {
    const words = source
      .replace(/\s*\{\{-/g, "{{")
      .replace(/-\}\}\s*/g, "}}")
      .split(/\{\{(.*?)\}\}/s);
    const tokens = words.map((text, n) => ({ isAction: n % 2 === 1, text: n % 2 === 1 ? text.trim() : text }));
    return this.run(this.parse(tokens.values(), false).body, new Map());
  }

  private parse(
    tokens: IterableIterator<{ isAction: boolean; text: string }>,
    isInner: boolean,
  ): { body: Block[]; end: string } {
    const body: Block[] = [];
    for (let next = tokens.next(); !next.done; next = tokens.next()) {
      const { isAction, text } = next.value;
      if (!isAction) body.push({ kind: "text", text, branches: [] });
      else if (text === "end" || /^else\b/.test(text)) return { body, end: text };
      else if (text.startsWith("if ")) body.push(this.parseIf(tokens, text.slice(3)));
      else if (text.startsWith("define ")) this.defined.set(JSON.parse(text.slice(7)), this.parse(tokens, true).body);
      else if (/^(range|with|template|block)\b/.test(text)) throw new Error(`${text}: not taken`);
      else body.push({ kind: "action", text, branches: [] });
    }
    if (isInner) throw new Error("an end is missing");
    return { body, end: "" };
  }

  private parseIf(tokens: IterableIterator<{ isAction: boolean; text: string }>, first: string): Block {
    const branches: Block["branches"] = [];
    for (let condition = first; ; ) {
      const { body, end } = this.parse(tokens, true);
      branches.push({ condition, body });
      if (end === "end") return { kind: "if", text: "", branches };
      condition = end.replace(/^else\s*(if\s+)?/, "");
    }
  }

  private run(body: readonly Block[], scope: Scope): string {
    let out = "";
    for (const { kind, text, branches } of body) {
      if (kind === "text") out += text;
      else if (kind === "action") out += this.action(text, scope);
      else {
        const taken = branches.find(({ condition }) => condition === "" || isTrue(this.value(condition, scope)));
        if (taken !== undefined) out += this.run(taken.body, scope);
      }
    }
    return out;
  }

  private action(text: string, scope: Scope): string {
    const assigned = /^(\$\w+) := (.*)$/s.exec(text);
    if (assigned === null) return String(this.value(text, scope) ?? "");
    scope.set(assigned[1]!, this.value(assigned[2]!, scope));
    return "";
  }

  /** The value of a pipeline. */
  private value(text: string, scope: Scope): unknown {
    const words = text.match(/"(?:[^"\\]|\\.)*"|[()|]|[^\s()|]+/g) ?? [];
    let at = 0;
    const operand = (): unknown => {
      const word = words[at++]!;
      if (word !== "(") return this.simple(word, scope);
      const inner = pipeline();
      at++; // the closing parenthesis
      return inner;
    };
    const call = (piped: readonly unknown[]): unknown => {
      const name = words[at]!;
      if (name === "(" || !/^[a-zA-Z]\w*$/.test(name)) return operand();
      at++;
      const given: unknown[] = [];
      while (at < words.length && words[at] !== "|" && words[at] !== ")") given.push(operand());
      return this.apply(name, [...given, ...piped]);
    };
    const pipeline = (): unknown => {
      let result = call([]);
      while (words[at] === "|") {
        at++;
        result = call([result]);
      }
      return result;
    };
    const result = pipeline();
    if (at !== words.length) throw new Error(`${text}: not understood`);
    return result;
  }

  private simple(word: string, scope: Scope): unknown {
    if (word.startsWith('"')) return JSON.parse(word);
    if (/^\d+$/.test(word)) return Number(word);
    if (word === ".") return this.root;
    const [head = "", ...path] = word.split(".");
    if (head !== "" && !scope.has(head)) throw new Error(`${word}: not known`);
    return path.reduce<unknown>(
      (from, name) => {
        if (typeof from !== "object" || from === null || !(name in from)) throw new Error(`${word}: no such value`);
        return (from as Record<string, unknown>)[name];
      },
      head === "" ? this.root : scope.get(head),
    );
  }

  private apply(name: string, args: unknown[]): unknown {
    const [first, second] = args as [never, never];
    if (name === "include") return this.run(this.defined.get(first)!, new Map());
    const known = FUNCTIONS[name];
    if (known === undefined) throw new Error(`${name}: no such function`);
    return known(first, second, ...args.slice(2));
  }
}

const indented = (width: number, text: string): string => text.replace(/^(?=.)/gm, " ".repeat(width));

const FUNCTIONS: Readonly<Record<string, (first: never, second: never, ...rest: unknown[]) => unknown>> = {
  and: (a, b) => (isTrue(a) ? b : a),
  b64enc: (text: string) => Buffer.from(text).toString("base64"),
  contains: (part: string, text: string) => text.includes(part),
  default: (otherwise, value) => (isTrue(value) ? value : otherwise),
  fail: (text: string) => {
    throw new ChartFailed(text);
  },
  index: (from: Record<string, unknown>, key: string) => from[key],
  // Nothing is there: the first installation.
  lookup: () => null,
  ne: (a, b) => a !== b,
  nindent: (width: number, text: string) => `\n${indented(width, text)}`,
  not: (value) => !isTrue(value),
  omit: (from: Record<string, unknown>, key: string) =>
    Object.fromEntries(Object.entries(from).filter(([name]) => name !== key)),
  printf: (format: string, second, ...rest) => {
    const values = [second, ...rest];
    return format.replace(/%s/g, () => String(values.shift()));
  },
  quote: (value) => JSON.stringify(String(value)),
  randAlphaNum: (length: number) => "r".repeat(length),
  required: (text: string, value) => {
    if (!isTrue(value)) throw new ChartFailed(text);
    return value;
  },
  sha256sum: (text: string) => createHash("sha256").update(text).digest("hex"),
  toYaml: (value) => Bun.YAML.stringify(value, null, 2)?.trimEnd(),
  trimSuffix: (suffix: string, text: string) => (text.endsWith(suffix) ? text.slice(0, -suffix.length) : text),
  trunc: (length: number, text: string) => text.slice(0, length),
};

/** As Go's templates see it: zero, "", false, null and what is empty are false. */
function isTrue(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}
