/**
 * The intake: every message of the inbox and the capability subjects, one after another, in the callback of its subscription.
 *
 * Steps (PROTOCOL.md section 12): size, form, bounds and headers; the thread default; schema and signature; the guards; the receipt
 * `accepted`; the backlog, and a worker for it.
 */

import type { Msg, Subscription } from "@nats-io/nats-core";

import { RawJson } from "../json/index.js";
import {
  boundedIds,
  capabilityGroup,
  capabilitySubject,
  checkEnvelope,
  decodeEnvelope,
  defaultThreadId,
  type Envelope,
  inboxGroup,
  inboxSubject,
  isRoutable,
  judgeSchemaVersion,
  MAILBOX_FREE_CODES,
  mailboxSubject,
  newUlid,
  REJECT,
  type Reject,
  traceOrMessageId,
} from "../protocol/index.js";
import type { Handler } from "./context.js";
import { InvalidArgumentError } from "./errors.js";
import { type Capacity, Guards } from "./guards.js";
import { ISSUER_MISMATCH } from "./issuer.js";
import { Message } from "./message.js";
import { type MessageOrigin, originOf } from "./message-origin.js";
import { type ServerMarks, setByServer } from "./nats-headers.js";
import type { AgentNode } from "./node.js";
import { Rejections } from "./rejections.js";
import type { Session } from "./session.js";
import { type Deferred, deferred, monotonic, pause, TIMED_OUT, withDeadline } from "./waits.js";
import { type Progress, Workers } from "./workers.js";

/** More than the nine digits that the server reads as a number of messages; no subscription receives so many. */
const UNREACHABLE_MESSAGE_LIMIT = 1_000_000_000_000_000;
/** A subscription that the server has ended is empty when nothing has come for this long. */
const DRAIN_QUIET_MS = 50;
/** Turns of the microtask queue that handlers get to end before a message is refused as `busy`. */
const MAX_TURNS_FOR_ROOM = 16;
/** How long the end of look-ups may take once they are given up. */
const ABANDON_TIMEOUT_MS = 1_000;

/** What of a receiver differs from the rules of section 12, for programs that ask for it. */
export interface ReceiverOptions {
  /** The queue group of the inbox. Default: the account's, which all its sessions share. */
  readonly queueGroup?: string | undefined;
  /** Whether it receives messages to the agent's capabilities too. Default true. */
  readonly capabilities?: boolean | undefined;
  /** Whether receipts are sent. Default true. */
  readonly receipts?: boolean | undefined;
  /** Whether life, rate and repetition are checked (rows 5 to 9). Default true. Size, form and backlog always are. */
  readonly guards?: boolean | undefined;
}

/** Receives the messages of one session. */
export class Receiver {
  readonly #session: Session;
  readonly #guards: Guards;
  readonly #rejections: Rejections;
  readonly #workers: Workers;
  readonly #options: ReceiverOptions;
  readonly #subscriptions: Subscription[] = [];
  /** Messages that were read while the backlog was full. */
  readonly #held: Msg[] = [];
  #isDraining = false;
  #isAccepting = true;
  #lastArrival = 0;
  /** Messages whose sender's key is being looked up. */
  #verifying = 0;
  #verified: Deferred<void> | undefined;

  constructor(session: Session, node: AgentNode, handler: () => Handler, options: ReceiverOptions = {}) {
    const { accountId, config, connection, identity } = session;
    this.#session = session;
    const isSigned = identity.isSigned || connection.issuer.isSecure;
    this.#guards = new Guards({ accountId, agentId: config.agentId, isSigned }, config.limits);
    this.#options = options;
    this.#rejections = new Rejections(session, options.receipts !== false);
    this.#workers = new Workers(session, node, handler, this.#rejections, (failed) => this.#guards.forget(failed));
  }

  /** Handlers that run. */
  get inflight(): number {
    return this.#workers.inflight;
  }

  /** Accepted messages that wait for a handler. */
  get pending(): number {
    return this.#workers.pending;
  }

  /** Slots that the backlog has left. */
  get freeSlots(): number {
    return this.#session.config.limits.maxPending - this.#workers.pending;
  }

