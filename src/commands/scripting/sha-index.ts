/**
 * Values by the bytes of a SHA1, as commands send it: 40 hexadecimal digits in lower case. A lookup makes no string.
 *
 * Each digest has one place. Another digest with the same place takes it over, so the index may forget: the owner has the
 * values in a map too.
 */
export const SHA_BYTES = 40;

/** A power of two. */
const PLACES = 1024;

export class ShaIndex<T> {
  private readonly values: (T | null)[] = new Array(PLACES).fill(null);
  /** The digest at each place. */
  private readonly digests = new Uint8Array(PLACES * SHA_BYTES);

  /** The value of the 40 bytes at `at`, null = it is not known here. */
  find(bytes: Uint8Array, at: number): T | null {
    const place = placeOf(bytes, at);
    const value = this.values[place]!;
    if (value === null) return null;
    const { digests } = this;
    const from = place * SHA_BYTES;
    for (let i = 0; i < SHA_BYTES; i++) if (bytes[at + i] !== digests[from + i]) return null;
    return value;
  }

  set(sha: string, value: T): void {
    const bytes = Buffer.from(sha, "latin1");
    const place = placeOf(bytes, 0);
    this.digests.set(bytes, place * SHA_BYTES);
    this.values[place] = value;
  }

  clear(): void {
    this.values.fill(null);
  }
}

function placeOf(bytes: Uint8Array, at: number): number {
  return (bytes[at]! * 73 + bytes[at + 1]! * 179 + bytes[at + 2]! * 283) & (PLACES - 1);
}
