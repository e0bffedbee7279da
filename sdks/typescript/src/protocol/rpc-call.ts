/** How a request of the registry is written and its reply is read (PROTOCOL.md section 6). */

import { AgentNetError } from "../errors.js";
import { type JsonObject, ObjectWriter } from "../json/index.js";
import { DecodeError, readBody } from "./decode.js";

/** The registry has refused a request; the message and `detail` are its text. Code `registry_refused`. */
export class RegistryRefusal extends AgentNetError {
  constructor(refusal: string) {
    super(refusal, { code: "registry_refused", detail: refusal });
    this.name = "RegistryRefusal";
  }
}

/** One RPC: its subject, how its request is written, how its reply is read. */
export interface Rpc<Request, Reply> {
  /** The part of the subject behind `registry.`. */
  readonly name: string;
  /** `registry.<name>`. */
  readonly subject: string;
  /** The wire text of a request, ASCII. */
  encode(request: Request): string;
  /**
   * The members of a reply, unread: for callers that hand the registry's reply on as it is.
   *
   * @throws `RegistryRefusal` where it is an error reply; {@link DecodeError} or {@link JsonError} where it is no reply of this
   * RPC: then another message on the reply subject may be (section 0.11).
   */
  readObject(body: Uint8Array | string): JsonObject;
  /**
   * Reads a reply.
   *
   * @throws as {@link Rpc.readObject}.
   */
  read(body: Uint8Array | string): Reply;
}

/** An RPC whose reply has these members. */
export function rpc<Request, Reply>(
  name: string,
  members: readonly string[],
  encode: (request: Request, out: ObjectWriter) => ObjectWriter,
  read: (object: JsonObject) => Reply,
): Rpc<Request, Reply> {
  const readObject = (body: Uint8Array | string): JsonObject => {
    const object = readBody(body);
    // A registry's `error` is a text.
    const error = object.get("error").asString();
    if (error !== undefined) throw new RegistryRefusal(error);
    const missing = members.find((member) => object.get(member).isNull());
    if (missing !== undefined) throw DecodeError.ofMember(missing, "is missing");
    return object;
  };
  return {
    name,
    subject: `registry.${name}`,
    encode: (request) => encode(request, new ObjectWriter()).finish(),
    readObject,
    read: (body) => read(readObject(body)),
  };
}

/** Writes an integer that is left out when absent. */
export function optInt(out: ObjectWriter, name: string, value: number | undefined): ObjectWriter {
  return value === undefined ? out : out.int(name, value);
}

/** A text that a reply must have. @throws {@link DecodeError} */
export function notEmpty(object: JsonObject, name: string): string {
  const value = object.get(name).text();
  if (value === "") throw DecodeError.ofMember(name, "is missing");
  return value;
}
