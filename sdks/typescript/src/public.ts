/**
 * What the package exports, for every runtime.
 *
 * @packageDocumentation
 */
export * from "./errors.js";
export {
  float,
  JsonError,
  JsonNumber,
  type JsonValue,
  parseLossless,
  RawJson,
  stringify,
} from "./json/index.js";
export * from "./node/index.js";
export type {
  AccountHit,
  AgentCounters,
  AgentInfo,
  AgentMessageObject,
  Envelope,
  HistoryMessage,
  HistoryPage,
  MessageSearchRequest,
  Profile,
  ProfileRequest,
  ProfileSession,
  Receipt,
  ResolveAccountReply,
  ResolveKeyReply,
  SearchReply,
  SearchRequest,
  Target,
  ThreadListReply,
  ThreadListRequest,
  ThreadMessagesRequest,
  ThreadStatusReply,
  ThreadStatusRequest,
  ThreadSummary,
} from "./protocol/index.js";
export { DecodeError, TargetError, Timestamp, TooLarge, UsernameError } from "./protocol/index.js";
export * from "./sdk/index.js";
