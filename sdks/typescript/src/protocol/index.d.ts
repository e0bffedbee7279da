// Signatures of src/protocol; replaced by index.ts.
import { AgentNetError } from "../errors.js";
import type { JsonObject, JsonView, RawJson } from "../json/index.js";

/* ---- decode ---- */
/** A body is not the record that was expected. code "invalid_message". */
export class DecodeError extends AgentNetError { readonly member?: string }

/* ---- time (3) ---- */
/** UTC time with microseconds, in the years 1 to 9999. */
export class Timestamp {
  static readonly MIN: Timestamp;
  static readonly MAX: Timestamp;
  static now(): Timestamp;
  static fromMicros(micros: bigint): Timestamp;
  static fromMillis(millis: number): Timestamp;
  /** White space around it is ignored. */ static parse(text: string): Timestamp | undefined;
  /** White space around it makes it unreadable (TTL check). */ static parseExact(text: string): Timestamp | undefined;
  readonly micros: bigint;
  get millis(): number;
  addMillis(millis: number | bigint): Timestamp; // saturating
  compare(other: Timestamp): number;
  toDate(): Date;
  toString(): string;
}

/* ---- ids (3); random bytes from globalThis.crypto ---- */
export function newMessageId(): string;
export function newNonce(): string;
export function newUlid(): string;                    // upper case
export function prefixedId(prefix: string): string;   // prefix_ + lower-case ULID
export function ulid(unixMillis: number, random: Uint8Array): string;
export function messageId(unixMillis: number, random: Uint8Array): string;
export function isAccountId(id: string): boolean;
export const SDK_THREAD_PREFIX: "thread_sdk";
export function defaultThreadId(traceOrMessageId: string): string;

/* ---- envelope (5.1) ---- */
export interface Envelope {
  messageId: string;
  fromAgent: string;
  toAgent: string;
  payload: RawJson;
  sentAt: string;
  kind: string;
  schemaVersion: string;
  fromSessionTag?: string;
  fromAccountId?: string;
  toAccountId?: string;
  /** bigint only beyond the safe integers */
  ttlMs?: number | bigint;
  expiresAt?: string;
  traceId?: string;
  threadId?: string;
  parentMessageId?: string;
  idempotencyKey?: string;
  replyTo?: RawJson;
  auth?: RawJson;
}
export const KIND: { readonly DIRECT: "direct"; readonly REQUEST: "request"; readonly REPLY: "reply"; readonly ERROR: "error"; readonly SYSTEM: "system"; readonly STREAM: "stream" };
export const SCHEMA_VERSION: "1.1";
/** @throws DecodeError | JsonError (both AgentNetError; message = detail of message_invalid) */
export function decodeEnvelope(body: Uint8Array | string): Envelope;
/** As decodeEnvelope; a body without message_id and from_agent is refused: it is no reply. */
export function decodeReply(body: Uint8Array | string): Envelope;
/** Wire text, ASCII: its length is its size in bytes. */
export function encodeEnvelope(envelope: Envelope): string;
export function traceOrMessageId(envelope: Envelope): string;
/** The same as a plain object in wire spelling (snake_case), payload by payload.value(). */
export function envelopeToObject(envelope: Envelope): AgentMessageObject;
export interface AgentMessageObject {
  message_id: string; from_agent: string; to_agent: string; payload: unknown; sent_at: string; kind: string; schema_version: string;
  from_session_tag?: string; from_account_id?: string; to_account_id?: string; ttl_ms?: number; expires_at?: string; trace_id?: string;
  thread_id?: string; parent_message_id?: string; idempotency_key?: string; reply_to?: unknown; auth?: unknown;
}

/* ---- compose (11.1, 11.6, 5.4) ---- */
export const DEFAULT_TTL_MS: 30000;
export interface Sender { agentId: string; accountId: string; sessionTag: string }
export interface Draft {
  toAgent: string; toAccountId?: string; payload: RawJson; kind?: string; ttlMs?: number; traceId?: string; threadId?: string;
  parentMessageId?: string; idempotencyKey?: string; schemaVersion?: string;
}
export function compose(draft: Draft, sender: Sender, messageId: string, now: Timestamp): Envelope;
/** Fills target, trace, thread, parent and kind "reply" from the request where the draft has none. */
export function answering(draft: Omit<Draft, "toAgent" | "toAccountId">, request: Envelope): Draft;
export function errorReply(request: Envelope, reject: Reject, sender: Sender, messageId: string, now: Timestamp): Envelope;

