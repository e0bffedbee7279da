/** What is signed, and the checks of it (PROTOCOL.md sections 13.2 to 13.6). */

import { JsonView, ObjectWriter, RawJson, stringify, trim } from "../json/index.js";
import type { AgentInfo } from "./agent-info.js";
import { Claims } from "./claims.js";
import { DEFAULT_SCHEMA_VERSION, type Envelope } from "./envelope.js";
import { AUTH_SCHEME, type SigningKey, verifySignature } from "./keys.js";
import type { Goodbye } from "./presence.js";
import type { Receipt } from "./receipt.js";
import { payloadSha256 } from "./sha256.js";
import type { Timestamp } from "./time.js";

/** What this package's sessions sign besides registrations and messages (section 13.6): the claim `signs`. */
export const SIGNS_ALL = "receipts,presence";

/** What a session or an account signs besides registrations and messages. */
export interface SigningScope {
  /** Whether receipts are signed. */
  receipts: boolean;
  /** Whether hellos and goodbyes are signed. */
  presence: boolean;
}

/** Reads `receipts,presence`; unknown words are ignored. */
export function parseSigningScope(text: string): SigningScope {
  const words = text.split(",").map((word) => word.trim());
  return { receipts: words.includes("receipts"), presence: words.includes("presence") };
}

/** The claims of a registration (section 13.2); `username` and `accountId` are those that the agent asks for. */
export function registerClaims(registration: {
  agentId: string;
  name: string;
  username?: string | undefined;
  accountId?: string | undefined;
  now: Timestamp;
  nonce: string;
  /** What the session signs besides messages: {@link SIGNS_ALL}; absent: nothing. */
  signs?: string | undefined;
}): Claims {
  const claims = Claims.of([
    ["agent_id", registration.agentId],
    ["name", registration.name],
    ["username", registration.username ?? ""],
    ["account_id", registration.accountId ?? ""],
    ["timestamp", registration.now.toString()],
    ["nonce", registration.nonce],
  ]);
  return registration.signs === undefined ? claims : claims.and("signs", registration.signs);
}

/** The fourteen claims of a message (section 13.4). `from_agent`, `from_session_tag` and `reply_to` are not covered. */
export function messageClaims(envelope: Envelope): Claims {
  return Claims.of([
    ["message_id", envelope.messageId],
    ["from_account_id", envelope.fromAccountId ?? ""],
    ["to_account_id", envelope.toAccountId ?? ""],
    ["to_agent", envelope.toAgent],
    ["sent_at", envelope.sentAt],
    ["ttl_ms", String(envelope.ttlMs ?? 0)],
    ["expires_at", envelope.expiresAt ?? ""],
    ["trace_id", envelope.traceId ?? ""],
    ["thread_id", envelope.threadId ?? ""],
    ["parent_message_id", envelope.parentMessageId ?? ""],
    ["kind", envelope.kind],
    ["schema_version", envelope.schemaVersion || DEFAULT_SCHEMA_VERSION],
    ["idempotency_key", envelope.idempotencyKey ?? ""],
    ["payload_sha256", payloadSha256(envelope.payload)],
  ]);
}

/** What the signature of a receipt covers (section 13.6). */
export function receiptClaims(receipt: Receipt): Claims {
  return Claims.of([
    ["purpose", "receipt"],
    ["message_id", receipt.messageId],
    ["status", receipt.status],
    ["event_at", receipt.eventAt],
    ["from_account_id", receipt.fromAccountId ?? ""],
    ["from_session_tag", receipt.fromSessionTag ?? ""],
    ["to_account_id", receipt.toAccountId ?? ""],
    ["trace_id", receipt.traceId ?? ""],
    ["thread_id", receipt.threadId ?? ""],
    ["parent_message_id", receipt.parentMessageId ?? ""],
    ["code", receipt.code ?? ""],
    ["detail", receipt.detail ?? ""],
  ]);
}

/** What the signature of a hello covers (section 13.6). */
export function helloClaims(agent: AgentInfo): Claims {
  const content = new ObjectWriter()
    .raw("capabilities", stringify(agent.capabilities))
    .raw("metadata", agent.metadata.text)
    .finish();
  return Claims.of([
    ["purpose", "hello"],
    ["session_tag", agent.sessionTag ?? ""],
    ["account_id", agent.accountId ?? ""],
    ["username", agent.username ?? ""],
    ["agent_id", agent.agentId],
    ["name", agent.name],
    ["said_at", agent.lastSeen ?? ""],
    ["content_sha256", payloadSha256(RawJson.trusted(content))],
  ]);
}

/** What the signature of a goodbye covers (section 13.6). */
export function goodbyeClaims(goodbye: Goodbye): Claims {
  return Claims.of([
    ["purpose", "goodbye"],
    ["session_tag", goodbye.sessionTag],
    ["agent_id", goodbye.agentId],
    ["said_at", goodbye.seenAt],
  ]);
}

