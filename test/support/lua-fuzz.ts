/**
 * Random Lua programs that always end, for comparison of our compiler with lua5.1. Every construct of the language occurs,
 * with values of right and wrong types, and most errors are caught and printed.
 *
 * A program prints through `out`, which shows tables and functions by their type alone. It never depends on the order of a
 * table's hash part, on addresses, or on # of tables with holes.
 */
import type { SeededRandom } from "./random.ts";

const PRELUDE = `local L = {} local function out(...) local s = '' for i = 1, select('#', ...) do local v = select(i, ...)
local t = type(v) if t == 'table' or t == 'function' or t == 'thread' then v = t else v = tostring(v) end s = s .. v .. ' ' end
L[#L + 1] = s end\n`;

const ARITHMETIC = ["+", "-", "*", "/", "%", "^"];
const COMPARISON = ["<", "<=", ">", ">=", "==", "~="];
const NUMBERS = ["0", "1", "2", "3", "7", "10", "0.5", "1e3", "255", "3.25", "1e15", "0x10", "1e300"];
const STRINGS = [
  "'a'",
  "'b'",
  "'x'",
  "''",
  "'10'",
  "'0x1f'",
  "' 5 '",
  "'hello'",
  '"q\\"\\n"',
  "[[long]]",
  "'\\65\\066'",
];
const FIELDS = ["a", "b", "x", "n", "call"];
const UNARY_EVENTS = ["__unm", "__call", "__tostring", "__len"];
const BINARY_EVENTS = [
  "__add",
  "__sub",
  "__mul",
  "__div",
  "__mod",
  "__pow",
  "__concat",
  "__eq",
  "__lt",
  "__le",
  "__index",
];

const DEPTH_MAX = 3;

export class LuaProgram {
  private names: string[][] = [[]];
  /** What a variable held when it was declared, when that is known. */
  private readonly kinds = new Map<string, "number" | "string" | "table" | "function">();
  private nextName = 0;
  private depth = 0;
  private inVararg = true;
  private loops = 0;
  /** Calls that a program may still contain in loops and functions, so that its time stays bounded. */
  private budget = 40;

  constructor(
    private readonly random: SeededRandom,
    /** Whether functions may yield and coroutines run. */
    private readonly coroutines: boolean,
    /** Whether globals may be assigned. */
    private readonly globals: boolean,
  ) {}

  text(): string {
    const body = this.scoped(() => {
      let text = "";
      for (let count = this.random.between(4, 12); count > 0 && this.budget > 0; count--)
        text += `${this.safeStatement()}\n`;
      return text;
    });
    const protectedBody = `out(pcall(function(...)\n${body}end, 1, 'two'))\n`;
    return `${PRELUDE}${protectedBody}return table.concat(L, '|')`;
  }

  /** What is made is inside of a function with or without `...`, and outside of loops. */
  private withDots<T>(inVararg: boolean, make: () => T): T {
    const outer = [this.inVararg, this.loops] as const;
    this.inVararg = inVararg;
    this.loops = 0;
    const made = make();
    [this.inVararg, this.loops] = outer;
    return made;
  }

  // Names

  private scoped<T>(make: () => T): T {
    this.names.push([]);
    const made = make();
    this.names.pop();
    return made;
  }

  private declare(): string {
    // short names come again, so that they hide outer ones
    const name = this.random.chance(0.3) ? this.random.pick(["v", "w", "eval", "arguments"]) : `l${this.nextName++}`;
    this.names[this.names.length - 1]!.push(name);
    return name;
  }

  private variable(): string {
    const all = this.names.flat();
    const tables = all.filter((name) => this.kinds.get(name) === "table" || this.kinds.get(name) === "function");
    if (tables.length > 0 && this.random.chance(0.4)) return this.random.pick(tables);
    if (all.length === 0 || this.random.chance(0.06)) return this.random.pick(["undefinedName", "G1", "G2", "select"]);
    return this.random.pick(all);
  }

  private line(): string {
    return this.random.chance(0.15) ? "\n" : " ";
  }