/* ---- reject (12) ---- */
export interface Reject { readonly code: string; readonly detail: string }
export const REJECT: {
  payloadTooLarge(size: number, limit: number): Reject; messageInvalid(why: string): Reject; auth(code: string): Reject;
  readonly schemaVersionInvalid: Reject; readonly unsupportedSchemaVersion: Reject; readonly shuttingDown: Reject; readonly serviceDegraded: Reject;
  readonly missingTtl: Reject; readonly expired: Reject; readonly rateLimited: Reject; readonly duplicateMessage: Reject; readonly duplicateKey: Reject;
  readonly busy: Reject; readonly timeout: Reject; readonly handlerError: Reject;
  serverHeader(name: string): Reject; serverStatus(status: number): Reject;   // 2b, 2c
};
export const UNREACHABLE_CODES: readonly string[];

/* ---- receipt (5.2) ---- */
export type ReceiptStatus = "accepted" | "processed" | "rejected" | "other";
export interface Receipt {
  messageId: string; status: string; eventAt: string; fromAccountId?: string; fromSessionTag?: string; toAccountId?: string; traceId?: string;
  threadId?: string; parentMessageId?: string; code?: string; detail?: string; auth?: RawJson;
}
export function receiptFor(message: Envelope, status: "accepted" | "processed" | "rejected", receiver: { accountId: string; sessionTag: string }, now: Timestamp, reject?: Reject): Receipt;
export function decodeReceipt(body: Uint8Array | string): Receipt;
export function encodeReceipt(receipt: Receipt): string;
/** Compared trimmed, without case. */
export function receiptStatus(receipt: Receipt): ReceiptStatus;
/** The id at the front of a body, read without parsing the rest; undefined where it is elsewhere. */
export function receiptMessageIdAtFront(body: Uint8Array): string | undefined;

/* ---- agent info (5.3), counters (7.4) ---- */
export interface AgentInfo {
  agentId: string; name: string; capabilities: string[]; metadata: RawJson; accountId?: string; username?: string; sessionTag?: string; lastSeen?: string;
}
export function decodeAgentInfo(object: JsonObject): AgentInfo;
export function encodeAgentInfo(agent: AgentInfo): string;
export interface AgentCounters {
  inflight: number; pending: number; processed: number; errors: number; rejected: number; retries: number; circuitOpen: boolean; avgHandleMs: number;
}
export function decodeCounters(hello: JsonObject): AgentCounters | undefined;

/* ---- presence bodies (7.4, 7.5, 13.6) ---- */
export interface Goodbye { agentId: string; sessionTag: string; seenAt: string }
export function encodeHello(agent: AgentInfo, counters?: AgentCounters, auth?: RawJson): string;
export function encodeGoodbye(goodbye: Goodbye, auth?: RawJson): string;

/* ---- subjects (2) ---- */
export const REGISTRY_SUBJECTS: Readonly<Record<"register" | "hello" | "goodbye" | "list" | "resolveAccount" | "resolveKey" | "rotateKey" | "search" | "profile" | "threadStatus" | "threadList" | "threadMessages" | "messageSearch" | "metrics", string>>;
export const CONNECTION_INBOX_PREFIX: "_AGENTNET";
export const REGISTRY_ACCOUNT_PREFIX: "acct_registry_";
export function inboxSubject(accountId: string): string;
export function receiptsSubject(accountId: string): string;
export function capabilitySubject(capability: string): string;
export function inboxGroup(accountId: string): string;
export function capabilityGroup(capability: string): string;
export function replySubject(prefix: string, accountId: string, token: string): string;
export function isRoutable(token: string): boolean;           // capability or account id
export function isReplySubject(subject: string): boolean;     // JSON reply_to (0.7)
export function mayReplyTo(subject: string): boolean;         // NATS reply subject (0.11)
export function isServerHeader(name: string): boolean;
export function usableReplyPrefix(offered: string | undefined, accountId: string): string | undefined;
export function cancelSubject(replySubject: string): string;

/* ---- limits (0.11) ---- */
export class TooLarge extends AgentNetError { readonly member: string; readonly size: number; readonly max: number }   // code "too_large"; message is the wire sentence
export const LIMITS: { readonly nameBytes: 256; readonly idBytes: 1024; readonly capabilities: 64; readonly capabilityBytes: 128; readonly metadataBytes: 65536; readonly requestBytes: 65536; readonly threadIdBytes: 2048; readonly queryBytes: 1024; readonly cursorBytes: 16384 };
export function checkBytes(member: string, text: string, max: number): void;       // throws TooLarge
export function checkEnvelope(envelope: Envelope): void;                            // throws TooLarge
export function boundedIds(envelope: Envelope): Envelope;
export function checkAgent(agent: AgentInfo, maxMetadata?: number): void;
export function checkRequest(body: string): void;   // size and texts of a registry request

