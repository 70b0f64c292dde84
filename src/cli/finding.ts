/** What a check of `ferrite doctor` has found. */
export type FindingLevel = "ok" | "info" | "warning" | "error";

export interface Finding {
  /** Short stable name: "config", "port", "data_dir" ... */
  readonly check: string;
  readonly level: FindingLevel;
  readonly text: string;
}
