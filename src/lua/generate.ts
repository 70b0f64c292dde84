/**
 * A parsed chunk to JavaScript text.
 *
 * The text is the body of a function of the runtime's helpers (PARAMETERS), the chunk's constants and literals. It returns the
 * main function, whose arguments are the environment's parameters, an array of literals when some are variable, and `...`.
 *
 *   variable x of the source     x_7      its number makes it unique, and no word of JavaScript
 *   temporaries of a function    $1, $2   constants  $c0    literals that are parameters  $k3    names of the generator  $i4
 *
 * Invariants
 *   G1  a site is stored in $s.site directly before each call, when all arguments are computed
 *   G2  a function that calls or loops adds its cost to $s.depth, and takes it off before it returns or calls in tail position
 *   G3  identifiers are made of [A-Za-z0-9_$], strings are printable ASCII, and `return` is followed by an expression or `;`
 */
import type { Expression, FunctionBody, Statement, Target, Variable } from "./ast.ts";
import { FunctionContext, GeneratorContext } from "./context.ts";
import type { Environment } from "./environment.ts";
import { ExpressionGenerator, quote } from "./generate-expressions.ts";
import { isQuiet } from "./infer.ts";
import { pairsKind } from "./lib/iterate.ts";
import { DEPTH_MAX } from "./limits.ts";
import type { ParsedChunk } from "./parser.ts";
import type { Site } from "./sites.ts";

export interface GeneratedChunk {
  readonly text: string;
  readonly constants: readonly unknown[];
  readonly base: number;
  readonly sites: readonly Site[];
}

export interface GenerateOptions {
  readonly environment: Environment;
  readonly suspendable: boolean;
  readonly variableLiterals: ReadonlySet<number>;
}

export function generate(source: string, chunk: ParsedChunk, options: GenerateOptions): GeneratedChunk {
  const { environment, suspendable, variableLiterals } = options;
  const context = new GeneratorContext(source, chunk, environment, suspendable, variableLiterals);
  const text = new StatementGenerator(context).main(chunk.main);
  return { text, constants: context.constants, base: context.base, sites: context.sites };
}

/** About what a frame takes of the stack, in bytes: measured in a worker, with few and with many variables. */
const FRAME_BYTES = 180;
const VARIABLE_BYTES = 10;
/** What a suspendable function takes more: a generator, and the delegation to it. */
const GENERATOR_BYTES = 200;
/** What each value of `...` takes: it is passed to the next function, and gathered there. */
const EXTRA_BYTES = 24;

const POLL = "if (--$s.polls < 0) $poll();";

class StatementGenerator extends ExpressionGenerator {
  main(body: FunctionBody): string {
    const { context } = this;
    const literals = [...context.variableLiterals].sort((a, b) => a - b);
    const parameters = context.environment.parameters.map((name) => `$p_${name}`);
    if (literals.length > 0) parameters.unshift("$literals");
    const unpack = literals.map((literal, place) => `const $k${literal} = $literals[${place}];`).join("");
    const main = this.func(body, parameters, unpack);
    const constants = context.constants.map((_, at) => `const $c${at} = $constants[${at}];`).join("");
    return `"use strict";${constants}return ${main};`;
  }

  protected override functionValue(body: FunctionBody): string {
    return this.func(body, [], "");
  }

  private func(body: FunctionBody, hidden: readonly string[], first: string): string {
    const { context } = this;
    const outer = context.current;
    const takesRest = body.isVararg && (body.usesDots || body.argument?.used === true);
    const limited = callsOrLoops(body.body);
    const frame = FRAME_BYTES + VARIABLE_BYTES * body.variableCount + (context.suspendable ? GENERATOR_BYTES : 0);
    const isVariable = limited && takesRest;
    const own = new FunctionContext(limited, isVariable ? "$d" : String(frame));
    context.current = own;
    const parameters = [...hidden, ...body.parameters.map((parameter) => this.variableName(parameter))];
    if (takesRest) parameters.push("...$va");
    const statements = this.block(body.body);
    const variable = isVariable ? `const $d = ${frame} + ${EXTRA_BYTES} * $va.length;` : "";
    const enter = own.limited ? `if (($s.depth += ${own.cost}) > ${DEPTH_MAX}) $overflow(${own.cost}); ${POLL}` : "";
    const temporaries = Array.from({ length: own.temporaries }, (_, at) => `$${at + 1}`);
    const declare = temporaries.length > 0 ? `let ${temporaries.join(", ")};` : "";
    const argument = this.argumentTable(body);
    const last = body.body[body.body.length - 1];
    const leave = last?.type === "return" ? "" : `${this.leave()}return $NONE;`;
    context.current = outer;
    const star = context.suspendable ? "*" : "";
    const inner = `${declare}${variable}${enter}${first}${argument}${statements}${leave}`;
    const text = `function${star} (${parameters.join(", ")}) {${inner}}`;
    return context.suspendable ? `$suspendable(${text})` : `(${text})`;
  }

