/**
 * Outcomes of the engine that are not values. References, counts and lengths are never negative, so one number
 * carries either. The RESP text of each is written once, in protocol/errors.ts.
 */
export const Status = {
  WrongType: -1,
  NotInteger: -2,
  Overflow: -3,
  NotFloat: -4,
  NanOrInfinity: -5,
  TooLong: -6,
  OutOfMemory: -7,
  /** A lock was not to be had within the bound, or memory is being made: the command is retried next turn. */
  Busy: -8,
  Syntax: -9,
  NoSuchKey: -10,
  KeyTooLong: -11,
  /** Only what had to go before the command was done, and not all of it: the command is retried next turn. */
  Again: -12,
} as const;
export type Status = (typeof Status)[keyof typeof Status];
