/** Acknowledgements of leased messages, several in one request (PROTOCOL.md section 21.3). */

import { MAX_MAILBOX_ACKS, type MailboxAckItem, RPC } from "../../protocol/index.js";
import type { Session } from "../session.js";
import { monotonic, pause } from "../waits.js";
import { callAsOwner } from "./calls.js";

/** How long an acknowledgement waits for others. */
const BATCH_DELAY_MS = 20;
/** How long one request may take, and for how long all attempts of one batch go on: by then the leases are over. */
const REQUEST_TIMEOUT_MS = 2_000;
const MAX_ATTEMPTS_MS = 30_000;
/** The pause before a request is made again; it doubles. */
const MIN_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;

/** Sends the acknowledgements of one session. */
export class AckBatcher {
  readonly #session: Session;
  /** Is called after a batch: the registry may have further messages now. */
  readonly #onSent: () => void;
  #queue: MailboxAckItem[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> | undefined;

  constructor(session: Session, onSent: () => void) {
    this.#session = session;
    this.#onSent = onSent;
  }

  /** Sends an acknowledgement soon. */
  add(ack: MailboxAckItem): void {
    this.#queue.push(ack);
    if (this.#queue.length >= MAX_MAILBOX_ACKS) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), BATCH_DELAY_MS);
  }

  /** Sends what waits, at once; resolves when it is sent, or given up. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#sending !== undefined || this.#queue.length > 0) {
      this.#sending ??= this.#send().finally(() => {
        this.#sending = undefined;
      });
      await this.#sending;
    }
  }

  /** Drops what waits: the session has ended. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#queue = [];
  }

  async #send(): Promise<void> {
    const { accountId, ended, logger, sessionTag } = this.#session;
    const acks = this.#queue.splice(0, MAX_MAILBOX_ACKS);
    if (acks.length === 0) return;
    const deadline = monotonic() + MAX_ATTEMPTS_MS;
    for (let backoffMs = MIN_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      try {
        const options = { timeoutMs: REQUEST_TIMEOUT_MS, signal: ended };
        const { lost } = await callAsOwner(this.#session, RPC.mailboxAck, { accountId, sessionTag, acks }, options);
        if (lost.length > 0) logger.debug("leases of the mailbox were over: their messages come again", { lost });
        this.#onSent();
        return;
      } catch (error) {
        if (ended.aborted) return;
        if (monotonic() + backoffMs > deadline) {
          logger.warn("messages of the mailbox could not be acknowledged: they come again", { error });
          return;
        }
        logger.debug("an acknowledgement to the mailbox failed; trying on", { error });
        await pause(backoffMs, ended);
      }
    }
  }
}
