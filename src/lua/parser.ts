/**
 * Lua 5.1 text to a tree (ast.ts), with the limits and messages of Lua's own parser.
 *
 * One method for each rule of the grammar, after the Lua 5.1 Reference Manual, section 8.
 */
import type {
  BinaryOperator,
  CallExpression,
  Expression,
  FunctionBody,
  Statement,
  TableExpression,
  Target,
  Variable,
} from "./ast.ts";
import { Lexer, T, tokenText } from "./lexer.ts";
import { Scopes } from "./scope.ts";

/** Blocks and expressions inside of each other (LUAI_MAXCCALLS); the caller of the compiler has taken some. */
const LEVELS_MAX = 200;
const ASSIGNED_MAX = 200;

interface Priority {
  readonly operator: BinaryOperator | "and" | "or";
  readonly left: number;
  /** Lower than left for what is right-associative. */
  readonly right: number;
}

const UNARY_PRIORITY = 8;
const PRIORITIES = new Map<number, Priority>(
  (
    [
      [43, "+", 6, 6],
      [45, "-", 6, 6],
      [42, "*", 7, 7],
      [47, "/", 7, 7],
      [37, "%", 7, 7],
      [94, "^", 10, 9],
      [T.Concat, "..", 5, 4],
      [T.Eq, "==", 3, 3],
      [T.Ne, "~=", 3, 3],
      [60, "<", 3, 3],
      [T.Le, "<=", 3, 3],
      [62, ">", 3, 3],
      [T.Ge, ">=", 3, 3],
      [T.And, "and", 2, 2],
      [T.Or, "or", 1, 1],
    ] as const
  ).map(([token, operator, left, right]) => [token, { operator, left, right }]),
);

const OPEN = 40;
const CLOSE = 41;
const COMMA = 44;
const DOT = 46;
const COLON = 58;
const SEMICOLON = 59;
const EQUALS = 61;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const MINUS = 45;
const LENGTH = 35;

/** A chunk as a tree. */
export interface ParsedChunk {
  readonly main: FunctionBody;
  readonly variables: readonly Variable[];
  /** Whether the text mentions a name: of a global, a field or a method. */
  mentions(name: string): boolean;
}

/** Parses a chunk. Raises a LuaError with Lua's message for a text that is not Lua. `levels` are taken by the caller. */
export function parse(source: string, chunkName: string, levels: number): ParsedChunk {
  return new Parser(source, chunkName, levels).chunk();
}

class Parser {
  private readonly lexer: Lexer;
  private readonly scopes: Scopes;
  private readonly names = new Set<string>();

  constructor(
    source: string,
    chunkName: string,
    private levels: number,
  ) {
    this.lexer = new Lexer(source, chunkName);
    this.scopes = new Scopes(this.lexer);
  }

  chunk(): ParsedChunk {
    this.lexer.next();
    this.scopes.main.body = this.block();
    this.check(T.Eof);
    const names = this.names;
    return { main: this.scopes.main, variables: this.scopes.variables, mentions: (name) => names.has(name) };
  }

  // Tokens

  private check(token: number): void {
    if (this.lexer.token !== token) this.lexer.syntaxError(`'${tokenText(token)}' expected`);
  }

  private expect(token: number): void {
    this.check(token);
    this.lexer.next();
  }

  private accept(token: number): boolean {
    if (this.lexer.token !== token) return false;
    this.lexer.next();
    return true;
  }

  /** Expects the end of what `opener` began at `line`. */
  private expectMatch(token: number, opener: number, line: number): void {
    if (this.lexer.token !== token && this.lexer.line !== line) {
      this.lexer.syntaxError(`'${tokenText(token)}' expected (to close '${tokenText(opener)}' at line ${line})`);
    }
    this.expect(token);
  }

  private name(): string {
    this.check(T.Name);
    const name = this.lexer.text;
    this.lexer.next();
    return name;
  }

  private enterLevel(): void {
    if (++this.levels > LEVELS_MAX) this.lexer.fail("chunk has too many syntax levels", null);
  }

  // Statements

  private blockEnds(): boolean {
    const token = this.lexer.token;
    return token === T.Eof || token === T.End || token === T.Else || token === T.Elseif || token === T.Until;
  }

  /** Statements up to what ends a block, in the current block. */
  private block(): Statement[] {
    this.enterLevel();
    const statements: Statement[] = [];
    let isLast = false;
    while (!isLast && !this.blockEnds()) {
      const statement = this.statement();
      statements.push(statement);
      isLast = statement.type === "return" || statement.type === "break";
      this.accept(SEMICOLON);
    }
    this.levels--;
    return statements;
  }

