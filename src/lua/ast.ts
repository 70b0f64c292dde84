/**
 * The tree of a chunk: statements and expressions with their variables resolved.
 *
 * Lines are those that Lua's own code generator gives the instruction that may fail.
 */

export interface Variable {
  readonly name: string;
  /** Unique in the chunk. */
  readonly id: number;
  readonly owner: FunctionBody;
  /** Assigned after its declaration. */
  assigned: boolean;
  /** Assigned by a function inside of its own. */
  assignedInside: boolean;
  /** Used by a function inside of its own. */
  captured: boolean;
  /** Whether anything refers to it. */
  used: boolean;
  /**
   * What may be stored in it: expressions that give its one value, or "number" for the variable of a numeric for. null
   * stands for anything.
   */
  readonly sources: (Expression | "number" | null)[];
}

export interface FunctionBody {
  /** Line of the word function; 0 for the chunk itself. */
  readonly line: number;
  readonly parent: FunctionBody | null;
  parameters: Variable[];
  isVararg: boolean;
  usesDots: boolean;
  /** The local `arg` of a function with `...` that never uses it (LUA_COMPAT_VARARG); null otherwise. */
  argument: Variable | null;
  body: Statement[];
  /** Locals of outer functions that it uses. */
  readonly upvalues: Set<Variable>;
  /** All its variables, those of inner blocks too. */
  variableCount: number;
}

export type Expression =
  | { type: "nil" | "true" | "false" | "dots" }
  | { type: "number"; value: number; literal: number }
  | { type: "string"; value: string; literal: number }
  | { type: "function"; body: FunctionBody }
  | { type: "local"; variable: Variable; upvalue: boolean }
  | { type: "global"; name: string; line: number }
  | { type: "index"; object: Expression; key: Expression; line: number }
  | CallExpression
  | { type: "and" | "or"; left: Expression; right: Expression }
  | { type: "binary"; operator: BinaryOperator; left: Expression; right: Expression; line: number }
  | { type: "unary"; operator: "-" | "not" | "#"; operand: Expression; line: number }
  | { type: "paren"; inner: Expression }
  | TableExpression;

export type BinaryOperator = "+" | "-" | "*" | "/" | "%" | "^" | ".." | "==" | "~=" | "<" | "<=" | ">" | ">=";

export interface CallExpression {
  type: "call";
  callee: Expression;
  /** Name of the method for o:name(); null for a plain call. */
  method: string | null;
  methodLine: number;
  args: Expression[];
  line: number;
}

export interface TableExpression {
  type: "table";
  /** In the order of the text. A key of null stands for the next position. */
  fields: { key: Expression | null; value: Expression }[];
  line: number;
}

export type Target = Extract<Expression, { type: "local" | "global" | "index" }>;

export type Statement =
  | { type: "local"; variables: Variable[]; values: Expression[] }
  | { type: "localFunction"; variable: Variable; body: FunctionBody }
  | { type: "assign"; targets: Target[]; values: Expression[]; line: number }
  | { type: "call"; call: CallExpression }
  | { type: "do"; body: Statement[] }
  | { type: "while"; condition: Expression; body: Statement[] }
  | { type: "repeat"; body: Statement[]; condition: Expression }
  | { type: "if"; arms: { condition: Expression; body: Statement[] }[]; otherwise: Statement[] | null }
  | {
      type: "numericFor";
      variable: Variable;
      start: Expression;
      limit: Expression;
      step: Expression | null;
      body: Statement[];
      line: number;
    }
  | { type: "genericFor"; variables: Variable[]; values: Expression[]; body: Statement[]; line: number }
  | { type: "return"; values: Expression[] }
  | { type: "break" };
