/**
 * A replica of this server, at the worker that has its connection. What it is sent goes straight from the file of a snapshot
 * and from the ring of the stream to its socket. Nothing of it is queued here, so a slow replica costs no memory but the
 * stream's, and holds nobody up.
 *
 *   Waiting ──► Receiving ──► Online
 *                  │ $EOF:mark │ file, as far as it has grown ... │ mark │ held until the first REPLCONF ACK │ stream ...
 *                  │ $length   │ file                             │ stream ...
 */
import { type FileDescriptor, FileFailure, type Files } from "../base/files.ts";
import type { ReplicaPeer } from "../replication/peer.ts";
import { Phase } from "../replication/slots.ts";
import type { Client } from "./client.ts";
import type { OutputSource } from "./client-output.ts";
import type { Sync } from "./primary-messages.ts";

/** Bytes of a file that are sent at a time, and in one turn. */
const PIECE_BYTES = 256 << 10;
const TURN_BYTES = 2 << 20;
const MARK_BYTES = 40;

/** What a replica asks of the worker around it. */
export interface ReplicaHost {
  readonly files: Files;
  /** A buffer of PIECE_BYTES for the time of a call. */
  readonly piece: Buffer;
  /** Where the stream ends now. */
  readonly end: number;
  /** True when the stream still has the bytes from `offset` on. */
  holds(offset: number): boolean;
  view(offset: number, end: number): Buffer;
  /** Reads bytes of the stream from `offset` on, which memory no longer holds, into `piece`. Returns how many, 0 = they are gone. */
  readOlder(offset: number): number;
  /** Calls `replica.more` in a later turn; `soon` = in the next one, else when the file may have grown. */
  later(replica: AttachedReplica, soon: boolean): void;
  setPhase(replica: AttachedReplica, phase: Phase): void;
  setSent(replica: AttachedReplica, offset: number): void;
  /** The replica has its snapshot, or gave it up. */
  hasLeft(replica: AttachedReplica): void;
  /** The snapshot was sent. */
  succeeded(replica: AttachedReplica): void;
  /** The connection of the replica ends. */
  drop(replica: AttachedReplica, why: string): void;
  gone(replica: AttachedReplica): void;
  readonly nowMs: number;
}

export function makePiece(): Buffer {
  return Buffer.allocUnsafeSlow(PIECE_BYTES);
}

export class AttachedReplica implements OutputSource {
  phase: Phase = Phase.Waiting;
  /** It has been sent the stream up to here. */
  offset = 0;
  /** The stream waits for the first acknowledgement. */
  isHeld = false;
  sync: Sync | null = null;
  /** Monotonic ms at which bytes were last accepted, or it was heard of. */
  progressMs: number;
  /** The lag has been above the soft limit since then, monotonic ms; 0 = it is not. */
  overSoftSince = 0;
  private file: FileDescriptor | null = null;
  /** What goes before and behind the file, and how much of all three is sent. */
  private head: Buffer = NOTHING;
  private mark: Buffer = NOTHING;
  private sent = 0;
  /** Length of the file, -1 = it still grows. */
  private length = -1;
  private isGone = false;

  constructor(
    private readonly host: ReplicaHost,
    readonly client: Client,
    readonly slot: number,
    readonly peer: ReplicaPeer,
    /** By PSYNC: it hears of the history's id. */
    private readonly isPsync: boolean,
  ) {
    this.progressMs = host.nowMs;
  }

  // ---- a full synchronization ----

  /** Its snapshot was cut. */
  begin(sync: Sync): void {
    this.sync = sync;
    this.offset = sync.offset;
    this.host.setSent(this, sync.offset);
    if (this.isPsync) this.client.push(Buffer.from(`+FULLRESYNC ${sync.id} ${sync.offset}\r\n`));
    try {
      this.file = this.host.files.open(sync.path, "r", 0);
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      return this.host.drop(this, thrown.message);
    }
    if (!sync.isEof) return;
    const mark = crypto.getRandomValues(new Uint8Array(MARK_BYTES / 2)).toHex();
    this.mark = Buffer.from(mark);
    this.receive(`$EOF:${mark}\r\n`);
  }

  /** The file of its snapshot is complete. */
  complete(length: number): void {
    this.length = length;
    if (this.sync!.isEof) this.wake();
    else this.receive(`$${length}\r\n`);
  }

  /** Sends a snapshot that is at hand. */
  sendWhole(bytes: Buffer): void {
    this.length = 0;
    this.offset = this.host.end;
    this.mark = bytes;
    this.receive(`$${bytes.length}\r\n`);
  }

