/**
 * What is known of the link to the primary, as words of the control block: INFO, ROLE and the rules for clients of all
 * workers read it. The link alone writes it.
 */
import type { Control } from "../memory/control.ts";

/** How far the link is. The names are those of ROLE, by number. */
export const LinkState = { None: 0, Connect: 1, Connecting: 2, Handshake: 3, Sync: 4, Connected: 5 } as const;
export type LinkState = (typeof LinkState)[keyof typeof LinkState];
export const LINK_STATE_NAMES = ["none", "connect", "connecting", "handshake", "sync", "connected"] as const;

// From the block's first word. Doubles at even words.
const STATE = 0;
const FIELDS = {
  /** Wall ms at which the primary was last heard, and at which the link was lost; 0 = never. */
  heardMs: 2,
  lostMs: 4,
  /** Offset behind what has come: all of it is applied when it equals the stream's end. */
  readOffset: 6,
  /** The file of a full synchronization: its bytes (-1 = unknown), those that have come, and when the last of them came. */
  syncBytes: 8,
  syncReceived: 10,
  syncHeardMs: 12,
  /** Errors that commands of the primary have replied. */
  errors: 14,
  /** Commands of the primary that workers beside the link's have applied. */
  helped: 16,
} as const;
/** Why there is no link: a number that is odd while the text is written, its length, and its bytes. */
const FAILURE_VERSION = 32;
const FAILURE_LENGTH = 33;
const FAILURE_AT = 34;
const FAILURE_BYTES_MAX = 240;

export class LinkFacts {
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly text: Buffer;

  /** `at`: the first word, an even number. */
  constructor(
    control: Control,
    private readonly at: number,
  ) {
    this.i32 = control.i32;
    this.f64 = control.f64;
    this.text = Buffer.from(control.buffer, (at + FAILURE_AT) * 4, FAILURE_BYTES_MAX);
  }

  get state(): LinkState {
    return Atomics.load(this.i32, this.at + STATE) as LinkState;
  }
  set state(state: LinkState) {
    Atomics.store(this.i32, this.at + STATE, state);
  }
  get(field: keyof typeof FIELDS): number {
    return this.f64[(this.at + FIELDS[field]) >>> 1]!;
  }
  set(field: keyof typeof FIELDS, value: number): void {
    this.f64[(this.at + FIELDS[field]) >>> 1] = value;
  }

  /** Why the last link ended, or could not be made: one line; "" = there was no such failure since it was made. */
  get failure(): string {
    const { i32, at } = this;
    for (;;) {
      const version = Atomics.load(i32, at + FAILURE_VERSION);
      const text = this.text.toString("utf8", 0, i32[at + FAILURE_LENGTH]!);
      if ((version & 1) === 0 && Atomics.load(i32, at + FAILURE_VERSION) === version) return text;
    }
  }
  set failure(reason: string) {
    const { i32, at } = this;
    // What another server says may have any bytes.
    const line = reason.replace(/[^ -~]+/g, " ").slice(0, FAILURE_BYTES_MAX);
    Atomics.add(i32, at + FAILURE_VERSION, 1);
    i32[at + FAILURE_LENGTH] = this.text.write(line, "latin1");
    Atomics.add(i32, at + FAILURE_VERSION, 1);
  }
}
