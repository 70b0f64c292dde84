/** What a cursor (record-cursor.ts) is to cold values (cold.ts), and where it goes when their bytes were read. */
import type { Address } from "./address.ts";
import type { Key } from "./key.ts";
import type { KeyspaceRef, Shard } from "./shard.ts";

/** A record outside the log: words and bytes of the same memory. */
export interface ColdImage {
  readonly m: Int32Array;
  readonly b: Buffer;
}

export interface ColdCursor {
  readonly isOfCommands: boolean;
  readonly shard: Shard;
  readonly ks: KeyspaceRef;
  readonly key: Key;
  readonly address: Address;
  readonly m: Int32Array;
  readonly b: Buffer;
  readonly w: number;
  moveTo(address: Address, w: number): void;
  moveToImage(image: ColdImage): void;
  moveToBorrower(copy: ColdImage): void;
  leaveImage(): void;
}
