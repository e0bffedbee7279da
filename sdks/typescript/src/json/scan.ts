/**
 * The grammar: where a value ends, and whether it is one (PROTOCOL.md section 4.1).
 *
 * Accepted is what CPython's `json` accepts: besides RFC 8259 that is `NaN`, `Infinity`, `-Infinity`, numbers beyond the range of
 * a double and escapes of lone surrogates. Positions are UTF-16 units of the text; errors name the byte of its UTF-8 form.
 */

import { JsonError } from "./error.js";
import { utf8Length } from "./text.js";

/** Nesting that CPython's recursion limit allows in practice. */
export const MAX_DEPTH = 990;
/** Beyond this many digits CPython refuses to convert an integer. */
export const MAX_INTEGER_DIGITS = 4300;

/** `"`. */
export const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
/** `}`. */
export const CLOSE_BRACE = 0x7d;

/** Receives the spans of a member: name with its quotes, value. */
export type MemberVisitor = (nameStart: number, nameEnd: number, valueStart: number, valueEnd: number) => void;

function byteOffset(text: string, at: number): number {
  return utf8Length(text.slice(0, at));
}

function syntax(text: string, at: number, expected: string): JsonError {
  const offset = byteOffset(text, at);
  return new JsonError("syntax", `invalid JSON at byte ${offset}: expected ${expected}`, offset);
}

function tooDeep(text: string, at: number): JsonError {
  const offset = byteOffset(text, at);
  return new JsonError("depth", `invalid JSON at byte ${offset}: nested too deeply`, offset);
}

/** The first position at or after `at` that is not JSON white space. */
export function skipSpace(text: string, at: number): number {
  for (;;) {
    const unit = text.charCodeAt(at);
    if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return at;
    at++;
  }
}

/**
 * Checks that the text is exactly one value; returns its span without the white space around it.
 *
 * @throws {@link JsonError}
 */
export function scanDocument(text: string): [start: number, end: number] {
  const start = skipSpace(text, 0);
  const end = scanValue(text, start, 0);
  expectEnd(text, end);
  return [start, end];
}

/** Whether a text that was checked before is shallow enough to stand inside of so many arrays and objects. */
export function fitsInside(text: string, levels: number): boolean {
  // Each level is two characters at least.
  if (text.length <= 2 * (MAX_DEPTH - levels)) return true;
  try {
    scanValue(text, 0, levels);
    return true;
  } catch (error) {
    if (error instanceof JsonError && error.reason === "depth") return false;
    throw error;
  }
}

/** Checks that nothing but white space follows. */
export function expectEnd(text: string, at: number): void {
  const rest = skipSpace(text, at);
  if (rest !== text.length) throw syntax(text, rest, "the end of the text");
}

/** The position just behind the value that starts at `at`, inside `depth` arrays and objects. */
export function scanValue(text: string, at: number, depth: number): number {
  const unit = text.charCodeAt(at);
  return unit === OPEN_BRACKET || unit === OPEN_BRACE ? scanContainer(text, at, depth) : scanScalar(text, at);
}

function scanScalar(text: string, at: number): number {
  switch (text.charCodeAt(at)) {
    case QUOTE:
      return scanString(text, at);
    case 0x74:
      return scanLiteral(text, at, "true");
    case 0x66:
      return scanLiteral(text, at, "false");
    case 0x6e:
      return scanLiteral(text, at, "null");
    case 0x4e:
      return scanLiteral(text, at, "NaN");
    case 0x49:
      return scanLiteral(text, at, "Infinity");
    default:
      if (text.charCodeAt(at) === MINUS || isDigit(text.charCodeAt(at))) return scanNumber(text, at);
      throw syntax(text, at, "a value");
  }
}

function scanLiteral(text: string, at: number, word: string): number {
  if (text.startsWith(word, at)) return at + word.length;
  throw syntax(text, at, "a value");
}

/** A run of characters that stand in a string as they are. */
const PLAIN_RUN = /[^"\\\u0000-\u001f]*/y;
/** From so many characters on, a regular expression is faster than a loop. */
const LONG_RUN = 24;

/** The position just behind the string whose opening quote is at `start`. */
export function scanString(text: string, start: number): number {
  let at = start + 1;
  let loopEnd = at + LONG_RUN;
  for (;;) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) return at + 1;
    if (unit === BACKSLASH) at = scanEscape(text, at);
    else if (unit >= 0x20) at++;
    else if (at < text.length) throw syntax(text, at, "no control character in a string");
    else throw syntax(text, at, "the closing quote of a string");
    if (at >= loopEnd) {
      PLAIN_RUN.lastIndex = at;
      PLAIN_RUN.test(text);
      at = PLAIN_RUN.lastIndex;
      loopEnd = at + LONG_RUN;
    }
  }
}

