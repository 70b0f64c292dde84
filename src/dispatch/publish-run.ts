/**
 * PublishRun: PUBLISH commands to one channel that follow each other in a batch. Their messages are encoded one behind the other and
 * are published together with the last of them: the lock of the channel's stripe is taken once, and the ring of each other
 * worker gets one piece. Their replies are written then.
 *
 * Invariants
 *   RUN-1  from the first command of a run to its end no other command runs and no reply is written: the dispatcher ends the run
 *          before it does anything else (DISPATCH-3)
 */
import type { Reply } from "../protocol/reply.ts";
import type { ChannelKind } from "../store/channels.ts";
import { KEY_BYTES_MAX } from "../store/record.ts";
import type { Section } from "../store/section.ts";
import type { Call } from "./call.ts";
import { MessageBatch } from "./message-batch.ts";
import { Published } from "./published.ts";
import type { PubSub } from "./pubsub.ts";
import { Replies } from "./session.ts";

/** Longer messages are published one by one. */
const MESSAGE_MAX = 1024;

export class PublishRun {
  private readonly batch = new MessageBatch();
  private readonly atHand = new Published();
  /** Where the replies go. */
  private reply: Reply | null = null;

  constructor(
    private readonly pubsub: PubSub,
    private readonly section: Section,
  ) {}

  /** True when messages wait for the end of the run. */
  get isOpen(): boolean {
    return this.reply !== null;
  }

  /**
   * Takes the message of the command at work, if it is part of a run, and replies to it at the end of the run. Returns false
   * when the command has to publish its message alone.
   */
  take(kind: ChannelKind, call: Call, reply: Reply): boolean {
    if (this.section.isAtOnce) return false;
    const isLast = !call.isRepeated;
    if (isLast && this.reply === null) return false;
    if (!this.canTake(kind, call)) {
      this.end();
      return false;
    }
    const { atHand, batch } = this;
    atHand.encode(kind, call.bytes, call.argAt(1), call.argBytes(1), call.bytes, call.argAt(2), call.argBytes(2));
    if (!batch.hasRoomFor(atHand)) this.end();
    batch.add(atHand);
    this.reply = reply;
    if (isLast) this.end();
    return true;
  }

  private canTake(kind: ChannelKind, call: Call): boolean {
    const { session } = call;
    return (
      session.subscriptions === null &&
      session.replies === Replies.On &&
      call.argAt(2) >= 0 &&
      call.argBytes(1) <= KEY_BYTES_MAX &&
      call.argBytes(1) + call.argBytes(2) <= MESSAGE_MAX &&
      call.replication?.stream.takesEffects !== true &&
      this.pubsub.mayPublishAll(kind, this.reply === null)
    );
  }

  /** Publishes what was taken, and writes the replies. */
  end(): void {
    const { batch, reply } = this;
    if (reply === null) return;
    this.reply = null;
    const receivers = this.pubsub.publishAll(batch);
    for (let n = batch.count; n > 0; n--) reply.integer(receivers);
    batch.clear();
  }

  /** Forgets what was taken, because an exception has ended the batch. */
  drop(): void {
    this.reply = null;
    this.batch.clear();
  }
}
