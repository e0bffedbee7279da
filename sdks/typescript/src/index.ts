/**
 * agentnet for Node.js, Deno and Bun.
 *
 * @packageDocumentation
 */
export * from "./public.js";
