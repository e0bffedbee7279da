/**
 * Taking the messages of the account's mailbox (PROTOCOL.md section 21.4).
 *
 * A session drains the mailbox when it has subscribed to its inbox, looks into it once more after its first hello, and then whenever
 * an event tells of a message, and once a minute. The registry never leases a message while an earlier one of the same sender is
 * leased or waits; within one lease the order is kept here.
 */

import type { Subscription } from "@nats-io/nats-core";

import { newNonce } from "../../protocol/ids.js";
import {
  decodeMailboxEvent,
  type LeasedMessage,
  MAILBOX_FREE_CODES,
  type MailboxAck,
  type MailboxLeaseReply,
  mailboxEventsSubject,
  REJECT,
  type Reject,
  RPC,
  readMailboxAck,
} from "../../protocol/index.js";
import { RegistryError } from "../errors.js";
import type { Receiver } from "../receiver.js";
import type { Session } from "../session.js";
import { monotonic, pause, TIMED_OUT, timerDelay, withDeadline } from "../waits.js";
import { AckBatcher } from "./acks.js";
import { callAsOwner } from "./calls.js";
import { type LeaseEnd, leaseEnd, outOfOrder, RETURNED } from "./lease-end.js";
import { LeasedMsg } from "./leased-msg.js";
import { type Held, Leases } from "./leases.js";

/** Messages of one lease, and messages that are held at the same time, at most. */
const MAX_BATCH = 10;
const MAX_HELD = 100;
/** How long one request for messages may take: longer than a registry waits for its database. */
const LEASE_TIMEOUT_MS = 20_000;
/** When the request is made again beside the first: its registry may be gone. */
const LEASE_REPEAT_MS = 5_000;
/** How long the start of a node waits at most for messages of the mailbox; the rest comes after it. */
const MAX_DRAIN_MS = 10_000;
/** How often the start looks again where the registry does not know the session yet, and the first pause; it doubles. */
const MAX_UNKNOWN_SESSION = 4;
const UNKNOWN_SESSION_DELAY_MS = 100;
/** How often the mailbox is looked into without an event. */
const POLL_INTERVAL_MS = 60_000;
/** The shortest time between two looks that find nothing: events that come meanwhile are one. */
const MIN_LOOK_INTERVAL_MS = 50;
/** An event about a message of this account is most likely about one that it has sent. */
const OWN_EVENT_DELAY_MS = 5_000;
/** A look after a message that was returned for a while comes a little later than that. */
const RETURN_MARGIN_MS = 50;
/** How often it is looked whether the circuit breaker is closed again, or the receiver has room. */
const POLL_DELAY_MS = 1_000;
const MIN_BACKOFF_MS = 1_000;
/** How long the end of a session waits for the registry: once for messages that are coming, once for the last acknowledgements. */
const STOP_TIMEOUT_MS = 2_000;
const MAX_EVENT_BYTES = 65_536;

/** What a look into the mailbox has found. */
type Found = "messages" | "nothing" | "unknown_session";

/** The messages of one sender in one lease. */
interface Turn {
  /** The end of the last one that has to end before the next one begins; undefined where none has to. */
  tail: Promise<void> | undefined;
  /** The delay with which one was returned: those behind it are returned too. */
  returnedMs: number | undefined;
}

/** A leased message, and what has to be known of it before it is read as a whole. */
interface Work {
  readonly leased: LeasedMessage;
  readonly held: Held;
  readonly ack: MailboxAck;
  readonly turn: Turn;
}

/** Takes the mailbox's messages for one session. */
export class MailboxPull {
  readonly #session: Session;
  readonly #receiver: Receiver;
  readonly #leases: Leases;
  readonly #acks: AckBatcher;
  readonly #stopping = new AbortController();
  readonly #warned = new Set<string>();
  #isFollowing = false;
  /** Whether the last look left messages in the mailbox. */
  #hasMore = false;
  #backoffMs = MIN_BACKOFF_MS;
  /** Names a lease until its messages are here: where a reply was lost, the registry gives the same messages again. */
  #leaseId = newNonce();
  #look: Promise<Found> | undefined;
  #loop: Promise<void> | undefined;
  #isWanted = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = 0;
  #subscription: Subscription | undefined;
  #stopListening: (() => void) | undefined;

  constructor(session: Session, receiver: Receiver) {
    this.#session = session;
    this.#receiver = receiver;
    this.#leases = new Leases(session);
    this.#acks = new AckBatcher(session, () => {
      // The registry keeps back what is behind a message that was not acknowledged.
      if (this.#hasMore) this.#wake();
    });
    session.ended.addEventListener("abort", () => this.#end(), { once: true });
  }

