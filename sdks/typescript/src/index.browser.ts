/**
 * agentnet for browsers.
 *
 * @packageDocumentation
 */
export * from "./errors.js";
export * from "./node/index.js";
