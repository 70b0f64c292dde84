/**
 * Where the words of the replication lie in the control block, from `control.replicationAt`:
 *
 *   word   0 ├─ lock of the stream and the ids ─┤   a pair of cache lines of its own (CONTROL-C3)
 *         32 ├─ stream (stream.ts) ─────────────┤
 *         64 ├─ state, ids (state.ts) ──────────┤
 *        192 ├─ link to the primary, LINK_WORDS ┤   the replica's side of the replication
 *        384 ├─ REPLICAS slots of SLOT_WORDS ───┤   slots.ts
 */
import { assert } from "../base/assert.ts";
import { REPLICATION_WORDS } from "../memory/control.ts";

export const LOCK_AT = 0;
export const STREAM_AT = 32;
export const STATE_AT = 64;
export const LINK_AT = 192;
export const LINK_WORDS = 192;
export const SLOTS_AT = LINK_AT + LINK_WORDS;

/** Replicas that can be attached at a time, and the words of each. */
export const REPLICAS = 128;
export const SLOT_WORDS = 96;
assert(SLOTS_AT + REPLICAS * SLOT_WORDS === REPLICATION_WORDS, "the slots end with the words of the replication");
