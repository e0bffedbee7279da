/**
 * Check 4 of section 12: the signature of an inbound message.
 *
 * Messages of a sender whose key is known are verified at once, and go on in their order: WebCrypto answers later, and not
 * always in order. Those of other senders wait, in their order, for the look-up of the key, while all other messages go on. The
 * limits on waiting messages, in all and per sender, keep a flood of invented senders cheap: beyond them a message is rejected as
 * `busy`, before its id counts as seen.
 */

import { trim } from "../../json/index.js";
import { type Envelope, REJECT, type Reject, readMessageAuth } from "../../protocol/index.js";
import type { Logger } from "../logger.js";
import type { KeyCache } from "./key-cache.js";
import { ASK, conclude, examine } from "./signatures.js";

/** Messages that may wait for keys, of all senders and of one, and the size of all of them. */
const MAX_PENDING = 1_024;
const MAX_PENDING_PER_SENDER = 64;
const MAX_PENDING_BYTES = 16 * 1024 * 1024;
/** Messages that may be under verification, whose senders' keys are known, and the size of all of them. */
const MAX_VERIFYING = 16_384;
const MAX_VERIFYING_BYTES = 64 * 1024 * 1024;
/** What a message takes in memory beside its text. */
const OVERHEAD_BYTES = 1_024;

interface Pending {
  readonly envelope: Envelope;
  readonly size: number;
  readonly settle: (reject: Reject | undefined) => void;
  /** The registry was asked. */
  wasAsked: boolean;
  isWaiting: boolean;
  /** Undefined until it is verified; `moved` where it waits for another look-up, and its place here is empty. */
  verdict: { readonly reject: Reject | undefined } | "moved" | undefined;
  isAbandoned: boolean;
}

/** The messages of one sender. */
interface Sender {
  /** Under verification, or verified behind one that is not, in their order. */
  verifying: Pending[];
  /** Those that wait for the look-up of the key. */
  waiting: Pending[];
  /** The sender's key is known, and those that wait do not match it; those that match need not wait behind them. */
  isMismatched: boolean;
}

/** Counts messages and their bytes. */
class Room {
  messages = 0;
  bytes = 0;

  add(pending: Pending, sign: 1 | -1): void {
    this.messages += sign;
    this.bytes += sign * pending.size;
  }
}

/** Verifies the messages of one session. */
export class InboundVerifier {
  readonly #keys: KeyCache;
  readonly #accountId: string;
  readonly #capabilities: ReadonlySet<string>;
  readonly #logger: Logger;
  /** By the sender's account, a text of at most 256 bytes. */
  readonly #senders = new Map<string, Sender>();
  readonly #waiting = new Room();
  readonly #verifying = new Room();

  constructor(keys: KeyCache, accountId: string, capabilities: readonly string[], logger: Logger) {
    this.#keys = keys;
    this.#accountId = accountId;
    this.#capabilities = new Set(capabilities.map(trim));
    this.#logger = logger;
  }

