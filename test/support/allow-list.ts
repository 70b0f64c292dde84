/**
 * Differences from redis-server 7.0.15 that are meant. Each has a reason a user would accept; anthing else is a bug.
 * At most 20 entries (anchors/reliability.md, T-X1): this list is where compatibility would quietly leak away.
 */
import type { Step } from "./generator.ts";
import type { Reply } from "./resp.ts";

export interface AllowedDifference {
  reason: string;
  matches(step: Step, redis: Reply, ferrite: Reply): boolean;
}

export const ALLOWED: readonly AllowedDifference[] = [];