  private ownBlock(isLoop = false): Statement[] {
    this.scopes.openBlock(isLoop);
    const statements = this.block();
    this.scopes.closeBlock();
    return statements;
  }

  private statement(): Statement {
    const line = this.lexer.line;
    switch (this.lexer.token) {
      case T.If:
        return this.ifStatement(line);
      case T.While:
        return this.whileStatement(line);
      case T.Do: {
        this.lexer.next();
        const body = this.ownBlock();
        this.expectMatch(T.End, T.Do, line);
        return { type: "do", body };
      }
      case T.For:
        return this.forStatement(line);
      case T.Repeat:
        return this.repeatStatement(line);
      case T.Function:
        return this.functionStatement(line);
      case T.Local:
        this.lexer.next();
        return this.accept(T.Function) ? this.localFunction() : this.localStatement();
      case T.Return:
        return this.returnStatement();
      case T.Break:
        this.lexer.next();
        if (!this.scopes.inLoop()) this.lexer.syntaxError("no loop to break");
        return { type: "break" };
      default:
        return this.expressionStatement();
    }
  }

  private ifStatement(line: number): Statement {
    const arms: { condition: Expression; body: Statement[] }[] = [];
    do {
      this.lexer.next();
      const condition = this.expression();
      this.expect(T.Then);
      arms.push({ condition, body: this.ownBlock() });
    } while (this.lexer.token === T.Elseif);
    const otherwise = this.accept(T.Else) ? this.ownBlock() : null;
    this.expectMatch(T.End, T.If, line);
    return { type: "if", arms, otherwise };
  }

  private whileStatement(line: number): Statement {
    this.lexer.next();
    const condition = this.expression();
    this.scopes.openBlock(true);
    this.expect(T.Do);
    const body = this.ownBlock();
    this.expectMatch(T.End, T.While, line);
    this.scopes.closeBlock();
    return { type: "while", condition, body };
  }

  private repeatStatement(line: number): Statement {
    this.scopes.openBlock(true);
    this.scopes.openBlock(false);
    this.lexer.next();
    const body = this.block();
    this.expectMatch(T.Until, T.Repeat, line);
    const condition = this.expression(); // it sees the locals of the body
    this.scopes.closeBlock();
    this.scopes.closeBlock();
    return { type: "repeat", body, condition };
  }

  private forStatement(line: number): Statement {
    this.scopes.openBlock(true);
    this.lexer.next();
    const first = this.name();
    let statement: Statement;
    if (this.lexer.token === EQUALS) statement = this.numericFor(first);
    else if (this.lexer.token === COMMA || this.lexer.token === T.In) statement = this.genericFor(first);
    else this.lexer.syntaxError("'=' or 'in' expected");
    this.expectMatch(T.End, T.For, line);
    this.scopes.closeBlock();
    this.scopes.current.hidden -= 3;
    return statement;
  }

  private numericFor(name: string): Statement {
    this.scopes.hide(3);
    const variable = this.scopes.declare(name);
    variable.sources.push("number");
    this.lexer.next();
    const start = this.expression();
    this.expect(COMMA);
    const limit = this.expression();
    const step = this.accept(COMMA) ? this.expression() : null;
    this.expect(T.Do);
    const line = this.lexer.lastLine;
    const body = this.loopBody([variable]);
    return { type: "numericFor", variable, start, limit, step, body, line };
  }

  private genericFor(first: string): Statement {
    this.scopes.hide(3);
    const variables = [this.scopes.declare(first)];
    while (this.accept(COMMA)) variables.push(this.scopes.declare(this.name()));
    for (const variable of variables) variable.sources.push(null);
    this.expect(T.In);
    const line = this.lexer.line; // that of the first value, for the calls of the iterator
    const values = this.expressions();
    this.expect(T.Do);
    return { type: "genericFor", variables, values, body: this.loopBody(variables), line };
  }

  private loopBody(variables: Variable[]): Statement[] {
    this.scopes.openBlock(false);
    this.scopes.activate(variables);
    const body = this.block();
    this.scopes.closeBlock();
    return body;
  }

  private functionStatement(line: number): Statement {
    this.lexer.next();
    let target = this.variable();
    let isMethod = false;
    while (this.lexer.token === DOT) target = this.field(target);
    if (this.lexer.token === COLON) {
      isMethod = true;
      target = this.field(target);
    }
    const body = this.functionBody(line, isMethod);
    const value: Expression = { type: "function", body };
    this.noteAssigned(target, value);
    return { type: "assign", targets: [target as Target], values: [value], line };
  }