/** What the signature of a request to the registry covers that only an account's owner may make (section 13.8). */
export function requestClaims(request: {
  /** The name of the RPC. */
  rpc: string;
  accountId: string;
  /** May be empty. */
  sessionTag: string;
  /** The wire text of the request without its signature. */
  text: string;
  now: Timestamp;
  nonce: string;
}): Claims {
  return Claims.of([
    ["purpose", request.rpc],
    ["account_id", request.accountId],
    ["session_tag", request.sessionTag],
    ["request_sha256", payloadSha256(RawJson.trusted(request.text))],
    ["timestamp", request.now.toString()],
    ["nonce", request.nonce],
  ]);
}

interface Auth {
  publicKey: string;
  signature: string;
  claims: Claims;
}

/** Reads an `auth` member; `scheme` or `payload` where its form is wrong, `missing` where it is no object. */
function readAuth(raw: RawJson | undefined): Auth | "missing" | "scheme" | "payload" {
  const object = (raw?.view() ?? JsonView.NULL).asObject();
  if (object === undefined) return "missing";
  if (object.get("scheme").text() !== AUTH_SCHEME) return "scheme";
  const publicKey = trim(object.get("public_key").text());
  const signature = trim(object.get("signature").text());
  const claims = Claims.read(object.get("claims"));
  if (publicKey === "" || signature === "" || claims === undefined) return "payload";
  return { publicKey, signature, claims };
}

const FORM_CODES = {
  missing: "auth_missing",
  scheme: "auth_scheme_invalid",
  payload: "auth_payload_invalid",
} as const;
/** Claims that senders of the first schema did not make. */
const LATER_CLAIMS = ["schema_version", "idempotency_key"];

function readSignedMessage(envelope: Envelope): Auth | { code: string } {
  if (trim(envelope.fromAccountId ?? "") === "") return { code: "auth_missing_from_account" };
  const auth = readAuth(envelope.auth);
  return typeof auth === "string" ? { code: FORM_CODES[auth] } : auth;
}

/** The first part of the checks of a message, without a key: the `auth_*` code that applies, or the public key that it names. */
export function readMessageAuth(envelope: Envelope): { code: string } | { publicKey: string } {
  const auth = readSignedMessage(envelope);
  return "code" in auth ? auth : { publicKey: auth.publicKey };
}

/**
 * Checks the signature of a message by the key that is bound to its sender's account (section 13.4). The envelope is the one read
 * before, its thread id filled in and its schema version trimmed.
 *
 * @param boundKey - `undefined` where the account has no key: `auth_key_not_found`.
 * @returns the `auth_*` code that applies; `undefined` where the message is good.
 */
export async function verifyMessage(envelope: Envelope, boundKey: string | undefined): Promise<string | undefined> {
  const auth = readSignedMessage(envelope);
  if ("code" in auth) return auth.code;
  if (boundKey === undefined) return "auth_key_not_found";
  if (boundKey !== auth.publicKey) return "auth_public_key_mismatch";
  const expected = messageClaims(envelope);
  if (!auth.claims.sameAs(expected) && !auth.claims.sameAs(expected.without(LATER_CLAIMS)))
    return "auth_claims_mismatch";
  const holds = await verifySignature(auth.publicKey, auth.signature, auth.claims);
  return holds ? undefined : "auth_signature_invalid";
}

/**
 * Checks a detached signature (section 13.6).
 *
 * @returns the key that it was made with, whose owner is for the caller to know; `undefined` where it is missing, of another
 * scheme, or does not cover the claims.
 */
export async function verifyDetached(auth: RawJson | undefined, claims: Claims): Promise<string | undefined> {
  const object = auth?.view().asObject();
  if (object?.get("scheme").text() !== AUTH_SCHEME) return undefined;
  const publicKey = trim(object.get("public_key").text());
  const signature = trim(object.get("signature").text());
  if (publicKey === "" || signature === "") return undefined;
  return (await verifySignature(publicKey, signature, claims)) ? publicKey : undefined;
}

/** The request of `registry.rotate_key`. */
export interface RotateKeyRequest {
  /** The account. */
  accountId: string;
  /** The key to bind. */
  newPublicKey: string;
  /** The claims, signed by the bound key. */
  auth: RawJson;
  /** The signature of the same claims by the new key. */
  proof: string;
}

/** A request to bind `newKey` in the place of `oldKey` (section 13.5). */
export async function rotateKeyRequest(
  accountId: string,
  oldKey: SigningKey,
  newKey: SigningKey,
  now: Timestamp,
  nonce: string,
): Promise<RotateKeyRequest> {
  const claims = Claims.of([
    ["purpose", "rotate_key"],
    ["account_id", accountId],
    ["new_public_key", newKey.publicKey],
    ["timestamp", now.toString()],
    ["nonce", nonce],
  ]);
  const [auth, proof] = await Promise.all([oldKey.auth(claims), newKey.sign(claims)]);
  return { accountId, newPublicKey: newKey.publicKey, auth, proof };
}