  private receive(head: string): void {
    this.head = Buffer.from(head, "latin1");
    this.phase = Phase.Receiving;
    this.host.setPhase(this, this.phase);
    this.progressMs = this.host.nowMs;
    this.wake();
  }

  /** Has `more` called once all replies are sent. */
  wake(): void {
    this.client.output.scheduleSend();
    this.host.later(this, true);
  }

  more(): void {
    if (this.isGone || this.client.isClosing) return;
    if (this.phase === Phase.Receiving) this.sendFile();
    if (this.phase === Phase.Online && !this.isHeld) this.sendStream();
  }

  private sendFile(): void {
    const { host, head, mark } = this;
    for (let budget = TURN_BYTES; ; ) {
      if (budget <= 0) return host.later(this, true);
      const at = this.sent - head.length;
      let sent: number;
      let wanted: number;
      if (at < 0) {
        wanted = -at;
        sent = this.write(head, this.sent, wanted);
      } else if (this.length >= 0 && at >= this.length) {
        const behind = at - this.length;
        if (behind === mark.length) return this.endFile();
        wanted = mark.length - behind;
        sent = this.write(mark, behind, wanted);
      } else {
        wanted = this.read(at);
        if (wanted === 0) return host.later(this, false);
        if (wanted < 0) return;
        sent = this.write(host.piece, 0, wanted);
      }
      if (sent < 0) return;
      this.sent += sent;
      budget -= sent;
      if (sent < wanted) return;
    }
  }

  /** Reads a piece of the file from `at` on. Returns its length, 0 = there is no more yet, -1 = it cannot be read. */
  private read(at: number): number {
    const { host } = this;
    const most = this.length < 0 ? PIECE_BYTES : Math.min(PIECE_BYTES, this.length - at);
    try {
      return host.files.read(this.file!, host.piece, 0, most, at);
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      host.drop(this, thrown.message);
      return -1;
    }
  }

  private write(bytes: Buffer, offset: number, length: number): number {
    const sent = this.client.output.writeDirect(bytes, offset, length);
    if (sent > 0) this.progressMs = this.host.nowMs;
    return sent;
  }

  private endFile(): void {
    const { host, peer } = this;
    this.closeFile();
    host.hasLeft(this);
    if (peer.wantsSnapshotAlone) {
      host.succeeded(this);
      // The client closes the connection too; what it was sent last must reach it first.
      this.client.closeAfterReplies();
      this.client.output.scheduleSend();
      return;
    }
    // Without an acknowledgement the mark might still be on its way when the stream begins behind it.
    this.isHeld = this.sync?.isEof === true;
    this.putOnline();
    host.succeeded(this);
  }

  private closeFile(): void {
    if (this.file !== null) this.host.files.close(this.file);
    this.file = null;
    this.mark = NOTHING;
  }

  // ---- the stream ----

  /** It is sent the stream from `offset` on. */
  continueFrom(offset: number): void {
    this.offset = offset;
    this.host.setSent(this, offset);
    this.putOnline();
    this.wake();
  }

  private putOnline(): void {
    this.phase = Phase.Online;
    this.host.setPhase(this, this.phase);
  }

  /** It has acknowledged something. */
  heard(): void {
    this.progressMs = this.host.nowMs;
    if (!this.isHeld) return;
    this.isHeld = false;
    this.wake();
  }

  private sendStream(): void {
    const { host } = this;
    const { end } = host;
    for (let older = 0; this.offset < end; ) {
      // STREAM-4: appenders cannot come round within the margin while one piece is written.
      if (!host.holds(this.offset)) {
        if (older >= TURN_BYTES) return host.later(this, true);
        const sent = this.sendOlder();
        if (sent <= 0) break;
        older += sent;
        continue;
      }
      const bytes = host.view(this.offset, end);
      const length = Math.min(bytes.length, TURN_BYTES);
      const sent = this.write(bytes, 0, length);
      if (sent <= 0) break;
      this.offset += sent;
      if (sent < length) break;
    }
    host.setSent(this, this.offset);
  }

  /** Sends a piece from the file of the backlog. Returns how many bytes were sent, -1 = no more are now. */
  private sendOlder(): number {
    const { host } = this;
    const length = host.readOlder(this.offset);
    if (length === 0) {
      host.drop(this, OVERRUN);
      return -1;
    }
    const sent = this.write(host.piece, 0, length);
    if (sent <= 0) return -1;
    this.offset += sent;
    return sent < length ? -1 : sent;
  }

  /** The connection is gone. */
  closed(): void {
    if (this.isGone) return;
    this.isGone = true;
    this.closeFile();
    this.host.gone(this);
  }
}

const NOTHING = Buffer.alloc(0);
export const OVERRUN = "it is further behind than the limit of its output (client-output-buffer-limit replica)";