  private localFunction(): Statement {
    const variable = this.scopes.declare(this.name());
    this.scopes.activate([variable]);
    const body = this.functionBody(this.lexer.line, false);
    variable.sources.push({ type: "function", body });
    return { type: "localFunction", variable, body };
  }

  private localStatement(): Statement {
    const variables: Variable[] = [];
    do variables.push(this.scopes.declare(this.name()));
    while (this.accept(COMMA));
    const values = this.accept(EQUALS) ? this.expressions() : [];
    for (let at = 0; at < variables.length; at++) variables[at]!.sources.push(sourceAt(values, at));
    this.scopes.activate(variables);
    return { type: "local", variables, values };
  }

  private returnStatement(): Statement {
    this.lexer.next();
    const none = this.blockEnds() || this.lexer.token === SEMICOLON;
    return { type: "return", values: none ? [] : this.expressions() };
  }

  private expressionStatement(): Statement {
    const first = this.suffixed();
    if (first.type === "call") return { type: "call", call: first };
    const targets: Target[] = [];
    let target: Expression = first;
    for (;;) {
      if (target.type !== "local" && target.type !== "global" && target.type !== "index") {
        this.lexer.syntaxError("syntax error");
      }
      targets.push(target);
      if (!this.accept(COMMA)) break;
      target = this.suffixed();
      const most = ASSIGNED_MAX - this.levels;
      if (targets.length > most) this.scopes.limit(most, "variables in assignment");
    }
    this.expect(EQUALS);
    const values = this.expressions();
    for (let at = 0; at < targets.length; at++) this.noteAssigned(targets[at]!, sourceAt(values, at));
    return { type: "assign", targets, values, line: this.lexer.lastLine };
  }

  private noteAssigned(target: Expression, source: Expression | null): void {
    if (target.type !== "local") return;
    target.variable.assigned = true;
    if (target.upvalue) target.variable.assignedInside = true;
    target.variable.sources.push(source);
  }

  // Expressions

  private expressions(): Expression[] {
    const list = [this.expression()];
    while (this.accept(COMMA)) list.push(this.expression());
    return list;
  }

  private expression(limit = 0): Expression {
    this.enterLevel();
    let left: Expression = this.operand();
    for (;;) {
      const priority = PRIORITIES.get(this.lexer.token);
      if (priority === undefined || priority.left <= limit) break;
      this.lexer.next();
      const right = this.expression(priority.right);
      const operator = priority.operator;
      if (operator === "and" || operator === "or") left = { type: operator, left, right };
      else left = { type: "binary", operator, left, right, line: this.lexer.lastLine };
    }
    this.levels--;
    return left;
  }

  private operand(): Expression {
    const token = this.lexer.token;
    if (token !== T.Not && token !== MINUS && token !== LENGTH) return this.simple();
    this.lexer.next();
    const operand = this.expression(UNARY_PRIORITY);
    const operator = token === T.Not ? "not" : token === MINUS ? "-" : "#";
    return { type: "unary", operator, operand, line: this.lexer.lastLine };
  }

  private simple(): Expression {
    const lexer = this.lexer;
    let value: Expression;
    switch (lexer.token) {
      case T.Number:
        value = { type: "number", value: lexer.number, literal: lexer.literal };
        break;
      case T.String:
        value = { type: "string", value: lexer.text, literal: lexer.literal };
        break;
      case T.Nil:
        value = { type: "nil" };
        break;
      case T.True:
        value = { type: "true" };
        break;
      case T.False:
        value = { type: "false" };
        break;
      case T.Dots:
        if (!this.scopes.current.body.isVararg) lexer.syntaxError("cannot use '...' outside a vararg function");
        this.scopes.current.body.usesDots = true;
        value = { type: "dots" };
        break;
      case OPEN_BRACE:
        return this.table();
      case T.Function: {
        lexer.next();
        return { type: "function", body: this.functionBody(lexer.line, false) };
      }
      default:
        return this.suffixed();
    }
    lexer.next();
    return value;
  }

  private variable(): Expression {
    const name = this.name();
    this.names.add(name);
    return this.scopes.resolve(name, this.lexer.lastLine);
  }

  private prefix(): Expression {
    const line = this.lexer.line;
    if (this.lexer.token === T.Name) return this.variable();
    if (this.lexer.token !== OPEN) this.lexer.syntaxError("unexpected symbol");
    this.lexer.next();
    const inner = this.expression();
    this.expectMatch(CLOSE, OPEN, line);
    return { type: "paren", inner };
  }

