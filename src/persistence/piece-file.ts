/**
 * Puts an RDB file together from pieces that several sources write: the workers of a snapshot, each with two writers.
 *
 *   header │ piece │ piece │ ... │ 0xFF │ checksum
 *
 * A piece begins with a key, behind the database it is in, unless the piece before it from the same source is open: it then
 * ends within a key. While a source has an open piece, those of the others wait. How much may wait is the sources' to bound.
 */
import { crc64, updateCrc64 } from "../base/crc64.ts";
import type { Saved, SavedFile } from "./rdb-file.ts";
import type { Dropped } from "./rdb-record.ts";

const END = Buffer.from([255]);
const NOBODY = -1;

interface Piece {
  readonly source: number;
  readonly bytes: Buffer;
  readonly isOpen: boolean;
}

export class PieceFile {
  private hasHeader = false;
  /** The source that is within a key. */
  private writing = NOBODY;
  private waiting: Piece[] = [];
  private sumLow = 0;
  private sumHigh = 0;

  /** `taken` hears of each piece's length when it is in the file. */
  constructor(
    private readonly file: SavedFile,
    private readonly sums: boolean,
    private readonly taken: (source: number, bytes: number) => void,
  ) {}

  /** Writes the bytes that precede all keys. Throws FileFailure. */
  header(bytes: Buffer): void {
    this.write(bytes);
    this.hasHeader = true;
    this.writeWaiting();
  }

  /** Takes a piece. Throws FileFailure. */
  piece(source: number, bytes: Buffer, isOpen: boolean): void {
    if (!this.hasHeader || (this.writing !== NOBODY && this.writing !== source)) {
      this.waiting.push({ source, bytes, isOpen });
      return;
    }
    this.put({ source, bytes, isOpen });
    if (this.writing === NOBODY) this.writeWaiting();
  }

  private put({ source, bytes, isOpen }: Piece): void {
    this.write(bytes);
    this.taken(source, bytes.length);
    this.writing = isOpen ? source : NOBODY;
  }

  /** Writes the pieces that waited, in their order, as far as they may go. */
  private writeWaiting(): void {
    for (let i = 0; i < this.waiting.length; ) {
      const piece = this.waiting[i]!;
      if (this.writing !== NOBODY && this.writing !== piece.source) {
        i++;
        continue;
      }
      this.waiting.splice(i, 1);
      this.put(piece);
      // A key that has ended frees those before it.
      if (this.writing === NOBODY) i = 0;
    }
  }

  /** All sources have ended: completes the file. Returns what the file for other programs lacks. Throws FileFailure. */
  finish(saved: Saved): Dropped {
    this.write(END);
    const sum = Buffer.alloc(8);
    if (this.sums) {
      sum.writeInt32LE(this.sumLow, 0);
      sum.writeInt32LE(this.sumHigh, 4);
    }
    this.file.put(sum, sum.length);
    return this.file.complete(saved);
  }

  private write(bytes: Buffer): void {
    if (this.sums) {
      updateCrc64(this.sumLow, this.sumHigh, bytes, 0, bytes.length);
      this.sumLow = crc64.lo;
      this.sumHigh = crc64.hi;
    }
    this.file.put(bytes, bytes.length);
  }
}