  /** The statement that takes the frame's cost off (G2). */
  private leave(): string {
    const { limited, cost } = this.context.current;
    return limited ? `$s.depth -= ${cost};` : "";
  }

  private argumentTable(body: FunctionBody): string {
    if (body.argument === null || !body.argument.used) return "";
    const value = body.usesDots ? "undefined" : "$argument($va)";
    return `let ${this.variableName(body.argument)} = ${value};`;
  }

  private block(statements: readonly Statement[]): string {
    let text = "";
    for (const statement of statements) text += `${this.statement(statement)}\n`;
    return text;
  }

  private statement(statement: Statement): string {
    switch (statement.type) {
      case "local":
        return this.localStatement(statement.variables, statement.values);
      case "localFunction": {
        const name = this.variableName(statement.variable);
        return `let ${name}; ${name} = ${this.func(statement.body, [], "")};`;
      }
      case "assign":
        return this.assign(statement.targets, statement.values, statement.line);
      case "call":
        return `${this.call(statement.call)};`;
      case "do":
        return `{${this.block(statement.body)}}`;
      case "while":
        return `while (${this.condition(statement.condition)}) {${POLL}${this.block(statement.body)}}`;
      case "repeat": {
        const body = this.block(statement.body);
        const last = statement.body[statement.body.length - 1]?.type;
        if (last === "return" || last === "break") return `for (;;) {${body}}`;
        return `for (;;) {${POLL}${body}if (${this.condition(statement.condition)}) break;}`;
      }
      case "if":
        return this.ifStatement(statement);
      case "numericFor":
        return this.numericFor(statement);
      case "genericFor":
        return this.genericFor(statement);
      case "return":
        return this.returnStatement(statement.values);
      case "break":
        return "break;";
    }
  }

  private ifStatement(statement: Extract<Statement, { type: "if" }>): string {
    const arms = statement.arms.map((arm) => `if (${this.condition(arm.condition)}) {${this.block(arm.body)}}`);
    const otherwise = statement.otherwise === null ? "" : ` else {${this.block(statement.otherwise)}}`;
    return arms.join(" else ") + otherwise;
  }

  // Locals and assignments

  private localStatement(variables: readonly Variable[], values: readonly Expression[]): string {
    return this.localLike(
      variables.map((variable) => this.variableName(variable)),
      values,
    );
  }

  /** Stores a list of values, of which the last has several, under the names. */
  private unpackInto(
    names: readonly string[],
    values: readonly Expression[],
    store: (name: string, value: string) => string,
  ): string {
    const single = values.slice(0, -1);
    const last = values[values.length - 1]!;
    let text = "";
    for (let at = 0; at < single.length; at++) text += store(names[at]!, this.one(single[at]!));
    let list = "$va";
    if (last.type === "call") {
      list = this.context.fresh("r");
      text += `const ${list} = $list(${this.call(last)});`;
    }
    for (let at = single.length; at < names.length; at++) text += store(names[at]!, `${list}[${at - single.length}]`);
    return text;
  }

  private assign(targets: readonly Target[], values: readonly Expression[], line: number): string {
    if (targets.length === 1 && values.length === 1) return this.assignOne(targets[0]!, values[0]!, line);
    let setup = "";
    // objects and keys first, then all values, then the stores from right to left
    const stores = targets.map((target) => {
      const [object, key] = target.type === "index" ? [target.object, target.key] : [null, null];
      const hold = (expression: Expression): string => {
        const simple = this.simple(expression);
        if (simple !== null && expression.type !== "local") return simple;
        const name = this.context.fresh("o");
        setup += `const ${name} = ${this.one(expression)};`;
        return name;
      };
      const heldObject = object === null ? "" : hold(object);
      const heldKey = key === null ? "" : hold(key);
      return (value: string): string => this.store(target, heldObject, heldKey, value, line);
    });
    const names = targets.map(() => this.context.fresh("v"));
    const last = values[values.length - 1];
    if (targets.length > values.length && this.isMultiple(last)) {
      setup += this.unpackInto(names, values, (name, value) => `const ${name} = ${value};`);
    } else {
      for (let at = 0; at < Math.max(names.length, values.length); at++) {
        const value = at < values.length ? this.one(values[at]!) : "undefined";
        setup += at < names.length ? `const ${names[at]!} = ${value};` : `${value};`;
      }
    }
    for (let at = targets.length - 1; at >= 0; at--) setup += stores[at]!(names[at]!);
    return `{${setup}}`;
  }

