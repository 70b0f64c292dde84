/** The parts of a tree, for whoever looks through a whole chunk. */
import type { Expression, Statement } from "./ast.ts";

/** The expressions directly inside of an expression, without those of a function's body. */
export function partsOf(expression: Expression): readonly Expression[] {
  switch (expression.type) {
    case "index":
      return [expression.object, expression.key];
    case "call":
      return [expression.callee, ...expression.args];
    case "and":
    case "or":
    case "binary":
      return [expression.left, expression.right];
    case "unary":
      return [expression.operand];
    case "paren":
      return [expression.inner];
    case "table":
      return expression.fields.flatMap((field) => (field.key === null ? [field.value] : [field.key, field.value]));
    default:
      return [];
  }
}

/** The expressions of a statement, and the blocks inside of it. */
export function contentsOf(statement: Statement): {
  expressions: readonly Expression[];
  blocks: readonly (readonly Statement[])[];
} {
  switch (statement.type) {
    case "local":
    case "return":
      return { expressions: statement.values, blocks: [] };
    case "localFunction":
      return { expressions: [], blocks: [statement.body.body] };
    case "assign":
      return { expressions: [...statement.targets, ...statement.values], blocks: [] };
    case "call":
      return { expressions: [statement.call], blocks: [] };
    case "do":
      return { expressions: [], blocks: [statement.body] };
    case "while":
    case "repeat":
      return { expressions: [statement.condition], blocks: [statement.body] };
    case "if": {
      const blocks = statement.arms.map((arm) => arm.body);
      if (statement.otherwise !== null) blocks.push(statement.otherwise);
      return { expressions: statement.arms.map((arm) => arm.condition), blocks };
    }
    case "numericFor": {
      const { start, limit, step } = statement;
      return { expressions: step === null ? [start, limit] : [start, limit, step], blocks: [statement.body] };
    }
    case "genericFor":
      return { expressions: statement.values, blocks: [statement.body] };
    default:
      return { expressions: [], blocks: [] };
  }
}

/** Calls `seen` for every statement of a block and of all blocks and functions inside of it. */
export function everyStatement(block: readonly Statement[], seen: (statement: Statement) => void): void {
  for (const statement of block) {
    seen(statement);
    const { expressions, blocks } = contentsOf(statement);
    for (const inner of blocks) everyStatement(inner, seen);
    for (const expression of expressions) everyFunction(expression, (body) => everyStatement(body, seen));
  }
}

function everyFunction(expression: Expression, seen: (body: readonly Statement[]) => void): void {
  if (expression.type === "function") seen(expression.body.body);
  for (const part of partsOf(expression)) everyFunction(part, seen);
}