  /** A variable of a kind, or an expression that has it. */
  private typed(kind: "number" | "string" | "table" | "function"): string {
    const known = this.names.flat().filter((name) => this.kinds.get(name) === kind);
    if (known.length > 0 && this.random.chance(0.6)) return this.random.pick(known);
    this.depth++;
    const number = (): string => (this.depth > DEPTH_MAX ? this.random.pick(NUMBERS) : this.typed("number"));
    const text = (): string => (this.depth > DEPTH_MAX ? this.random.pick(STRINGS) : this.typed("string"));
    const made = {
      number: () =>
        this.random.weighted<() => string>([
          [3, () => this.random.pick(NUMBERS)],
          [4, () => `(${number()} ${this.random.pick(ARITHMETIC)} ${number()})`],
          [1, () => `(- (${number()} + 0.123))`], // a constant -0 may be merged with 0
          [1, () => `#${text()}`],
          [1, () => `(${this.expression()} and ${number()} or ${number()})`],
          [1, () => `(tonumber(${text()}) or ${number()})`],
          [1, () => `math.max(${number()}, ${number()})`],
        ])(),
      string: () =>
        this.random.weighted<() => string>([
          [3, () => this.random.pick(STRINGS)],
          [3, () => `(${text()} .. ${this.random.chance(0.5) ? number() : text()})`],
          [1, () => `tostring(${number()} ${this.random.pick(COMPARISON)} ${number()})`],
          [1, () => `string.sub(${text()}, ${this.random.pick(["1", "2", "-2"])}, ${number()})`],
          [1, () => `(${text()}):upper()`],
          [1, () => `type(${this.expression()})`],
        ])(),
      table: () => this.table(),
      function: () => `(${this.functionExpression()})`,
    }[kind]();
    this.depth--;
    return made;
  }

  /** A statement that declares something of a known kind, or whose errors are caught. */
  private safeStatement(): string {
    if (this.random.chance(0.45)) {
      const kind = this.random.pick(["number", "string", "table", "function", "table"] as const);
      const value = this.typed(kind);
      const name = `${kind[0]}${this.nextName++}`;
      this.names[this.names.length - 1]!.push(name);
      this.kinds.set(name, kind);
      return `local ${name} = ${kind === "table" && value[0] !== "{" ? "{}" : value}`;
    }
    if (this.random.chance(0.2)) return this.metatableStatement();
    if (this.random.chance(0.1)) return this.coroutines ? this.coroutineStatement() : this.counter();
    const body = this.withDots(true, () =>
      this.scoped(() => `${this.statement()}${this.line()}${this.lastStatement()}`),
    );
    return `out(pcall(function(...) ${body} end, ${this.list(1, 2)}))`;
  }

  // Expressions

  expression(): string {
    if (this.depth >= DEPTH_MAX) return this.atom();
    if (this.random.chance(0.6))
      return this.typed(this.random.pick(["number", "number", "string", "table", "function"]));
    this.depth++;
    const made = this.random.weighted<() => string>([
      [6, () => this.atom()],
      [5, () => `${this.expression()} ${this.random.pick(ARITHMETIC)} ${this.expression()}`],
      [3, () => `(${this.expression()} ${this.random.pick(ARITHMETIC)} ${this.expression()})`],
      [3, () => `${this.expression()} .. ${this.expression()}`],
      [3, () => `${this.expression()} ${this.random.pick(COMPARISON)} ${this.expression()}`],
      [2, () => `${this.expression()} and ${this.expression()}`],
      [2, () => `${this.expression()} or ${this.expression()}`],
      [2, () => `not ${this.expression()}`],
      [2, () => `- (${this.expression()} + 0.123)`],
      [1, () => `#${this.suffixed()}`],
      [6, () => this.suffixed()],
      [2, () => this.table()],
      [2, () => this.functionExpression()],
      [3, () => this.libraryCall()],
      [1, () => `(${this.expression()})`],
    ])();
    this.depth--;
    return made;
  }

  private atom(): string {
    return this.random.weighted<() => string>([
      [5, () => this.variable()],
      [4, () => this.random.pick(NUMBERS)],
      [3, () => this.random.pick(STRINGS)],
      [1, () => "nil"],
      [1, () => this.random.pick(["true", "false"])],
      [1, () => (this.inVararg ? "..." : "nil")],
    ])();
  }

