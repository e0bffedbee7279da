/** What comes to a reply subject (PROTOCOL.md section 0.11). */

import { trim } from "../json/index.js";
import { DecodeError } from "./decode.js";
import { decodeEnvelope, type Envelope } from "./envelope.js";
import { checkEnvelope } from "./limits.js";

/**
 * As {@link decodeEnvelope}, for what comes to a reply subject: a body without an id and a sender is no reply, but for example the
 * confirmation of a JetStream stream that captures the request; and the bounds of the texts of messages hold for replies too.
 *
 * @throws {@link JsonError}, {@link DecodeError} as {@link decodeEnvelope}, also where id and sender are missing. {@link TooLarge}
 */
export function decodeReply(body: Uint8Array | string): Envelope {
  const envelope = decodeEnvelope(body);
  if (trim(envelope.messageId) === "" && trim(envelope.fromAgent) === "") {
    throw DecodeError.ofMember("message_id", "is missing");
  }
  checkEnvelope(envelope);
  return envelope;
}
