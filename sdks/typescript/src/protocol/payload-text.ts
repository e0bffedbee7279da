/** The text and the error of a reply (PROTOCOL.md section 17). */

import { type JsonView, trim } from "../json/index.js";

/**
 * The trimmed text of a text payload, of an object's `text`, or, where that is no text, of its `error`. A blank `text` hides the
 * `error`. `undefined` where there is none.
 */
export function extractText(payload: JsonView): string | undefined {
  const object = payload.asObject();
  const text =
    object === undefined ? payload.asString() : (object.get("text").asString() ?? object.get("error").asString());
  return trim(text ?? "") || undefined;
}

/** The code of a reply that reports a failure: the trimmed text of a truthy `error` member, whatever the reply's kind. */
export function extractError(payload: JsonView): string | undefined {
  return trim(payload.asObject()?.get("error").text() ?? "") || undefined;
}
