/**
 * TIER MATCH: pins, unpins or demotes the keys of a database that match a pattern. The walk is that of SCAN (keys/scan.ts), in
 * steps, one a turn. So a key that is there during the whole command is reached, and other commands wait for half a
 * millisecond at most.
 */
import type { Address } from "../../store/address.ts";
import { matchGlob } from "../../base/glob.ts";
import { token } from "../../base/bytes.ts";
import { deadline, isPinned, keyAt, keyBytes, setPinned } from "../../store/record.ts";
import { keyCount } from "../../store/keyspace.ts";
import type { Shard } from "../../store/shard.ts";
import type { Call } from "../../dispatch/call.ts";
import { type Outcome, Retry } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { DemotionProgress, TIER_OFF, wait } from "./tier.ts";

const PIN = token("pin");
const UNPIN = token("unpin");
const DEMOTE = token("demote");
const POSITIONS = 2 ** 32;
/** Length of a step, and buckets of one hold of a lock. */
const STEP_MS = 0.5;
const BUCKETS = 16;

const Action = { Pin: 0, Unpin: 1, Demote: 2 } as const;
type Action = (typeof Action)[keyof typeof Action];

class Walk extends DemotionProgress {
  shard = 0;
  position = 0;
  /** Keys that were pinned, or unpinned. */
  changed = 0;
}

const chain = { addresses: new Int32Array(64) };

/** TIER MATCH pattern PIN | UNPIN | DEMOTE. Replies: the number of keys whose pin was set or removed, or that went to disk. */
export function matching(call: Call, reply: Reply): Outcome | void {
  const { session, clock, cold, store } = call;
  const { tier } = cold;
  const action = actionOf(call);
  if (tier === null) return reply.error(TIER_OFF);
  if (action === null) return reply.error(ErrorText.syntax);
  const begun = session.continuation;
  const walk = begun instanceof Walk ? begun : new Walk(call.spec);
  session.continuation = null;
  const refusal = action === Action.Demote ? tier.refusal : "";
  if (refusal !== "") return reply.error(refusal);
  const beganMs = clock.monotonicMs();
  let isHeldUp = false;
  const steps = (): void => {
    while (!isHeldUp && walk.shard < store.shardCount && clock.monotonicMs() < beganMs + STEP_MS) {
      const shard = store.shards[walk.shard]!;
      if (!store.section.within(shard, () => (isHeldUp = !step(call, walk, shard, action)))) break;
    }
  };
  if (action === Action.Demote) tier.writer.demoting(walk, steps);
  else steps();
  walk.spentMs += clock.monotonicMs() - beganMs;
  if (isHeldUp || (walk.shard === store.shardCount && walk.underWay > 0)) return wait(call, walk);
  if (walk.shard < store.shardCount) {
    session.continuation = walk;
    return Retry;
  }
  call.statistics.tookBefore(walk.spentMs);
  reply.integer(action === Action.Demote ? walk.moved : walk.changed);
}

function actionOf(call: Call): Action | null {
  if (call.argIs(3, PIN)) return Action.Pin;
  if (call.argIs(3, UNPIN)) return Action.Unpin;
  return call.argIs(3, DEMOTE) ? Action.Demote : null;
}

/** Some buckets of a locked shard. Returns false when the disk has to take values first. */
function step(call: Call, walk: Walk, shard: Shard, action: Action): boolean {
  const { store } = call;
  const ks = shard.keyspace(call.keyspaces.of(call.session.db));
  for (let buckets = 0; buckets < BUCKETS; buckets++) {
    if (walk.position >= POSITIONS || keyCount(shard.c, ks) === 0) {
      walk.shard++;
      walk.position = 0;
      return true;
    }
    const count = store.index.collect(shard, ks, store.index.bucketAtPosition(ks, walk.position), chain);
    const { nextPosition } = store.index;
    for (let i = 0; i < count; i++) {
      if (!visit(call, walk, shard, action, chain.addresses[i]! as Address)) return false;
    }
    walk.position = nextPosition;
  }
  return true;
}

/** Returns false when the disk has to take values first: the bucket is seen again. */
function visit(call: Call, walk: Walk, shard: Shard, action: Action, address: Address): boolean {
  const { store, cold } = call;
  const w = store.segments.locate(shard, address);
  const { m, b } = store.segments;
  const due = deadline(m, w);
  if (due !== 0 && due <= store.nowMs) return true;
  if (!matchGlob(call.bytes, call.argAt(2), call.argBytes(2), b, keyAt(m, w) << 2, keyBytes(m, w), false)) return true;
  const { spiller, writer } = cold.tier!;
  if (action === Action.Demote) {
    if (!spiller.mayTake(shard, m, w)) return true;
    return writer.take(shard, call.keyspaces.of(call.session.db), m, b, w);
  }
  if (isPinned(m, w) === (action === Action.Pin)) return true;
  setPinned(m, w, action === Action.Pin);
  walk.changed++;
  return true;
}
