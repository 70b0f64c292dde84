/**
 * Broadcasts: client-side caching by prefixes (CLIENT TRACKING BCAST). Every worker has the table of all prefixes and their
 * clients, of all workers. It gathers the keys that its commands change, and at the end of its turn, before any reply leaves,
 * it tells each client of a prefix the keys that begin with it.
 */
import type { Key } from "../store/key.ts";
import type { Trackers } from "../store/trackers.ts";
import { Tracks } from "../store/trackers.ts";

/** A change of the table: the client of a slot tracks these prefixes (latin1) too, or no longer any. */
export interface PrefixChange {
  readonly slot: number;
  readonly use: number;
  readonly added: readonly string[];
  readonly isEnd: boolean;
}

interface Prefix {
  readonly bytes: Buffer;
  /** Use of the slot, by slot. */
  readonly clients: Map<number, number>;
  /** Keys that were changed in this turn, latin1, and the client that changed each last. */
  readonly changed: Map<string, number>;
}

/** Tells the client of a slot that `keys`, an encoded array, are invalid. */
type Tell = (slot: number, keys: Buffer) => void;

export class Broadcasts {
  private readonly prefixes = new Map<string, Prefix>();
  /** True when keys of a prefix were changed in this turn. */
  hasChanged = false;

  constructor(private readonly trackers: Trackers) {}

  /** Number of prefixes. */
  get count(): number {
    return this.prefixes.size;
  }

  apply({ slot, use, added, isEnd }: PrefixChange): void {
    if (isEnd) this.drop(slot, use);
    for (const text of added) {
      let prefix = this.prefixes.get(text);
      if (prefix === undefined) {
        prefix = { bytes: Buffer.from(text, "latin1"), clients: new Map(), changed: new Map() };
        this.prefixes.set(text, prefix);
      }
      prefix.clients.set(slot, use);
    }
  }

  private drop(slot: number, use: number): void {
    for (const [text, { clients }] of this.prefixes) {
      // The slot may have another client by now.
      if (clients.get(slot) === use) clients.delete(slot);
      if (clients.size === 0) this.prefixes.delete(text);
    }
  }

  /** `client` has changed a key. */
  note(key: Key, client: number): void {
    const bytes = Buffer.from(key.words.buffer as ArrayBuffer, key.words.byteOffset + key.at * 4, key.bytes);
    let name: string | undefined;
    for (const prefix of this.prefixes.values()) {
      const { length } = prefix.bytes;
      if (length > bytes.length || prefix.bytes.compare(bytes, 0, length) !== 0) continue;
      name ??= bytes.toString("latin1");
      prefix.changed.set(name, client);
      this.hasChanged = true;
    }
  }

  /** The turn ends: tells of the keys that were changed in it. */
  flush(tell: Tell): void {
    this.hasChanged = false;
    for (const prefix of this.prefixes.values()) {
      if (prefix.changed.size === 0) continue;
      this.flushPrefix(prefix, tell);
      prefix.changed.clear();
    }
  }

  private flushPrefix({ clients, changed }: Prefix, tell: Tell): void {
    const { trackers } = this;
    const names = [...changed.keys()].sort();
    const all = encodeArray(names);
    for (const [slot, use] of clients) {
      if (!trackers.isLive(slot, use)) continue;
      if ((trackers.bitsOf(slot) & Tracks.NoLoop) === 0) {
        tell(slot, all);
        continue;
      }
      const client = trackers.clientOf(slot);
      const others = names.filter((name) => changed.get(name) !== client);
      if (others.length > 0) tell(slot, others.length === names.length ? all : encodeArray(others));
    }
  }
}

/** An array of names, latin1. */
export function encodeArray(names: readonly string[]): Buffer {
  const items = names.map((name) => `$${name.length}\r\n${name}\r\n`);
  return Buffer.from(`*${names.length}\r\n${items.join("")}`, "latin1");
}
