/**
 * Reading records whose members are known, such as messages: the places of their values are kept, so that neither a table nor an
 * object for each member is made for a body that is read once.
 */

import { readString } from "./read.js";
import {
  CLOSE_BRACE,
  expectEnd,
  nameEnd,
  nextMember,
  QUOTE,
  scanDocument,
  scanValue,
  skipSpace,
  valueBehindName,
} from "./scan.js";
import { decodeUtf8 } from "./text.js";
import { JsonView, RawJson } from "./value.js";

/**
 * The texts of a body of at most so many characters are parts of it, which keeps it in memory as long as one of them. Those of a
 * longer body are copies: an id that a program keeps must not keep 256 kB.
 */
const MAX_SHARED_LENGTH = 2_048;

/** What no text of a short body has, nearly always: then a string ends at the next quote, which is found faster than character by character. */
const ODD = /[\\\u0000-\u001f]/;

/** Reads records with members of these names. */
export class RecordReader<Name extends string> {
  private readonly names: readonly Name[];
  private readonly literals: readonly string[];
  private readonly places: ReadonlyMap<Name, number>;

  /** @param names In the order in which they are usually written: those are found at once. */
  constructor(names: readonly Name[]) {
    this.names = names;
    this.literals = names.map((name) => `"${name}":`);
    this.places = new Map(names.map((name, place) => [name, place]));
  }

  /**
   * Reads a message body, as `JsonObject.parseBody` does: an empty one is `{}`; `undefined` where it is JSON but no object.
   *
   * @throws {@link JsonError} where it is not JSON.
   */
  read(body: Uint8Array | string): JsonRecord<Name> | undefined {
    const text = typeof body === "string" ? body : decodeUtf8(body);
    const spans = new Array<number>(2 * this.names.length).fill(0);
    const isPlain = text.length <= MAX_SHARED_LENGTH && !ODD.test(text);
    const record = new JsonRecord(text, this.places, spans, isPlain);
    if (text === "") return record;
    const start = skipSpace(text, 0);
    if (text.charAt(start) !== "{") {
      scanDocument(text);
      return undefined;
    }
    expectEnd(text, this.scan(text, start, spans, isPlain));
    return record;
  }

  /** Notes where the values of the known members are; returns the position just behind the object. Without a call for each member. */
  private scan(text: string, start: number, spans: number[], isPlain: boolean): number {
    let at = skipSpace(text, start + 1);
    if (text.charCodeAt(at) === CLOSE_BRACE) return at + 1;
    let next = 0;
    do {
      let place = next;
      let valueStart: number;
      const literal = this.literals[next] ?? "";
      if (literal !== "" && text.startsWith(literal, at)) valueStart = skipSpace(text, at + literal.length);
      else {
        const behindName = nameEnd(text, at);
        place = this.placeOf(text, at, behindName, next);
        valueStart = valueBehindName(text, behindName);
      }
      const valueEnd = (isPlain && plainEnd(text, valueStart)) || scanValue(text, valueStart, 1);
      if (place >= 0) {
        // Of equal names the last one counts.
        spans[2 * place] = valueStart;
        spans[2 * place + 1] = valueEnd;
        next = place + 1;
      }
      at = nextMember(text, skipSpace(text, valueEnd));
    } while (at > 0);
    return -at;
  }

  /** The place of the name whose literal has this span; below zero for another name. */
  private placeOf(text: string, start: number, end: number, expected: number): number {
    const { names } = this;
    const length = end - start - 2;
    for (let step = 0; step < names.length; step++) {
      const place = (expected + step) % names.length;
      const name = names[place] ?? "";
      if (name.length === length && text.startsWith(name, start + 1)) return place;
    }
    const literal = text.slice(start, end);
    if (!literal.includes("\\")) return -1;
    const written = readString(literal);
    return names.indexOf(written as Name);
  }
}

/** The position just behind a string without escapes and control characters; 0 where there is none. */
function plainEnd(text: string, at: number): number {
  return text.charCodeAt(at) === QUOTE ? text.indexOf('"', at + 1) + 1 : 0;
}

/** The known members of one object, with the coercions that come from Python (PROTOCOL.md section 1). */
export class JsonRecord<Name extends string> {
  private readonly mayShare: boolean;
  private readonly hasEscapes: boolean;

  /** @internal Where the value of each place starts and ends; the end of a missing one is 0. */
  constructor(
    private readonly body: string,
    private readonly places: ReadonlyMap<Name, number>,
    private readonly spans: readonly number[],
    isPlain: boolean,
  ) {
    this.mayShare = body.length <= MAX_SHARED_LENGTH;
    this.hasEscapes = this.mayShare && !isPlain && body.includes("\\");
  }

  /** `S(x)`: the text of a member; empty where it is not truthy or missing. */
  text(name: Name): string {
    const place = this.place(name);
    const start = this.spans[place] ?? 0;
    const end = this.spans[place + 1] ?? 0;
    if (end === 0) return "";
    if (this.body.charCodeAt(start) !== QUOTE) return this.get(name).text();
    if (this.mayShare) {
      const inner = this.body.slice(start + 1, end - 1);
      if (!this.hasEscapes || !inner.includes("\\")) return inner;
    }
    return readString(this.body.slice(start, end));
  }

  /** `S?(x)`: the text of a member; absent where that is empty. */
  optText(name: Name): string | undefined {
    return this.text(name) || undefined;
  }

  /** A member as its exact text; null when missing. */
  raw(name: Name): RawJson {
    const place = this.place(name);
    const end = this.spans[place + 1] ?? 0;
    return end === 0 ? RawJson.NULL : RawJson.trusted(this.body.slice(this.spans[place], end));
  }

  /** A look at a member; null when missing. */
  get(name: Name): JsonView {
    const place = this.place(name);
    const end = this.spans[place + 1] ?? 0;
    return end === 0 ? JsonView.NULL : new JsonView(this.body.slice(this.spans[place], end));
  }

  /** Where the span of a member is. */
  private place(name: Name): number {
    return 2 * (this.places.get(name) ?? 0);
  }
}