/* ---- target (11.2), username (7.1) ---- */
export type Target = { kind: "account" | "username" | "capability"; value: string };
/** code "invalid_target" */
export class TargetError extends AgentNetError {}
export function parseNodeTarget(text: string, verb: "send" | "request"): Target;
export function parseSdkTarget(text: string): Target;
/** parseSdkTarget plus username:<name> */
export function parseTarget(text: string): Target;
/** As the original TypeScript client reads one (column ts of targets.json). */
export function parseCompatTarget(text: string): Target;
export function normaliseUsername(name: string): string;
/** code "invalid_username" */
export class UsernameError extends AgentNetError { readonly outcome: "nothing" | "lossy" | "too_long" }
export function usableUsername(name: string): string;   // throws UsernameError
export function usernameLookupKey(name: string): string;

/* ---- receiver rules (12) ---- */
export function judgeSchemaVersion(version: string): { version: string } | { reject: Reject };
export const DEFAULT_CLOCK_SKEW_MS: 2000;
export function expiryDeadline(envelope: Pick<Envelope, "sentAt" | "ttlMs" | "expiresAt">): Timestamp | undefined;
export function judgeExpiry(envelope: Pick<Envelope, "sentAt" | "ttlMs" | "expiresAt">, now: Timestamp, clockSkewMs: number): Reject | undefined;
/** Seconds of a steady clock. */
export class TokenBucket {
  constructor(limit: RateLimit, nowSeconds: number);
  take(limit: RateLimit, nowSeconds: number): boolean;
  readonly tokens: number;
  readonly last: number;
}
export class RateLimit { constructor(perSecond?: number, burst?: number); readonly perSecond: number; readonly burst: number }
export interface SenderFields { accountId?: string; sessionTag?: string; agent?: string }
export function senderFields(envelope: Envelope): SenderFields;
export function rateBucketKey(sender: SenderFields): string;
export function idempotencyScope(key: string | undefined, sender: SenderFields, receiverAccountId: string | undefined, receiverAgentId: string): string | undefined;

/* ---- payload conventions (5.5, 9, 17) ---- */
export function extractText(payload: JsonView): string | undefined;
export function extractError(payload: JsonView): string | undefined;
export interface CompactionRequired {
  threadId: string; status: string; messageCount: number; pendingMessages: number; byteCount: number; approxTokens: number; softLimitTokens: number;
  hardLimitTokens: number; keepTailMessages: number; latestCheckpointEnd: number; requestedAt?: string; reason?: string;
}
export function isCompactionRequired(source: JsonView): boolean;
export function parseCompactionRequired(source: JsonView): CompactionRequired | undefined;

export interface BlobRef {
  blobId: string; storage: string; filename?: string; mimeType: string; size: number; sha256?: string; createdAt?: string; metadata?: RawJson; text?: string;
}
export function isBlobId(id: string): boolean;
/** undefined where type is another. @throws BlobRefError (code "invalid_blob_ref") */
export function parseBlobRef(payload: JsonView): BlobRef | undefined;
export function blobRefPayload(blob: BlobRef): RawJson;

/* ---- streams (5.5, STREAMING_PROTOCOL.md) ---- */
export type StreamPart =
  | { type: "start"; numbered: boolean; startedAt?: string; metadata?: RawJson }
  | { type: "delta"; delta: RawJson }
  | { type: "end"; text?: string; result?: RawJson; finishedAt?: string; metadata?: RawJson }
  | { type: "error"; error: string; detail?: string; finishedAt?: string; metadata?: RawJson };
