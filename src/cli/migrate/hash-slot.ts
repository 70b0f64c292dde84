/** The hash slot of a key as in Redis Cluster: the CRC of 16 bits (XMODEM) modulo 16384, of what is within the first {...} if anything is. */
export function hashSlotOf(key: Buffer): number {
  const open = key.indexOf("{");
  const close = open < 0 ? -1 : key.indexOf("}", open + 1);
  const tagged = close > open + 1 ? key.subarray(open + 1, close) : key;
  let crc = 0;
  for (const byte of tagged) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc % 16_384;
}
