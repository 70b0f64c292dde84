/** What the main thread tells the workers about stop images (image-control.ts). */
import type { ImageHead } from "../persistence/stop-image.ts";

export interface ImageReadRequest {
  readonly directory: string;
  readonly head: ImageHead;
}

/** What a worker gets of the data that is in place. */
export interface Adopted {
  /** Memory of the data, bytes: it counts as the first worker's. */
  readonly logBytes: number;
  readonly deadBytes: number;
  readonly heapBytes: number;
  readonly chunkBytes: number;
  /** Segment files: number, units, and so on. */
  readonly files: readonly number[];
}
