/** The checksum of redis.sha1hex, and of scripts. */

/** SHA-1 of a text of one character per byte, in 40 lower-case digits. */
export function sha1Hex(text: string): string {
  return new Bun.CryptoHasher("sha1").update(text, "latin1").digest("hex");
}
