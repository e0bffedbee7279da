/** Looking at tasks without an agent (PROTOCOL.md section 22.3). */

import {
  RPC,
  type TaskEventsReply,
  type TaskEventsRequest,
  type TaskListReply,
  type TaskListRequest,
  type TaskReply,
} from "../../protocol/index.js";
import { optionsOf } from "../checks.js";
import { InvalidArgumentError } from "../errors.js";
import type { RegistryCallOptions } from "../options.js";
import { type RegistrySource, withRegistry } from "../registry.js";
import { DEFAULT_REGISTRY_TIMEOUT_MS } from "../registry-client.js";
import { knownAs } from "./calls.js";

/** How much longer than the registry holds a request its answer may take, in milliseconds. */
const ANSWER_MARGIN_MS = 5_000;

/** One task. @throws {RegistryError} `not_found` among others. */
export async function taskStatus(
  source: RegistrySource,
  taskId: string,
  options?: RegistryCallOptions,
): Promise<TaskReply> {
  const request = { taskId: requiredTask(taskId) };
  return await withRegistry(
    source,
    (registry) => knownAs(request.taskId, registry.call(RPC.taskStatus, request, options)),
    options,
  );
}

/** Tasks, the last changed first; `nextCursor` is for the next page. @throws {RegistryError} */
export async function taskList(
  source?: RegistrySource,
  filters: TaskListRequest = {},
  options?: RegistryCallOptions,
): Promise<TaskListReply> {
  const request = optionsOf(filters, "filters");
  return await withRegistry(source, (registry) => knownAs("", registry.call(RPC.taskList, request, options)), options);
}

/**
 * What happened to a task, in order. With `waitMs` the registry holds the request until something happens; `after` is the `seq` of the
 * last event that was seen. `TaskHandle.events` follows a task by itself.
 *
 * @throws {RegistryError} `not_found` among others.
 */
export async function taskEvents(
  source: RegistrySource,
  page: TaskEventsRequest,
  options?: RegistryCallOptions,
): Promise<TaskEventsReply> {
  const asked = optionsOf(page, "page");
  const request = { ...asked, taskId: requiredTask(asked.taskId) };
  const { timeoutMs, signal } = optionsOf(options);
  const { waitMs = 0 } = request;
  const call = {
    timeoutMs: timeoutMs ?? (waitMs > 0 ? waitMs + ANSWER_MARGIN_MS : DEFAULT_REGISTRY_TIMEOUT_MS),
    signal,
  };
  return await withRegistry(
    source,
    (registry) => {
      // A request that the registry holds is made once: a second one would be held too.
      const { taskEvents: rpc } = RPC;
      const asking = waitMs > 0 ? registry.callOnce(rpc, request, call) : registry.call(rpc, request, call);
      return knownAs(request.taskId, asking);
    },
    options,
  );
}

function requiredTask(taskId: string): string {
  const trimmed = typeof taskId === "string" ? taskId.trim() : "";
  if (trimmed === "") throw new InvalidArgumentError("taskId is required");
  return trimmed;
}
