/** Which of INFO's counters begin anew with CONFIG RESETSTAT. */
import type { ServerTotals } from "../dispatch/services.ts";

/** Counters that CONFIG RESETSTAT sets to 0. */
export const RESETTABLE = [
  "totalConnections",
  "rejectedConnections",
  "totalCommands",
  "netInputBytes",
  "netOutputBytes",
  "reads",
  "writes",
  "replyExpands",
  "replyShrinks",
  "expireCycleMs",
  "expireCapReached",
  "expiredKeys",
  "expiredMembers",
  "evictedKeys",
  "exceededMs",
  "keyspaceHits",
  "keyspaceMisses",
  "lazyFreed",
  "errorReplies",
  "evictedClients",
  "outputLimitClosed",
  "queryLimitClosed",
] as const satisfies readonly (keyof ServerTotals)[];
