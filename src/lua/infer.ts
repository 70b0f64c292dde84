/**
 * What the compiler knows about a value before it runs: its type, and whether it is always the same.
 *
 * Only what one look at the sources of a variable shows: a local that is only ever assigned numbers is a number, and a local
 * that is never assigned after its declaration is what it was declared as.
 */
import type { Expression, Variable } from "./ast.ts";

export type Kind = "number" | "string" | "boolean" | "table" | "function" | "nil" | "any";

const ARITHMETIC = new Set(["+", "-", "*", "/", "%", "^"]);

/** Variables that hold numbers alone. */
export function numericVariables(variables: readonly Variable[]): Set<Variable> {
  const numeric = new Set(variables.filter((variable) => variable.sources.every((source) => source !== null)));
  for (let changed = true; changed; ) {
    changed = false;
    for (const variable of numeric) {
      if (variable.sources.every((source) => source === "number" || kindOf(source!, numeric) === "number")) continue;
      numeric.delete(variable);
      changed = true;
    }
  }
  return numeric;
}

/** The type that a value always has; "any" when that is not known. */
export function kindOf(expression: Expression, numeric: ReadonlySet<Variable>): Kind {
  switch (expression.type) {
    case "nil":
    case "number":
    case "string":
    case "table":
    case "function":
      return expression.type;
    case "true":
    case "false":
      return "boolean";
    case "local":
      return numeric.has(expression.variable) ? "number" : "any";
    case "paren":
      return kindOf(expression.inner, numeric);
    case "unary":
      if (expression.operator === "not") return "boolean";
      if (expression.operator === "#") return "number";
      return kindOf(expression.operand, numeric) === "number" ? "number" : "any";
    case "binary": {
      const { operator, left, right } = expression;
      if (ARITHMETIC.has(operator)) {
        return kindOf(left, numeric) === "number" && kindOf(right, numeric) === "number" ? "number" : "any";
      }
      return operator === ".." ? "any" : "boolean";
    }
    default:
      return "any";
  }
}

/** Whether computing a value can call a function whose name and position matter: anything but a call is quiet. */
export function isQuiet(expression: Expression): boolean {
  switch (expression.type) {
    case "call":
      return false;
    case "index":
      return isQuiet(expression.object) && isQuiet(expression.key);
    case "and":
    case "or":
    case "binary":
      return isQuiet(expression.left) && isQuiet(expression.right);
    case "unary":
      return isQuiet(expression.operand);
    case "paren":
      return isQuiet(expression.inner);
    case "table":
      return expression.fields.every((field) => (field.key === null || isQuiet(field.key)) && isQuiet(field.value));
    default:
      return true;
  }
}