  /** The verdict about a message; `waits` where it comes later, by one call of `settle`. */
  verify(envelope: Envelope, size: number, settle: Pending["settle"]): Reject | "waits" {
    const auth = readMessageAuth(envelope);
    if ("code" in auth) return REJECT.auth(auth.code);
    // Not empty: `readMessageAuth` checks that first.
    const accountId = envelope.fromAccountId ?? "";
    const sender = this.#senders.get(accountId) ?? { verifying: [], waiting: [], isMismatched: false };
    const pending: Pending = {
      envelope,
      size: size + OVERHEAD_BYTES,
      settle,
      wasAsked: false,
      isWaiting: false,
      verdict: undefined,
      isAbandoned: false,
    };
    const mustWait = (sender.waiting.length > 0 && !sender.isMismatched) || this.#keys.cached(accountId) === undefined;
    if (mustWait) {
      if (!this.#hasRoomToWait(sender, pending)) return REJECT.busy;
      this.#senders.set(accountId, sender);
      this.#wait(accountId, sender, pending);
      return "waits";
    }
    if (this.#verifying.messages >= MAX_VERIFYING || this.#verifying.bytes + pending.size > MAX_VERIFYING_BYTES) {
      return REJECT.busy;
    }
    this.#senders.set(accountId, sender);
    this.#begin(accountId, sender, pending);
    return "waits";
  }

  /** Settles all messages as `shutting_down`; verdicts that come later are ignored. */
  abandon(): void {
    const senders = [...this.#senders.values()];
    this.#senders.clear();
    for (const { verifying, waiting } of senders) {
      const left = [...verifying.splice(0).filter(({ verdict }) => verdict !== "moved"), ...waiting.splice(0)];
      for (const pending of left) {
        (pending.isWaiting ? this.#waiting : this.#verifying).add(pending, -1);
        pending.isAbandoned = true;
        pending.settle(REJECT.shuttingDown);
      }
    }
  }

  #hasRoomToWait(sender: Sender, pending: Pending): boolean {
    return (
      this.#waiting.messages < MAX_PENDING &&
      sender.waiting.length < MAX_PENDING_PER_SENDER &&
      this.#waiting.bytes + pending.size <= MAX_PENDING_BYTES
    );
  }

  #wait(accountId: string, sender: Sender, pending: Pending): void {
    pending.isWaiting = true;
    this.#waiting.add(pending, 1);
    sender.waiting.push(pending);
    if (sender.waiting.length > 1) return;
    sender.isMismatched = this.#keys.cached(accountId) !== undefined;
    const lookedUp = (): void => this.#lookedUp(accountId, sender);
    this.#keys.ask(accountId).then(lookedUp, lookedUp);
  }

  /** The registry has answered: the messages that waited are verified, before those that come from now on. */
  #lookedUp(accountId: string, sender: Sender): void {
    for (const pending of sender.waiting.splice(0)) {
      this.#waiting.add(pending, -1);
      pending.isWaiting = false;
      pending.wasAsked = true;
      this.#begin(accountId, sender, pending);
    }
  }

  #begin(accountId: string, sender: Sender, pending: Pending): void {
    this.#verifying.add(pending, 1);
    sender.verifying.push(pending);
    const check = pending.wasAsked ? conclude : examine;
    check(this.#keys, accountId, pending.envelope).then(
      (code) => this.#verified(accountId, sender, pending, code),
      (error: unknown) => {
        this.#logger.warn("a message could not be verified", { error });
        this.#verified(accountId, sender, pending, "auth_signature_invalid");
      },
    );
  }

  #verified(accountId: string, sender: Sender, pending: Pending, code: string | undefined): void {
    if (pending.isAbandoned) return;
    if (code === ASK) {
      // Another message in its place: those behind it need not wait.
      this.#verifying.add(pending, -1);
      const again = { ...pending, verdict: undefined };
      pending.verdict = "moved";
      if (this.#hasRoomToWait(sender, again)) this.#wait(accountId, sender, again);
      else again.settle(REJECT.busy);
    } else {
      pending.verdict = { reject: code === undefined ? this.#addressed(pending.envelope) : REJECT.auth(code) };
    }
    this.#release(accountId, sender);
  }

  /** Settles what is verified, up to the first message that is not. */
  #release(accountId: string, sender: Sender): void {
    for (let first = sender.verifying[0]; first?.verdict !== undefined; first = sender.verifying[0]) {
      sender.verifying.shift();
      if (first.verdict === "moved") continue;
      this.#verifying.add(first, -1);
      first.settle(first.verdict.reject);
    }
    if (sender.verifying.length === 0 && sender.waiting.length === 0) this.#senders.delete(accountId);
  }

  /** Checks that a signed message is addressed to this agent: one that was signed for another may have been replayed. */
  #addressed(envelope: Envelope): Reject | undefined {
    const { toAccountId } = envelope;
    const toAgent = trim(envelope.toAgent);
    let isForUs: boolean;
    if (toAccountId !== undefined) isForUs = toAccountId === this.#accountId;
    else if (toAgent.startsWith("capability:")) isForUs = this.#capabilities.has(toAgent.slice("capability:".length));
    else isForUs = toAgent === this.#accountId;
    return isForUs ? undefined : REJECT.auth("auth_claims_mismatch");
  }
}
