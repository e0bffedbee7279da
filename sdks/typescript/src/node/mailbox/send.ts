/**
 * Sending a message that the registry keeps where its receiver cannot take it (PROTOCOL.md section 21.2).
 *
 * The message is published once. Its receiver accepts it; or a registry that is sure that the receiver is offline says `queued`; or
 * nothing comes, and the sender puts it into the mailbox by `registry.mailbox_put`.
 */

import { RawJson, trim } from "../../json/index.js";
import {
  DEFAULT_MAILBOX_TTL_MS,
  type Envelope,
  isMailboxCode,
  isReceiptOfRegistry,
  KIND,
  MAILBOX_RETRIABLE_CODES,
  type MailboxAck,
  type MailboxPutReply,
  type Receipt,
  RPC,
  receiptStatus,
} from "../../protocol/index.js";
import { acknowledgementOf } from "../acknowledgement.js";
import { described, optionsOf } from "../checks.js";
import { NO_CONNECTION } from "../connection.js";
import type { Acknowledgement, Outgoing, PublishState } from "../delivery.js";
import {
  ConnectionLostError,
  DeliveryError,
  DeliveryTimeoutError,
  InvalidArgumentError,
  RegistryError,
} from "../errors.js";
import type { MailboxOptions, SendOptions, Sent } from "../options.js";
import { outcomeOf, ReceiptQueue, worded } from "../receipt-queue.js";
import { type Destination, forgetUsername, type Route, resolveRoute } from "../route.js";
import type { Session } from "../session.js";
import { monotonic, TIMED_OUT, throwIfAborted, withDeadline } from "../waits.js";
import { MailboxError, putFailed } from "./errors.js";
import type { Turn } from "./turns.js";

/** How long putting a message in may take, with all its attempts. */
const PUT_TIMEOUT_MS = 5_000;
/** By these the account has no mailbox to wait in: a message that was to go straight there is published all the same. */
const NO_MAILBOX_CODES: readonly string[] = ["mailbox_disabled", "mailbox_refused", "mailbox_unknown_account"];
/** Failures by which the registry has not answered for the whole time of a call. */
const SILENCE_CODES: readonly string[] = ["registry_timeout", "not_connected"];
/** Rejections by the receiver's own failure: a message that is kept until it is processed comes again. */
const HANDLER_CODES: readonly string[] = ["handler_error", "timeout"];

/** What has become of a message. */
type Delivered = Pick<Sent, "delivery" | "detail" | "receipt">;

/**
 * Sends a message by the mailbox.
 *
 * @param messageId - The id of the message, where a repetition has to be recognised.
 * @throws {MailboxError} It is not kept, or was given up. @throws {DeliveryError} The receiver refused it.
 * @throws {ConnectionLostError} It was never published. And as `send`.
 */
export async function sendByMailbox(
  session: Session,
  destination: Destination,
  payload: unknown,
  options: SendOptions,
  asked: true | MailboxOptions,
  messageId?: string,
): Promise<Sent> {
  const started = monotonic();
  const acknowledgement = acknowledgementOf(session, options);
  if (acknowledgement === undefined) {
    throw new InvalidArgumentError(
      'a send with mailbox waits until the message is accepted or kept: until must be "accepted" or "processed"',
    );
  }
  const { ack, ttlMs } = mailboxOf(asked, options, acknowledgement);
  const draft = session.composer.draft(payload, { ...options, ttlMs }, KIND.DIRECT);
  if (trim(draft.kind ?? "") === KIND.REQUEST) {
    throw new InvalidArgumentError("a request is not kept in a mailbox: its sender waits for the reply");
  }
  const { signal } = options;
  const { composing, sending } = session.outbox;
  // Messages to one receiver are on their way in the order of the calls, also where one takes longer to be signed.
  const turn = composing.take(
    typeof destination === "string" ? destination : `${destination?.kind}:${destination?.value}`,
  );
  let send: MailboxSend;
  let route: Route;
  try {
    await withDeadline(turn.begin(), Infinity, signal);
    route = await resolveRoute(session.usernames, destination, "send", signal);
    const { subject, accountId } = route;
    if (accountId === undefined) {
      const text = "a capability has no mailbox: send to an account or a username";
      throw new InvalidArgumentError(text, "invalid_target");
    }
    const { envelope, body } = await session.composer.composeTo(route, { ...draft, mailbox: ack, messageId });
    const message = { subject, accountId, body, envelope };
    send = new MailboxSend(session, message, { acknowledgement, ack, signal }, sending.take(accountId));
  } finally {
    turn.end();
  }
  try {
    const sent = await send.run();
    session.metrics.sendAccount.record(monotonic() - started);
    return sent;
  } catch (error) {
    if (!(error instanceof DeliveryError && error.wasAccepted)) forgetUsername(session.usernames, route);
    throw error;
  }
}

