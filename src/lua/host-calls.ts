/**
 * What a chunk's text shows about its calls of the host: which commands they name, and which arguments are elements of a table
 * of the run. A host that locks what a script declares uses it to lock nothing else.
 *
 * Everything here is proven by one look at the text. Whatever is not plain makes the answer incomplete, never wrong:
 *
 *   - a function of the host counts when it is called by its name, or by a local that is never anything else;
 *   - an argument counts as an element of the table (KEYS) when it is KEYS[any expression], a local that is never anything
 *     else, or the value of a for loop over pairs(KEYS) or ipairs(KEYS);
 *   - KEYS is only read. A chunk that assigns to it, or passes it on, has no such arguments.
 */
import type { CallExpression, Expression, Statement, Variable } from "./ast.ts";
import type { ParsedChunk } from "./parser.ts";
import { contentsOf, everyStatement, partsOf } from "./walk.ts";

/** An argument of a call: a literal, an element of the table, all its elements, any one value, or any number of values. */
export type HostArgument =
  | { readonly kind: "literal"; readonly value: string | number }
  | { readonly kind: "element" | "elements" | "other" | "others" };

export interface HostCall {
  /** "call" or "pcall". */
  readonly name: string;
  readonly args: readonly HostArgument[];
}

export interface HostCalls {
  readonly calls: readonly HostCall[];
  /** Whether these are all calls of the host that the chunk can make. */
  readonly isComplete: boolean;
  /** The chunk makes one call at most, of `call`, and what it returns is what the chunk returns. Only if `isComplete`. */
  readonly returnsCall: boolean;
  /** Numbers of the literals that name commands: the first arguments (shape.ts). */
  readonly commandLiterals: ReadonlySet<number>;
}

export interface HostNames {
  /** Global table of the host's functions: "redis". */
  readonly table: string;
  /** Those of its functions that count. */
  readonly functions: readonly string[];
  /** Table whose elements count: "KEYS". */
  readonly elements: string;
}

/** Names that reach every global. */
const ROUTES = ["_G", "load", "loadstring"];

export function hostCalls(chunk: ParsedChunk, names: HostNames): HostCalls {
  const search = new Search(names);
  everyStatement(chunk.main.body, (statement) => search.noteLoop(statement));
  everyStatement(chunk.main.body, (statement) => search.statement(statement));
  const isComplete = !search.escapes && !ROUTES.some((name) => chunk.mentions(name));
  const calls = search.elementsChange ? search.calls.map(withoutElements) : search.calls;
  const returnsCall = isComplete && search.calls.length === 1 && search.isReturned(chunk.main.body);
  return { calls, isComplete, returnsCall, commandLiterals: search.commandLiterals };
}

function withoutElements(call: HostCall): HostCall {
  const changed: Partial<Record<HostArgument["kind"], HostArgument>> = {
    element: { kind: "other" },
    elements: { kind: "others" },
  };
  return { name: call.name, args: call.args.map((argument) => changed[argument.kind] ?? argument) };
}

class Search {
  readonly calls: HostCall[] = [];
  readonly commandLiterals = new Set<number>();
  /** Whether a function of the host, or its table, is used as a value. */
  escapes = false;
  /** Whether KEYS may change. */
  elementsChange = false;
  /** Loop variables that are elements. */
  private readonly loopElements = new Set<Variable>();

  constructor(private readonly names: HostNames) {}

  noteLoop(statement: Statement): void {
    if (statement.type !== "genericFor") return;
    const [call] = statement.values;
    const value = statement.variables[1];
    if (call === undefined || value === undefined || value.assigned || !this.isWalk(call)) return;
    this.loopElements.add(value);
  }

  /** pairs(KEYS) or ipairs(KEYS). */
  private isWalk(expression: Expression): boolean {
    return ["pairs", "ipairs"].some((name) => this.isCallWithElements(expression, name));
  }

  private isCallWithElements(expression: Expression, name: string): boolean {
    if (expression.type !== "call" || expression.method !== null || expression.args.length !== 1) return false;
    return this.isGlobal(expression.callee, name) && this.isGlobal(expression.args[0]!, this.names.elements);
  }

  /** Whether an expression always is this global: by its name, or a local that is never anything else. */
  private isGlobal(expression: Expression, name: string): boolean {
    if (expression.type === "paren") return this.isGlobal(expression.inner, name);
    if (expression.type === "global") return expression.name === name;
    const source = onlySource(expression);
    return source !== null && this.isGlobal(source, name);
  }

