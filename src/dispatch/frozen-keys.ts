/** Write-frozen keys: a long copy (long-copy.ts) has clients' writes to its source wait. */
import type { Key } from "../store/key.ts";
import type { Shard } from "../store/shard.ts";
import type { Call } from "./call.ts";
import type { KeyArguments } from "./key-arguments.ts";
import { WRITE } from "./spec.ts";

/** True when the command at work writes to `key`, which is write-frozen. The command that makes the copy is let through. */
export function isFrozenFor({ spec, session }: Call, shard: Shard, key: Key): boolean {
  return (
    (spec.flags & WRITE) !== 0 &&
    shard.isWriteFrozen &&
    shard.writeFrozenHash === key.hashB &&
    session.continuation === null
  );
}

/** As isFrozenFor, for the keys that `keyArguments` found. Their shards are locked. */
export function isAnyFrozenFor(call: Call, keyArguments: KeyArguments): boolean {
  const { store, key } = call;
  const { section } = store;
  let isFrozen = false;
  for (let n = 0; n < section.heldCount && !isFrozen; n++) {
    isFrozen = section.heldAt(n).isWriteFrozen;
  }
  if (!isFrozen) return false;
  for (let n = 0; n < keyArguments.count; n++) {
    const i = keyArguments.at[n]!;
    key.load(call.bytes, call.argAt(i), call.argBytes(i));
    if (isFrozenFor(call, store.shardOf(key.hashA), key)) return true;
  }
  return false;
}