function mailboxOf(
  asked: true | MailboxOptions,
  options: SendOptions,
  acknowledgement: Acknowledgement,
): { readonly ack: MailboxAck; readonly ttlMs: number } {
  if (asked !== true && (typeof asked !== "object" || asked === null || Array.isArray(asked))) {
    throw new InvalidArgumentError(`mailbox must be true, false or an object, not ${described(asked)}`);
  }
  const given: MailboxOptions = asked === true ? {} : optionsOf(asked, "mailbox");
  const { ack = acknowledgement.processingMs === undefined ? "accepted" : "processed" } = given;
  if (ack !== "accepted" && ack !== "processed") {
    throw new InvalidArgumentError(`mailbox.ack must be "accepted" or "processed", not ${described(ack)}`);
  }
  return { ack, ttlMs: given.ttlMs ?? options.ttlMs ?? DEFAULT_MAILBOX_TTL_MS };
}

/** How a message is sent. */
interface Manner {
  readonly acknowledgement: Acknowledgement;
  readonly ack: MailboxAck;
  readonly signal: AbortSignal | undefined;
}

/** One message on its way. */
class MailboxSend {
  readonly #session: Session;
  readonly #message: Outgoing & { readonly accountId: string };
  readonly #envelope: Readonly<Envelope>;
  readonly #acknowledgement: Acknowledgement;
  readonly #ack: MailboxAck;
  readonly #signal: AbortSignal | undefined;
  /** Ends when it is certain whether the receiver has the message, or the mailbox. */
  readonly #turn: Turn<RegistryError>;
  #receipts = new ReceiptQueue();
  #silence: RegistryError | undefined;

  constructor(
    session: Session,
    message: {
      readonly subject: string;
      readonly accountId: string;
      readonly body: string;
      readonly envelope: Readonly<Envelope>;
    },
    { acknowledgement, ack, signal }: Manner,
    turn: Turn<RegistryError>,
  ) {
    const { envelope, ...outgoing } = message;
    this.#session = session;
    this.#message = { ...outgoing, messageId: envelope.messageId };
    this.#envelope = envelope;
    this.#acknowledgement = acknowledgement;
    this.#ack = ack;
    this.#signal = signal;
    this.#turn = turn;
  }

