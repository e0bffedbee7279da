/** Messages as the original's TypeScript client shows them. */

import type { Message } from "../node/index.js";
import type { RegisterReply } from "../protocol/index.js";
import type { AgentMessage, RegisterResponse } from "./types.js";

const EXACT = new WeakMap<AgentMessage, Message>();

/** A message with the member names of the wire. */
export function agentMessage(message: Message): AgentMessage {
  const { reply_to: _replyTo, auth, ...members } = message.toJSON();
  const shown: AgentMessage = members;
  if (message.replyTo !== undefined) shown.reply_to = message.replyTo;
  if (auth !== undefined) shown.auth = auth as Record<string, unknown>;
  EXACT.set(shown, message);
  return shown;
}

/**
 * The message behind one that `AgentNetClient` gave, with the exact text of its payload; undefined for any other object.
 *
 * To hand a payload on without loss: `client.send(to, RawJson.parse(exactMessage(message).payloadText))`.
 */
export function exactMessage(message: AgentMessage): Message | undefined {
  return EXACT.get(message);
}

/** What the registry answered to a registration, with the member names of the wire. */
export function registerResponse(reply: RegisterReply): RegisterResponse {
  const { accountId, username, sessionTag, heartbeatInterval, ttlSeconds, registeredAt, replyPrefix } = reply;
  return {
    account_id: accountId,
    username,
    session_tag: sessionTag,
    heartbeat_interval: heartbeatInterval,
    ttl_seconds: ttlSeconds,
    registered_at: registeredAt,
    ...(replyPrefix === undefined ? {} : { reply_prefix: replyPrefix }),
  };
}
