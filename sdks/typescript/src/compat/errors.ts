/** Errors as the original's TypeScript client has them: one class, a code, and its texts. The typed error is the `cause`. */

import { AgentNetError, type AgentNetErrorData, isAgentNetError } from "../errors.js";
import { DeliveryError, RegistryError } from "../node/index.js";

/** The client is not connected: code `not_connected`. */
export function notConnected(): AgentNetError {
  return new AgentNetError("not connected: call connect() or start() first", { code: "not_connected" });
}

/** The client is connected, but not registered: code `not_registered`. */
export function notRegistered(): AgentNetError {
  return new AgentNetError("not registered: call start() first", { code: "not_registered" });
}

/** Runs a call, and gives its failure the shape of the original's. */
export async function translated<T>(work: () => Promise<T>, refused?: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw clientError(error, refused);
  }
}

/**
 * The error of the client for one of the node.
 *
 * @param refused The code of a refusal of the registry.
 */
export function clientError(error: unknown, refused?: string): unknown {
  // Such as the reason of a signal.
  if (!isAgentNetError(error)) return error;
  if (error instanceof RegistryError) return registryError(error, refused);
  if (error instanceof DeliveryError) return deliveryError(error);
  const { name, code, message, detail } = error;
  if (name === "AgentNetError") return error;
  if (code === "not_running") return made(message, { code: "not_registered" }, error);
  if (name === "InvalidReplyError") return made(message, { code: "invalid_message" }, error);
  return made(message, detail === undefined ? { code } : { code, detail }, error);
}

/** A refusal has the registry's text as its message. */
function registryError(error: RegistryError, refused: string | undefined): AgentNetError {
  if (!error.isRefusal) return made(error.message, { code: error.code }, error);
  const text = error.detail ?? error.message;
  const code = error.rpc === "resolve_account" ? "resolve_account_failed" : (refused ?? error.code);
  return made(text, text === error.message ? { code } : { code, detail: error.message }, error);
}

function deliveryError(error: DeliveryError): AgentNetError {
  const { code, detail, messageId, reason } = error;
  switch (code) {
    case "delivery_rejected":
      return made(`delivery rejected: ${reason}`, detail === undefined ? { code } : { code, detail }, error);
    case "delivery_ack_unusable":
      return made(`delivery receipt unusable: ${error.message}`, { code }, error);
    case "delivery_ack_timeout":
      return made("delivery acknowledgement timed out", { code, detail: `message_id=${messageId}` }, error);
    default:
      return made(error.message, detail === undefined ? { code } : { code, detail }, error);
  }
}

function made(message: string, data: AgentNetErrorData, cause: unknown): AgentNetError {
  return new AgentNetError(message, data, { cause });
}
