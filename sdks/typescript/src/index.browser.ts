/**
 * agentnet for browsers.
 *
 * @packageDocumentation
 */
export * from "./public.js";
