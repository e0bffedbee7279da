/** Decoding the records of PROTOCOL.md section 5. */

import { AgentNetError } from "../errors.js";
import { JsonObject, type JsonRecord, type JsonView, type RecordReader } from "../json/index.js";

/** A body is JSON, but not the record that was expected. Code `invalid_message`. */
export class DecodeError extends AgentNetError {
  /** The member of the record that cannot be read, as it is called on the wire; absent where the body is no object. */
  readonly member?: string;

  constructor(message: string, member?: string) {
    super(message, { code: "invalid_message" });
    this.name = "DecodeError";
    if (member !== undefined) this.member = member;
  }

  /** A member with a problem: `` `capabilities` must be a list of texts ``. */
  static ofMember(member: string, problem: string): DecodeError {
    return new DecodeError(`\`${member}\` ${problem}`, member);
  }
}

/**
 * The members of a body.
 *
 * @throws {@link JsonError} where it is not JSON, {@link DecodeError} where it is no object.
 */
export function readBody(body: Uint8Array | string): JsonObject {
  return isObject(JsonObject.parseBody(body));
}

/**
 * As {@link readBody}, of a record whose members are known.
 *
 * @throws {@link JsonError} where it is not JSON, {@link DecodeError} where it is no object.
 */
export function readRecord<Name extends string>(
  reader: RecordReader<Name>,
  body: Uint8Array | string,
): JsonRecord<Name> {
  return isObject(reader.read(body));
}

function isObject<T>(members: T | undefined): T {
  if (members === undefined) throw new DecodeError("the body must be a JSON object");
  return members;
}

/** The optional properties of a record, without those that are `undefined`. */
export function present<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const out: { [K in keyof T]?: Exclude<T[K], undefined> } = {};
  for (const name of Object.keys(members) as (keyof T)[]) {
    const value = members[name];
    if (value !== undefined) out[name] = value as Exclude<T[keyof T], undefined>;
  }
  return out;
}

/** `S`, trimmed; absent where that is empty. */
export function optTrimmed(view: JsonView, trim: (text: string) => string): string | undefined {
  return trim(view.text()) || undefined;
}
