/**
 * Named steps of persistence at which a test has the process kill itself: FERRITE_KILL_AT=<step>, or <step>:<n> for the n-th
 * time that a thread gets there. FERRITE_HOLD_AT=<step>:<path> has the thread wait there while the file exists. Only under
 * FERRITE_CHECKS=1; otherwise a step costs two comparisons. FERRITE_FAULT=<fault> has something fail once.
 */
import { existsSync } from "node:fs";
import { CHECKS } from "./assert.ts";

export const KILL_STEPS = [
  /** The append-only file: a batch is written and not synced; it is synced. */
  "aof-written",
  "aof-synced",
  /** A rewrite: the base is written; the tail is copied; the new file has the name; its directory is synced. */
  "rewrite-base",
  "rewrite-tail",
  "rewrite-renamed",
  "rewrite-directory",
  /** A file that replaces another: it is synced; it has the name; its directory is synced. */
  "file-synced",
  "file-renamed",
  "file-directory",
  /** A checkpoint: half of it is written; the RDB file is made; it is complete but for its name; it has the name. */
  "checkpoint-half",
  "checkpoint-published",
  "checkpoint-unnamed",
  "checkpoint-named",
  /** Between the two renames of `latest`; before older ones go; when the first file of an older one is gone. */
  "latest-gone",
  "checkpoint-prune",
  "checkpoint-half-removed",
  /** Recovery: the torn end is cut off; the ring's bytes are appended; the new ring is made. */
  "recovery-cut",
  "recovery-appended",
  "recovery-ring",
  /** A base that refers to segment files: the base and its manifest are written. */
  "references-written",
  /** A stop image: it is complete but for its name; it has the name. The next start has it in place; it is removed. */
  "image-written",
  "image-named",
  "image-used",
  "image-removed",
] as const;
export type KillStep = (typeof KILL_STEPS)[number];
/** A part of a whole that several workers apply finds no memory (server/replica-apply.ts). */
export type Fault = "part-torn";

const [wanted = "", hits = "1"] = CHECKS ? (process.env["FERRITE_KILL_AT"] ?? "").split(":") : [];
let left = Number(hits);

const [held = "", path = ""] = CHECKS ? (process.env["FERRITE_HOLD_AT"] ?? "").split(":") : [];
const HOLD_MS = 5;
const HOLDS_MAX = 12_000;

function hold(): void {
  const word = new Int32Array(new SharedArrayBuffer(4));
  for (let holds = 0; holds < HOLDS_MAX && existsSync(path); holds++) Atomics.wait(word, 0, 0, HOLD_MS);
}

let fault = CHECKS ? (process.env["FERRITE_FAULT"] ?? "") : "";

/** True once, for the fault that FERRITE_FAULT names: what the world seldom does and a test needs. */
export function fails(name: Fault): boolean {
  if (name !== fault) return false;
  fault = "";
  return true;
}

/** A step is reached. */
export function reached(step: KillStep): void {
  if (step === held) hold();
  if (step !== wanted || --left > 0) return;
  process.kill(process.pid, "SIGKILL");
}
