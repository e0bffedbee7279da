/** Calls of the registry about tasks, in the name of a session (PROTOCOL.md section 22.3). */

import type { Rpc, SignedRequest } from "../../protocol/index.js";
import { optionsOf } from "../checks.js";
import type { RegistryCallOptions } from "../options.js";
import type { Session } from "../session.js";
import { taskError } from "./errors.js";

/** How long a call about a task may take by default, in milliseconds. */
const CALL_TIMEOUT_MS = 5_000;

/**
 * Makes a request of the session's own account, signed where the session signs.
 *
 * @throws {TaskError} @throws {RegistryError}
 */
export async function callTask<Request extends SignedRequest, Reply>(
  session: Session,
  rpc: Rpc<Request, Reply>,
  request: Request,
  taskId: string,
  given?: RegistryCallOptions,
): Promise<Reply> {
  const { timeoutMs = CALL_TIMEOUT_MS, signal } = optionsOf(given);
  const auth = await session.identity.signRequest?.(rpc.name, rpc.encode(request));
  const signed = auth === undefined ? request : { ...request, auth };
  return await knownAs(taskId, session.registry.call(rpc, signed, { timeoutMs, signal }));
}

/** The outcome of a call about a task, its error typed. */
export async function knownAs<T>(taskId: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw taskError(error, taskId);
  }
}

/** A signal that is aborted with the first of several, or by the connection's return; `end` takes the listeners back. */
export interface Linked {
  readonly signal: AbortSignal;
  end(): void;
}

/**
 * What ends the wait for a request that a registry holds: one of the signals, or the return of the connection, since what was asked
 * on the one before may never be answered.
 */
export function linked(session: Session, ...signals: (AbortSignal | undefined)[]): Linked {
  const controller = new AbortController();
  const ends = [session.connection.onReconnect(() => controller.abort())];
  for (const signal of [session.ended, ...signals]) {
    if (signal === undefined) continue;
    const abort = (): void => controller.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    ends.push(() => signal.removeEventListener("abort", abort));
  }
  return {
    signal: controller.signal,
    end: () => {
      for (const end of ends) end();
    },
  };
}