  async run(): Promise<Sent> {
    const { messageId, threadId = "", traceId = "" } = this.#envelope;
    try {
      const delivered = await this.#session.delivery.expecting(this.#message, async (receipts) => {
        this.#receipts = receipts;
        return await this.#send();
      });
      return { messageId, threadId, traceId, ...delivered };
    } finally {
      this.#turn.end(this.#silence);
    }
  }

  async #send(): Promise<Delivered> {
    const { accountId } = this.#message;
    const { outbox } = this.#session;
    if (outbox.isQueuing(accountId) || outbox.sending.isWaitedFor(accountId)) {
      const waitingSince = monotonic();
      const silence = await this.#untilTurn();
      if (outbox.isQueuing(accountId)) {
        const kept = await this.#putDirectly(silence, waitingSince);
        if (kept !== undefined) return kept;
      }
    }
    return await this.#publish();
  }

  /** Waits for the messages that were sent to the account before; the failure of one that the registry did not answer. */
  #untilTurn(): Promise<RegistryError | undefined> {
    // Without an end the wait has no time-out.
    return withDeadline(this.#turn.begin(), Infinity, this.#signal) as Promise<RegistryError | undefined>;
  }

  /** Puts the message in without publishing it; undefined where it is to be published after all. */
  async #putDirectly(silence: RegistryError | undefined, waitingSince: number): Promise<Delivered | undefined> {
    let reply: MailboxPutReply;
    try {
      reply = await this.#put(true, silence, waitingSince);
    } catch (error) {
      if (error instanceof RegistryError && NO_MAILBOX_CODES.includes(error.code)) return undefined;
      throw this.#failed(error);
    }
    if (reply.state !== "live") return await this.#afterPut(reply);
    this.#session.outbox.emptied(this.#message.accountId);
    return undefined;
  }

  async #publish(): Promise<Delivered> {
    const { delivery, metrics } = this.#session;
    const { waitMs, processingMs } = this.#acknowledgement;
    const { messageId, body } = this.#message;
    const deadline = monotonic() + waitMs;
    const state: PublishState = { publishedOn: undefined };
    let receipt = await delivery.publishAndWait(this.#message, waitMs, this.#receipts, state, this.#signal);
    for (; receipt !== TIMED_OUT; receipt = await this.#receipts.next(deadline - monotonic(), this.#signal)) {
      if (isQueued(receipt)) return await this.#queued(detailOf(receipt));
      const outcome = outcomeOf(receipt);
      if (outcome.kind === "unusable") continue;
      if (outcome.kind === "rejected") {
        if (MAILBOX_RETRIABLE_CODES.includes(outcome.error.reason.toLowerCase())) return await this.#putAfterAll();
        throw this.#rejected(outcome.error);
      }
      // Another message had this idempotency key; how its handling ended is not known.
      if (outcome.kind === "duplicate" && processingMs !== undefined) throw outcome.error;
      this.#turn.end();
      delivery.recordAgain(state.publishedOn, body);
      if (outcome.kind !== "processed" && processingMs !== undefined) {
        receipt = await delivery.processed(this.#receipts, messageId, processingMs, this.#signal);
      }
      return { delivery: "delivered", receipt };
    }
    if (state.publishedOn === undefined) {
      throw new ConnectionLostError(`the message could not be published: ${NO_CONNECTION}`);
    }
    metrics.receiptTimeouts += 1;
    return await this.#putAfterAll();
  }

  /** Puts in a message that was published, and that its receiver has not taken. */
  async #putAfterAll(): Promise<Delivered> {
    const waitingSince = monotonic();
    const silence = await this.#untilTurn();
    const late = await this.#afterHeard();
    if (late !== undefined) return late;
    let reply: MailboxPutReply;
    try {
      reply = await this.#put(false, silence, waitingSince);
    } catch (error) {
      throwIfAborted(this.#signal);
      const heard = await this.#afterHeard();
      if (heard !== undefined) return heard;
      throw this.#failed(error);
    }
    return await this.#afterPut(reply);
  }

  /** What has become of the message by the receipts that came meanwhile; undefined where they say nothing. */
  async #afterHeard(): Promise<Delivered | undefined> {
    const { taken, kept } = this.#heard();
    if (kept !== undefined) return await this.#queued(detailOf(kept), taken);
    return taken === undefined ? undefined : await this.#untilProcessed(taken);
  }

  /**
   * @param silence The failure of the message before, where the registry did not answer it: the wait for it counts as one for an answer.
   * @throws {RegistryError}
   */
  async #put(isDirect: boolean, silence: RegistryError | undefined, waitingSince: number): Promise<MailboxPutReply> {
    const request = { envelope: RawJson.trusted(this.#message.body), direct: isDirect };
    const timeoutMs = PUT_TIMEOUT_MS - (silence === undefined ? 0 : monotonic() - waitingSince);
    try {
      if (silence !== undefined && timeoutMs <= 0) throw silence;
      return await this.#session.registry.call(RPC.mailboxPut, request, { timeoutMs, signal: this.#signal });
    } catch (error) {
      if (error instanceof RegistryError && SILENCE_CODES.includes(error.code)) this.#silence = error;
      throw error;
    }
  }

  async #afterPut(reply: MailboxPutReply): Promise<Delivered> {
    const { messageId } = this.#message;
    switch (reply.state) {
      case "queued": {
        const until = reply.expiresAt === undefined ? "its receiver takes it" : worded(reply.expiresAt, "it expires");
        return await this.#queued(`the message is kept until ${until}`);
      }
      case "delivered":
        this.#turn.end();
        return { delivery: "delivered" };
      case "dead":
        throw new MailboxError("mailbox_dead", "the message could not be delivered from the mailbox", messageId);
      default: {
        const text = `registry.${RPC.mailboxPut.name} answered the unknown state ${worded(reply.state, "")}`;
        throw new MailboxError("mailbox_failed", text, messageId);
      }
    }
  }

  /** The message is kept. A receipt of the receiver that has crossed the news counts more. */
  async #queued(detail: string, taken = this.#heard().taken): Promise<Delivered> {
    this.#session.outbox.queued(this.#message.accountId);
    this.#turn.end();
    if (taken !== undefined) return await this.#untilProcessed(taken, detail);
    if (this.#acknowledgement.processingMs === undefined) return { delivery: "queued", detail };
    return await this.#untilProcessed(undefined, detail);
  }

  /** Among the receipts that have come already: one by which the receiver has the message, and a registry's that it is kept. */
  #heard(): { readonly taken: Receipt | undefined; readonly kept: Receipt | undefined } {
    let taken: Receipt | undefined;
    let kept: Receipt | undefined;
    for (let next = this.#receipts.take(); next !== undefined; next = this.#receipts.take()) {
      const { kind } = outcomeOf(next);
      if (kind === "processed") taken = next;
      else if (kind === "accepted") taken ??= next;
      else if (isQueued(next)) kept = next;
    }
    return { taken, kept };
  }

  /**
   * Waits until the message is processed, where that is asked for.
   *
   * @param accepted The receipt that has come already.
   * @param detail Why the message is kept; undefined where it is not known to be.
   */
  async #untilProcessed(accepted: Receipt | undefined, detail?: string): Promise<Delivered> {
    const { processingMs } = this.#acknowledgement;
    const { messageId } = this.#message;
    this.#turn.end();
    if (accepted !== undefined && (processingMs === undefined || outcomeOf(accepted).kind === "processed")) {
      return { delivery: "delivered", receipt: accepted };
    }
    const deadline = monotonic() + (processingMs ?? 0);
    let isAccepted = accepted !== undefined;
    for (;;) {
      const receipt = await this.#receipts.next(deadline - monotonic(), this.#signal);
      if (receipt === TIMED_OUT) break;
      const outcome = outcomeOf(receipt);
      if (outcome.kind === "processed") return { delivery: "delivered", receipt };
      if (outcome.kind === "accepted") isAccepted = true;
      if (outcome.kind === "rejected") this.#throwIfFinal(outcome.error, isAccepted);
    }
    // Where the receiver's acceptance is all that the mailbox waits for, it keeps the message no longer.
    if (detail !== undefined && !(isAccepted && this.#ack === "accepted")) return { delivery: "queued", detail };
    const seconds = (processingMs ?? 0) / 1_000;
    const text = `processing_timeout message_id=${messageId}: accepted, but not reported as processed within ${seconds} s`;
    throw new DeliveryTimeoutError(text, { code: "processing_timeout", messageId });
  }

  /** Throws a rejection that ends the wait for a message that is kept; after the others it comes again, or a registry tells its end. */
  #throwIfFinal(error: DeliveryError, isAccepted: boolean): void {
    const { reason, detail, messageId } = error;
    if (isMailboxCode(reason)) throw this.#rejected(error);
    if (!isAccepted || this.#ack === "processed" || !HANDLER_CODES.includes(reason.toLowerCase())) return;
    throw new DeliveryError(`not_processed ${reason}: ${detail ?? ""}`, {
      code: "not_processed",
      reason,
      detail,
      messageId,
    });
  }

  #rejected(error: DeliveryError): DeliveryError {
    const { reason, detail, messageId } = error;
    return isMailboxCode(reason) ? new MailboxError(reason, detail ?? "", messageId, error) : error;
  }

  #failed(error: unknown): unknown {
    return error instanceof RegistryError ? putFailed(error, this.#message.messageId) : error;
  }
}

/** Whether a registry says that it keeps the message. */
function isQueued(receipt: Receipt): boolean {
  return receiptStatus(receipt) === "queued" && isReceiptOfRegistry(receipt);
}

function detailOf(receipt: Receipt): string {
  return worded(receipt.detail, "the receiver is offline; the message is kept");
}
