/** Messages that have become superfluous: a task that a session has claimed need not be told to its account any more. */

import { type ClaimedTask, RPC, Timestamp } from "../../protocol/index.js";
import { callAsOwner } from "../mailbox/calls.js";
import type { Session } from "../session.js";
import { assignmentId } from "./messages.js";

/** How far the clock of this host may be behind that of the registry, in milliseconds. */
const CLOCK_SKEW_MS = 60_000;

/**
 * Deletes the messages from the own mailbox that tell of tasks which are claimed now, and were asked for before this session was there:
 * their coordinators had to leave such a message. A session with a handler of messages takes them there. Never rejects.
 */
export function dropAssignments(session: Session, claimed: readonly ClaimedTask[]): void {
  if (session.receiver !== undefined) return;
  const { accountId, ended, logger, sessionTag, startedAt } = session;
  const since = startedAt.addMillis(CLOCK_SKEW_MS).micros;
  const messageIds: string[] = [];
  for (const { attempt, task } of claimed) {
    const createdAt = Timestamp.parse(task.createdAt);
    const isTold = attempt === 1 && task.capability === undefined && createdAt !== undefined;
    if (isTold && createdAt.micros < since) messageIds.push(assignmentId(task.taskId));
  }
  if (messageIds.length === 0) return;
  const request = { accountId, sessionTag, action: "drop", messageIds } as const;
  callAsOwner(session, RPC.mailboxAction, request, { signal: ended }).catch((error: unknown) => {
    if (!ended.aborted) logger.debug("messages about tasks that are claimed stay in the mailbox", { error });
  });
}
