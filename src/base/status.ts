/**
 * Status: outcomes of the store that are not values. References, counts and lengths are never negative, so one number
 * holds either a value or a status. The RESP text of each is in protocol/errors.ts.
 */
export const Status = {
  WrongType: -1,
  NotInteger: -2,
  Overflow: -3,
  NotFloat: -4,
  NanOrInfinity: -5,
  TooLong: -6,
  OutOfMemory: -7,
  /** A lock was not available in time, or a region is being created: the command is retried next turn. */
  Busy: -8,
  Syntax: -9,
  NoSuchKey: -10,
  KeyTooLong: -11,
  /** Expired members were removed, and more are left: the command is retried next turn before it does anything else. */
  Again: -12,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** True when a result is a Status and not the reference that was asked for. */
export function isStatus(result: number): result is Status {
  return result < 0;
}
