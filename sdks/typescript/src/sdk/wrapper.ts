/** {@link AgentWrapper}: a stable adapter for frameworks that embed an agent (PROTOCOL.md section 17). */

import { optionsOf } from "../node/checks.js";
import {
  AgentNode,
  InvalidArgumentError,
  type Message,
  type NodeOptions,
  type RequestOptions,
  type SendOptions,
  type Sent,
} from "../node/index.js";
import { request } from "../node/requests.js";
import { send } from "../node/sender.js";
import type { BlobRef, Target } from "../protocol/index.js";
import { AgentCalls } from "./agent-calls.js";
import { type BlobRefPayload, blobPayload } from "./blobs.js";
import { reportedError } from "./result.js";

/** The receiver of a message of the wrapper: exactly one of these. */
export interface WrapperTarget {
  /** This account. */
  readonly toAccountId?: string | undefined;
  /** The account of this username. */
  readonly toUsername?: string | undefined;
  /** One of the agents with this capability. */
  readonly toCapability?: string | undefined;
}

/** A message to be sent. */
export interface WrapperSend extends WrapperTarget, SendOptions {
  /** Any JSON. */
  readonly payload: unknown;
}

/** A reference to a blob that is to be sent. */
export interface WrapperBlob extends WrapperTarget, SendOptions {
  /** The blob. */
  readonly blob: BlobRef | BlobRefPayload;
}

/** A request to be made. */
export interface WrapperRequest extends WrapperTarget, RequestOptions {
  /** Any JSON. */
  readonly payload: unknown;
}

/**
 * The few calls that an agent runtime needs to sit on the network, all by named arguments, kept as they are while the rest of
 * the SDK grows.
 *
 * ```ts
 * await using wrapper = new AgentWrapper({ agentId: "demo_worker", username: "demo_worker" });
 * wrapper.receive(async (message, context) => {
 *   if (message.wantsReply) await context.reply({ ok: true });
 * });
 * await wrapper.connect();
 * const reply = await wrapper.request({ toUsername: "weather_bot", payload: { text: "status?" } });
 * ```
 */
export class AgentWrapper extends AgentCalls {
  /**
   * @throws {InvalidArgumentError} An option is wrong.
   * @throws {ConnectError} The address cannot be used.
   */
  constructor(options: NodeOptions) {
    super(new AgentNode(options));
  }

  /** Joins the network: see `AgentNode.start`. */
  async connect(options: { readonly signal?: AbortSignal } = {}): Promise<this> {
    await this.node.start(options);
    return this;
  }

  /** Leaves the network: see `AgentNode.close`. */
  async close(): Promise<void> {
    await this.node.close();
  }

  /** Sends a message to exactly one target: see `AgentNode.send`. */
  async send(message: WrapperSend): Promise<Sent> {
    const given = optionsOf(message, "message");
    const { payload, toAccountId: _account, toUsername: _username, toCapability: _capability, ...options } = given;
    return await send(this.node.session(), oneTarget(given), payload, options);
  }

  /** Sends a reference to a blob to exactly one target. The receiver needs access to the store that has the blob. */
  async sendBlobRef(message: WrapperBlob): Promise<Sent> {
    const { blob, ...rest } = optionsOf(message, "message");
    return await this.send({ ...rest, payload: blobPayload(blob) });
  }

  /**
   * Makes a request to exactly one target and returns its reply.
   *
   * @throws {AgentRequestError} The reply reports an error. And what `AgentNode.request` throws.
   */
  async request(message: WrapperRequest): Promise<Message> {
    const given = optionsOf(message, "message");
    const { payload, toAccountId: _account, toUsername: _username, toCapability: _capability, ...options } = given;
    const reply = await request(this.node.session(), oneTarget(given), payload, options);
    const error = reportedError(reply);
    if (error !== undefined) throw error;
    return reply;
  }
}

function oneTarget({ toAccountId, toUsername, toCapability }: WrapperTarget): Target {
  const named: readonly [Target["kind"], string | undefined][] = [
    ["account", toAccountId],
    ["username", toUsername],
    ["capability", toCapability],
  ];
  const given = named.flatMap(([kind, value]) => (value === undefined ? [] : [{ kind, value }]));
  const [target] = given;
  if (target === undefined || given.length > 1) {
    throw new InvalidArgumentError(
      "provide exactly one target: toAccountId, toUsername or toCapability",
      "invalid_target",
    );
  }
  if (typeof target.value !== "string") throw new InvalidArgumentError("a target must be a string", "invalid_target");
  return target;
}
