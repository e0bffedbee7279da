/** The bodies of hello and goodbye (PROTOCOL.md sections 7.4, 7.5 and 13.6). */

import { ascii, ObjectWriter, type RawJson } from "../json/index.js";
import { type AgentCounters, type AgentInfo, encodeCounters, writeAgentInfo } from "./agent-info.js";
import { MAILBOX_PULL } from "./mailbox.js";
import { TASKS_CLAIM } from "./task.js";

/** What an agent says when it ends. */
export interface Goodbye {
  /** The role label. */
  agentId: string;
  /** The session that ends. */
  sessionTag: string;
  /** When it was said (section 3). */
  seenAt: string;
}

/**
 * The wire text of a hello, with the agent's counters and its signature, if there are any.
 *
 * @param pullsMailbox - Whether the session takes the messages of its account's mailbox itself (section 21.4).
 * @param claimsTasks - Whether the session claims tasks (section 22.4).
 */
export function encodeHello(
  agent: AgentInfo,
  counters?: AgentCounters,
  auth?: RawJson,
  pullsMailbox = false,
  claimsTasks = false,
): string {
  const out = writeAgentInfo(agent, new ObjectWriter());
  if (counters !== undefined) out.raw("counters", encodeCounters(counters));
  if (pullsMailbox) out.text("mailbox", MAILBOX_PULL);
  if (claimsTasks) out.text("tasks", TASKS_CLAIM);
  if (auth !== undefined) out.raw("auth", ascii(auth.text));
  return out.finish();
}

/** The wire text of a goodbye, with its signature, if there is one. */
export function encodeGoodbye(goodbye: Goodbye, auth?: RawJson): string {
  const out = new ObjectWriter()
    .text("agent_id", goodbye.agentId)
    .text("session_tag", goodbye.sessionTag)
    .text("seen_at", goodbye.seenAt);
  if (auth !== undefined) out.raw("auth", ascii(auth.text));
  return out.finish();
}
