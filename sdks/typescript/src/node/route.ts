/** The route of a message: from what the caller names to a subject (PROTOCOL.md section 11.2). */

import { trim } from "../json/index.js";
import { capabilitySubject, inboxSubject, isRoutable, parseNodeTarget, type Target } from "../protocol/index.js";
import { described } from "./checks.js";
import { InvalidArgumentError } from "./errors.js";
import type { MaybePromise } from "./identity.js";
import type { UsernameCache } from "./username-cache.js";

/** The destination of a message: text that is read as a target of the node, or a target. */
export type Destination = string | Target;

/** A target with its account resolved. */
export interface Route {
  /** Where the message is published. */
  readonly subject: string;
  /** The envelope's `to_agent`. */
  readonly toAgent: string;
  /** The receiver's account; undefined for a capability. */
  readonly accountId: string | undefined;
  /** The name to remove from the cache if nothing is delivered. */
  readonly username: string | undefined;
}

/**
 * Resolves a destination; at once, unless the registry has to be asked.
 *
 * @throws {TargetError} The text is no target.
 * @throws {InvalidArgumentError} `invalid_target`: it cannot be part of a subject.
 * @throws {RegistryError} The username has no account, or the registry could not be asked.
 */
export function resolveRoute(
  usernames: UsernameCache,
  destination: Destination,
  verb: "send" | "request",
  signal?: AbortSignal,
): MaybePromise<Route> {
  const target = typeof destination === "string" ? parseNodeTarget(destination, verb) : destination;
  const named: unknown = typeof target === "object" && target !== null ? target.value : target;
  if (typeof named !== "string") {
    throw new InvalidArgumentError(`the target must be a string, not ${described(named)}`, "invalid_target");
  }
  switch (target.kind) {
    case "capability": {
      const capability = trim(target.value);
      checkRoutable(capability);
      return {
        subject: capabilitySubject(capability),
        toAgent: `capability:${capability}`,
        accountId: undefined,
        username: undefined,
      };
    }
    case "account":
      return accountRoute(target.value, undefined);
    case "username": {
      const username = target.value;
      const cached = usernames.cached(username);
      if (cached !== undefined) return accountRoute(cached, username);
      return usernames.resolve(username, signal).then((accountId) => accountRoute(accountId, username));
    }
  }
}

/** Removes the username of a route from the cache: its account could not be reached. */
export function forgetUsername(usernames: UsernameCache, route: Route): void {
  if (route.username !== undefined) usernames.forget(route.username);
}

function accountRoute(accountId: string, username: string | undefined): Route {
  checkRoutable(accountId);
  return { subject: inboxSubject(accountId), toAgent: accountId, accountId, username };
}

function checkRoutable(token: string): void {
  if (isRoutable(token)) return;
  const shown = token.length > 128 ? `${token.slice(0, 128)}…` : token;
  throw new InvalidArgumentError(
    `cannot route to \`${shown}\`: account ids and capabilities must not contain white space, \`.\`, \`*\` or \`>\`, ` +
      "and have at most 1024 bytes",
    "invalid_target",
  );
}
