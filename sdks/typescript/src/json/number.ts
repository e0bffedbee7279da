/** Numbers as Python reads and writes them (PROTOCOL.md sections 1 and 4.3). */

import { JsonError } from "./error.js";
import { MAX_INTEGER_DIGITS, scanDocument } from "./scan.js";
import { trim } from "./text.js";

const INTEGER = /^-?[0-9]+$/;
const NUMBER = /^(?:-?[0-9]|-?Infinity$|NaN$)/;

/** Whether the text of a JSON number is an integer: without `.`, `e` and `E`, and neither `NaN` nor `Infinity`. */
export function isIntegerText(text: string): boolean {
  return INTEGER.test(text);
}

/** The member of an object that stands for JSON text: its value, which was checked before. Also of another copy of the package. */
export const JSON_TEXT = Symbol.for("agentnet.json-text");

/** A number with its exact spelling, as JSON has it: `1.0`, `1e400`, `-0`. */
export class JsonNumber {
  /** The spelling. */
  readonly text: string;

  /** @throws {@link JsonError} where the text is not a JSON number. */
  constructor(text: string) {
    const [start, end] = NUMBER.test(text) ? scanDocument(text) : [1, 0];
    if (start !== 0 || end !== text.length) {
      throw new JsonError("unsupported", `${JSON.stringify(text.slice(0, 80))} is not a JSON number`);
    }
    this.text = text;
  }

  /** @internal */
  get [JSON_TEXT](): string {
    return this.text;
  }

  /** The nearest double. */
  valueOf(): number {
    return Number(this.text);
  }

  /** The spelling. */
  toString(): string {
    return this.text;
  }

  /** For `JSON.stringify`, which cannot keep the spelling. */
  toJSON(): number {
    return Number(this.text);
  }
}

/** A number that is written as a float even when it is whole: `float(1)` is written `1.0`. */
export function float(value: number): JsonNumber {
  return new JsonNumber(floatText(value));
}

/**
 * The JSON text of a double as Python writes it (PROTOCOL.md section 4.3): the shortest digits that read back the same, with a
 * fraction or an exponent; `NaN`, `Infinity` and `-Infinity` where JSON has no number.
 */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  return finiteText(value);
}

/** Python's `str(float)`: as the JSON text, but `nan`, `inf`, `-inf`. */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return finiteText(value);
}

function finiteText(value: number): string {
  const size = Math.abs(value);
  // Here JavaScript writes the same digits in the same notation.
  if (size >= 1e-4 && size < 1e16) return Number.isInteger(value) ? `${value}.0` : String(value);
  // Without an argument it gives the shortest digits: d[.ddd]e±X.
  const [mantissa = "0", power = "0"] = size.toExponential().split("e");
  const exponent = Number(power);
  const digits = mantissa.replace(".", "");
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    const point = digits.length > 1 ? "." : "";
    const mark = exponent < 0 ? "-" : "+";
    const places = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${digits.slice(0, 1)}${point}${digits.slice(1)}e${mark}${places}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = exponent + 1;
  if (digits.length <= whole) return `${sign}${digits.padEnd(whole, "0")}.0`;
  return `${sign}${digits.slice(0, whole)}.${digits.slice(whole)}`;
}

/**
 * The JSON text of a JavaScript number: one without a fraction as an integer, as `JSON.stringify` writes it, any other as
 * {@link floatText}.
 */
export function numberText(value: number): string {
  return Number.isInteger(value) ? String(value) : floatText(value);
}

/** The zero of every run of ten decimal digits in Unicode (category Nd). */
// biome-ignore format: a table
const DECIMAL_ZEROS = [
  0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
  0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
  0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0,
  0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50,
  0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950,
  0x1fbf0,
];

function decimalDigit(character: string): number | undefined {
  const code = character.codePointAt(0) ?? 0;
  const zero = DECIMAL_ZEROS.findLast((first) => first <= code);
  return zero !== undefined && code - zero < 10 ? code - zero : undefined;
}

/**
 * Python's `int(text)`: decimal digits of any script after trimming, with an optional sign and single `_` between digits;
 * `undefined` for anything else, and for more than 4300 digits.
 */
export function integerText(text: string): bigint | undefined {
  const trimmed = trim(text);
  const negative = trimmed.startsWith("-");
  const digits = negative || trimmed.startsWith("+") ? trimmed.slice(1) : trimmed;
  let plain = "";
  let afterDigit = false;
  for (const character of digits) {
    const digit = decimalDigit(character);
    if (digit !== undefined) {
      plain += String(digit);
      afterDigit = true;
    } else if (character === "_" && afterDigit) afterDigit = false;
    else return undefined;
  }
  if (!afterDigit || plain.length > MAX_INTEGER_DIGITS) return undefined;
  return negative ? -BigInt(plain) : BigInt(plain);
}

/** A number where it is a safe integer, else a bigint. */
export function compactInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
