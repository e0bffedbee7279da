/** Writing JavaScript values as wire text: compact and ASCII (PROTOCOL.md section 4.2). */

import { JsonError } from "./error.js";
import { floatText, JSON_TEXT, numberText } from "./number.js";
import { MAX_DEPTH } from "./scan.js";
import { ascii, quote } from "./text.js";

/**
 * Writes a JavaScript value as wire text: compact, ASCII.
 *
 * As `JSON.stringify` does, it calls `toJSON`, leaves members out whose value is `undefined`, and writes `undefined` in an array as
 * `null`. Beyond that it accepts a `bigint` (as an integer), a {@link JsonNumber} (with its spelling), a {@link RawJson} (as it is),
 * `NaN` and infinities (as Python spells them). A number without a fraction is written as an integer: `float(1)` is written `1.0`.
 *
 * @throws {@link JsonError} with reason `unsupported` for a function, symbol, map, set or binary data, `cycle` for an object that
 * contains itself, `depth` for more than 990 levels. The message names the place.
 */
export function stringify(value: unknown): string {
  return write(value, { path: [], open: new Set() });
}

interface Place {
  /** Names and indexes from the outermost value to this one. */
  readonly path: (string | number)[];
  /** The arrays and objects that are being written. */
  readonly open: Set<object>;
}

function write(value: unknown, place: Place): string {
  switch (typeof value) {
    case "string":
      return quote(value);
    case "number":
      return numberText(value);
    case "boolean":
      return value ? "true" : "false";
    case "bigint":
      return value.toString();
    case "undefined":
      return "null";
    case "object":
      return value === null ? "null" : writeObject(value, place);
    default:
      throw unsupported(place, `a ${typeof value}`);
  }
}

function writeObject(value: object, place: Place): string {
  const text = (value as Record<symbol, unknown>)[JSON_TEXT];
  if (typeof text === "string") return ascii(text);
  if (place.open.has(value)) {
    throw new JsonError("cycle", `${shown(place)} contains itself, which JSON cannot express`);
  }
  if (place.open.size >= MAX_DEPTH)
    throw new JsonError("depth", `the value is nested more than ${MAX_DEPTH} levels deep`);
  place.open.add(value);
  const written = writeOpen(value, place);
  place.open.delete(value);
  return written;
}

function writeOpen(value: object, place: Place): string {
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return write(value.toJSON(String(place.path.at(-1) ?? "")), place);
  }
  if (Array.isArray(value)) return writeArray(value, place);
  // Most objects are plain ones, which need not be compared with each class that is written in its own way.
  if (Object.getPrototypeOf(value) === Object.prototype) return writeMembers(value as Record<string, unknown>, place);
  if (value instanceof String || value instanceof Number || value instanceof Boolean)
    return write(value.valueOf(), place);
  const reason = unsupportedObject(value);
  if (reason !== undefined) throw unsupported(place, reason);
  return writeMembers(value as Record<string, unknown>, place);
}

function writeArray(array: readonly unknown[], place: Place): string {
  let out = "[";
  for (let index = 0; index < array.length; index++) {
    place.path.push(index);
    out += (index > 0 ? "," : "") + write(array[index], place);
    place.path.pop();
  }
  return `${out}]`;
}

function writeMembers(object: Record<string, unknown>, place: Place): string {
  let out = "{";
  for (const name of Object.keys(object)) {
    const value = object[name];
    if (value === undefined) continue;
    place.path.push(name);
    out += `${(out.length > 1 ? "," : "") + quote(name)}:${write(value, place)}`;
    place.path.pop();
  }
  return `${out}}`;
}

function unsupportedObject(value: object): string | undefined {
  if (value instanceof Map) return "a Map (use Object.fromEntries)";
  if (value instanceof Set) return "a Set (use an array)";
  if (value instanceof Promise) return "a Promise (await it first)";
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return "binary data (send a blob, or text)";
  if (value instanceof WeakMap || value instanceof WeakSet) return "a weak collection";
  return undefined;
}

function unsupported(place: Place, what: string): JsonError {
  return new JsonError("unsupported", `${shown(place)} is ${what}, which JSON cannot express`);
}

/** The place in the value, as a program would write it. */
function shown(place: Place): string {
  const steps = place.path.map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`));
  const text = `the value${steps.length > 0 ? ` at ${steps.join("").replace(/^\./, "")}` : ""}`;
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/**
 * The JSON text of an integer; a number that is none is cut towards zero.
 *
 * @throws {@link JsonError} where it is not finite; the message has the name of the member.
 */
export function integer(name: string, value: number | bigint): string {
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return value.toString();
  const whole = Math.trunc(value);
  if (!Number.isFinite(whole)) {
    throw new JsonError("unsupported", `${name} must be a finite number, not ${String(value).slice(0, 64)}`);
  }
  return BigInt(whole).toString();
}

/** Writes one object, member by member, in the order of the calls: compact, ASCII. */
export class ObjectWriter {
  private out = "{";

  /** A text. */
  text(name: string, value: string): this {
    return this.raw(name, quote(value));
  }

  /** A text that is left out when absent. */
  optText(name: string, value: string | undefined): this {
    return value === undefined ? this : this.text(name, value);
  }

  /** A text that is `null` when absent. */
  nullableText(name: string, value: string | undefined): this {
    return this.raw(name, value === undefined ? "null" : quote(value));
  }

  /** An integer; a number that is none is cut towards zero, one that is not finite is an error. */
  int(name: string, value: number | bigint): this {
    return this.raw(name, integer(name, value));
  }

  /** A number with a fraction or an exponent, as Python writes doubles. */
  float(name: string, value: number): this {
    return this.raw(name, floatText(value));
  }

  /** A boolean. */
  bool(name: string, value: boolean): this {
    return this.raw(name, value ? "true" : "false");
  }

  /** A member that is `null`. */
  null(name: string): this {
    return this.raw(name, "null");
  }

  /** A member whose value is JSON text, put in as it is. */
  raw(name: string, json: string): this {
    this.out += `${(this.out.length > 1 ? "," : "") + quote(name)}:${json}`;
    return this;
  }

  /** An array of texts. */
  texts(name: string, values: readonly string[]): this {
    return this.raw(name, `[${values.map(quote).join(",")}]`);
  }

  /** The text of the object. */
  finish(): string {
    return `${this.out}}`;
  }
}
