/** Writing a checked text in another form: wire, persisted, canonical, Python's repr (PROTOCOL.md sections 4.2, 4.4, 4.5). */

import { floatText, isIntegerText, pythonFloat } from "./number.js";
import { readString } from "./read.js";
import { readItems, readMembers, scanDocument, scanValue } from "./scan.js";
import { compareCodePoints, quote } from "./text.js";

interface Style {
  /** Between two items or members. */
  readonly item: string;
  /** Between a name and its value. */
  readonly member: string;
  /** Whether members are ordered by code point of their names. */
  readonly sorted: boolean;
  /** Writes what is neither array nor object. */
  readonly scalar: (raw: string) => string;
}

const COMPACT: Style = { item: ",", member: ":", sorted: false, scalar: jsonScalar };
const PERSISTED: Style = { ...COMPACT, item: ", ", member: ": " };
const CANONICAL: Style = { ...COMPACT, sorted: true };
const PYTHON: Style = { ...PERSISTED, scalar: pythonRepr };

/**
 * The form that is signed and hashed (PROTOCOL.md section 4.4): compact, ASCII, members sorted by code point.
 *
 * @throws {@link JsonError} where the text is not JSON.
 */
export function canonical(json: string): string {
  return rewrite(json, CANONICAL);
}

/**
 * The form that Python puts on the wire (PROTOCOL.md section 4.2): compact, ASCII, members in order.
 *
 * @throws {@link JsonError} where the text is not JSON.
 */
export function wire(json: string): string {
  return rewrite(json, COMPACT);
}

/**
 * The form whose length counts towards the size of a thread (PROTOCOL.md section 4.5): `", "` and `": "`, ASCII.
 *
 * @throws {@link JsonError} where the text is not JSON.
 */
export function persisted(json: string): string {
  return rewrite(json, PERSISTED);
}

/** The length of {@link persisted}, in bytes. */
export function persistedLength(json: string): number {
  return persisted(json).length;
}

/** Python's `repr` of a checked array or object. */
export function pythonContainer(json: string): string {
  return rewrite(json, PYTHON);
}

function rewrite(json: string, style: Style): string {
  const [start] = scanDocument(json);
  return write({ text: json, at: start }, style);
}

/** A text that was checked before, and how far it is read. */
interface Cursor {
  readonly text: string;
  at: number;
}

/** Writes the value at the cursor, in one pass however deep it is nested. Nesting is bounded by the scanner. */
function write(cursor: Cursor, style: Style): string {
  const { text, at: start } = cursor;
  const first = text.charAt(start);
  if (first === "[") {
    // Joined by `+`, which copies nothing: a text deep inside is copied once, at the end.
    let out = "[";
    cursor.at = readItems(text, start, (itemStart) => {
      cursor.at = itemStart;
      out += (out.length > 1 ? style.item : "") + write(cursor, style);
      return cursor.at;
    });
    return `${out}]`;
  }
  if (first !== "{") {
    cursor.at = scanValue(text, start, 0);
    return style.scalar(text.slice(start, cursor.at));
  }
  // As a Python dict: a name has its first place and its last value.
  const members = new Map<string, string>();
  cursor.at = readMembers(text, start, (nameStart, nameEnd, valueStart) => {
    cursor.at = valueStart;
    members.set(readString(text.slice(nameStart, nameEnd)), write(cursor, style));
    return cursor.at;
  });
  const entries = [...members];
  if (style.sorted) entries.sort(([a], [b]) => compareCodePoints(a, b));
  const name = style === PYTHON ? pythonString : quote;
  let out = "{";
  for (const [key, value] of entries) out += (out.length > 1 ? style.item : "") + name(key) + style.member + value;
  return `${out}}`;
}

function jsonScalar(raw: string): string {
  switch (raw.charAt(0)) {
    case '"':
      return quote(readString(raw));
    case "t":
    case "f":
    case "n":
      return raw;
    default:
      if (!isIntegerText(raw)) return floatText(Number(raw));
      return raw === "-0" ? "0" : raw;
  }
}

function pythonRepr(raw: string): string {
  return raw.startsWith('"') ? pythonString(readString(raw)) : pythonScalar(raw);
}

/** Python's `str(x)` of a checked value that is neither text, array nor object. */
export function pythonScalar(raw: string): string {
  switch (raw.charAt(0)) {
    case "n":
      return "None";
    case "t":
      return "True";
    case "f":
      return "False";
    default:
      if (!isIntegerText(raw)) return pythonFloat(Number(raw));
      return raw === "-0" ? "0" : raw;
  }
}

/** Python's `repr` of a text. */
function pythonString(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = mark;
  for (const character of text) out += pythonCharacter(character, mark);
  return out + mark;
}

function pythonCharacter(character: string, mark: string): string {
  switch (character) {
    case "\n":
      return "\\n";
    case "\r":
      return "\\r";
    case "\t":
      return "\\t";
    case "\\":
      return "\\\\";
    case mark:
      return `\\${mark}`;
  }
  const code = character.charCodeAt(0);
  if (code < 0x20 || (code >= 0x7f && code <= 0xa0) || code === 0xad) return `\\x${code.toString(16).padStart(2, "0")}`;
  // Half of a surrogate pair has no character to show.
  if (character.length === 1 && code >= 0xd800 && code < 0xe000) return `\\u${code.toString(16)}`;
  return character;
}
