/** Bytes as hexadecimal and base64 text. Base64 is read as leniently as Python reads it (PROTOCOL.md section 13.1). */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Lower-case hexadecimal digits, two for each byte. */
export function toHex(bytes: Uint8Array): string {
  let out = "";
  for (const byte of bytes) out += HEX[byte] ?? "";
  return out;
}

/** Base64url without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  let out = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const count = Math.min(3, bytes.length - at);
    const bits = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    for (let place = 0; place <= count; place++) out += ALPHABET.charAt((bits >> (18 - 6 * place)) & 63);
  }
  return out;
}

function sextet(unit: number): number {
  if (unit >= 0x41 && unit <= 0x5a) return unit - 0x41;
  if (unit >= 0x61 && unit <= 0x7a) return unit - 0x61 + 26;
  if (unit >= 0x30 && unit <= 0x39) return unit - 0x30 + 52;
  if (unit === 0x2d || unit === 0x2b) return 62;
  return unit === 0x5f || unit === 0x2f ? 63 : -1;
}

/**
 * Reads base64 of either alphabet as Python does: characters of neither are skipped, what stands behind the padding is not looked
 * at. `undefined` where the text is not ASCII or its length is wrong.
 */
export function fromBase64(text: string): Uint8Array | undefined {
  if (!/^[\u0000-\u007f]*$/.test(text)) return undefined;
  const sextets: number[] = [];
  let padding = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    const filled = sextets.length % 4;
    const value = sextet(unit);
    if (value >= 0) {
      padding = 0;
      sextets.push(value);
    } else if (unit === 0x3d && filled >= 2) {
      padding++;
      if (filled + padding >= 4) return join(sextets);
    }
  }
  return sextets.length % 4 === 0 ? join(sextets) : undefined;
}

/** As {@link fromBase64}, of a text whose padding may be missing: it is filled up by the text's own length first. */
export function fromUnpaddedBase64(text: string): Uint8Array | undefined {
  return fromBase64(text + "=".repeat((4 - ([...text].length % 4)) % 4));
}

function join(sextets: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.floor((sextets.length * 3) / 4));
  let bits = 0;
  let count = 0;
  let at = 0;
  for (const value of sextets) {
    bits = ((bits << 6) | value) & 0xfff;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes[at++] = (bits >> count) & 0xff;
    }
  }
  return bytes;
}
