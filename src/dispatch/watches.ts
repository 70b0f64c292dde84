/**
 * Watches: the keys that clients of this worker watch (WATCH). A watch is a slot of store/waiters.ts with a request at each
 * key. Whoever changes one of the keys, on any worker, breaks the watch there, under the lock of the key's shard.
 *
 * EXEC holds the locks of the watched keys together with those of its commands, so a watch that is intact then stays so until
 * the transaction is complete.
 */
import { NO_REF, type Ref } from "../structures/pages.ts";
import type { Reply } from "../protocol/reply.ts";
import { Status } from "../base/status.ts";
import { EXPIRED_BEFORE, WATCH } from "../store/waiters.ts";
import { NO_ADDRESS } from "../store/address.ts";
import type { Shard } from "../store/shard.ts";
import { latin1Text } from "../base/bytes.ts";
import type { Requests } from "./blocking.ts";
import type { Call } from "./call.ts";
import { refuse } from "./refuse.ts";
import type { Session } from "./session.ts";
import type { Outcome } from "./spec.ts";

const NO_TARGET = new Uint8Array(0);
const TOO_MANY = "ERR too many clients of this worker wait for keys or watch them";

interface WatchedKey {
  readonly db: number;
  readonly bytes: Buffer;
  readonly hadExpired: boolean;
}

/** What a client watches. */
export class Watch implements Requests {
  readonly shards: Shard[] = [];
  readonly requests: Ref[] = [];
  readonly keys: WatchedKey[] = [];
  private readonly names = new Set<string>();

  constructor(readonly slot: number) {}

  /** Returns false when the key is watched already. */
  addName(db: number, key: string): boolean {
    const name = `${db} ${key}`;
    if (this.names.has(name)) return false;
    this.names.add(name);
    return true;
  }
}

export class Watches {
  /** Clients of this worker that watch keys. */
  count = 0;

  constructor(private readonly call: Call) {}

  /** WATCH: the keys are all arguments, and their shards are locked. */
  watch(reply: Reply): Outcome | void {
    const { call } = this;
    const { session, blocking } = call;
    if (session.watch === null) {
      const slot = blocking.waiters.begin();
      if (slot < 0) return reply.error(TOO_MANY);
      session.watch = new Watch(slot);
      this.count++;
    }
    // A broken watch stays broken, whatever it is given.
    if (blocking.waiters.isIntact(session.watch.slot)) {
      for (let i = 1; i < call.argCount; i++) {
        if (this.add(session.watch, i)) continue;
        // Of a command that is retried nothing is left.
        this.end(session);
        return refuse(call, reply, Status.Busy);
      }
    }
    reply.ok();
  }

  /** Watches the key of argument `i`. Returns false when there is no memory for it now. */
  private add(watch: Watch, i: number): boolean {
    const { call } = this;
    const { store, session, blocking } = call;
    const name = latin1Text(call.bytes, call.argAt(i), call.argBytes(i));
    if (!watch.addName(session.db, name)) return true;
    call.selectKey(i);
    store.find();
    const hadExpired = store.cursor.address === NO_ADDRESS && store.cursor.hidden !== NO_ADDRESS;
    const kind = hadExpired ? WATCH | EXPIRED_BEFORE : WATCH;
    const request = blocking.waiters.add(watch.slot, session.db, kind, 0, NO_TARGET, 0, 0);
    if (request < 0) return false;
    if (request === NO_REF) return true;
    watch.shards.push(store.cursor.shard);
    watch.requests.push(request);
    watch.keys.push({ db: session.db, bytes: Buffer.from(name, "latin1"), hadExpired });
    return true;
  }

  /** True when the session watches keys of which one has changed. */
  isBroken({ watch }: Session): boolean {
    return watch !== null && !this.call.blocking.waiters.isIntact(watch.slot);
  }

  /** As isBroken, with the shards of the watched keys locked: a key that has expired meanwhile has changed too. */
  isBrokenNow(session: Session): boolean {
    const { watch } = session;
    if (watch === null) return false;
    const { store, key, keyspaces } = this.call;
    for (const { db, bytes, hadExpired } of watch.keys) {
      if (this.isBroken(session)) return true;
      key.load(bytes, 0, bytes.length);
      store.select(keyspaces.of(db), key);
      // A due key is removed here, which breaks the watch, or it is hidden.
      if (store.find() === NO_ADDRESS && store.cursor.hidden !== NO_ADDRESS && !hadExpired) return true;
    }
    return this.isBroken(session);
  }

  /** Ends the watch, between commands or inside one. Its requests are freed later. */
  end(session: Session): void {
    const { watch } = session;
    if (watch === null) return;
    session.watch = null;
    this.count--;
    this.call.blocking.waiters.cancel(watch.slot);
    this.call.blocking.freeLater(watch);
  }

  /** Ends the watch, with the shards of the watched keys locked. */
  endLocked(session: Session): void {
    const { watch } = session;
    if (watch === null) return;
    session.watch = null;
    this.count--;
    const { waiters } = this.call.blocking;
    waiters.cancel(watch.slot);
    for (let n = 0; n < watch.requests.length; n++) waiters.remove(watch.shards[n]!, watch.requests[n]!);
    waiters.release(watch.slot);
  }
}
