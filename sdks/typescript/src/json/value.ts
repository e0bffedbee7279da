/** Values as their exact text, and Python's coercions of them (PROTOCOL.md sections 1 and 4.1). */

import { JsonError } from "./error.js";
import { integerText, isIntegerText, JSON_TEXT } from "./number.js";
import { type JsonValue, parseLossless, readName, readString, readValidated } from "./read.js";
import { canonical, pythonContainer, pythonScalar } from "./rewrite.js";
import { expectEnd, scanDocument, scanItems, scanMembers, skipSpace } from "./scan.js";
import { decodeUtf8 } from "./text.js";
import { stringify } from "./write.js";

/** What a value is. Integers and floats are different things: a number with `.`, `e` or `E` is a float. */
export type JsonKind = "null" | "boolean" | "integer" | "float" | "string" | "array" | "object";

function kindOf(raw: string): JsonKind {
  switch (raw.charAt(0)) {
    case '"':
      return "string";
    case "{":
      return "object";
    case "[":
      return "array";
    case "t":
    case "f":
      return "boolean";
    case "n":
      return "null";
    default:
      return isIntegerText(raw) ? "integer" : "float";
  }
}

/**
 * One JSON value, kept as the exact text that was received or written: integers of any size, number spelling and member order
 * survive. Immutable. As a payload, or inside of one, it is sent as it is.
 */
export class RawJson {
  /** `null`. */
  static readonly NULL = new RawJson("null");
  /** `{}`. */
  static readonly EMPTY_OBJECT = new RawJson("{}");

  /** The JSON text. */
  readonly text: string;
  /** @internal */
  declare readonly [JSON_TEXT]: string;
  #parsed: { value: unknown } | undefined;

  private constructor(text: string) {
    this.text = text;
  }

  /**
   * Checks a text and keeps it, without the white space around it.
   *
   * @throws {@link JsonError} with the place of the first fault.
   */
  static parse(text: string): RawJson {
    const [start, end] = scanDocument(text);
    return new RawJson(text.slice(start, end));
  }

  /**
   * Any JavaScript value, written as {@link stringify} does.
   *
   * @throws {@link JsonError} for what JSON cannot express.
   */
  static from(value: unknown): RawJson {
    return value instanceof RawJson ? value : new RawJson(stringify(value));
  }

  /** A text that is known to be JSON, without a check and without white space around it. */
  static trusted(text: string): RawJson {
    return new RawJson(text);
  }

  /** What it is. */
  get kind(): JsonKind {
    return kindOf(this.text);
  }

  /**
   * As ordinary JavaScript values, as `JSON.parse` gives them; `NaN` and infinities too. Read at the first call; every call gives
   * the same object.
   */
  value(): unknown {
    this.#parsed ??= { value: readValidated(this.text) };
    return this.#parsed.value;
  }

  /** Without loss: see {@link JsonValue}. A new object at every call. */
  lossless(): JsonValue {
    return parseLossless(this.text);
  }

  /** A look at the value. */
  view(): JsonView {
    return new JsonView(this.text);
  }

  /** The form that is signed and hashed (PROTOCOL.md section 4.4). */
  canonical(): string {
    return canonical(this.text);
  }

  /** The JSON text. */
  toString(): string {
    return this.text;
  }

  /** For `JSON.stringify`. */
  toJSON(): unknown {
    return this.value();
  }
}
Object.defineProperty(RawJson.prototype, JSON_TEXT, {
  get(this: RawJson) {
    return this.text;
  },
});

/** A look at one value of a checked text, with the coercions that come from Python (PROTOCOL.md section 1). */
export class JsonView {
  /** The null value; also what a missing member reads as. */
  static readonly NULL = new JsonView("null");

  /** The exact text of the value. */
  readonly raw: string;

  /** @internal Of a text that was checked before. */
  constructor(raw: string) {
    this.raw = raw;
  }

  /**
   * Checks a text and looks at its one value.
   *
   * @throws {@link JsonError} with the place of the first fault.
   */
  static parse(text: string): JsonView {
    const [start, end] = scanDocument(text);
    return new JsonView(text.slice(start, end));
  }

  /** What it is. */
  get kind(): JsonKind {
    return kindOf(this.raw);
  }

  /** Whether it is `null`. */
  isNull(): boolean {
    return this.raw.startsWith("n");
  }

