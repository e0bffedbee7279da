/** The inbox of a client: its handlers, and the receivers that feed them. */

import { type AgentNode, type Context, InvalidArgumentError, type Message } from "../node/index.js";
import { MailboxPull } from "../node/mailbox/pull.js";
import { Receiver } from "../node/receiver.js";
import type { Session } from "../node/session.js";
import { clientError } from "./errors.js";
import { agentMessage } from "./messages.js";
import type { InboxContext, InboxHandler, SubscribeInboxOptions } from "./types.js";

/** The subscriptions of one session. */
export class Inbox {
  readonly #node: AgentNode;
  readonly #session: Session;
  /** The handlers by the queue group of their subscription; all of one group get every message of it. */
  readonly #groups = new Map<string, InboxHandler[]>();

  constructor(node: AgentNode, session: Session) {
    this.#node = node;
    this.#session = session;
  }

  /** Subscribes, and waits until the server has confirmed it. A second handler of the same queue group joins the first. */
  async subscribe(
    handler: InboxHandler,
    queueGroup: string | undefined,
    options: SubscribeInboxOptions,
  ): Promise<void> {
    if (typeof handler !== "function") {
      throw new InvalidArgumentError(
        `the handler must be a function of a message and its context, not ${typeof handler}`,
      );
    }
    const group = queueGroup?.trim() || undefined;
    const known = this.#groups.get(group ?? "");
    if (known !== undefined) {
      known.push(handler);
      return;
    }
    const handlers = [handler];
    const isFirst = this.#groups.size === 0;
    this.#groups.set(group ?? "", handlers);
    const receiver = new Receiver(
      this.#session,
      this.#node,
      () => (message, context) => run(handlers, message, context),
      {
        queueGroup: group,
        capabilities: isFirst,
        receipts: options.receipts,
        guards: options.guards,
      },
    );
    const { config, connection, ended } = this.#session;
    if (isFirst) this.#session.receiver = receiver;
    else this.#session.closers.add(() => receiver.close(config.limits.drainTimeoutMs));
    // The messages of the mailbox are for the handlers that came first.
    const mailbox = isFirst && config.pullsMailbox ? new MailboxPull(this.#session, receiver) : undefined;
    if (mailbox !== undefined) {
      this.#session.mailbox = mailbox;
      await mailbox.drain(ended);
    }
    receiver.subscribe();
    await connection.roundTrip();
    mailbox?.follow();
  }
}

/** Runs all handlers; the message is handled when all have ended, and failed when one has. */
async function run(handlers: readonly InboxHandler[], message: Message, context: Context): Promise<void> {
  const shown = agentMessage(message);
  const given = inboxContext(message, context);
  const outcomes = await Promise.allSettled(handlers.map(async (handler) => handler(shown, given)));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

function inboxContext(message: Message, context: Context): InboxContext {
  return {
    raw: context.raw,
    message,
    get signal() {
      return context.signal;
    },
    reply: async (payload, options = {}) => {
      try {
        return (await context.reply(payload, options)).messageId;
      } catch (error) {
        throw clientError(error);
      }
    },
  };
}
