/** Requests that only the owner of an account may make (PROTOCOL.md section 13.8). */

import type { Rpc, SignedRequest } from "../../protocol/index.js";
import type { RegistryCallOptions } from "../options.js";
import type { Session } from "../session.js";

/**
 * Makes a request of the session's own account once, signed where the session signs.
 *
 * @throws {RegistryError}
 */
export async function callAsOwner<Request extends SignedRequest, Reply>(
  session: Session,
  rpc: Rpc<Request, Reply>,
  request: Request,
  options?: RegistryCallOptions,
): Promise<Reply> {
  const auth = await session.identity.signRequest?.(rpc.name, rpc.encode(request));
  return await session.registry.callOnce(rpc, auth === undefined ? request : { ...request, auth }, options);
}
