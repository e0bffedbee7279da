/** Reading values: as ordinary JavaScript values, or without loss (PROTOCOL.md section 4.1). */

import { compactInteger, isIntegerText, JsonNumber, numberText } from "./number.js";
import { readItems, readMembers, scanDocument, scanValue } from "./scan.js";

/**
 * A value that was read without loss: an integer that a double cannot hold is a `bigint`, a number whose spelling would be lost a
 * {@link JsonNumber}.
 */
export type JsonValue =
  | null
  | boolean
  | string
  | number
  | bigint
  | JsonNumber
  | JsonValue[]
  | { [name: string]: JsonValue };

/**
 * Reads a text as ordinary JavaScript values, as `JSON.parse` does; `NaN` and infinities are accepted too. Of equal names the last
 * one counts.
 *
 * @throws {@link JsonError} where the text is not the JSON of the wire.
 */
export function parse(text: string): unknown {
  scanDocument(text);
  return readValidated(text);
}

/**
 * Reads a text without loss: {@link stringify} of the result is the same compact text again.
 *
 * @throws {@link JsonError} where the text is not the JSON of the wire.
 */
export function parseLossless(text: string): JsonValue {
  const [start] = scanDocument(text);
  return build({ text, at: start }, losslessNumber);
}

/** As {@link parse}, of a text that was checked before. */
export function readValidated(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // NaN or an infinity stands in it.
    const [start] = scanDocument(text);
    return build({ text, at: start }, Number);
  }
}

function losslessNumber(text: string): number | bigint | JsonNumber {
  if (isIntegerText(text) && text !== "-0") return compactInteger(BigInt(text));
  const number = Number(text);
  return numberText(number) === text ? number : new JsonNumber(text);
}

type NumberReader = (text: string) => JsonValue;

/** A text that was checked before, and how far it is read. */
interface Cursor {
  readonly text: string;
  at: number;
}

/** Builds the value at the cursor, in one pass however deep it is nested. Nesting is bounded by the scanner. */
function build(cursor: Cursor, number: NumberReader): JsonValue {
  const { text, at: start } = cursor;
  switch (text.charAt(start)) {
    case "{": {
      const object: { [name: string]: JsonValue } = {};
      cursor.at = readMembers(text, start, (nameStart, nameEnd, valueStart) => {
        cursor.at = valueStart;
        setMember(object, readString(text.slice(nameStart, nameEnd)), build(cursor, number));
        return cursor.at;
      });
      return object;
    }
    case "[": {
      const array: JsonValue[] = [];
      cursor.at = readItems(text, start, (itemStart) => {
        cursor.at = itemStart;
        array.push(build(cursor, number));
        return cursor.at;
      });
      return array;
    }
    default:
      cursor.at = scanValue(text, start, 0);
      return scalar(text.slice(start, cursor.at), number);
  }
}

function scalar(raw: string, number: NumberReader): JsonValue {
  switch (raw.charAt(0)) {
    case '"':
      return readString(raw);
    case "t":
      return true;
    case "f":
      return false;
    case "n":
      return null;
    default:
      return number(raw);
  }
}

/** The text of a string literal that was checked before; a copy, so that it does not keep the text around it in memory. */
export function readString(literal: string): string {
  return JSON.parse(literal) as string;
}

/** The name of a member, whose literal has this span. Most names have no escapes, and are kept no longer than the text. */
export function readName(text: string, start: number, end: number): string {
  const name = text.slice(start + 1, end - 1);
  return name.includes("\\") ? readString(text.slice(start, end)) : name;
}

/** Sets an own member of any name: an assignment to `__proto__` would change the prototype. */
function setMember(object: { [name: string]: JsonValue }, name: string, value: JsonValue): void {
  if (name !== "__proto__") object[name] = value;
  else Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}
