/** What a module of cjson can be told: all as numbers, switches as 0 and 1. */
export class CjsonSettings {
  sparseConvert = 0;
  sparseRatio = 2;
  sparseSafe = 10;
  encodeMaxDepth = 1000;
  decodeMaxDepth = 1000;
  /** What becomes of inf and nan: 0 an error, 1 their words, 2 null. */
  encodeInvalidNumbers = 0;
  decodeInvalidNumbers = 1;
  numberPrecision = 14;
  keepBuffer = 1;
  /** 1 once a setting was given. */
  isChanged = 0;
}
