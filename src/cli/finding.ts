/** What a check of `ferrite doctor` has found: a fact, or a problem with what it means and the command that mends it. */
export type FindingLevel = "ok" | "info" | "warning" | "error";

export interface Finding {
  /** Short stable name: "config", "port", "data_dir" ... */
  readonly check: string;
  readonly level: FindingLevel;
  readonly text: string;
  /** Why it matters. Only of warnings and errors. */
  readonly meaning?: string;
  /** A command, or a line of the configuration, that mends it. Only of warnings and errors. */
  readonly mend?: string;
  /** Mends it, where that is safe (--fix). Throws FileFailure. */
  readonly repair?: () => void;
}

export function fine(check: string, text: string): Finding {
  return { check, level: "ok", text };
}

export function note(check: string, text: string): Finding {
  return { check, level: "info", text };
}

interface Problem {
  readonly text: string;
  readonly meaning: string;
  readonly mend: string;
  readonly repair?: () => void;
}

export function warning(check: string, problem: Problem): Finding {
  return { check, level: "warning", ...problem };
}

export function failure(check: string, problem: Problem): Finding {
  return { check, level: "error", ...problem };
}
