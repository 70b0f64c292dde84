/**
 * Functions and blocks while they are parsed: which name means which variable, and Lua's limits on their number.
 */
import type { Expression, FunctionBody, Variable } from "./ast.ts";
import type { Lexer } from "./lexer.ts";

const LOCALS_MAX = 200;
const UPVALUES_MAX = 60;

interface Block {
  /** Variables of the function that were active when the block began. */
  readonly from: number;
  readonly isLoop: boolean;
}

export class FunctionScope {
  /** Variables that names can refer to now, inner ones last. */
  readonly active: Variable[] = [];
  /** Declared, but not active before the statement's end. */
  pending = 0;
  readonly blocks: Block[] = [];
  /** Registers of active variables without names, those of for loops. */
  hidden = 0;

  constructor(
    readonly body: FunctionBody,
    readonly outer: FunctionScope | null,
  ) {}
}

export class Scopes {
  current: FunctionScope;
  private ids = 0;
  readonly main: FunctionBody;
  /** Every variable of the chunk. */
  readonly variables: Variable[] = [];

  constructor(private readonly lexer: Lexer) {
    this.main = newBody(0, null);
    this.main.isVararg = true;
    this.current = new FunctionScope(this.main, null);
  }

  openFunction(line: number): FunctionBody {
    const body = newBody(line, this.current.body);
    this.current = new FunctionScope(body, this.current);
    return body;
  }

  closeFunction(): void {
    this.current = this.current.outer!;
  }

  openBlock(isLoop: boolean): void {
    this.current.blocks.push({ from: this.current.active.length, isLoop });
  }

  closeBlock(): void {
    this.current.active.length = this.current.blocks.pop()!.from;
  }

  inLoop(): boolean {
    return this.current.blocks.some((block) => block.isLoop);
  }

  /** Declares a variable that activate() makes visible. */
  declare(name: string): Variable {
    const scope = this.current;
    scope.pending++;
    const count = scope.active.length + scope.hidden + scope.pending;
    if (count > LOCALS_MAX) this.limit(LOCALS_MAX, "local variables");
    const variable: Variable = {
      name,
      id: ++this.ids,
      owner: scope.body,
      assigned: false,
      assignedInside: false,
      captured: false,
      used: false,
      sources: [],
    };
    scope.body.variableCount++;
    this.variables.push(variable);
    return variable;
  }

  activate(variables: readonly Variable[]): void {
    this.current.active.push(...variables);
    this.current.pending -= variables.length;
  }

  /** Registers without names that a for loop takes. */
  hide(count: number): void {
    this.current.hidden += count;
    if (this.current.active.length + this.current.hidden > LOCALS_MAX) this.limit(LOCALS_MAX, "local variables");
  }

  /** The variable that a name means here: a local, a local of an outer function, or a global. */
  resolve(name: string, line: number): Expression {
    for (let scope: FunctionScope | null = this.current; scope !== null; scope = scope.outer) {
      for (let at = scope.active.length - 1; at >= 0; at--) {
        const variable = scope.active[at]!;
        if (variable.name !== name) continue;
        variable.used = true;
        const upvalue = scope !== this.current;
        if (upvalue) this.capture(variable, scope);
        return { type: "local", variable, upvalue };
      }
    }
    return { type: "global", name, line };
  }

  /** Notes that all functions from the current one out to `owner` use the variable. */
  private capture(variable: Variable, owner: FunctionScope): void {
    variable.captured = true;
    const between: FunctionScope[] = [];
    for (let scope = this.current; scope !== owner; scope = scope.outer!) between.push(scope);
    for (const scope of between.reverse()) {
      const upvalues = scope.body.upvalues;
      if (upvalues.has(variable)) continue;
      if (upvalues.size >= UPVALUES_MAX) this.limit(UPVALUES_MAX, "upvalues", scope.body);
      upvalues.add(variable);
    }
  }

  limit(most: number, what: string, body = this.current.body): never {
    const whose = body.line === 0 ? "main function" : `function at line ${body.line}`;
    this.lexer.fail(`${whose} has more than ${most} ${what}`, null);
  }
}

function newBody(line: number, parent: FunctionBody | null): FunctionBody {
  return {
    line,
    parent,
    parameters: [],
    isVararg: false,
    usesDots: false,
    argument: null,
    body: [],
    upvalues: new Set(),
    variableCount: 0,
  };
}