  private assignOne(target: Target, value: Expression, line: number): string {
    if (target.type !== "index") return this.store(target, "", "", this.one(value), line);
    if (isQuiet(value)) {
      return this.store(target, this.one(target.object), this.one(target.key), this.one(value), line);
    }
    // a variable is read when the store happens, as Lua reads its registers
    const { current } = this.context;
    let setup = "";
    let taken = 0;
    const hold = (expression: Expression): string => {
      const simple = expression === value ? this.simple(expression) : this.held(expression, value);
      if (simple !== null) return simple;
      const text = this.one(expression);
      const temporary = current.take();
      taken++;
      setup += `${temporary} = ${text};`;
      return temporary;
    };
    const object = hold(target.object);
    const key = hold(target.key);
    const held = hold(value);
    current.release(taken);
    return setup + this.store(target, object, key, held, line);
  }

  private store(target: Target, object: string, key: string, value: string, line: number): string {
    if (target.type === "local") return `${this.variableName(target.variable)} = ${value};`;
    if (target.type === "global") return `$setGlobal(${quote(target.name)}, ${value}, ${this.context.site(line)});`;
    const site = this.context.site(line, this.context.nameOf(target.object));
    if (target.key.type === "string") return `$setField(${object}, ${key}, ${value}, ${site});`;
    if (this.kind(target.key) === "number") return `$setItem(${object}, ${key}, ${value}, ${site});`;
    return `$setIndex(${object}, ${key}, ${value}, ${site});`;
  }

  // Loops

  private numericFor(loop: Extract<Statement, { type: "numericFor" }>): string {
    const { context } = this;
    const site = context.site(loop.line);
    let setup = "";
    let checks = "";
    const bound = (expression: Expression, what: string): string => {
      if (expression.type === "number") return this.one(expression);
      const name = context.fresh("f");
      setup += `let ${name} = ${this.one(expression)};`;
      if (this.kind(expression) !== "number")
        checks += `if (typeof ${name} !== "number") ${name} = $bound(${name}, "${what}", ${site});`;
      return name;
    };
    let start = bound(loop.start, "initial value");
    const limit = bound(loop.limit, "limit");
    const step = loop.step === null ? "1" : bound(loop.step, "step");
    // Lua takes a step off before the loop adds it, which can change the last digit
    const isWhole = Number.isSafeInteger(this.knownNumber(loop.start)) && step === "1";
    if (!isWhole) start = `(${start} - ${step}) + ${step}`;
    const name = this.variableName(loop.variable);
    const copied = loop.variable.captured || loop.variable.assigned;
    const counter = copied ? context.fresh("i") : name;
    let test = `${counter} <= ${limit}`;
    if (loop.step !== null && !(this.knownNumber(loop.step) > 0)) {
      test = `${step} > 0 ? ${test} : ${limit} <= ${counter}`;
    }
    const body = this.block(loop.body);
    const copy = copied ? `let ${name} = ${counter};` : "";
    return `{${setup}${checks}for (let ${counter} = ${start}; ${test}; ${counter} += ${step}) {${POLL}${copy}${body}}}`;
  }

  /** The value of a number that is written in the text and is no parameter; NaN for others. */
  private knownNumber(expression: Expression): number {
    if (expression.type !== "number" || this.context.variableLiterals.has(expression.literal)) return Number.NaN;
    return expression.value;
  }

  private genericFor(loop: Extract<Statement, { type: "genericFor" }>): string {
    const names = loop.variables.map((variable) => this.variableName(variable));
    const [first] = loop.values;
    if (loop.values.length === 1 && first?.type === "call" && first.method === null && first.args.length === 1) {
      const kind = pairsKind(this.context.constantValue(first.callee));
      const argument = first.args[0]!;
      if (kind !== null && !this.isMultiple(argument)) {
        const site = this.context.site(first.line, this.context.nameOf(first.callee));
        return this.tableFor(names, kind, this.one(argument), site, loop.body);
      }
    }
    return this.iteratorFor(names, loop);
  }