  /** Resolves when the backlog has a slot left, or the signal is aborted. */
  async room(signal: AbortSignal): Promise<void> {
    if (!this.#workers.isFull || signal.aborted) return;
    // Only the signal rejects it.
    await withDeadline(this.#workers.room(), Infinity, signal).catch(() => undefined);
  }

  /** Takes a message of the mailbox: as one of the inbox, but that the rate of its sender does not count. */
  takeLeased(message: Msg, progress: Progress): void {
    this.#take(message, progress);
  }

  /** Subscribes to the inbox and to the capabilities that messages can be routed by, each with its queue group. */
  subscribe(): void {
    const { accountId, config, connection, logger } = this.#session;
    if (!isRoutable(accountId)) {
      throw new InvalidArgumentError(
        `cannot subscribe to the inbox: the account id ${JSON.stringify(accountId)} cannot be part of a subject`,
      );
    }
    const joined = new Map([[inboxSubject(accountId), this.#options.queueGroup ?? inboxGroup(accountId)]]);
    for (const capability of this.#options.capabilities === false ? [] : config.capabilities) {
      if (isRoutable(capability)) joined.set(capabilitySubject(capability), capabilityGroup(capability));
      else logger.warn("capability is advertised, but messages cannot be routed by it", { capability });
    }
    // In secure mode a registry delivers messages of the mailbox on a subject of their own, where its account is the issuer.
    if (connection.issuer.isSecure && !config.pullsMailbox)
      joined.set(mailboxSubject(accountId), inboxGroup(accountId));
    for (const [subject, group] of joined) {
      const issued = connection.issuer.subscribeSubject(subject);
      this.#subscriptions.push(connection.subscribe(issued, (message) => this.#arrived(message), group));
    }
  }

  /** What this receiver subscribes to. */
  get subjects(): string[] {
    return this.#subscriptions.map((subscription) => subscription.getSubject());
  }

  /**
   * Leaves the queue groups without losing what the server has sent already, and finishes accepted work; refuses the rest when
   * the time is over.
   */
  async close(drainTimeoutMs: number): Promise<void> {
    const deadline = monotonic() + drainTimeoutMs;
    await this.#leave();
    const finished = (async (): Promise<void> => {
      await this.#allVerified();
      await this.#workers.idle();
    })();
    if ((await withDeadline(finished, deadline - monotonic())) !== TIMED_OUT) return;
    this.#isAccepting = false;
    this.#session.identity.abandonMessages();
    await withDeadline(this.#allVerified(), ABANDON_TIMEOUT_MS);
    this.#workers.abort();
    await this.#workers.idle();
  }

  async #allVerified(): Promise<void> {
    if (this.#verifying === 0) return;
    this.#verified ??= deferred();
    await this.#verified.promise;
  }

  /** Ends the subscriptions at once, without a drain. */
  unsubscribe(): void {
    for (const subscription of this.#subscriptions.splice(0)) {
      if (!subscription.isClosed()) subscription.unsubscribe();
    }
  }

  /**
   * A client that unsubscribes or drains forgets the subscription at the answer of the server, and drops what comes behind it.
   * So it is first told to forget it after a number of messages that the server cannot read: the server ends the subscription
   * at once, and the client keeps it until nothing comes any more.
   */
  async #leave(): Promise<void> {
    for (const subscription of this.#subscriptions) {
      if (!subscription.isClosed()) subscription.unsubscribe(UNREACHABLE_MESSAGE_LIMIT);
    }
    await this.#session.connection.roundTrip();
    // A message that the server had already assigned to this session may come behind the round trip.
    do {
      await pause(DRAIN_QUIET_MS);
    } while (monotonic() - this.#lastArrival < DRAIN_QUIET_MS);
    this.unsubscribe();
  }

  #arrived(message: Msg): void {
    this.#lastArrival = monotonic();
    if (this.#held.length === 0 && !this.#workers.isFull) {
      this.#take(message);
      return;
    }
    // One read of the socket may bring more messages than the backlog holds, before any handler could go on. Those that can end
    // at once get their turn before a message is refused. It is a matter of microtasks: nothing else is read meanwhile.
    this.#held.push(message);
    if (!this.#isDraining)
      this.#takeHeld().catch((error: unknown) => this.#session.logger.error("the intake failed", { error }));
  }

  async #takeHeld(): Promise<void> {
    this.#isDraining = true;
    try {
      let turns = 0;
      for (let index = 0; index < this.#held.length; index += 1) {
        while (this.#workers.isFull && turns < MAX_TURNS_FOR_ROOM) {
          turns += 1;
          await undefined;
        }
        if (!this.#workers.isFull) turns = 0;
        const message = this.#held[index];
        if (message !== undefined) this.#take(message);
      }
    } finally {
      this.#held.length = 0;
      this.#isDraining = false;
    }
  }

  /** Reads a message and decides about it. */
  #take(raw: Msg, progress?: Progress): void {
    // Once: the client decodes a reply subject that is empty each time it is asked for.
    const { data, reply } = raw;
    const size = data.length;
    const limit = this.#session.config.limits.maxPayloadBytes;
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(data);
    } catch (error) {
      const reject = size > limit ? REJECT.payloadTooLarge(size, limit) : REJECT.messageInvalid(textOf(error));
      const origin = this.#originOf(raw, reply, undefined, progress);
      this.#refuse(unreadable(origin === undefined ? reply : origin.replyTo), reject, progress);
      return;
    }
    const origin = this.#originOf(raw, reply, envelope, progress);
    // Who has published a forged message is told what becomes of it, not whom it names.
    if (origin?.isForged === true) envelope.fromAccountId = origin.sender;
    const replyTo = origin === undefined ? reply : origin.replyTo;
    try {
      checkEnvelope(envelope);
    } catch (error) {
      this.#refuse(new Message(boundedIds(envelope), replyTo), REJECT.messageInvalid(textOf(error)), progress);
      return;
    }
    if (envelope.threadId === undefined) {
      const name = traceOrMessageId(envelope);
      envelope.threadId = defaultThreadId(name === "" ? newUlid() : name);
    }
    let reject = size > limit ? REJECT.payloadTooLarge(size, limit) : rejectMarks(setByServer(raw));
    if (origin?.isForged === true) reject ??= REJECT.auth(ISSUER_MISMATCH);
    const message = new Message(envelope, replyTo);
    if (reject !== undefined) this.#refuse(message, reject, progress);
    else this.#verify(envelope, message, raw, size, progress);
  }

  /** Who has published a message, in secure mode. */
  #originOf(
    raw: Msg,
    reply: string | undefined,
    envelope: Envelope | undefined,
    progress: Progress | undefined,
  ): MessageOrigin | undefined {
    const { accountId, connection } = this.#session;
    if (!connection.issuer.isSecure) return undefined;
    return originOf(accountId, raw.subject, reply, envelope, progress !== undefined);
  }

  #refuse(message: Message, reject: Reject, progress: Progress | undefined): void {
    // A message that goes back to the mailbox is not refused: it comes again.
    if (progress === undefined || !MAILBOX_FREE_CODES.includes(reject.code)) this.#rejections.reject(message, reject);
    progress?.refused(reject);
  }

  /** Rows 3 and 4: the schema version and the signature. */
  #verify(envelope: Envelope, message: Message, raw: Msg, size: number, progress: Progress | undefined): void {
    const schema = judgeSchemaVersion(envelope.schemaVersion);
    if ("reject" in schema) {
      this.#refuse(message, schema.reject, progress);
      return;
    }
    const { identity } = this.#session;
    if (identity.isSigned) envelope.schemaVersion = schema.version;
    const verdict = identity.verifyMessage(envelope, size, (late) => {
      this.#verifying -= 1;
      this.#decide(message, raw, late, progress);
      if (this.#verifying === 0) {
        this.#verified?.resolve();
        this.#verified = undefined;
      }
    });
    if (verdict === "waits") this.#verifying += 1;
    else this.#decide(message, raw, verdict, progress);
  }

  /** Rows 5 to 11, on a message whose signature was verified. */
  #decide(message: Message, raw: Msg, refused: Reject | undefined, progress: Progress | undefined): void {
    const now = monotonic();
    const capacity = {
      isAccepting: this.#isAccepting,
      isCircuitOpen: this.#session.circuit.isOpen(now),
      isBacklogFull: this.#workers.isFull,
    };
    const reject = refused ?? this.#judge(message.envelope, capacity, now, progress !== undefined);
    if (reject !== undefined) {
      if (progress !== undefined && reject.code === "duplicate" && this.#join(message, progress)) return;
      this.#refuse(message, reject, progress);
      return;
    }
    const receipt = this.#rejections.acknowledge(message, "accepted");
    progress?.accepted();
    this.#workers.add({ message, raw, receipt, joined: progress === undefined ? [] : [progress] });
  }

  /** Of a leased message whose other copy is not handled yet, the lease ends as that does: it may fail. False where none is there. */
  #join(message: Message, progress: Progress): boolean {
    const job = this.#workers.find(this.#guards.repetitionOf(message.envelope));
    if (job === undefined) return false;
    job.joined.push(progress);
    progress.accepted();
    return true;
  }

