/** Texts as the wire has them: UTF-8 lengths, ASCII literals, Python's white space (PROTOCOL.md sections 1 and 4.2). */

import { JsonError } from "./error.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes strict UTF-8; a byte order mark stays.
 *
 * @throws {@link JsonError} where the bytes are not UTF-8.
 */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new JsonError("utf8", "the body is not valid UTF-8");
  }
}

/** The length of a text in UTF-8, in bytes; half of a surrogate pair counts as three. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (unit >= 0xd800 && unit < 0xdc00 && isLowSurrogate(text.charCodeAt(at + 1))) {
      // Two units, four bytes.
      bytes += 2;
      at++;
    } else bytes += 2;
  }
  return bytes;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}

/** Compares by code point, which is the order of UTF-8 bytes. JavaScript's `<` compares UTF-16 units. */
export function compareCodePoints(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  let at = 0;
  while (at < shared && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  const code = (text: string, index: number) => text.codePointAt(index) ?? -1;
  // Behind a high surrogate the texts may differ in the character that it begins.
  const before = at > 0 && isHighSurrogate(a.charCodeAt(at - 1)) ? code(a, at - 1) - code(b, at - 1) : 0;
  return before !== 0 ? before : code(a, at) - code(b, at);
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}

const NEEDS_ESCAPE = /["\\\u0000-\u001f\u007f-\uffff]/;
const NOT_ASCII = /[\u007f-\uffff]/g;

/** A text as a JSON string literal, quotes included: ASCII, with the escapes of Python's `json`. */
export function quote(text: string): string {
  return NEEDS_ESCAPE.test(text) ? ascii(JSON.stringify(text)) : `"${text}"`;
}

/** As {@link quote}, without the quotes. */
export function escaped(text: string): string {
  return NEEDS_ESCAPE.test(text) ? quote(text).slice(1, -1) : text;
}

/**
 * The same JSON text with every character outside U+0020 to U+007E written as an escape (PROTOCOL.md section 4.2); numbers,
 * order and white space stay as they are.
 */
export function ascii(json: string): string {
  return json.replace(NOT_ASCII, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Unicode's white space and the separators U+001C to U+001F: what Python's `str.strip()` removes. */
const WHITE_SPACE = "\\t-\\r\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const LEADING = new RegExp(`^[${WHITE_SPACE}]+`);
const IS_SPACE = new RegExp(`[${WHITE_SPACE}]`);

/** Python's `str.strip()`: removes Unicode white space and U+001C to U+001F at both ends. */
export function trim(text: string): string {
  // Nearly every text begins and ends with a visible character of ASCII: no table has to be asked for that.
  if (isVisibleAscii(text.charCodeAt(0)) && isVisibleAscii(text.charCodeAt(text.length - 1))) return text;
  let end = text.length;
  while (end > 0 && IS_SPACE.test(text.charAt(end - 1))) end--;
  return text.slice(0, end).replace(LEADING, "");
}

/** U+0021 to U+007E. False for the code of a character that is not there, which is not a number. */
function isVisibleAscii(unit: number): boolean {
  return unit > 0x20 && unit < 0x7f;
}

/** Whether a character is Unicode white space; U+001C to U+001F do not count. */
export function isUnicodeSpace(character: string): boolean {
  return IS_SPACE.test(character) && !/[\u001c-\u001f]/.test(character);
}

/** Removes some ASCII characters at both ends. */
export function trimCharacters(text: string, characters: string): string {
  return trimCharactersEnd(trimCharactersStart(text, characters), characters);
}

/** Removes some characters at the front. */
export function trimCharactersStart(text: string, characters: string): string {
  let start = 0;
  while (start < text.length && characters.includes(text.charAt(start))) start++;
  return text.slice(start);
}

/** Removes some characters at the end. */
export function trimCharactersEnd(text: string, characters: string): string {
  let end = text.length;
  while (end > 0 && characters.includes(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}
