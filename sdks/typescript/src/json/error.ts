import { AgentNetError } from "../errors.js";

/** Why a text is not the JSON that the wire allows, or a value cannot be written as JSON. */
export type JsonErrorReason = "utf8" | "syntax" | "depth" | "integer-too-long" | "overflow" | "unsupported" | "cycle";

/**
 * A text is not the JSON that the wire allows (PROTOCOL.md section 4.1; code `invalid_json`), or a value cannot be written as
 * JSON (code `invalid_payload`).
 */
export class JsonError extends AgentNetError {
  /** What is wrong. */
  readonly reason: JsonErrorReason;
  /** Where, in bytes of the UTF-8 text, if a text was read. */
  readonly offset?: number;

  constructor(reason: JsonErrorReason, message: string, offset?: number) {
    // A depth without an offset is that of a value.
    const isValue = reason === "unsupported" || reason === "cycle" || (reason === "depth" && offset === undefined);
    super(message, { code: isValue ? "invalid_payload" : "invalid_json" });
    this.name = "JsonError";
    this.reason = reason;
    if (offset !== undefined) this.offset = offset;
  }
}
