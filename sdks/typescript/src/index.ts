/**
 * agentnet for Node.js, Deno and Bun.
 *
 * @packageDocumentation
 */
export * from "./errors.js";
export * from "./node/index.js";
