/** The rules and records of the wire (docs/PROTOCOL.md). No I/O; time and randomness only where a name says `now` or `new`. */

export * from "./agent-info.js";
export * from "./auth.js";
export * from "./blob-ref.js";
export { fromBase64, fromUnpaddedBase64, toBase64Url, toHex } from "./bytes.js";
export * from "./claims.js";
export * from "./compaction.js";
export * from "./compose.js";
export { DecodeError, present, readBody, readRecord } from "./decode.js";
export * from "./envelope.js";
export * from "./expiry.js";
export * from "./ids.js";
export * from "./issued-subjects.js";
export * from "./keys.js";
export * from "./limits.js";
export * from "./mailbox.js";
export type * from "./mailbox-types.js";
export * from "./member-identity.js";
export * from "./nkeys.js";
export * from "./payload-text.js";
export * from "./percentile.js";
export * from "./presence.js";
export * from "./rate.js";
export * from "./receipt.js";
export * from "./reject.js";
export * from "./reply.js";
export * from "./rpc.js";
export { RegistryRefusal, type Rpc } from "./rpc-call.js";
export { decodeMailboxEvent } from "./rpc-mailbox.js";
export type {
  AccountHit,
  HistoryMessage,
  Profile,
  ProfileSession,
  ThreadSummary,
} from "./rpc-records.js";
export { decodeTaskEvent, taskHeartbeatText } from "./rpc-tasks.js";
export * from "./rpc-types.js";
export * from "./sender-key.js";
export * from "./sha256.js";
export * from "./stream-assembler.js";
export * from "./stream-frame.js";
export * from "./stream-writer.js";
export * from "./subjects.js";
export * from "./target.js";
export * from "./task.js";
export type * from "./task-types.js";
export * from "./time.js";
export * from "./username.js";