  private suffixed(): string {
    const base = this.random.chance(0.85) ? this.variable() : `(${this.expression()})`;
    return this.random.weighted<() => string>([
      [4, () => `${base}.${this.random.pick(FIELDS)}`],
      [3, () => `${base}[ ${this.expression()} ]`],
      [2, () => `${base}.${this.random.pick(FIELDS)}.${this.random.pick(FIELDS)}`],
      [4, () => this.call(base)],
      [2, () => this.call(`${base}.${this.random.pick(FIELDS)}`)],
      [2, () => `${base}:${this.random.pick([...FIELDS, "len", "upper", "rep"])}(${this.list(0, 2)})`],
      [2, () => base],
    ])();
  }

  private call(callee: string): string {
    this.budget--;
    return `${callee}(${this.list(0, 3)})`;
  }

  private list(least: number, most: number): string {
    const count = this.random.between(least, most);
    return Array.from({ length: count }, () => this.expression()).join(`,${this.line()}`);
  }

  private table(): string {
    const fields = Array.from({ length: this.random.below(4) }, () =>
      this.random.weighted<() => string>([
        [4, () => this.present()],
        [3, () => `${this.random.pick(FIELDS)} = ${this.harmless()}`],
        [1, () => `[ ${this.random.pick([...STRINGS, "0.5", "-1", "true"])} ] = ${this.harmless()}`],
      ])(),
    );
    return `{${fields.join(`,${this.line()}`)}}`;
  }

  /** A value that is not nil, so that a list has no holes. */
  private present(): string {
    return `(${this.harmless()} or ${this.random.pick(NUMBERS)})`;
  }

  /** Mostly a value of a known kind, whose computation raises no error. */
  private harmless(): string {
    if (this.random.chance(0.15)) return this.expression();
    return this.typed(this.random.pick(["number", "string", "function"]));
  }

  private functionExpression(): string {
    return `function${this.functionBody()}`;
  }

  private functionBody(): string {
    const outerVararg = this.inVararg;
    const outerLoops = this.loops;
    this.loops = 0;
    const text = this.scoped(() => {
      const parameters = Array.from({ length: this.random.below(3) }, () => this.declare());
      this.inVararg = this.random.chance(0.25);
      if (this.inVararg) parameters.push("...");
      const body = this.block(this.random.between(0, 3));
      return `(${parameters.join(", ")}) ${body}${this.line()}end`;
    });
    this.inVararg = outerVararg;
    this.loops = outerLoops;
    return text;
  }

  private libraryCall(): string {
    this.budget--;
    const e = (): string => this.expression();
    const name = this.random.weighted<() => string>([
      [2, () => `tostring(${this.random.pick(["nil", "1", "'s'", "true", this.variable(), "1e15"])} == ${e()})`],
      [3, () => `tonumber(${this.list(0, 2)})`],
      [3, () => `type(${this.list(0, 1)})`],
      [3, () => `select(${this.random.pick(["'#'", "1", "2", "-1", e()])}, ${e()}, ${e()})`],
      [3, () => `pcall(${this.list(0, 3)})`],
      [2, () => `pcall(error, ${this.expression()}, ${this.random.pick(["0", "1", "'x'"])})`],
      [2, () => `rawget(${this.list(1, 2)})`],
      [2, () => `rawequal(${this.list(1, 2)})`],
      [2, () => `unpack(${this.random.chance(0.7) ? this.table() : e()})`],
      [2, () => `next(${this.random.pick(["{}", "{1}", e()])})`],
      [2, () => `math.max(${this.list(0, 3)})`],
      [2, () => `math.floor(${this.list(1, 1)})`],
      [2, () => `string.rep(${e()}, ${this.random.pick(["2", "0", "'1'", "{}"])})`],
      [2, () => `string.sub(${this.list(1, 3)})`],
      [2, () => `('%s'):format(${this.list(0, 1)})`],
      [2, () => `assert(${this.list(0, 2)})`],
      [2, () => `getmetatable(${this.variable()})`],
      [2, () => `table.concat(${this.random.pick(["{1, 2, 'x'}", this.table()])}, ${this.random.pick(STRINGS)})`],
      [2, () => `loadstring(${this.random.pick(["'return 1, 2'", "'x ='", "'return ...'", "'error(7)'"])})`],
      [
        1,
        () =>
          `xpcall(${this.functionExpression()}, ${this.random.pick(["tostring", "type", "function(m) return m, type(m) end"])})`,
      ],
    ])();
    return name;
  }

  // Statements

  private block(count: number): string {
    return this.scoped(() => {
      let text = "";
      for (let at = 0; at < count && this.budget > 0; at++) text += `${this.statement()}${this.line()}`;
      return text + this.lastStatement();
    });
  }