  /**
   * Takes what waits, for at most ten seconds. That it cannot be taken is no failure of the start: it is tried again later.
   *
   * @throws the reason of the signal.
   */
  async drain(signal: AbortSignal): Promise<void> {
    const deadline = monotonic() + MAX_DRAIN_MS;
    for (let unknown = 0; ; ) {
      const found = await withDeadline(this.#lookOnce(), deadline - monotonic(), signal);
      if (found === TIMED_OUT || found === "nothing" || monotonic() >= deadline) return;
      if (found === "messages") continue;
      unknown += 1;
      if (unknown >= MAX_UNKNOWN_SESSION) return;
      await pause(UNKNOWN_SESSION_DELAY_MS * 2 ** unknown, signal, this.#stopping.signal);
    }
  }

  /** Takes messages from now on: the session has said hello. */
  follow(): void {
    if (this.#stopping.signal.aborted) return;
    this.#isFollowing = true;
    const { accountId, connection } = this.#session;
    this.#subscription = connection.subscribe(mailboxEventsSubject(accountId), ({ data }) => this.#onEvent(data));
    this.#stopListening = connection.onReconnect(() => this.#wake());
    this.#wake();
  }

  /** Takes no further messages, and returns those that were not begun. */
  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    this.#unsubscribe();
    await withDeadline(Promise.allSettled([this.#look, this.#loop]), STOP_TIMEOUT_MS);
  }

  /** Acknowledges what is finished, and returns the rest; after {@link stop}, when no handler runs any more. */
  async close(): Promise<void> {
    await this.stop();
    for (const held of this.#leases.all) this.#settle(held, RETURNED);
    const flushed = await withDeadline(this.#acks.flush(), STOP_TIMEOUT_MS);
    if (flushed === TIMED_OUT) {
      this.#session.logger.warn("messages of the mailbox were not acknowledged: they come again");
    }
    this.#end();
  }

  #end(): void {
    this.#stopping.abort();
    this.#unsubscribe();
    this.#leases.end();
    this.#acks.end();
  }

  #unsubscribe(): void {
    clearTimeout(this.#timer);
    this.#stopListening?.();
    if (this.#subscription?.isClosed() === false) this.#subscription.unsubscribe();
  }

  #onEvent(data: Uint8Array): void {
    if (data.length > MAX_EVENT_BYTES) return;
    try {
      const { event, fromAccountId } = decodeMailboxEvent(data);
      if (event !== "queued" && event !== "retry") return;
      if (fromAccountId === this.#session.accountId) this.#wakeIn(OWN_EVENT_DELAY_MS);
      else this.#wake();
    } catch (error) {
      this.#session.logger.debug("ignored an event of the mailbox that cannot be read", { error });
    }
  }

  /** Looks into the mailbox soon. */
  #wake(): void {
    if (!this.#isFollowing || this.#stopping.signal.aborted) return;
    this.#isWanted = true;
    this.#loop ??= this.#run()
      .catch((error: unknown) => this.#session.logger.error("the mailbox cannot be looked into", { error }))
      .finally(() => {
        this.#loop = undefined;
        if (this.#isWanted) this.#wake();
      });
  }

  #wakeIn(milliseconds: number): void {
    const at = monotonic() + milliseconds;
    if (this.#stopping.signal.aborted || (this.#timer !== undefined && this.#timerAt <= at)) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#wake();
    }, timerDelay(milliseconds));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (this.#isWanted && !signal.aborted) {
      this.#isWanted = false;
      if ((await this.#lookOnce()) === "messages") {
        this.#isWanted = true;
        continue;
      }
      this.#wakeIn(POLL_INTERVAL_MS);
      await pause(MIN_LOOK_INTERVAL_MS, signal);
    }
  }

  /** One look at a time: that of the start may still wait for handlers. */
  #lookOnce(): Promise<Found> {
    this.#look ??= this.#lease().finally(() => {
      this.#look = undefined;
    });
    return this.#look;
  }

  async #lease(): Promise<Found> {
    const { circuit } = this.#session;
    const { signal } = this.#stopping;
    if (circuit.isOpen()) {
      this.#wakeIn(POLL_DELAY_MS);
      return "nothing";
    }
    await this.#receiver.room(signal);
    const max = Math.min(MAX_BATCH, this.#receiver.freeSlots, MAX_HELD - this.#leases.size);
    if (signal.aborted) return "nothing";
    if (max < 1) {
      // The next acknowledgement is the next occasion.
      this.#hasMore = true;
      this.#wakeIn(POLL_DELAY_MS);
      return "nothing";
    }
    let reply: MailboxLeaseReply;
    try {
      reply = await this.#ask(max);
    } catch (error) {
      return this.#leaseFailed(error);
    }
    this.#backoffMs = MIN_BACKOFF_MS;
    const messages = reply.messages.slice(0, MAX_BATCH);
    this.#hasMore = reply.remaining > 0;
    if (messages.length === 0) return "nothing";
    this.#leaseId = newNonce();
    await this.#handle(messages);
    await this.#acks.flush();
    return "messages";
  }

  /**
   * Asks for messages; again under the same name while no reply comes, and the first reply counts.
   *
   * @throws {RegistryError} That of the first request that fails.
   */
  async #ask(max: number): Promise<MailboxLeaseReply> {
    const { accountId, ended, sessionTag } = this.#session;
    const request = { accountId, sessionTag, max, leaseId: this.#leaseId };
    const deadline = monotonic() + LEASE_TIMEOUT_MS;
    const asked: Promise<MailboxLeaseReply>[] = [];
    for (;;) {
      const left = deadline - monotonic();
      if (left > 0 && (asked.length === 0 || !this.#stopping.signal.aborted))
        asked.push(callAsOwner(this.#session, RPC.mailboxLease, request, { timeoutMs: left, signal: ended }));
      const reply = await withDeadline(Promise.race(asked), left > 0 ? LEASE_REPEAT_MS : Infinity);
      if (reply !== TIMED_OUT) return reply;
    }
  }

  #leaseFailed(error: unknown): Found {
    const { ended, logger } = this.#session;
    if (ended.aborted) return "nothing";
    const code = error instanceof RegistryError ? error.code : "";
    if (code === "mailbox_session_unknown") {
      // Its registry has been started again, or has not heard of the session yet: the next hello tells it.
      this.#wakeIn(MIN_BACKOFF_MS);
      return "unknown_session";
    }
    // No registry of this network has mailboxes, or they are switched off: that may change.
    if (code === "no_registry" || code === "mailbox_disabled") return "nothing";
    if (code !== "" && (code.startsWith("auth_") || code === "permission_denied") && !this.#warned.has(code)) {
      this.#warned.add(code);
      logger.warn("the account's mailbox cannot be looked into", { error });
    } else {
      logger.debug("the mailbox could not be looked into; trying again", { error });
    }
    this.#wakeIn(this.#backoffMs);
    this.#backoffMs = Math.min(this.#backoffMs * 2, POLL_INTERVAL_MS);
    return "nothing";
  }

  /**
   * Hands messages to the receiver, in their order. Of a sender that wants to know its message processed the next one waits for the
   * end of that; resolves when all others are accepted.
   */
  async #handle(messages: readonly LeasedMessage[]): Promise<void> {
    const turns = new Map<string, Turn>();
    const work: Work[] = [];
    for (const leased of messages) {
      const { messageId, sender, ack } = essentials(leased);
      const { held, isNew } = this.#leases.hold(messageId, leased);
      const turn: Turn = turns.get(sender) ?? { tail: undefined, returnedMs: undefined };
      turns.set(sender, turn);
      if (isNew) work.push({ leased, held, ack, turn });
      // It is handled still, since an earlier lease: those behind it wait for its end.
      else turn.tail = Promise.all([turn.tail, held.ended.promise]).then(([, how]) => noteReturn(turn, how));
    }
    for (const next of work) {
      const { ack, turn } = next;
      if (turn.tail !== undefined) turn.tail = turn.tail.then(() => this.#take(next));
      else if (ack === "processed") turn.tail = this.#take(next);
      else await this.#take(next);
    }
  }

  /** Hands one message to the receiver; resolves when its lease has ended. Never rejects. */
  async #take(work: Work): Promise<void> {
    const { held, turn } = work;
    const { signal } = this.#stopping;
    if (turn.returnedMs === undefined) await this.#receiver.room(signal);
    if (turn.returnedMs !== undefined) this.#settle(held, outOfOrder(turn.returnedMs));
    else if (signal.aborted) this.#settle(held, RETURNED);
    else {
      const how = await this.#receive(work);
      noteReturn(turn, how);
      this.#settle(held, how);
    }
  }

  /** How the lease of a message ends that the receiver got. */
  #receive({ leased, held, ack }: Work): Promise<LeaseEnd> {
    const { accountId, logger } = this.#session;
    return new Promise<LeaseEnd>((resolve) => {
      const end = (reject: Reject | undefined): void => resolve(leaseEnd(reject, held.attempt));
      try {
        this.#receiver.takeLeased(new LeasedMsg(accountId, leased), {
          refused: end,
          accepted: () => {
            if (ack === "accepted") end(undefined);
          },
          // Of a message that counts as delivered since it was accepted, this comes too late to matter.
          ended: (reject) => {
            end(reject);
            return ack === "processed" && reject !== undefined && MAILBOX_FREE_CODES.includes(reject.code);
          },
        });
      } catch (error) {
        logger.error("a message of the mailbox could not be processed", { error });
        end(REJECT.handlerError);
      }
    });
  }

  /** Ends a lease, unless it has ended. */
  #settle(held: Held, how: LeaseEnd): void {
    held.ended.resolve(how);
    if (!this.#leases.release(held)) return;
    this.#acks.add({ ...how, lease: held.lease });
    if (how.outcome === "retry") this.#wakeIn((how.delayMs ?? 0) + RETURN_MARGIN_MS);
  }
}

/** Those behind a message that was returned are returned too. */
function noteReturn(turn: Turn, how: LeaseEnd): void {
  if (how.outcome === "retry") turn.returnedMs = how.delayMs ?? 0;
}

/** What has to be known of a message before it is read as a whole. */
function essentials(leased: LeasedMessage): {
  readonly messageId: string;
  readonly sender: string;
  readonly ack: MailboxAck;
} {
  const envelope = leased.envelope.view().asObject();
  return {
    messageId: envelope?.get("message_id").text() || leased.lease,
    sender: envelope?.get("from_account_id").text() ?? "",
    ack: (envelope === undefined ? undefined : readMailboxAck(envelope.get("mailbox"))) ?? "accepted",
  };
}
