/**
 * Streamed replies and streams to inboxes (docs/STREAMING_PROTOCOL.md).
 *
 * 1. The requester makes a request (`request.ts`) and reads a {@link ReplyStream} of {@link Delta}s (`reader.ts`, `inflow.ts`).
 * 2. The handler opens a {@link StreamSender} (`open.ts`, `sender.ts`, `frame-writer.ts`): its frames are replies to that request.
 * 3. A reader that stops before the end publishes a cancellation to `<reply subject>.cancel` (`cancel.ts`).
 * 4. `session-streams.ts` ends all streams of a session at its close.
 */
export { Delta, StreamReply } from "./delta.js";
export type { StreamBuffer } from "./inflow.js";
export { type ReplyStreamOptions, replyStream, type SendStreamOptions, sendStream } from "./open.js";
export { ReplyStream } from "./reader.js";
export { DEFAULT_STREAM_IDLE_TIMEOUT_MS, requestStream, type StreamRequestOptions } from "./request.js";
export { StreamSender } from "./sender.js";