  private lastStatement(): string {
    if (this.names.length > 3 && this.random.chance(0.35)) {
      if (this.loops > 0 && this.random.chance(0.3)) return `break${this.line()}`;
      return this.random.chance(0.3)
        ? `return ${this.suffixed()}${this.line()}`
        : `return ${this.list(0, 3)}${this.line()}`;
    }
    return "";
  }

  private statement(): string {
    const e = (): string => this.expression();
    const deep = this.names.length > 7;
    return this.random
      .weighted<() => string>([
        [8, () => this.localStatement()],
        [5, () => `out(${this.list(1, 3)})`],
        [5, () => `out(pcall(function() ${this.withDots(false, () => this.scoped(() => this.statement()))} end))`],
        [4, () => this.assignment()],
        [2, () => `${this.target()}.${this.random.pick(FIELDS)} = ${e()}`],
        [1, () => `${this.target()}[${this.random.pick(["1", "'k'", "nil", "0/0", "0.5", "2"])}] = (${e()} or 1)`],
        [deep ? 0 : 3, () => this.ifStatement()],
        [deep ? 0 : 2, () => this.loop()],
        [deep ? 0 : 3, () => this.functionStatement()],
        [3, () => this.metatableStatement()],
        [2, () => `pcall(${this.list(1, 2)})`],
        [1, () => `error(${this.random.pick([e, () => `${e()}, ${this.random.pick(["0", "1", "2"])}`])()}) `],
        [1, () => `do ${this.block(2)}end`],
        [2, () => this.call(this.variable())],
        [this.coroutines ? 6 : 0, () => this.coroutineStatement()],
        [this.globals ? 2 : 0, () => `${this.random.pick(["G1", "G2"])} = ${e()}`],
        [1, () => this.counter()],
      ])()
      .concat(this.random.chance(0.1) ? ";" : "");
  }

  private localStatement(): string {
    const values = this.list(0, 3);
    const count = this.random.between(1, 3);
    const names = Array.from({ length: count }, () => this.declare());
    return values === "" ? `local ${names.join(", ")}` : `local ${names.join(", ")} = ${values}`;
  }

  /** A variable that may be assigned, or whose fields may be. */
  private target(): string {
    const all = this.names.flat();
    return all.length > 0 ? this.random.pick(all) : "G1";
  }

  private assignment(): string {
    const targets = Array.from({ length: this.random.between(1, 3) }, () => {
      const name = this.target();
      if (this.random.chance(0.6)) return name === "G1" && !this.globals ? "L.x" : name;
      return `${name}.${this.random.pick(FIELDS)}`;
    });
    return `${targets.join(", ")} = ${this.list(1, 3)}`;
  }

  private ifStatement(): string {
    let text = `if ${this.expression()} then ${this.block(2)}`;
    if (this.random.chance(0.3)) text += `elseif ${this.expression()} then ${this.block(2)}`;
    if (this.random.chance(0.5)) text += `else ${this.block(2)}`;
    return `${text}end`;
  }

  private loop(): string {
    this.loops++;
    this.budget -= 4;
    const text = this.random.weighted<() => string>([
      [
        4,
        () => {
          const bounds = this.random.pick([
            "1, 3",
            "3, 1, -1",
            "0.5, 2.5, 0.5",
            "'1', 2",
            "1, 0",
            `1, ${this.atom()}`,
            "1, 2, 0.3",
          ]);
          return this.scoped(() => {
            const end = bounds.includes("e") || bounds.includes("l") || bounds.includes("5,") ? "" : "";
            const count = this.declare();
            return `for ${count} = ${this.limited(bounds)} do ${this.block(2)}end${end}`;
          });
        },
      ],
      [3, () => this.iteratorLoop()],
      [2, () => this.scoped(() => `do local c = 0 while c < 3 do c = c + 1 ${this.block(2)}end end`)],
      [2, () => this.scoped(() => `do local c = 0 repeat local d = c c = c + 1 ${this.openBlock()} until d >= 2 end`)],
    ])();
    this.loops--;
    return text;
  }

  /** Bounds whose limit is not large: an atom could be 1e300. */
  private limited(bounds: string): string {
    return /1e|255|0x|ll|[vw]|\bl\d|hello|arg|G|select|unde|\.\.\./.test(bounds) ? "1, 2" : bounds;
  }