  #judge(envelope: Readonly<Envelope>, capacity: Capacity, now: number, isFetched: boolean): Reject | undefined {
    if (this.#options.guards === false) return judgeCapacity(capacity);
    return this.#guards.admit(envelope, capacity, now, undefined, isFetched);
  }
}

/** The rows that protect the process itself, where a program does without the others. */
function judgeCapacity(capacity: Capacity): Reject | undefined {
  if (!capacity.isAccepting) return REJECT.shuttingDown;
  if (capacity.isCircuitOpen) return REJECT.serviceDegraded;
  return capacity.isBacklogFull ? REJECT.busy : undefined;
}

/** Rows 2b and 2c. */
function rejectMarks(marks: ServerMarks | undefined): Reject | undefined {
  if (marks === undefined) return undefined;
  if (marks.unreadable !== undefined) return REJECT.messageInvalid(`the headers cannot be read: ${marks.unreadable}`);
  if (marks.header !== undefined) return REJECT.serverHeader(marks.header);
  return REJECT.serverStatus(marks.status ?? 0);
}

/** What stands for a message that is none: only its reply subject is known. */
function unreadable(reply: string | null | undefined): Message {
  const nothing = {
    messageId: "",
    fromAgent: "",
    toAgent: "",
    sentAt: "",
    kind: "",
    schemaVersion: "",
    payload: RawJson.NULL,
  };
  return new Message(nothing, reply);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
