/** Thrown when an invariant of ours is broken: never caught to go on, the process stops. */
export class BrokenInvariant extends Error {
  override name = "BrokenInvariant";
}

/** Stops on a broken invariant. `claim` is literal text in positive form, so that passing costs nothing. */
export function assert(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new BrokenInvariant(claim);
}

/** True under FERRITE_CHECKS=1: freed bytes are poisoned and checkers run after each step. */
export const CHECKS = process.env.FERRITE_CHECKS === "1";