export interface StreamFrame { streamId: string; seq: number; role: string; contentType: string; part: StreamPart }
/** code "invalid_stream_frame" */
export class StreamFrameError extends AgentNetError {}
export function parseStreamFrame(payload: JsonView): StreamFrame | undefined;
export function streamFramePayload(frame: StreamFrame): RawJson;
export function pieceText(piece: RawJson): string | undefined;
export class StreamWriter {
  constructor(streamId: string, options?: { role?: string; contentType?: string; maxTextBytes?: number });
  readonly streamId: string;
  start(now: Timestamp, metadata?: RawJson): RawJson;
  delta(delta: RawJson): RawJson;
  end(now: Timestamp, result?: RawJson): RawJson;
  error(now: Timestamp, error: string, detail?: string): RawJson;
}
export interface StreamLimits { heldFrames: number; heldBytes: number; textBytes: number }
/** code: "stream_other" | "stream_full" | "stream_text_too_long" */
export class AssembleError extends AgentNetError {}
export class StreamAssembler {
  constructor(options?: { streamId?: string; limits?: Partial<StreamLimits> });
  /** False where it adds nothing. @throws AssembleError */ push(frame: StreamFrame): boolean;
  pop(): StreamFrame | undefined;
  /** The end that has come is the end, whatever its number says (open form). */ endHere(): void;
  get isComplete(): boolean;
  get hasEnd(): boolean;
  get missing(): number | undefined;
  get text(): string;
  get streamId(): string | undefined;
}
export function streamCancelPayload(streamId?: string): RawJson;
export function parseStreamCancel(payload: JsonView): { streamId?: string } | undefined;

/* ---- signed identity (13) ---- */
export const AUTH_SCHEME: "dev-ed25519-v1";
export const SIGNS_ALL: "receipts,presence";
/** code "invalid_key" */
export class KeyError extends AgentNetError {}
export class SigningKey {
  static generate(): Promise<SigningKey>;
  static fromSeed(seed: Uint8Array): Promise<SigningKey>;
  static fromText(privateKey: string): Promise<SigningKey>;
  static fromKeyFile(content: string): Promise<SigningKey>;
  readonly publicKey: string;
  get privateKey(): string;
  toKeyFile(): string;
  sign(claims: Claims): Promise<string>;
  /** {scheme, public_key, claims, signature} */ auth(claims: Claims): Promise<RawJson>;
  /** {scheme, public_key, signature} */ detached(claims: Claims): Promise<RawJson>;
}
export class Claims {
  static of(members: readonly (readonly [name: string, value: string])[]): Claims;
  static read(value: JsonView): Claims | undefined;
  get(name: string): string;
  and(name: string, value: string): Claims;
  without(names: readonly string[]): Claims;
  sameAs(other: Claims): boolean;
  readonly json: string;
  signedText(): string;
}
export function keyFileName(username: string | undefined, agentId: string): string;
export function verifySignature(publicKey: string, signature: string, claims: Claims): Promise<boolean>;
export function registerClaims(o: { agentId: string; name: string; username?: string; accountId?: string; now: Timestamp; nonce: string; signs?: string }): Claims;
export function messageClaims(envelope: Envelope): Claims;
export function receiptClaims(receipt: Receipt): Claims;
export function helloClaims(agent: AgentInfo): Claims;
export function goodbyeClaims(goodbye: Goodbye): Claims;
/** Resolves to the auth_* code, or undefined where the message is good. boundKey undefined: auth_key_not_found. */
export function verifyMessage(envelope: Envelope, boundKey: string | undefined): Promise<string | undefined>;
/** The synchronous part: auth_* code of a malformed auth, or the public key it names. */
export function readMessageAuth(envelope: Envelope): { code: string } | { publicKey: string };
/** The key of a good detached signature; undefined where it is missing or does not cover the claims. */
export function verifyDetached(auth: RawJson | undefined, claims: Claims): Promise<string | undefined>;
export function payloadSha256(payload: RawJson): string;
export class Sha256 { update(bytes: Uint8Array): this; digest(): Uint8Array; hex(): string }   // incremental, pure TypeScript

