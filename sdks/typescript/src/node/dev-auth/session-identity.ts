/** The identity of a session that signs: its own key, and what it makes of others' signatures. */

import type { RawJson } from "../../json/index.js";
import {
  type AgentInfo,
  type Envelope,
  type Goodbye,
  goodbyeClaims,
  helloClaims,
  messageClaims,
  newNonce,
  type Receipt,
  type Reject,
  readMessageAuth,
  receiptClaims,
  requestClaims,
  type SigningKey,
  Timestamp,
} from "../../protocol/index.js";
import type { Identity, IdentityContext, MaybePromise, ReplyExpectation } from "../identity.js";
import { checkExpectation } from "../reply-origin.js";
import { InboundVerifier } from "./inbound.js";
import { KeyCache } from "./key-cache.js";
import type { KeyStore } from "./key-store.js";
import { ReceiptChecks } from "./receipts.js";
import { rotateKey } from "./rotate.js";
import { verifySigned } from "./signatures.js";

/** Signs and checks for one session. */
export class SessionIdentity implements Identity {
  readonly isSigned = true;
  readonly #context: IdentityContext;
  readonly #store: KeyStore;
  readonly #name: string;
  readonly #keys: KeyCache;
  readonly #inbound: InboundVerifier;
  readonly #receipts: ReceiptChecks;
  #key: SigningKey;

  /** @param name The name of the key in the store. */
  constructor(context: IdentityContext, store: KeyStore, name: string, key: SigningKey) {
    const { accountId, capabilities, ended, limits, logger, metrics, registry } = context;
    this.#context = context;
    this.#store = store;
    this.#name = name;
    this.#key = key;
    this.#keys = new KeyCache(registry, limits.keyCacheTtlMs, ended, logger);
    this.#inbound = new InboundVerifier(this.#keys, accountId, capabilities, logger);
    this.#receipts = new ReceiptChecks(this.#keys, accountId, metrics, logger);
    void this.#warnIfUnbound();
  }

  async signMessage(envelope: Envelope): Promise<Envelope> {
    return { ...envelope, auth: await this.#key.auth(messageClaims(envelope)) };
  }

  async signReceipt(receipt: Receipt): Promise<Receipt> {
    return { ...receipt, auth: await this.#key.detached(receiptClaims(receipt)) };
  }

  async signHello(agent: AgentInfo): Promise<RawJson> {
    return await this.#key.detached(helloClaims(agent));
  }

  async signGoodbye(goodbye: Goodbye): Promise<RawJson> {
    return await this.#key.detached(goodbyeClaims(goodbye));
  }

  async signRequest(rpc: string, text: string): Promise<RawJson> {
    const { accountId, sessionTag } = this.#context;
    const claims = requestClaims({ rpc, accountId, sessionTag, text, now: Timestamp.now(), nonce: newNonce() });
    return await this.#key.auth(claims);
  }

  verifyMessage(
    envelope: Envelope,
    size: number,
    settle: (reject: Reject | undefined) => void,
  ): Reject | undefined | "waits" {
    return this.#inbound.verify(envelope, size, settle);
  }

  abandonMessages(): void {
    this.#inbound.abandon();
  }

  expectReceipts(messageId: string, accountId: string | undefined): () => void {
    return this.#receipts.expect(messageId, accountId);
  }

  checkReceipt(receipt: Receipt, accept: (receipt: Receipt) => void): void {
    this.#receipts.check(receipt, accept);
  }

  verifyReply(envelope: Envelope, expectation: ReplyExpectation): MaybePromise<string | undefined> {
    // Cheap checks first: they keep forged messages from causing look-ups.
    const auth = readMessageAuth(envelope);
    if ("code" in auth) return auth.code;
    const wrong = checkExpectation(envelope, expectation, this.#context.accountId);
    return wrong ?? verifySigned(this.#keys, envelope.fromAccountId ?? "", envelope);
  }

  async rotateKey(): Promise<string> {
    const { accountId, registry } = this.#context;
    this.#key = await rotateKey(registry, accountId, this.#store, this.#name);
    return this.#key.publicKey;
  }

  /** Warns where the registry has not bound the node's key: it binds no keys at all, and the node rejects every message. */
  async #warnIfUnbound(): Promise<void> {
    const { accountId, logger } = this.#context;
    const bound = await this.#keys.ask(accountId);
    if (bound.kind !== "none") return;
    logger.warn(
      "this agent signs, but the registry does not check signatures: it refuses all messages, since no sender's key is known; " +
        "run the registry with DEV_AUTH=true too, or this agent without",
      { accountId },
    );
  }
}
