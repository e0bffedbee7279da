/**
 * The seam for signed identity (PROTOCOL.md section 13): what a node asks of whatever signs and checks signatures.
 *
 * The checks return their verdict at once where they can, so that a network without signatures pays nothing for them.
 */

import type { RawJson } from "../json/index.js";
import type { AgentInfo, Envelope, Goodbye, Receipt, RegisterReply, Reject, SigningKey } from "../protocol/index.js";
import type { Limits } from "./limits.js";
import type { Logger } from "./logger.js";
import type { Metrics } from "./metrics.js";
import type { RegistryClient } from "./registry-client.js";

/** A value, or the promise of one. */
export type MaybePromise<T> = T | Promise<T>;

/** Where a node's identity comes from; the option `devAuth` of a node. */
export interface IdentityProvider {
  /** Opens the keys, before the node registers. */
  open(node: {
    readonly agentId: string;
    readonly username?: string | undefined;
    readonly logger: Logger;
    /** Of a member of a network in secure mode: the key that its enrolment has bound to its account. */
    readonly memberKey?: (() => Promise<SigningKey>) | undefined;
  }): MaybePromise<RegistrationIdentity>;
}

/** An identity whose keys are open. */
export interface RegistrationIdentity {
  /**
   * Registers the agent. `call` makes one registration: with `auth` it is made once, without it may be repeated; `timeoutMs` is
   * the time of that call (default 5,000).
   */
  register(
    agent: AgentInfo,
    call: (request: { readonly auth?: RawJson; readonly timeoutMs?: number }) => Promise<RegisterReply>,
  ): Promise<RegisterReply>;
  /** The identity of the session that was registered. */
  session(context: IdentityContext): Identity;
}

/** What an identity may use. */
export interface IdentityContext {
  readonly agentId: string;
  readonly accountId: string;
  readonly sessionTag: string;
  readonly capabilities: readonly string[];
  readonly registry: RegistryClient;
  readonly limits: Limits;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Is aborted when the session ends. */
  readonly ended: AbortSignal;
}

/** What a reply has to be. */
export interface ReplyExpectation {
  /** The account that was asked; undefined if the request went to a capability, which any account may have. */
  readonly accountId: string | undefined;
  /** The id of the request. */
  readonly messageId: string;
}

/** The identity of a session: signs what goes out, checks what comes in. */
export interface Identity {
  /** Whether it checks: then the sender's account is proven, and counts for its rate (section 12). */
  readonly isSigned: boolean;

  /** The message with its signature; nothing that the signature covers is changed afterwards. */
  signMessage(envelope: Envelope): MaybePromise<Envelope>;
  /** The receipt with its signature. */
  signReceipt(receipt: Receipt): MaybePromise<Receipt>;
  /** The member `auth` of a hello. */
  signHello(agent: AgentInfo): MaybePromise<RawJson | undefined>;
  /** The member `auth` of a goodbye. */
  signGoodbye(goodbye: Goodbye): MaybePromise<RawJson | undefined>;

  /**
   * Check 4 of section 12: the verdict about a message whose thread and schema version are filled in, undefined where it is
   * good. `"waits"`: the verdict comes later, by one call of `settle`, in the order of its sender's messages.
   *
   * @param size Bytes of the wire text.
   */
  verifyMessage(
    envelope: Envelope,
    size: number,
    settle: (reject: Reject | undefined) => void,
  ): Reject | undefined | "waits";
  /** Settles all messages that wait as `shutting_down`; the node is closing. */
  abandonMessages(): void;

  /** From now on receipts for this message are accepted from this account, until the returned function is called. */
  expectReceipts(messageId: string, accountId: string | undefined): () => void;
  /** Hands the receipt on if it is accepted, at once or later. */
  checkReceipt(receipt: Receipt, accept: (receipt: Receipt) => void): void;

  /** What is wrong with a reply, a frame or a cancel (13.7); undefined where nothing is. */
  verifyReply(envelope: Envelope, expectation: ReplyExpectation): MaybePromise<string | undefined>;
  /** The member `auth` of a request that only the account's owner may make (13.8), given its wire text without that member. */
  signRequest?(rpc: string, text: string): MaybePromise<RawJson | undefined>;
  /** Binds a new key in the place of the own one, and signs with it from then on; the new public key. */
  rotateKey?(): Promise<string>;
}

const NO_IDENTITY: Identity = Object.freeze({
  isSigned: false,
  signMessage: (envelope: Envelope) => envelope,
  signReceipt: (receipt: Receipt) => receipt,
  signHello: () => undefined,
  signGoodbye: () => undefined,
  verifyMessage: () => undefined,
  abandonMessages: () => undefined,
  expectReceipts: () => () => undefined,
  checkReceipt: (receipt: Receipt, accept: (receipt: Receipt) => void) => accept(receipt),
  verifyReply: () => undefined,
});

/** A node that neither signs nor checks. */
export const UNSIGNED: IdentityProvider = Object.freeze({
  open: (): RegistrationIdentity => ({
    register: (_agent, call) => call({}),
    session: () => NO_IDENTITY,
  }),
});

/** Whether a verdict or a signature is still to come. */
export function isPending<T>(value: MaybePromise<T>): value is Promise<T> {
  return value instanceof Promise;
}
