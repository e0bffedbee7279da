/** Points of Ed25519 that no honest key or signature has: the eight whose order divides the cofactor. */

/** Their encodings without the sign bit, those that are not reduced included. */
const SMALL_ORDER = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/**
 * Whether 32 bytes encode such a point. A signature with one holds for many messages, so the Rust implementation refuses it
 * (`verify_strict`), and WebCrypto does not everywhere.
 */
export function isSmallOrderPoint(bytes: Uint8Array): boolean {
  let hex = "";
  for (let index = 0; index < 32; index++) {
    const byte = bytes[index] ?? 0;
    hex += (index === 31 ? byte & 0x7f : byte).toString(16).padStart(2, "0");
  }
  return SMALL_ORDER.has(hex);
}
