/**
 * What the package exports, for every runtime.
 *
 * @packageDocumentation
 */

// Those of the node are readonly; these, which programs for the original fill in step by step, are accepted in their place.
export type { RequestOptions, SendOptions } from "./compat/index.js";
export * from "./compat/index.js";
export * from "./errors.js";
export {
  float,
  JsonError,
  type JsonErrorReason,
  type JsonKind,
  JsonNumber,
  type JsonObject,
  type JsonValue,
  type JsonView,
  parseLossless,
  RawJson,
  stringify,
} from "./json/index.js";
export type { RequestOptions as NodeRequestOptions, SendOptions as NodeSendOptions } from "./node/index.js";
export * from "./node/index.js";
export type {
  AccountHit,
  AgentCounters,
  // The name AgentInfo is the original's, whose record has the member names of the wire.
  AgentInfo as AgentRecord,
  AgentMessageObject,
  // The name BlobRef is the original's, whose record is the payload with the member names of the wire.
  BlobRef as BlobReference,
  Claims,
  Envelope,
  Goodbye,
  HistoryMessage,
  HistoryPage,
  IdentityRecord,
  MailboxAck,
  MailboxActionReply,
  MailboxItem,
  MailboxListReply,
  MailboxListRequest,
  MailboxState,
  MailboxStatusReply,
  MailboxStatusRequest,
  MessageSearchRequest,
  Profile,
  ProfileRequest,
  ProfileSession,
  Receipt,
  RegisterReply,
  Reject,
  ResolveAccountReply,
  ResolveKeyReply,
  Rpc,
  SearchReply,
  SearchRequest,
  SigningScope,
  StreamDelta,
  StreamEnd,
  // The name StreamFailure is that of the reason of a StreamError.
  StreamFailure as StreamErrorPart,
  StreamFrame,
  StreamLimits,
  StreamPart,
  StreamStart,
  Target,
  TaskChildren,
  TaskEvent,
  TaskEventsReply,
  TaskEventsRequest,
  TaskListReply,
  TaskListRequest,
  TaskReply,
  TaskSnapshot,
  TaskState,
  ThreadListReply,
  ThreadListRequest,
  ThreadMessagesRequest,
  ThreadStatusReply,
  ThreadStatusRequest,
  ThreadSummary,
} from "./protocol/index.js";
export {
  AssembleError,
  BlobRefError,
  DecodeError,
  KeyError,
  keyFileName,
  MemberIdentity,
  parseStreamFrame,
  SigningKey,
  StreamAssembler,
  StreamFrameError,
  TargetError,
  Timestamp,
  TooLarge,
  UsernameError,
} from "./protocol/index.js";
export * from "./sdk/index.js";
