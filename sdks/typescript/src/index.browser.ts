/**
 * agentnet for browsers.
 *
 * @packageDocumentation
 */
export * from "./errors.js";