function scanEscape(text: string, at: number): number {
  switch (text.charAt(at + 1)) {
    case '"':
    case "\\":
    case "/":
    case "b":
    case "f":
    case "n":
    case "r":
    case "t":
      return at + 2;
    case "u":
      for (let digit = at + 2; digit < at + 6; digit++) {
        if (!isHexDigit(text.charCodeAt(digit))) throw syntax(text, at, "four hexadecimal digits after \\u");
      }
      return at + 6;
    default:
      throw syntax(text, at, "a valid escape");
  }
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

function isHexDigit(unit: number): boolean {
  return isDigit(unit) || (unit >= 0x41 && unit <= 0x46) || (unit >= 0x61 && unit <= 0x66);
}

function skipDigits(text: string, at: number): number {
  while (isDigit(text.charCodeAt(at))) at++;
  return at;
}

function scanNumber(text: string, start: number): number {
  const digits = text.charCodeAt(start) === MINUS ? start + 1 : start;
  const first = text.charCodeAt(digits);
  let at: number;
  if (first === 0x30) at = digits + 1;
  else if (isDigit(first)) at = skipDigits(text, digits);
  else if (first === 0x49 && digits > start) return scanLiteral(text, digits, "Infinity");
  else throw syntax(text, digits, "a digit");
  const integerDigits = at - digits;
  let isInteger = true;
  if (text.charCodeAt(at) === 0x2e && isDigit(text.charCodeAt(at + 1))) {
    at = skipDigits(text, at + 1);
    isInteger = false;
  }
  const exponent = text.charCodeAt(at);
  if (exponent === 0x65 || exponent === 0x45) {
    const sign = text.charCodeAt(at + 1);
    const power = sign === 0x2b || sign === MINUS ? at + 2 : at + 1;
    if (isDigit(text.charCodeAt(power))) {
      at = skipDigits(text, power);
      isInteger = false;
    }
  }
  if (isInteger && integerDigits > MAX_INTEGER_DIGITS) {
    const offset = byteOffset(text, start);
    const message = `invalid JSON at byte ${offset}: an integer has more than ${MAX_INTEGER_DIGITS} digits`;
    throw new JsonError("integer-too-long", message, offset);
  }
  return at;
}

/** The position just behind the array or object at `start`. A loop, not a recursion: nesting costs no stack. */
function scanContainer(text: string, start: number, depth: number): number {
  /** Which of the open levels are objects. */
  const levels: boolean[] = [];
  let at = start;
  for (;;) {
    const unit = text.charCodeAt(at);
    if (unit === OPEN_BRACKET || unit === OPEN_BRACE) {
      if (depth + levels.length >= MAX_DEPTH) throw tooDeep(text, at);
      const isObject = unit === OPEN_BRACE;
      levels.push(isObject);
      at = skipSpace(text, at + 1);
      if (text.charCodeAt(at) !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
        if (isObject) at = scanName(text, at);
        continue;
      }
    } else at = scanScalar(text, at);
    const next = closeLevels(text, at, levels);
    if (levels.length === 0) return next;
    at = next;
  }
}

/** After a value: closes the levels that end here; returns where the next value starts, or the end when none is left. */
function closeLevels(text: string, start: number, levels: boolean[]): number {
  let at = start;
  while (levels.length > 0) {
    const inObject = levels[levels.length - 1];
    at = skipSpace(text, at);
    const unit = text.charCodeAt(at);
    if (unit === COMMA) {
      at = skipSpace(text, at + 1);
      return inObject ? scanName(text, at) : at;
    }
    if (unit !== (inObject ? CLOSE_BRACE : CLOSE_BRACKET))
      throw syntax(text, at, inObject ? "`,` or `}`" : "`,` or `]`");
    at++;
    levels.pop();
  }
  return at;
}

/** Reads the name and the colon of a member; returns where its value starts. */
function scanName(text: string, at: number): number {
  return valueBehindName(text, nameEnd(text, at));
}

/** The position just behind the name of a member that starts at `at`. */
export function nameEnd(text: string, at: number): number {
  if (text.charCodeAt(at) !== QUOTE) throw syntax(text, at, "a member name in quotes");
  return scanString(text, at);
}

/** Where the value begins whose name ends at `end`. */
export function valueBehindName(text: string, end: number): number {
  const colon = skipSpace(text, end);
  if (text.charCodeAt(colon) !== COLON) throw syntax(text, colon, "`:`");
  return skipSpace(text, colon + 1);
}

/** Visits the members of the object at `start`, in one pass; returns the position just behind it. */
export function scanMembers(text: string, start: number, depth: number, visit: MemberVisitor): number {
  if (depth >= MAX_DEPTH) throw tooDeep(text, start);
  return readMembers(text, start, (nameStart, nameEnd, valueStart) => {
    const end = scanValue(text, valueStart, depth + 1);
    visit(nameStart, nameEnd, valueStart, end);
    return end;
  });
}

/** As {@link scanMembers}, where the visitor reads the value itself and returns its end: so that nothing is read twice. */
export function readMembers(
  text: string,
  start: number,
  read: (nameStart: number, nameEnd: number, valueStart: number) => number,
): number {
  let at = skipSpace(text, start + 1);
  if (text.charCodeAt(at) === CLOSE_BRACE) return at + 1;
  for (;;) {
    const name = nameEnd(text, at);
    at = skipSpace(text, read(at, name, valueBehindName(text, name)));
    at = nextMember(text, at);
    if (at < 0) return -at;
  }
}

/** Behind the value of a member: where the next one begins; below zero, the end of the object with the sign changed. */
export function nextMember(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  if (unit === CLOSE_BRACE) return -(at + 1);
  if (unit !== COMMA) throw syntax(text, at, "`,` or `}`");
  return skipSpace(text, at + 1);
}

/** Visits the items of the array at `start`; returns the position just behind it. */
export function scanItems(text: string, start: number, visit: (start: number, end: number) => void): number {
  return readItems(text, start, (itemStart) => {
    const end = scanValue(text, itemStart, 0);
    visit(itemStart, end);
    return end;
  });
}

/** As {@link scanItems}, where the visitor reads the item itself and returns its end. */
export function readItems(text: string, start: number, read: (start: number) => number): number {
  let at = skipSpace(text, start + 1);
  if (text.charCodeAt(at) === CLOSE_BRACKET) return at + 1;
  for (;;) {
    at = skipSpace(text, read(at));
    const unit = text.charCodeAt(at);
    if (unit === CLOSE_BRACKET) return at + 1;
    if (unit !== COMMA) throw syntax(text, at, "`,` or `]`");
    at = skipSpace(text, at + 1);
  }
}
