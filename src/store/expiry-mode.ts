/** What it means for a key, or a member of a collection, that its deadline has passed. */
export const ExpiryMode = {
  /** It is removed: when a command looks it up, or when its timer entry comes due. */
  Normal: 0,
  /**
   * It is hidden and stays (CLIENT PAUSE, and the readers of a replica): nothing may change by itself. A write to a key
   * that is hidden removes it first.
   */
  Paused: 1,
  /** It is still there (commands from a primary or from a log): their source says when a key goes. */
  Replay: 2,
} as const;
export type ExpiryMode = (typeof ExpiryMode)[keyof typeof ExpiryMode];