/* ---- registry RPCs (6): encoders of requests, readers of replies ---- */
/** code "registry_refused"; message and detail are the registry's text. */
export class RegistryRefusal extends AgentNetError {}
export interface RegisterRequest { agent: AgentInfo; auth?: RawJson; keepProfile?: boolean }
export interface RegisterReply { accountId: string; username: string; sessionTag: string; heartbeatInterval: number; ttlSeconds: number; registeredAt: string; replyPrefix?: string }
export interface ListRequest { limit?: number; cursor?: string }
export interface ListReply { generatedAt: string; agents: AgentInfo[]; nextCursor?: string }
export interface ResolveAccountReply { accountId: string; username: string; resolvedAt: string }
export interface ResolveKeyReply { accountId: string; publicKey: string; resolvedAt: string; signs: { receipts: boolean; presence: boolean } }
export interface RotateKeyRequest { accountId: string; newPublicKey: string; auth: RawJson; proof: string }
export interface RotateKeyReply { accountId: string; publicKey: string; rotatedAt: string }
export interface SearchRequest { query?: string; capability?: string; limit?: number; onlineOnly?: boolean; cursor?: string }
export interface AccountHit { accountId: string; username: string; displayName: string; capabilities: string[]; metadata: RawJson; visibility: string; status: string; onlineSessions: number; online: boolean }
export interface SearchReply { query: string; capability?: string; limit: number; onlineOnly: boolean; results: AccountHit[]; generatedAt: string; nextCursor?: string }
export interface ProfileRequest { accountId?: string; username?: string }
export interface ProfileSession { sessionTag: string; agentId: string; serverId: string; connectedAt: string; lastSeen: string; capabilities: string[]; metadata: RawJson }
export interface Profile { accountId: string; username: string; displayName: string; bio: string; capabilities: string[]; metadata: RawJson; visibility: string; status: string; createdAt: string; updatedAt: string; onlineSessions: ProfileSession[]; online: boolean }
export interface ThreadStatusRequest { threadId: string; softLimitTokens?: number; hardLimitTokens?: number }
export interface ThreadSummary { threadId: string; createdByAccountId?: string; participants: string[]; createdAt: string; updatedAt: string; messageCount: number; byteCount: number; approxTokens: number; latestCheckpointEnd: number; lastMessageAt?: string; status: string; pendingMessages: number }
export interface ThreadStatusReply extends ThreadSummary { softLimitTokens: number; hardLimitTokens: number; threadKeepTailMessages: number; tokenEstimateCharsPerToken: number; generatedAt: string; participantsFull: boolean }
export interface ThreadListRequest { query?: string; limit?: number; participantAccountId?: string; participantUsername?: string; softLimitTokens?: number; hardLimitTokens?: number; cursor?: string }
export interface ThreadListReply { query: string; limit: number; participantAccountId?: string; participantUsername?: string; softLimitTokens?: number; hardLimitTokens?: number; tokenEstimateCharsPerToken?: number; results: ThreadSummary[]; generatedAt: string; nextCursor?: string }
export interface ThreadMessagesRequest { threadId: string; limit?: number; cursor?: string }
export interface MessageSearchRequest { messageId?: string; threadId?: string; fromAccountId?: string; toAccountId?: string; kind?: string; fromTs?: string; toTs?: string; limit?: number; cursor?: string }
export interface HistoryMessage {
  messageId: string; threadId: string; parentMessageId?: string; fromAccountId?: string; fromSessionTag?: string; toAccountId?: string; toAgent?: string; kind: string; schemaVersion: string;
  idempotencyKey?: string; payload: RawJson; traceId?: string; sentAt: string; receivedAt: string; status: string; metadata: RawJson; fromAgent?: string; ttlMs?: number | bigint; expiresAt?: string;
}
export interface HistoryPage { threadId?: string; limit: number; cursor?: string; nextCursor?: string; messages: HistoryMessage[]; generatedAt: string }

/** One RPC: its subject, how its request is written, how its reply is read. `read` throws RegistryRefusal | DecodeError | JsonError. */
export interface Rpc<Request, Reply> {
  readonly name: string;                       // "list", as in registry.list
  readonly subject: string;
  encode(request: Request): string;
  /** The reply's members, unread: for callers that hand the registry's reply on as it is. */
  readObject(body: Uint8Array | string): JsonObject;
  read(body: Uint8Array | string): Reply;
}
export const RPC: {
  readonly register: Rpc<RegisterRequest, RegisterReply>;
  readonly list: Rpc<ListRequest, ListReply>;
  readonly resolveAccount: Rpc<{ username: string }, ResolveAccountReply>;
  readonly resolveKey: Rpc<{ accountId: string }, ResolveKeyReply>;
  readonly rotateKey: Rpc<RotateKeyRequest, RotateKeyReply>;
  readonly search: Rpc<SearchRequest, SearchReply>;
  readonly profile: Rpc<ProfileRequest, Profile>;
  readonly threadStatus: Rpc<ThreadStatusRequest, ThreadStatusReply>;
  readonly threadList: Rpc<ThreadListRequest, ThreadListReply>;
  readonly threadMessages: Rpc<ThreadMessagesRequest, HistoryPage>;
  readonly messageSearch: Rpc<MessageSearchRequest, HistoryPage>;
  readonly metrics: Rpc<Record<string, never>, JsonObject>;
};
/** A request to bind another key (13.5). */
export function rotateKeyRequest(accountId: string, oldKey: SigningKey, newKey: SigningKey, now: Timestamp, nonce: string): Promise<RotateKeyRequest>;
