/**
 * The exports of the original's TypeScript SDK, by its names.
 *
 * @packageDocumentation
 */
export { AgentNetClient } from "./client.js";
export { type CompactionRequiredEvent, isCompactionRequired, parseCompactionRequired } from "./events.js";
export { exactMessage } from "./messages.js";
export * from "./subjects.js";
export type * from "./types.js";
