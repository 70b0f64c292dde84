/** When an append-only file is rewritten without a command. */
import type { Config } from "../base/config/config.ts";

/** True when the file, `bytes` long and `baseBytes` after its last rewrite or the start, has grown so much. */
export function hasGrown(config: Config, bytes: number, baseBytes: number): boolean {
  const threshold = config.number("persistence.aof_rewrite_threshold");
  if (threshold <= 1 || bytes < config.number("persistence.auto_aof_rewrite_min_size")) return false;
  return bytes >= Math.max(baseBytes, 1) * threshold;
}
