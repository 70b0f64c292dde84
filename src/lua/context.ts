/**
 * What the generator keeps while it writes the JavaScript of one chunk: sites, constants, and the temporaries of functions.
 */
import type { BinaryOperator, Expression, Variable } from "./ast.ts";
import type { Environment } from "./environment.ts";
import { numericVariables } from "./infer.ts";
import type { ParsedChunk } from "./parser.ts";
import { type NameKind, reserveSites, type Site } from "./sites.ts";
import { LuaTable } from "./value.ts";

/** More sites than any text has: each takes at least one character. */
const siteCount = (source: string): number => source.length + 16;

const NOT_CONSTANT = Symbol("not a constant");

/** Names of operands, for error messages. */
export interface Named {
  readonly kind: NameKind;
  readonly name: string;
}
const UNNAMED: Named = { kind: "", name: "" };

/** A function that is being written. */
export class FunctionContext {
  private live = 0;
  /** Temporaries that it needs. */
  temporaries = 0;

  constructor(
    /** Whether it calls or loops, so that it takes part in limits. */
    readonly limited: boolean,
    /** What its frame adds to state.depth: a number, or the variable that has it. */
    readonly cost: string,
  ) {}

  take(): string {
    this.live++;
    if (this.live > this.temporaries) this.temporaries = this.live;
    return `$${this.live}`;
  }

  release(count = 1): void {
    this.live -= count;
  }
}

export class GeneratorContext {
  readonly base: number;
  readonly sites: Site[] = [];
  /** Values that the text refers to as c0, c1, ...: functions and tables of the environment. */
  readonly constants: unknown[] = [];
  readonly numeric: ReadonlySet<Variable>;
  private readonly known = new Map<Variable, unknown>();
  private names = 0;
  current!: FunctionContext;

  constructor(
    source: string,
    readonly chunk: ParsedChunk,
    readonly environment: Environment,
    /** Whether functions are generators that a coroutine can suspend. */
    readonly suspendable: boolean,
    /** Numbers of the literals that are parameters of the code. */
    readonly variableLiterals: ReadonlySet<number>,
  ) {
    this.base = reserveSites(siteCount(source));
    this.numeric = numericVariables(chunk.variables);
  }

  site(line: number, first: Named = UNNAMED, second: Named = UNNAMED): number {
    this.sites.push({
      line,
      kind: first.kind,
      name: first.name,
      secondKind: second.kind,
      secondName: second.name,
    });
    return this.base + this.sites.length - 1;
  }

  /** A name in the generated text that nothing else has. */
  fresh(prefix: string): string {
    return `$${prefix}${++this.names}`;
  }

  /** The name of a constant in the generated text. */
  constant(value: unknown): string {
    let at = this.constants.indexOf(value);
    if (at < 0) at = this.constants.push(value) - 1;
    return `$c${at}`;
  }

  /** How the text names an operand, as Lua's debug information would tell. */
  nameOf(expression: Expression): Named {
    switch (expression.type) {
      case "local":
        return { kind: expression.upvalue ? "upvalue" : "local", name: expression.variable.name };
      case "global":
        return { kind: "global", name: expression.name };
      case "index":
        return { kind: "field", name: expression.key.type === "string" ? expression.key.value : "?" };
      case "paren":
        return this.nameOf(expression.inner);
      default:
        return UNNAMED;
    }
  }

  binarySite(line: number, left: Expression, right: Expression): number {
    return this.site(line, this.nameOf(left), this.nameOf(right));
  }

  /** The value that an expression of the environment always has: a function or table of a library; undefined otherwise. */
  constantValue(expression: Expression): unknown {
    const value = this.evaluate(expression);
    return value === NOT_CONSTANT ? undefined : value;
  }

  private evaluate(expression: Expression): unknown {
    switch (expression.type) {
      case "global": {
        const { globals, parameters, changing } = this.environment;
        const { name } = expression;
        if (!globals.frozen || parameters.includes(name) || changing.includes(name)) return NOT_CONSTANT;
        return globals.getStr(name) ?? NOT_CONSTANT;
      }
      case "index": {
        if (expression.key.type !== "string" || this.variableLiterals.has(expression.key.literal)) return NOT_CONSTANT;
        const table = this.evaluate(expression.object);
        if (!(table instanceof LuaTable) || !table.frozen || table === this.environment.globals) return NOT_CONSTANT;
        return table.getStr(expression.key.value) ?? NOT_CONSTANT;
      }
      case "paren":
        return this.evaluate(expression.inner);
      case "local":
        return this.evaluateVariable(expression.variable);
      default:
        return NOT_CONSTANT;
    }
  }

  private evaluateVariable(variable: Variable): unknown {
    const source = variable.sources[0];
    if (variable.assigned || typeof source !== "object" || source === null) return NOT_CONSTANT;
    let value = this.known.get(variable);
    if (value === undefined) {
      value = this.evaluate(source);
      this.known.set(variable, value);
    }
    return value;
  }
}

/** The JavaScript operator of a Lua operator on numbers that is the same in both. */
export const SAME_OPERATORS: Partial<Record<BinaryOperator, string>> = { "+": "+", "-": "-", "*": "*", "/": "/" };

/** Helpers of the runtime for operands that are no numbers. */
export const SLOW_OPERATORS: Partial<Record<BinaryOperator, string>> = {
  "+": "$add",
  "-": "$sub",
  "*": "$mul",
  "/": "$div",
  "%": "$mod",
  "^": "$pow",
};
