/** What a handler can do with its message. */

import type { Msg } from "@nats-io/nats-core";

import type { Message } from "./message.js";
import type { AgentNode } from "./node.js";
import type { ReplyOptions, Sent } from "./options.js";
import type { ReplyStreamOptions, StreamSender } from "./streams/index.js";

/** What a handler can do besides looking at its message. */
export class Context {
  /** The node that received the message, to send others with. */
  readonly node: AgentNode;
  /** The message. */
  readonly message: Message;
  /** The NATS message, with its subject, headers and bytes. */
  readonly raw: Msg;
  readonly #lifetime: HandlerLifetime;

  /** @internal */
  constructor(node: AgentNode, message: Message, lifetime: HandlerLifetime, raw: Msg) {
    this.node = node;
    this.message = message;
    this.raw = raw;
    this.#lifetime = lifetime;
  }

  /**
   * Is aborted when the result of the handler is no longer needed: its time is over (`limits.workTimeoutMs`), or the node closes and
   * the drain time is over. A promise cannot be stopped: work that does not listen goes on, without effect on its message.
   */
  get signal(): AbortSignal {
    return this.#lifetime.signal;
  }

  /**
   * Answers the message (PROTOCOL.md 11.6).
   *
   * @throws {NoReplySubjectError} The sender waits for no reply.
   */
  reply(payload: unknown, options?: ReplyOptions): Promise<Sent> {
    return this.node.reply(this.message, payload, options);
  }

  /**
   * Answers the message with a stream, and sends its start: see {@link StreamSender}. Open it first and compute afterwards: a
   * reader that is gone can cancel only what has been opened.
   *
   * @throws {NoReplySubjectError} The sender waits for no reply.
   */
  replyStream(options?: ReplyStreamOptions): Promise<StreamSender> {
    return this.node.replyStream(this.message, options);
  }
}

/** The end of a handler's time; its signal is made when it is first asked for. */
export class HandlerLifetime {
  #controller: AbortController | undefined;
  #end: { readonly reason: unknown } | undefined;

  /** Is aborted at the end. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#end !== undefined) this.#controller.abort(this.#end.reason);
    }
    return this.#controller.signal;
  }

  /** Ends it. */
  end(reason: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { reason };
    this.#controller?.abort(reason);
  }
}

/**
 * Handles a message that the guards have admitted. Handlers run concurrently, up to `limits.maxConcurrency`. One that throws or
 * rejects is reported as `handler_error` to the sender and logged. What it returns is not sent.
 */
export type Handler = (message: Message, context: Context) => unknown;
