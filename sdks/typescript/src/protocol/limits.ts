/** Upper bounds for what travels on the wire (PROTOCOL.md section 0.11). */

import { AgentNetError } from "../errors.js";
import { JsonObject, RawJson, utf8Length } from "../json/index.js";
import type { AgentInfo } from "./agent-info.js";
import { present } from "./decode.js";
import type { Envelope } from "./envelope.js";

/** The bounds, in bytes unless stated otherwise. */
export const LIMITS = {
  /** A name or an identity: agent id, display name, username, account id, session tag, nonce, public key. */
  nameBytes: 256,
  /** An id that a sender makes up, a kind, a version, a time. */
  idBytes: 1024,
  /** Capabilities of one agent (entries). */
  capabilities: 64,
  /** One capability. */
  capabilityBytes: 128,
  /** An agent's metadata as JSON text, unless the registry is set otherwise. */
  metadataBytes: 65_536,
  /** A request to the registry; a registration has bounds of its own. */
  requestBytes: 65_536,
  /** A thread id in a request. */
  threadIdBytes: 2048,
  /** A text that is searched for. */
  queryBytes: 1024,
  /** A cursor. */
  cursorBytes: 16_384,
} as const;

/** The bounds of the texts of a request to the registry, by member. */
const REQUEST_TEXTS: readonly (readonly [member: string, max: number])[] = [
  ["account_id", LIMITS.nameBytes],
  ["username", LIMITS.nameBytes],
  ["participant_account_id", LIMITS.nameBytes],
  ["participant_username", LIMITS.nameBytes],
  ["from_account_id", LIMITS.nameBytes],
  ["to_account_id", LIMITS.nameBytes],
  ["new_public_key", LIMITS.nameBytes],
  ["proof", LIMITS.nameBytes],
  ["capability", LIMITS.capabilityBytes],
  ["query", LIMITS.queryBytes],
  ["message_id", LIMITS.idBytes],
  ["thread_id", LIMITS.threadIdBytes],
  ["kind", LIMITS.idBytes],
  ["from_ts", LIMITS.idBytes],
  ["to_ts", LIMITS.idBytes],
  ["cursor", LIMITS.cursorBytes],
];

/** A value above its bound. Code `too_large`; the message is the sentence that the wire carries. */
export class TooLarge extends AgentNetError {
  /** The member, as it is called on the wire. */
  readonly member: string;
  /** The size of the value. */
  readonly size: number;
  /** The largest size that is allowed. */
  readonly max: number;

  constructor(member: string, size: number, max: number, unit = "bytes") {
    super(`${member} has ${size} ${unit}; at most ${max} are allowed`, { code: "too_large" });
    this.name = "TooLarge";
    this.member = member;
    this.size = size;
    this.max = max;
  }
}

/** @throws {@link TooLarge} where a text has more than `max` bytes; an absent one has none. */
export function checkBytes(member: string, text: string | undefined, max: number): void {
  // A UTF-16 unit is one to three bytes.
  if (text === undefined || text.length * 3 <= max) return;
  const size = utf8Length(text);
  if (size > max) throw new TooLarge(member, size, max);
}

/**
 * Checks every text of an envelope but its payload.
 *
 * @throws {@link TooLarge} for the first bound that is exceeded.
 */
export function checkEnvelope(envelope: Envelope): void {
  checkBytes("from_agent", envelope.fromAgent, LIMITS.nameBytes);
  checkBytes("from_account_id", envelope.fromAccountId, LIMITS.nameBytes);
  checkBytes("from_session_tag", envelope.fromSessionTag, LIMITS.nameBytes);
  checkBytes("to_account_id", envelope.toAccountId, LIMITS.nameBytes);
  checkBytes("message_id", envelope.messageId, LIMITS.idBytes);
  // `capability:<name>` is longer than a name.
  checkBytes("to_agent", envelope.toAgent, LIMITS.idBytes);
  checkBytes("sent_at", envelope.sentAt, LIMITS.idBytes);
  checkBytes("kind", envelope.kind, LIMITS.idBytes);
  checkBytes("schema_version", envelope.schemaVersion, LIMITS.idBytes);
  checkBytes("expires_at", envelope.expiresAt, LIMITS.idBytes);
  checkBytes("trace_id", envelope.traceId, LIMITS.idBytes);
  checkBytes("thread_id", envelope.threadId, LIMITS.idBytes);
  checkBytes("parent_message_id", envelope.parentMessageId, LIMITS.idBytes);
  checkBytes("idempotency_key", envelope.idempotencyKey, LIMITS.idBytes);
}

/** What may be said back of an envelope that {@link checkEnvelope} refuses: the ids within their bounds, and no payload. */
export function boundedIds(envelope: Envelope): Envelope {
  const within = (text: string | undefined, max: number) =>
    text !== undefined && utf8Length(text) <= max ? text : undefined;
  return {
    messageId: within(envelope.messageId, LIMITS.idBytes) ?? "",
    fromAgent: within(envelope.fromAgent, LIMITS.nameBytes) ?? "",
    toAgent: "",
    payload: RawJson.NULL,
    sentAt: "",
    kind: "",
    schemaVersion: "",
    ...present({
      fromAccountId: within(envelope.fromAccountId, LIMITS.nameBytes),
      traceId: within(envelope.traceId, LIMITS.idBytes),
      threadId: within(envelope.threadId, LIMITS.idBytes),
      parentMessageId: within(envelope.parentMessageId, LIMITS.idBytes),
    }),
  };
}

/**
 * Checks the number and the lengths of an agent's capabilities.
 *
 * @throws {@link TooLarge} for the first bound that is exceeded.
 */
export function checkCapabilities(capabilities: readonly string[]): void {
  if (capabilities.length > LIMITS.capabilities) {
    throw new TooLarge("capabilities", capabilities.length, LIMITS.capabilities, "entries");
  }
  for (const capability of capabilities) checkBytes("capability", capability, LIMITS.capabilityBytes);
}

/**
 * Checks what an agent says of itself.
 *
 * @throws {@link TooLarge} for the first bound that is exceeded.
 */
export function checkAgent(agent: AgentInfo, maxMetadata: number = LIMITS.metadataBytes): void {
  const names = [
    ["agent_id", agent.agentId],
    ["name", agent.name],
    ["account_id", agent.accountId],
    ["username", agent.username],
    ["session_tag", agent.sessionTag],
    ["last_seen", agent.lastSeen],
  ] as const;
  for (const [member, text] of names) checkBytes(member, text, LIMITS.nameBytes);
  checkCapabilities(agent.capabilities);
  checkBytes("metadata", agent.metadata.text, maxMetadata);
}

/**
 * Checks the size and the texts of a request to the registry, except a registration.
 *
 * @throws {@link TooLarge} for the first bound that is exceeded.
 */
export function checkRequest(body: string): void {
  checkBytes("the request", body, LIMITS.requestBytes);
  const request = JsonObject.parseBody(body);
  if (request === undefined) return;
  for (const [member, max] of REQUEST_TEXTS) checkBytes(member, request.get(member).text(), max);
}
