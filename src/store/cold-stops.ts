/**
 * What stops a command at a cold value (cold.ts). The section is then as before the command, but for values that have
 * moved between disk and memory: it may run again, or its client gets an error.
 */
export class ColdStop extends Error {}

/** The command may wait: it runs again when the values that it lacks were read, or when there is room for them. */
export class ColdMiss extends ColdStop {}
export const COLD_MISS = new ColdMiss();

/** A cold value cannot be read, or not be brought back. The message is the reply. */
export class ColdFailure extends ColdStop {
  override name = "ColdFailure";
  constructor(
    message: string,
    /** There was no memory for the value: later there may be. */
    readonly isForMemory = false,
  ) {
    super(message);
  }
}
