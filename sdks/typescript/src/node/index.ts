/**
 * Nodes: one agent on the network, and the calls of the registry without one.
 *
 * @packageDocumentation
 */
export {
  type BlobKey,
  type BlobOptions,
  type BlobProgress,
  type BlobSettings,
  type BlobSource,
  type BlobStorage,
  BlobStore,
  type GetBlobOptions,
  type OpenBlob,
  type PutBlobOptions,
} from "./blobs/index.js";
export { Connection } from "./connection.js";
export { Context, type Handler } from "./context.js";
export {
  DevAuth,
  type DevAuthOptions,
  FileKeyStore,
  type KeyStore,
  MemoryKeyStore,
  RotateKeyError,
  rotateKey,
} from "./dev-auth/index.js";
export type { ConnectSettings } from "./dial.js";
export * from "./errors.js";
export type {
  Identity,
  IdentityContext,
  IdentityProvider,
  MaybePromise,
  RegistrationIdentity,
  ReplyExpectation,
} from "./identity.js";
export { DEFAULT_LIMITS, type Limits } from "./limits.js";
export { CONSOLE_LOGGER, type Logger, SILENT_LOGGER } from "./logger.js";
export type { AccountMailboxChange, MailboxChange } from "./mailbox/change.js";
export { MailboxError } from "./mailbox/errors.js";
export { Message } from "./message.js";
export type { LatencySnapshot, MetricsSnapshot } from "./metrics.js";
export { DEFAULT_NATS_URL, type NatsUrl, parseNatsUrl } from "./nats-url.js";
export { AgentNode } from "./node.js";
export { NodeRegistryCalls } from "./node-registry-calls.js";
export {
  DEFAULT_REQUEST_TIMEOUT_MS,
  type MailboxOptions,
  type MessageOptions,
  type NodeOptions,
  type RegistryCallOptions,
  type ReplyOptions,
  type RequestOptions,
  type SendOptions,
  type Sent,
  type Until,
} from "./options.js";
export * from "./registry.js";
export { DEFAULT_REGISTRY_TIMEOUT_MS, RegistryClient } from "./registry-client.js";
export {
  DEFAULT_STREAM_IDLE_TIMEOUT_MS,
  Delta,
  ReplyStream,
  type ReplyStreamOptions,
  type SendStreamOptions,
  type StreamBuffer,
  StreamReply,
  type StreamRequestOptions,
  StreamSender,
} from "./streams/index.js";
export { ClaimedWork, TaskContext, type TaskHandler, type TaskProgressOptions } from "./tasks/context.js";
export type { TaskOptions } from "./tasks/create.js";
export { TaskError, TaskFailure, type TaskFailureState } from "./tasks/errors.js";
export {
  type TaskCancelOptions,
  type TaskEventsOptions,
  TaskHandle,
  TaskOutcome,
  type TaskRetryOptions,
} from "./tasks/handle.js";
export * from "./tasks/registry.js";