  /** Whether it is anything but null, false, zero and empty text, arrays and objects. */
  isTruthy(): boolean {
    switch (this.kind) {
      case "null":
        return false;
      case "boolean":
        return this.raw === "true";
      case "integer":
      case "float":
        // NaN is truthy in Python.
        return Number(this.raw) !== 0;
      case "string":
        return this.raw.length > 2;
      case "array":
      case "object":
        return skipSpace(this.raw, 1) !== this.raw.length - 1;
    }
  }

  /** The text of a string. */
  asString(): string | undefined {
    return this.raw.startsWith('"') ? readString(this.raw) : undefined;
  }

  /** The members of an object. */
  asObject(): JsonObject | undefined {
    return this.raw.startsWith("{") ? JsonObject.ofChecked(this.raw) : undefined;
  }

  /** The items of an array. */
  asArray(): JsonView[] | undefined {
    if (!this.raw.startsWith("[")) return undefined;
    const items: JsonView[] = [];
    scanItems(this.raw, 0, (start, end) => items.push(new JsonView(this.raw.slice(start, end))));
    return items;
  }

  /** `S(x)`: the text of the value; empty where it is not truthy. */
  text(): string {
    return this.asString() ?? (this.isTruthy() ? this.pythonText() : "");
  }

  /** `S?(x)`: the text of the value; absent where that is empty. */
  optText(): string | undefined {
    return this.text() || undefined;
  }

  /** Python's `str(x)`, falsy values included (`None`, `0`, `False`). */
  pythonText(): string {
    switch (this.raw.charAt(0)) {
      case '"':
        return readString(this.raw);
      case "[":
      case "{":
        return pythonContainer(this.raw);
      default:
        return pythonScalar(this.raw);
    }
  }

  /**
   * `I(x)`: an integer; `undefined` where none is given.
   *
   * @throws {@link JsonError} with reason `overflow` for an infinite number.
   */
  int(): bigint | undefined {
    switch (this.kind) {
      case "boolean":
        return this.raw === "true" ? 1n : 0n;
      case "integer":
        return BigInt(this.raw);
      case "float": {
        const number = Number(this.raw);
        if (Number.isNaN(number)) return undefined;
        if (!Number.isFinite(number)) throw new JsonError("overflow", "a number is too large for an integer");
        return BigInt(Math.trunc(number));
      }
      case "string":
        return integerText(readString(this.raw));
      default:
        return undefined;
    }
  }

  /** A finite number, of an integer or a float; `undefined` for anything else. */
  number(): number | undefined {
    if (this.kind !== "integer" && this.kind !== "float") return undefined;
    const number = Number(this.raw);
    return Number.isFinite(number) ? number : undefined;
  }

  /** The value as its exact text. */
  toRaw(): RawJson {
    return RawJson.trusted(this.raw);
  }
}

/** The members of one object, as a Python dict would hold them: each name once, at its first place, with its last value. */
export class JsonObject {
  private readonly members = new Map<string, JsonView>();

  private constructor(
    /** The exact text of the object. */
    readonly raw: string,
  ) {}

  /** @internal Of a text that was checked before. */
  static ofChecked(raw: string): JsonObject {
    const object = new JsonObject(raw);
    object.scan(0);
    return object;
  }

  /**
   * Reads a message body; an empty one is `{}`; `undefined` where it is JSON but no object.
   *
   * @throws {@link JsonError} where it is not JSON.
   */
  static parseBody(body: Uint8Array | string): JsonObject | undefined {
    const text = typeof body === "string" ? body : decodeUtf8(body);
    if (text === "") return new JsonObject("{}");
    const start = skipSpace(text, 0);
    if (text.charAt(start) !== "{") {
      scanDocument(text);
      return undefined;
    }
    const object = new JsonObject(text);
    expectEnd(text, object.scan(start));
    return object;
  }

  private scan(start: number): number {
    const text = this.raw;
    return scanMembers(text, start, 0, (nameStart, nameEnd, valueStart, valueEnd) => {
      this.members.set(readName(text, nameStart, nameEnd), new JsonView(text.slice(valueStart, valueEnd)));
    });
  }

  /** The member with this name; null when missing. */
  get(name: string): JsonView {
    return this.members.get(name) ?? JsonView.NULL;
  }

  /** Whether there is a member with this name. */
  has(name: string): boolean {
    return this.members.has(name);
  }

  /** Whether there are no members. */
  get isEmpty(): boolean {
    return this.members.size === 0;
  }

  /** Names and values, in order. */
  entries(): IterableIterator<[name: string, value: JsonView]> {
    return this.members.entries();
  }

  /** The whole object as ordinary JavaScript values. */
  value(): Record<string, unknown> {
    return readValidated(this.raw) as Record<string, unknown>;
  }
}