  /** A loop over pairs(t) or ipairs(t) walks the table without calls. */
  private tableFor(
    names: readonly string[],
    kind: "pairs" | "ipairs",
    argument: string,
    site: number,
    statements: readonly Statement[],
  ): string {
    const table = this.context.fresh("t");
    const at = this.context.fresh("p");
    const body = this.block(statements);
    const others = names
      .slice(2)
      .map((name) => `let ${name};`)
      .join("");
    const setup = `const ${table} = $walked(${argument}, ${site});`;
    if (kind === "pairs") {
      const value = names.length > 1 ? `let ${names[1]!} = ${table}.valueAt(${at});` : "";
      return `{${setup}for (let ${at} = -1; (${at} = ${table}.after(${at})) >= 0;) {${POLL}let ${names[0]!} = ${table}.keyAt(${at});${value}${others}${body}}}`;
    }
    const value = names.length > 1 ? names[1]! : this.context.fresh("v");
    return `{${setup}for (let ${at} = 1; ; ${at}++) {${POLL}let ${value} = ${table}.getInt(${at}); if (${value} === undefined) break; let ${names[0]!} = ${at};${others}${body}}}`;
  }

  private iteratorFor(names: readonly string[], loop: Extract<Statement, { type: "genericFor" }>): string {
    const { context } = this;
    const [iterator, invariant, control] = [context.fresh("f"), context.fresh("f"), context.fresh("f")];
    const result = context.fresh("r");
    const setup = this.localLike([iterator, invariant, control], loop.values);
    const site = context.site(loop.line, { kind: "local", name: "(for generator)" });
    const callee = `(typeof ${iterator} === "function" ? ${iterator} : $callee(${iterator}, ${context.site(loop.line)}))`;
    const step = `$s.site = ${site}; const ${result} = \n/*${site}*/${callee}(${invariant}, ${control});`;
    const rest = names.slice(1);
    const declared = rest.map((name) => `let ${name};`).join("");
    const unpacked = rest.map((name, at) => `${name} = ${result}[${at + 1}];`).join("");
    const bind = `let ${names[0]!};${declared}if (${result} instanceof $Array) {${names[0]!} = ${result}[0];${unpacked}} else ${names[0]!} = ${result};`;
    const next = `if (${names[0]!} === undefined) break; ${control} = ${names[0]!};`;
    return `{${setup}for (;;) {${POLL}${step}${bind}${next}${this.block(loop.body)}}}`;
  }

  private localLike(names: readonly string[], values: readonly Expression[]): string {
    const last = values[values.length - 1];
    if (names.length > values.length && this.isMultiple(last)) {
      return this.unpackInto(names, values, (name, value) => `let ${name} = ${value};`);
    }
    let text = "";
    for (let at = 0; at < Math.max(names.length, values.length); at++) {
      const value = at < values.length ? this.one(values[at]!) : "undefined";
      text += at < names.length ? `let ${names[at]!} = ${value};` : `${value};`;
    }
    return text;
  }

  private returnStatement(values: readonly Expression[]): string {
    const leave = this.leave();
    if (values.length === 0) return `${leave}return $NONE;`;
    const [value] = values;
    if (values.length > 1) return this.returnComputed(`[${this.elements(values).join(", ")}]`);
    if (value!.type === "call") {
      const leaving = `$s.depth -= ${this.context.current.cost}`;
      // a built-in still sees its caller
      const isBuiltin = value!.method === null && this.context.constantValue(value!.callee) !== undefined;
      if (isBuiltin) return this.returnComputed(this.call(value!));
      return `return ${this.call(value!, leaving)};`;
    }
    if (value!.type === "dots") return `${leave}return $results($va);`;
    const simple = this.simple(value!);
    return simple === null ? this.returnComputed(this.one(value!)) : `${leave}return ${simple};`;
  }

  private returnComputed(text: string): string {
    const { current } = this.context;
    const temporary = current.take();
    current.release();
    return `${temporary} = ${text}; ${this.leave()}return ${temporary};`;
  }
}

/** Whether a function calls or loops: what does neither always ends soon. */
function callsOrLoops(statements: readonly Statement[]): boolean {
  return statements.some((statement) => {
    switch (statement.type) {
      case "while":
      case "repeat":
      case "numericFor":
      case "genericFor":
      case "call":
        return true;
      case "do":
        return callsOrLoops(statement.body);
      case "if":
        return (
          statement.arms.some((arm) => !isQuiet(arm.condition) || callsOrLoops(arm.body)) ||
          (statement.otherwise !== null && callsOrLoops(statement.otherwise))
        );
      case "local":
      case "return":
        return !statement.values.every(isQuiet);
      case "assign":
        return !statement.values.every(isQuiet) || !statement.targets.every(isQuiet);
      default:
        return false;
    }
  });
}
