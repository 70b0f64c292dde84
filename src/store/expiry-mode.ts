/** Expiry mode: the treatment of keys, and of members of collections, whose deadline has passed. */
export const ExpiryMode = {
  /** It is removed: when a command looks it up, or when its timer entry comes due. */
  Normal: 0,
  /**
   * It is hidden but not removed, because the data may only change by commands (CLIENT PAUSE, and readers of a replica). A
   * write to a hidden key removes it first.
   */
  Paused: 1,
  /** It is still visible (commands from a primary or from a log). The source of the commands removes it by a command. */
  Replay: 2,
} as const;
export type ExpiryMode = (typeof ExpiryMode)[keyof typeof ExpiryMode];
