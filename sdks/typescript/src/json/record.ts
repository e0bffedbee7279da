/**
 * Reading records whose members are known, such as messages: the places of their values are kept, so that neither a table nor an
 * object for each member is made for a body that is read once.
 */

import { readString } from "./read.js";
import { expectEnd, QUOTE, scanDocument, scanMembers, skipSpace } from "./scan.js";
import { decodeUtf8 } from "./text.js";
import { JsonView, RawJson } from "./value.js";

/**
 * The texts of a body of at most so many characters are parts of it, which keeps it in memory as long as one of them. Those of a
 * longer body are copies: an id that a program keeps must not keep 256 kB.
 */
const MAX_SHARED_LENGTH = 2_048;

/** Reads records with members of these names. */
export class RecordReader<Name extends string> {
  private readonly names: readonly Name[];
  private readonly places: ReadonlyMap<Name, number>;

  /** @param names In the order in which they are usually written: those are found at once. */
  constructor(names: readonly Name[]) {
    this.names = names;
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
    const record = new JsonRecord(text, this.places, spans);
    if (text === "") return record;
    const start = skipSpace(text, 0);
    if (text.charAt(start) !== "{") {
      scanDocument(text);
      return undefined;
    }
    let next = 0;
    const end = scanMembers(text, start, 0, (nameStart, nameEnd, valueStart, valueEnd) => {
      const place = this.placeOf(text, nameStart, nameEnd, next);
      if (place < 0) return;
      // Of equal names the last one counts.
      spans[2 * place] = valueStart;
      spans[2 * place + 1] = valueEnd;
      next = place + 1;
    });
    expectEnd(text, end);
    return record;
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

/** The known members of one object, with the coercions that come from Python (PROTOCOL.md section 1). */
export class JsonRecord<Name extends string> {
  private readonly mayShare: boolean;
  private readonly hasEscapes: boolean;

  /** @internal Where the value of each place starts and ends; the end of a missing one is 0. */
  constructor(
    private readonly body: string,
    private readonly places: ReadonlyMap<Name, number>,
    private readonly spans: readonly number[],
  ) {
    this.mayShare = body.length <= MAX_SHARED_LENGTH;
    this.hasEscapes = this.mayShare && body.includes("\\");
  }

  /** `S(x)`: the text of a member; empty where it is not truthy or missing. */
  text(name: Name): string {
    const start = this.start(name);
    const end = this.end(name);
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
    const end = this.end(name);
    return end === 0 ? RawJson.NULL : RawJson.trusted(this.body.slice(this.start(name), end));
  }

  /** A look at a member; null when missing. */
  get(name: Name): JsonView {
    const end = this.end(name);
    return end === 0 ? JsonView.NULL : new JsonView(this.body.slice(this.start(name), end));
  }

  private start(name: Name): number {
    return this.spans[2 * (this.places.get(name) ?? 0)] ?? 0;
  }

  private end(name: Name): number {
    return this.spans[2 * (this.places.get(name) ?? 0) + 1] ?? 0;
  }
}