  /** The name of the host's function that an expression always is; null for others. */
  private hostFunction(expression: Expression): string | null {
    if (expression.type === "paren") return this.hostFunction(expression.inner);
    if (expression.type === "index") {
      if (expression.key.type !== "string" || !this.isGlobal(expression.object, this.names.table)) return null;
      return this.names.functions.includes(expression.key.value) ? expression.key.value : null;
    }
    const source = onlySource(expression);
    return source === null ? null : this.hostFunction(source);
  }

  private isElement(expression: Expression): boolean {
    if (expression.type === "paren") return this.isElement(expression.inner);
    if (expression.type === "index") return this.isGlobal(expression.object, this.names.elements);
    if (expression.type !== "local") return false;
    if (this.loopElements.has(expression.variable)) return true;
    const source = onlySource(expression);
    return source !== null && this.isElement(source);
  }

  statement(statement: Statement): void {
    if (statement.type === "assign") for (const target of statement.targets) this.target(target);
    // the declaration of a local that stands for a function or for KEYS is no use of it
    const isAlias = statement.type === "local" && statement.variables.every((variable) => !variable.assigned);
    for (const expression of contentsOf(statement).expressions) {
      if (isAlias && (this.hostFunction(expression) !== null || this.isKnownTable(expression))) continue;
      this.use(expression);
    }
  }

  private isKnownTable(expression: Expression): boolean {
    return this.isGlobal(expression, this.names.table) || this.isGlobal(expression, this.names.elements);
  }

  private target(target: Expression): void {
    if (this.isGlobal(target, this.names.elements)) this.elementsChange = true;
    if (target.type === "index" && this.isGlobal(target.object, this.names.elements)) this.elementsChange = true;
  }

  /** Looks at an expression that is used as a value. */
  private use(expression: Expression): void {
    if (this.hostFunction(expression) !== null || this.isGlobal(expression, this.names.table)) this.escapes = true;
    else if (this.isGlobal(expression, this.names.elements)) this.elementsChange = true;
    else if (expression.type === "call" && expression.method === null) this.call(expression);
    else if (expression.type === "index" && this.isKnownTable(expression.object)) this.indexed(expression);
    else if (expression.type === "unary" && expression.operator === "#" && this.isKnownTable(expression.operand))
      return;
    else for (const part of partsOf(expression)) this.use(part);
  }

  /** redis.other, redis[expression], KEYS[expression]. */
  private indexed(expression: Extract<Expression, { type: "index" }>): void {
    if (expression.key.type !== "string" && this.isGlobal(expression.object, this.names.table)) this.escapes = true;
    this.use(expression.key);
  }

  /** Whether a block returns the last call of `call` that was found. Functions inside of it do not count. */
  isReturned(block: readonly Statement[]): boolean {
    return block.some((statement) => {
      if (statement.type === "return") return statement.values.length === 1 && statement.values[0] === this.lastCall;
      return statement.type !== "localFunction" && contentsOf(statement).blocks.some((inner) => this.isReturned(inner));
    });
  }
  private lastCall: CallExpression | null = null;

  private call(call: CallExpression): void {
    const name = this.hostFunction(call.callee);
    const [command] = call.args;
    if (name !== null && command?.type === "string") this.commandLiterals.add(command.literal);
    if (name === "call") this.lastCall = call;
    if (name !== null)
      this.calls.push({ name, args: call.args.map((argument, at) => this.argument(call, argument, at)) });
    else if (this.isWalk(call) || this.isCallWithElements(call, "unpack")) return;
    else this.use(call.callee);
    for (const argument of call.args) if (!this.isCallWithElements(argument, "unpack")) this.use(argument);
  }

  private argument(call: CallExpression, argument: Expression, at: number): HostArgument {
    if (argument.type === "string" || argument.type === "number") return { kind: "literal", value: argument.value };
    if (this.isElement(argument)) return { kind: "element" };
    const isLast = at === call.args.length - 1;
    if (isLast && this.isCallWithElements(argument, "unpack")) return { kind: "elements" };
    return { kind: isLast && (argument.type === "call" || argument.type === "dots") ? "others" : "other" };
  }
}

/** The one expression that gives a local its value; null for other expressions and for locals that are assigned. */
function onlySource(expression: Expression): Expression | null {
  if (expression.type !== "local" || expression.variable.assigned) return null;
  const source = expression.variable.sources[0];
  return typeof source === "object" ? source : null;
}