  /** A name or parenthesis with what follows it: fields, indexes, calls. */
  private suffixed(): Expression {
    let value = this.prefix();
    for (;;) {
      switch (this.lexer.token) {
        case DOT:
          value = this.field(value);
          break;
        case OPEN_BRACKET: {
          this.lexer.next();
          const key = this.expression();
          this.expect(CLOSE_BRACKET);
          value = { type: "index", object: value, key, line: this.lexer.lastLine };
          break;
        }
        case COLON: {
          this.lexer.next();
          const method = this.name();
          this.names.add(method);
          const methodLine = this.lexer.lastLine;
          value = this.callArguments(value, method, methodLine);
          break;
        }
        case OPEN:
        case OPEN_BRACE:
        case T.String:
          value = this.callArguments(value, null, 0);
          break;
        default:
          return value;
      }
    }
  }

  /** `.name` or `:name` after an object. */
  private field(object: Expression): Expression {
    this.lexer.next();
    const name = this.name();
    this.names.add(name);
    const key: Expression = { type: "string", value: name, literal: -1 };
    return { type: "index", object, key, line: this.lexer.lastLine };
  }

  private callArguments(callee: Expression, method: string | null, methodLine: number): CallExpression {
    const lexer = this.lexer;
    const line = lexer.line;
    let args: Expression[] = [];
    if (lexer.token === OPEN && line !== lexer.lastLine) {
      lexer.syntaxError("ambiguous syntax (function call x new statement)");
    }
    if (this.accept(OPEN)) args = this.parenthesized(line);
    else if (lexer.token === OPEN_BRACE) args = [this.table()];
    else if (lexer.token === T.String) {
      args = [{ type: "string", value: lexer.text, literal: lexer.literal }];
      lexer.next();
    } else lexer.syntaxError("function arguments expected");
    return { type: "call", callee, method, methodLine, args, line };
  }

  /** Arguments behind a parenthesis that opened at `line`. */
  private parenthesized(line: number): Expression[] {
    const args = this.lexer.token === CLOSE ? [] : this.expressions();
    this.expectMatch(CLOSE, OPEN, line);
    return args;
  }

  private table(): TableExpression {
    const lexer = this.lexer;
    const line = lexer.line;
    const fields: TableExpression["fields"] = [];
    this.expect(OPEN_BRACE);
    while (lexer.token !== CLOSE_BRACE) {
      fields.push(this.tableField());
      if (!this.accept(COMMA) && !this.accept(SEMICOLON)) break;
    }
    this.expectMatch(CLOSE_BRACE, OPEN_BRACE, line);
    return { type: "table", fields, line: lexer.lastLine };
  }

  private tableField(): TableExpression["fields"][number] {
    const lexer = this.lexer;
    let key: Expression | null = null;
    if (lexer.token === T.Name && lexer.lookAhead() === EQUALS) {
      key = { type: "string", value: this.name(), literal: -1 };
      this.expect(EQUALS);
    } else if (lexer.token === OPEN_BRACKET) {
      lexer.next();
      key = this.expression();
      this.expect(CLOSE_BRACKET);
      this.expect(EQUALS);
    }
    return { key, value: this.expression() };
  }

  private functionBody(line: number, isMethod: boolean): FunctionBody {
    const body = this.scopes.openFunction(line);
    this.expect(OPEN);
    if (isMethod) body.parameters.push(this.scopes.declare("self"));
    if (this.lexer.token !== CLOSE) this.parameters(body);
    for (const parameter of body.parameters) parameter.sources.push(null);
    this.scopes.activate(body.parameters);
    if (body.isVararg) {
      body.argument = this.scopes.declare("arg");
      body.argument.sources.push(null);
      this.scopes.activate([body.argument]);
    }
    this.expect(CLOSE);
    body.body = this.block();
    this.expectMatch(T.End, T.Function, line);
    this.scopes.closeFunction();
    return body;
  }

  private parameters(body: FunctionBody): void {
    do {
      if (this.lexer.token === T.Name) body.parameters.push(this.scopes.declare(this.name()));
      else if (this.accept(T.Dots)) body.isVararg = true;
      else this.lexer.syntaxError("<name> or '...' expected");
    } while (!body.isVararg && this.accept(COMMA));
  }
}

/** The expression that gives the value at `place` of a list of expressions; null when it is nil or one of several results. */
function sourceAt(values: readonly Expression[], place: number): Expression | null {
  const last = values.length - 1;
  if (place > last) return null;
  const value = values[place]!;
  return place === last && (value.type === "call" || value.type === "dots") ? null : value;
}

/**
 * Locals of the chunk itself that its functions assign. A host that runs a chunk once in each thread and calls its functions
 * later has such a variable once for each thread.
 */
export function changingChunkLocals(chunk: ParsedChunk): string[] {
  return chunk.variables.filter((v) => v.owner === chunk.main && v.assignedInside).map((v) => v.name);
}
