/** Switches that DEBUG sets for all threads at once: bits of one word of the control block. */
import { type Control, DEBUG_SWITCHES_AT } from "./control.ts";

export const DebugSwitch = {
  /** RESTORE accepts payloads whose version or checksum is wrong. */
  SkipsChecksums: 1,
  /** No background work: no key expires on its own, nothing is sampled, no client times out. */
  PausesCron: 2,
} as const;
export type DebugSwitch = (typeof DebugSwitch)[keyof typeof DebugSwitch];

export function setDebugSwitch(control: Control, which: DebugSwitch, on: boolean): void {
  if (on) Atomics.or(control.i32, DEBUG_SWITCHES_AT, which);
  else Atomics.and(control.i32, DEBUG_SWITCHES_AT, ~which);
}

export function isDebugSwitchOn(control: Control, which: DebugSwitch): boolean {
  return (Atomics.load(control.i32, DEBUG_SWITCHES_AT) & which) !== 0;
}
