/** The headers and the status of a NATS message that only the server may set (PROTOCOL.md section 12, rows 2b and 2c). */

import type { Msg } from "@nats-io/nats-core";

import { isServerHeader } from "../protocol/index.js";

/** What a message has that only the server may set. */
export interface ServerMarks {
  /** The name of the first such header, at most 64 characters of it. */
  readonly header?: string;
  /** The status in the header block. */
  readonly status?: number;
  /** Why the header block cannot be read. */
  readonly unreadable?: string;
}

/** What a message has that only the server may set; undefined where it has nothing of the kind. */
export function setByServer(message: Msg): ServerMarks | undefined {
  try {
    const headers = message.headers;
    if (headers === undefined) return undefined;
    const header = headers.keys().find(isServerHeader)?.slice(0, 64);
    const status = headers.code;
    if (header === undefined && status === 0) return undefined;
    return { ...(header === undefined ? {} : { header }), ...(status === 0 ? {} : { status }) };
  } catch (error) {
    return { unreadable: error instanceof Error ? error.message.slice(0, 256) : "headers cannot be read" };
  }
}
