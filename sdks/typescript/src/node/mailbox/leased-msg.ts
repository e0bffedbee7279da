/** A message of the mailbox in the form in which the NATS client gives messages. */

import type { Msg } from "@nats-io/nats-core";

import { decodeUtf8 } from "../../json/index.js";
import { inboxSubject, type LeasedMessage } from "../../protocol/index.js";

const utf8 = new TextEncoder();

/** What a handler finds as the NATS message: the subject of the inbox and the message's text; no reply subject and no headers. */
export class LeasedMsg implements Msg {
  readonly subject: string;
  readonly sid = 0;
  readonly data: Uint8Array;

  constructor(accountId: string, leased: LeasedMessage) {
    this.subject = inboxSubject(accountId);
    this.data = utf8.encode(leased.envelope.text);
  }

  /** Nobody waits for a reply. */
  respond(): boolean {
    return false;
  }

  /** The message as `JSON.parse` reads it. */
  json<T>(reviver?: Parameters<Msg["json"]>[0]): T {
    return JSON.parse(this.string(), reviver) as T;
  }

  /** The message's text. */
  string(): string {
    return decodeUtf8(this.data);
  }
}
