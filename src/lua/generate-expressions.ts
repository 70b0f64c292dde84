/**
 * Lua expressions to JavaScript expressions.
 *
 * Every function returns text that can stand as an argument or operand, evaluated exactly once where Lua evaluates it. Helpers
 * and their arguments are in runtime.ts.
 */
import type { CallExpression, Expression, FunctionBody, TableExpression } from "./ast.ts";
import { type GeneratorContext, SAME_OPERATORS, SLOW_OPERATORS } from "./context.ts";
import { isQuiet, type Kind, kindOf } from "./infer.ts";
import { builtinOf } from "./builtins.ts";

const OUTSIDE_TEXT = /[^\x20-\x7e]|["\\`]/g;

/** A string as a JavaScript literal of printable ASCII. */
export function quote(text: string): string {
  const plain = text.replace(OUTSIDE_TEXT, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `"${plain}"`;
}

function numberLiteral(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return Object.is(value, -0) || value < 0 ? `(${String(value)})` : String(value);
}

type Binary = Extract<Expression, { type: "binary" }>;

export abstract class ExpressionGenerator {
  constructor(protected readonly context: GeneratorContext) {}

  /** A function as a JavaScript function expression. */
  protected abstract functionValue(body: FunctionBody): string;

  protected kind(expression: Expression): Kind {
    return kindOf(expression, this.context.numeric);
  }

  /** Text that costs nothing to evaluate again; null for what must go into a temporary. */
  protected simple(expression: Expression): string | null {
    switch (expression.type) {
      case "nil":
        return "undefined";
      case "true":
      case "false":
        return expression.type;
      case "number":
      case "string": {
        if (this.context.variableLiterals.has(expression.literal)) return `$k${expression.literal}`;
        return expression.type === "number" ? numberLiteral(expression.value) : quote(expression.value);
      }
      case "local":
        return this.local(expression);
      case "paren":
        return this.simple(expression.inner);
      case "global":
      case "index":
        return this.constantText(expression);
      default:
        return null;
    }
  }

  private local(expression: Extract<Expression, { type: "local" }>): string {
    const value = this.context.constantValue(expression);
    return value === undefined ? this.variableName(expression.variable) : this.constantName(value);
  }

  protected variableName(variable: { name: string; id: number }): string {
    return `${variable.name}_${variable.id}`;
  }

  /** A global or field of the environment that never changes; null for others. */
  private constantText(expression: Expression): string | null {
    const value = this.context.constantValue(expression);
    if (value === undefined && expression.type === "global") {
      if (this.context.environment.parameters.includes(expression.name)) return `$p_${expression.name}`;
    }
    return value === undefined ? null : this.constantName(value);
  }

  private constantName(value: unknown): string {
    if (typeof value === "number") return numberLiteral(value);
    if (typeof value === "string") return quote(value);
    return typeof value === "boolean" ? String(value) : this.context.constant(value);
  }

  /** One value. */
  one(expression: Expression): string {
    const simple = this.simple(expression);
    if (simple !== null) return simple;
    switch (expression.type) {
      case "dots":
        return "$va[0]";
      case "function":
        return this.functionValue(expression.body);
      case "global":
        return `$global(${quote(expression.name)}, ${this.context.site(expression.line)})`;
      case "index":
        return this.index(expression);
      case "call":
        return this.isSingle(expression) ? this.call(expression) : `$first(${this.call(expression)})`;
      case "and":
      case "or":
        return this.logical(expression);
      case "binary":
        return this.binary(expression);
      case "unary":
        return this.unary(expression);
      case "paren":
        return this.one(expression.inner);
      case "table":
        return this.table(expression);
      default:
        throw new Error(`no form for ${expression.type}`);
    }
  }

  /** All values of a list, as elements of a JavaScript array or arguments of a call. */
  elements(list: readonly Expression[]): string[] {
    return list.map((expression, place) => {
      if (place < list.length - 1) return this.one(expression);
      if (expression.type === "dots") return "...$va";
      if (expression.type === "call" && !this.isSingle(expression)) return `...$list(${this.call(expression)})`;
      return this.one(expression);
    });
  }

  /** Whether the expression can give other than one value. */
  protected isMultiple(expression: Expression | undefined): boolean {
    if (expression === undefined) return false;
    return expression.type === "dots" || (expression.type === "call" && !this.isSingle(expression));
  }

  /** A JavaScript boolean: whether the value is neither nil nor false. */
  condition(expression: Expression): string {
    switch (expression.type) {
      case "paren":
        return this.condition(expression.inner);
      case "and":
        return `(${this.condition(expression.left)} && ${this.condition(expression.right)})`;
      case "or":
        return `(${this.condition(expression.left)} || ${this.condition(expression.right)})`;
      case "unary":
        if (expression.operator === "not") return `!${this.condition(expression.operand)}`;
        break;
    }
    if (this.kind(expression) === "boolean") return this.one(expression);
    const simple = this.simple(expression);
    if (simple !== null) return `(${simple} !== undefined && ${simple} !== false)`;
    const text = this.one(expression);
    const temporary = this.context.current.take();
    this.context.current.release();
    return `((${temporary} = ${text}) !== undefined && ${temporary} !== false)`;
  }

  private logical(expression: Extract<Expression, { type: "and" | "or" }>): string {
    const isAnd = expression.type === "and";
    if (this.kind(expression.left) === "boolean") {
      return `(${this.one(expression.left)} ${isAnd ? "&&" : "||"} ${this.one(expression.right)})`;
    }
    let left = this.simple(expression.left);
    let first = left;
    const { current } = this.context;
    if (left === null) {
      const text = this.one(expression.left);
      left = current.take();
      current.release(); // the right side is computed when it is not needed any more
      first = `(${left} = ${text})`;
    }
    const right = this.one(expression.right);
    const isFalse = `${first} === undefined || ${left} === false`;
    return isAnd ? `(${isFalse} ? ${left} : ${right})` : `(${isFalse} ? ${right} : ${left})`;
  }

  /** Whether a variable could be assigned while `later` is computed. */
  private changes(variable: Expression, later: Expression): boolean {
    return variable.type === "local" && variable.variable.assigned && variable.variable.captured && !isQuiet(later);
  }

  /**
   * Whether an operation on a local must read it after `later` is computed: Lua reads the register then. A local of an
   * outer function is copied to a register first.
   */
  protected isReadLate(variable: Expression, later: Expression): boolean {
    return this.changes(variable, later) && variable.type === "local" && !variable.upvalue;
  }

  /** Text for an operand that is used after `later` is computed; null for what must go into a temporary first. */
  protected held(expression: Expression, later: Expression): string | null {
    const inner = expression.type === "paren" ? expression.inner : expression;
    return this.changes(inner, later) && !this.isReadLate(inner, later) ? null : this.simple(expression);
  }

  private index(expression: Extract<Expression, { type: "index" }>): string {
    const object = this.one(expression.object);
    const { key } = expression;
    if (this.isReadLate(expression.object, key)) {
      const text = this.one(key);
      const held = this.context.current.take();
      this.context.current.release();
      const site = this.context.site(expression.line, this.context.nameOf(expression.object));
      return `(${held} = ${text}, $index(${object}, ${held}, ${site}))`;
    }
    const site = (): number => this.context.site(expression.line, this.context.nameOf(expression.object));
    if (key.type === "string") return `$field(${object}, ${this.one(key)}, ${site()})`;
    const keyText = this.one(key);
    if (this.kind(key) === "number") return `$item(${object}, ${keyText}, ${site()})`;
    return `$index(${object}, ${keyText}, ${site()})`;
  }

  private unary(expression: Extract<Expression, { type: "unary" }>): string {
    const { operator, operand } = expression;
    if (operator === "not") return `!${this.condition(operand)}`;
    const text = this.one(operand);
    if (operator === "-" && this.kind(operand) === "number") return `(-${text})`;
    const site = this.context.site(expression.line, this.context.nameOf(operand));
    return `${operator === "-" ? "$unm" : "$len"}(${text}, ${site})`;
  }

  private binary(expression: Binary): string {
    switch (expression.operator) {
      case "..": {
        const left = this.one(expression.left);
        const right = this.one(expression.right);
        return `$concat(${left}, ${right}, ${this.site(expression)})`;
      }
      case "==":
        return this.equal(expression.left, expression.right);
      case "~=":
        return `!${this.equal(expression.left, expression.right)}`;
      case "<":
        return this.numeric(expression, (a, b) => `${a} < ${b}`, "$lt", false);
      case "<=":
        return this.numeric(expression, (a, b) => `${a} <= ${b}`, "$le", false);
      case ">":
        return this.numeric(expression, (a, b) => `${a} > ${b}`, "$lt", true);
      case ">=":
        return this.numeric(expression, (a, b) => `${a} >= ${b}`, "$le", true);
      case "%":
        return this.numeric(expression, (a, b) => `$modulo(${a}, ${b})`, "$mod", false);
      case "^":
        return this.numeric(expression, (a, b) => `$power(${a}, ${b})`, "$pow", false);
      default: {
        const operator = SAME_OPERATORS[expression.operator]!;
        const slow = SLOW_OPERATORS[expression.operator]!;
        return this.numeric(expression, (a, b) => `${a} ${operator} ${b}`, slow, false);
      }
    }
  }

  private site(expression: Binary): number {
    return this.context.binarySite(expression.line, expression.left, expression.right);
  }

  private equal(left: Expression, right: Expression): string {
    const primitive = (kind: Kind): boolean => kind !== "any" && kind !== "table";
    const identical = primitive(this.kind(left)) || primitive(this.kind(right));
    const texts = [this.one(left), this.one(right)];
    if (this.isReadLate(left, right)) {
      const held = this.context.current.take();
      this.context.current.release();
      return `(${held} = ${texts[1]}, $eq(${texts[0]}, ${held}))`;
    }
    return identical ? `(${texts[0]} === ${texts[1]})` : `$eq(${texts[0]}, ${texts[1]})`;
  }

  /**
   * An operation that is `fast` for two numbers and otherwise the business of the helper `slow`. Operands that are variables
   * are read when the operation happens, as Lua reads its registers.
   */
  private numeric(
    expression: Binary,
    fast: (a: string, b: string) => string,
    slow: string,
    isSwapped: boolean,
  ): string {
    const { current } = this.context;
    const setup: string[] = [];
    let taken = 0;
    const operand = (side: Expression): string => {
      const simple = side === expression.left ? this.held(side, expression.right) : this.simple(side);
      if (simple !== null) return simple;
      const text = this.one(side);
      const temporary = current.take();
      taken++;
      setup.push(`${temporary} = ${text}`);
      return temporary;
    };
    const a = operand(expression.left);
    const b = operand(expression.right);
    current.release(taken);
    const checks = [expression.left, expression.right].flatMap((side, place) =>
      this.kind(side) === "number" ? [] : [`typeof ${place === 0 ? a : b} === "number"`],
    );
    setup.push(
      checks.length === 0
        ? fast(a, b)
        : `${checks.join(" && ")} ? ${fast(a, b)} : ${slow}(${isSwapped ? `${b}, ${a}` : `${a}, ${b}`}, ${this.site(expression)})`,
    );
    return `(${setup.join(", ")})`;
  }

  private table(expression: TableExpression): string {
    const { fields } = expression;
    if (fields.length === 0) return "new $Table()";
    const positional = fields.filter((field) => field.key === null).map((field) => field.value);
    if (positional.length === fields.length) return `new $Table([${this.elements(positional).join(", ")}])`;
    const site = this.context.site(expression.line);
    const pairs = fields.filter((field) => field.key !== null);
    const last = fields[fields.length - 1]!;
    const parts: string[] = [];
    for (const field of pairs.length === fields.length ? pairs : fields) {
      const isLastPositional = field === last && field.key === null;
      if (field.key !== null) parts.push(this.one(field.key), this.one(field.value));
      else if (isLastPositional && this.isMultiple(field.value))
        parts.push("$REST", `[${this.elements([field.value])}]`);
      else parts.push("$NEXT", this.one(field.value));
    }
    return `${positional.length === 0 ? "$record" : "$mixed"}([${parts.join(", ")}], ${site})`;
  }

  // Calls

  /** Whether a call always gives exactly one value. */
  protected isSingle(call: CallExpression): boolean {
    if (call.method !== null) return false;
    const callee = this.context.constantValue(call.callee);
    return typeof callee === "function" && builtinOf(callee as () => unknown)?.single === true;
  }

  /**
   * A call, giving its results in whatever form they are. `leaving` is what a call in tail position does once its arguments
   * are computed.
   */
  call(call: CallExpression, leaving = ""): string {
    const { context } = this;
    const { current } = context;
    let taken = 0;
    let setup = "";
    let callee: string;
    let self: string | null = null;
    let isBuiltin = false;
    const site = context.site(
      call.line,
      call.method === null ? context.nameOf(call.callee) : { kind: "method", name: call.method },
    );
    if (call.method !== null) {
      self = this.simple(call.callee);
      if (self === null) {
        const text = this.one(call.callee);
        self = current.take();
        taken++;
        setup = `${self} = ${text}, `;
      }
      const indexSite = context.site(call.methodLine, context.nameOf(call.callee));
      callee = `$field(${self}, ${quote(call.method)}, ${indexSite})`;
    } else {
      isBuiltin = typeof context.constantValue(call.callee) === "function";
      callee = this.one(call.callee);
    }
    if (!isBuiltin) {
      const isSimple = call.method === null && this.simple(call.callee) !== null;
      if (!isSimple) {
        const temporary = current.take();
        setup += `${temporary} = ${callee}, `;
        callee = temporary;
        current.release(); // read before the arguments are computed
      }
      callee = `(typeof ${callee} === "function" ? ${callee} : $callee(${callee}, ${site}))`;
    }
    const text = this.invoke(call, { callee, self, site, setup, leaving });
    current.release(taken);
    return text;
  }

  private invoke(
    call: CallExpression,
    parts: {
      callee: string;
      self: string | null;
      site: number;
      setup: string;
      leaving: string;
    },
  ): string {
    const { site, setup, leaving } = parts;
    let { callee } = parts;
    const args = this.elements(call.args);
    if (parts.self !== null) args.unshift(parts.self);
    // the site is stored last, because a call among the arguments stores its own
    const store = `$s.site = ${site}, ${leaving === "" ? "" : `${leaving}, `}`;
    let before = setup;
    if (call.args.every(isQuiet)) before += store;
    else {
      const { current } = this.context;
      const temporary = current.take();
      current.release();
      const last = args[args.length - 1]!;
      args[args.length - 1] = last.startsWith("...")
        ? `...(${temporary} = ${last.slice(3)}, ${store}${temporary})`
        : `(${temporary} = ${last}, ${store}${temporary})`;
    }
    // a line of its own with the site in front: that is how error() with a level finds the position of a caller
    const mark = `\n/*${site}*/`;
    if (this.context.suspendable) {
      // a call with something to do before it leaves is in tail position
      if (leaving !== "") return `(${before}${mark}$tailCall(${[callee, ...args].join(", ")}))`;
      callee = `$resumable(${callee})`;
    }
    const text = `(${before}${mark}${callee}(${args.join(", ")}))`;
    return this.context.suspendable ? this.delegated(text, mark) : text;
  }

  /** In suspendable form a call may give a generator, to which this one delegates. */
  private delegated(text: string, mark: string): string {
    const { current } = this.context;
    const temporary = current.take();
    current.release();
    const ended = `(${temporary} = yield* ${temporary}) instanceof $TailCall ? yield* $unwind(${temporary}) : ${temporary}`;
    // the frame is at yield* while it waits, which is on another line than the call when arguments have calls
    return `((${temporary} = ${text})${mark} instanceof $Generator ? ${ended} : ${temporary})`;
  }
}
