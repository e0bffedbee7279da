/**
 * The high-level calls: text in and out, threads, the history page by page.
 *
 * @packageDocumentation
 */
export { AgentCalls } from "./agent-calls.js";
export { AnswerStream } from "./answer-stream.js";
export type { AnyBlob, BlobRefPayload } from "./blobs.js";
export type { FrameOptions, StreamDeltaOptions, StreamEndOptions, StreamErrorOptions } from "./frames.js";
export { HistoryItem, type HistoryItems } from "./history-item.js";
export { Paged } from "./paged.js";
export { SDKResult } from "./result.js";
export { AgentSDK, type SDKOptions, type SDKSettings } from "./sdk.js";
export type { AgentStatus, DelegateTaskOptions, ReportProgressOptions, TaskMessageOptions } from "./tasks.js";
export {
  type ThreadRequestOptions,
  type ThreadSendOptions,
  ThreadSession,
  type ThreadStreamRequestOptions,
} from "./thread.js";
export {
  AgentWrapper,
  type WrapperBlob,
  type WrapperRequest,
  type WrapperSend,
  type WrapperTarget,
} from "./wrapper.js";
