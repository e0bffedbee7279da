// Signatures of src/json; replaced by index.ts.
import { AgentNetError } from "../errors.js";

/** Why a text is not the JSON that the wire allows, or a value cannot be written as JSON. `code`: "invalid_json" (reading) or "invalid_payload" (writing). */
export class JsonError extends AgentNetError {
  readonly reason: "utf8" | "syntax" | "depth" | "integer-too-long" | "overflow" | "unsupported" | "cycle";
  /** Byte offset in the UTF-8 text, when reading. */
  readonly offset?: number;
}

export type JsonKind = "null" | "boolean" | "integer" | "float" | "string" | "array" | "object";
/** A value read without loss: unsafe integers as bigint, numbers whose spelling would be lost as JsonNumber. */
export type JsonValue = null | boolean | string | number | bigint | JsonNumber | JsonValue[] | { [name: string]: JsonValue };

/** A number with its exact spelling. */
export class JsonNumber {
  readonly text: string;
  constructor(text: string);
  valueOf(): number;
  toString(): string;
}
/** A number written as a float even when it is whole: float(1) is written 1.0. */
export function float(value: number): JsonNumber;

/** One JSON value as its exact, validated text. Immutable. */
export class RawJson {
  static readonly NULL: RawJson;
  static readonly EMPTY_OBJECT: RawJson;
  readonly text: string;
  /** Validates; drops white space around the value. @throws JsonError */
  static parse(text: string): RawJson;
  /** Any JS value, as {@link stringify} writes it. @throws JsonError */
  static from(value: unknown): RawJson;
  /** Text that is known to be valid JSON; unchecked. */
  static trusted(text: string): RawJson;
  get kind(): JsonKind;
  /** As ordinary JS values (JSON.parse); NaN and Infinity are read too; memoised. */
  value(): unknown;
  lossless(): JsonValue;
  view(): JsonView;
  canonical(): string;
  toString(): string;
}

/** A look at one value of validated text, with Python's coercions (PROTOCOL.md section 1). */
export class JsonView {
  static readonly NULL: JsonView;
  static parse(text: string): JsonView;
  readonly raw: string;
  get kind(): JsonKind;
  isNull(): boolean;
  isTruthy(): boolean;
  asString(): string | undefined;
  asObject(): JsonObject | undefined;
  asArray(): JsonView[] | undefined;
  /** S(x) */ text(): string;
  /** S?(x) */ optText(): string | undefined;
  /** str(x), falsy ones included */ pythonText(): string;
  /** I(x): undefined means "not given". @throws JsonError (overflow) for an infinite number. */ int(): bigint | undefined;
  /** A finite number, of an integer or float; undefined otherwise. */ number(): number | undefined;
  toRaw(): RawJson;
}

/** The members of one object; of equal names the last one counts. */
export class JsonObject {
  /** Reads a message body: UTF-8, JSON; an empty body is {}; undefined where it is JSON but no object. @throws JsonError */
  static parseBody(body: Uint8Array | string): JsonObject | undefined;
  get(name: string): JsonView;
  has(name: string): boolean;
  get isEmpty(): boolean;
  entries(): [name: JsonView, value: JsonView][];
  unique(): [name: JsonView, value: JsonView][];
  /** The whole object as ordinary JS values. */
  value(): Record<string, unknown>;
}

/** Strict UTF-8. @throws JsonError */
export function decodeUtf8(bytes: Uint8Array): string;
/** A JS value as wire text: compact, ASCII; bigint, JsonNumber, RawJson, NaN and Infinity accepted; undefined members left out. @throws JsonError */
export function stringify(value: unknown): string;
/** Exact read. @throws JsonError */
export function parseLossless(text: string): JsonValue;
/** Ordinary read; NaN, Infinity accepted; last of equal names. @throws JsonError */
export function parse(text: string): unknown;
/** A JSON string literal, ASCII. */
export function quote(text: string): string;
/** The same JSON text with non-ASCII (and U+007F) escaped. */
export function ascii(json: string): string;
/** Canonical form of JSON text (4.4). */
export function canonical(json: string): string;
/** Python's compact form (4.2). */
export function wire(json: string): string;
/** Length counted for threads (4.5). */
export function persisted(json: string): string;
export function persistedLength(json: string): number;
/** A double as Python writes it (4.3). */
export function floatText(value: number): string;
/** Python's strip(). */
export function trim(text: string): string;
/** Python's int(text). */
export function integerText(text: string): bigint | undefined;
/** Length in UTF-8. */
export function utf8Length(text: string): number;
/** Order by code point. */
export function compareCodePoints(a: string, b: string): number;

/** Writes one object, member by member; compact, ASCII. All methods return this. */
export class ObjectWriter {
  text(key: string, value: string): this;
  optText(key: string, value: string | undefined): this;
  nullableText(key: string, value: string | undefined): this;
  int(key: string, value: number | bigint): this;
  float(key: string, value: number): this;
  bool(key: string, value: boolean): this;
  null(key: string): this;
  raw(key: string, json: string): this;
  texts(key: string, values: readonly string[]): this;
  finish(): string;
}
