/** Thrown when an invariant is broken. It must not be caught and ignored: the process stops. */
export class BrokenInvariant extends Error {
  override name = "BrokenInvariant";
}

/** Throws when an invariant is broken. `claim` is a literal text in positive form, so that passing it costs nothing. */
export function assert(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new BrokenInvariant(claim);
}

/** True with FERRITE_CHECKS=1: freed bytes are poisoned, and checkers run after each step. */
export const CHECKS = process.env.FERRITE_CHECKS === "1";
