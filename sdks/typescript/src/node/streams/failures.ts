/** Why a stream broke off, for its reader: the errors with their texts. */

import type { StreamAssembler } from "../../protocol/index.js";
import { InvalidReplyError, StreamError } from "../errors.js";
import type { Inflow } from "./inflow.js";

/** How many missing frames an error names. */
const MAX_NAMED_MISSING = 8;

/** The sender reported a failure, by a `stream_error` or an error reply. */
export function senderFailed(code: string, detail: string): StreamError {
  return new StreamError(detail === "" ? code : `${code}: ${detail}`, "failed", detail, undefined, code);
}

/** More came than the reader took out and its buffer holds. */
export function tooSlow(): StreamError {
  return new StreamError(
    "the stream was not read fast enough: more frames came than may wait for their reader (option `buffer`)",
    "too_slow",
  );
}

/** Nothing came that could be read. */
export function nothingCame(messageId: string, firstMs: number, inflow: Inflow | undefined): Error {
  if (inflow?.unreadable !== undefined) {
    const why = inflow.unreadable instanceof Error ? inflow.unreadable.message : String(inflow.unreadable);
    const text = `the reply to message ${messageId} cannot be read: ${why}`;
    return new InvalidReplyError(text, messageId, inflow.unreadable);
  }
  const text = `no reply to message ${messageId} within ${firstMs / 1_000} s${ignoredText(inflow)}`;
  return new StreamError(text, "timeout", inflow?.lastIgnored);
}

/** The stream stopped in the middle: frames were lost, or the sender is gone. */
export function wentSilent(assembler: StreamAssembler, idleMs: number, inflow: Inflow | undefined): StreamError {
  const silence = `nothing came for ${idleMs / 1_000} s${ignoredText(inflow)}`;
  const count = assembler.missingCount;
  if (count > 0) {
    const first = assembler.missingNumbers(MAX_NAMED_MISSING).join(", ");
    return new StreamError(`${count} frames of the stream are missing (the first: ${first}): ${silence}`, "missing");
  }
  const last = Math.max(0, assembler.nextSeq - 1);
  return new StreamError(`the stream went silent after frame ${last}: ${silence}`, "idle");
}

function ignoredText(inflow: Inflow | undefined): string {
  if (inflow === undefined || inflow.ignored === 0) return "";
  return `; ${inflow.ignored} messages were not accepted, the last one for ${inflow.lastIgnored}`;
}