  /** Statements without a last one, for a body that goes on. */
  private openBlock(): string {
    return `${this.statement()} `;
  }

  private iteratorLoop(): string {
    const source = this.random.weighted<() => string>([
      [3, () => `ipairs(${this.random.chance(0.8) ? `{${this.present()}, ${this.present()}}` : this.expression()})`],
      [
        3,
        () =>
          `pairs(${this.random.chance(0.8) ? `{${this.present()}, ${this.present()}}` : this.variable().replace("L", "{}").replace("select", "{}")})`,
      ],
      [1, () => "next, {5, 6}"],
      [2, () => "(function(n) return function(_, i) if i < n then return i + 1, 'it' end end, nil, 0 end)(3)"],
      [1, () => `${this.random.pick(["5", "nil", "{}", "'s'"])}`],
    ])();
    return this.scoped(() => {
      const names = Array.from({ length: this.random.between(1, 3) }, () => this.declare());
      // only an array is walked in the same order on both sides
      const uses = source.startsWith("pairs") && !source.startsWith("pairs({") ? "" : `out(${names.join(", ")}) `;
      const body = source.startsWith("pairs") && !source.startsWith("pairs({") ? "" : this.block(2);
      return `for ${names.join(", ")} in ${source} do ${uses}${body}end`;
    });
  }

  private functionStatement(): string {
    const kind = this.random.below(3);
    if (kind === 0) {
      // the name is known inside, but the budget of calls keeps recursion out: it is declared after its body is made
      const body = this.functionBody();
      const name = this.declare();
      return `local function ${name}${body}`;
    }
    const name = this.target();
    return kind === 1
      ? `function ${name}.${this.random.pick(FIELDS)}${this.functionBody()}`
      : `function ${name}:call${this.functionBody()}`;
  }

  private metatableStatement(): string {
    const handlers = Array.from({ length: this.random.between(1, 3) }, () => {
      if (this.random.chance(0.25))
        return `${this.random.pick(UNARY_EVENTS)} = function(a) return ${this.scalar()} end`;
      if (this.random.chance(0.2))
        return `__newindex = ${this.random.pick(["function(t, k, v) rawset(t, k, 'set') end", "{}"])}`;
      if (this.random.chance(0.2)) return `__index = ${this.random.pick(["{a = 1, b = 'two'}", "'str'", "5"])}`;
      return `${this.random.pick(BINARY_EVENTS)} = function(a, b) ${this.random.chance(0.3) ? "out(type(a), type(b))" : ""} return ${this.scalar()} end`;
    });
    const table = `setmetatable(${this.table()}, {${handlers.join(", ")}})`;
    return `local ${this.declare()} = ${table}`;
  }

  private scalar(): string {
    return this.random.pick([...NUMBERS, ...STRINGS, "nil", "true", "b", "a", "1, 2"]);
  }

  private coroutineStatement(): string {
    const e = (): string => this.expression();
    const yields = (): string =>
      this.withDots(true, () =>
        this.random.pick([
          () => `local y = coroutine.yield(${this.list(0, 2)}) out(y)`,
          () => `for i = 1, 2 do coroutine.yield(i, ${e()}) end`,
          () => `out(pcall(coroutine.yield, ${e()}))`,
          () => `local function inner(x) return coroutine.yield(x) end out(inner(${e()}))`,
          () => `return coroutine.yield(${e()})`,
          () => this.scoped(() => this.statement()),
        ])(),
      );
    const body = `function(...) do ${yields()} end do ${yields()} end ${this.random.chance(0.3) ? `return ${this.withDots(true, e)}` : ""} end`;
    this.budget -= 4;
    if (this.random.chance(0.4)) {
      const name = this.declare();
      return `local ${name} = coroutine.wrap(${body}) out(pcall(${name}, ${e()})) out(pcall(${name}))`;
    }
    const name = this.declare();
    const resume = (): string => `out(coroutine.resume(${name}, ${e()})) out(coroutine.status(${name}))`;
    return `local ${name} = coroutine.create(${body}) ${resume()} ${resume()} out(coroutine.running() == ${name})`;
  }

  private counter(): string {
    const name = this.declare();
    return `local ${name} = (function() local n = 0 return function(d) n = n + (d or 1) return n end end)() out(${name}(), ${name}(2), ${name}('3'))`;
  }
}
