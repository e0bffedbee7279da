/** The receiver of a message, as users write it (PROTOCOL.md section 11.2). */

import { AgentNetError } from "../errors.js";
import { trim, trimCharactersStart } from "../json/index.js";

/** A routing target. A username has yet to be resolved; it is as the user wrote it, without its mark. */
export interface Target {
  /** What it names. */
  kind: "account" | "username" | "capability";
  /** The account id, username or capability. */
  value: string;
}

/** A text that is no target. Code `invalid_target`. */
export class TargetError extends AgentNetError {
  constructor(message: string) {
    super(message, { code: "invalid_target" });
    this.name = "TargetError";
  }
}

const account = (value: string): Target => ({ kind: "account", value });
const username = (value: string): Target => ({ kind: "username", value });

/** The trimmed text behind a prefix that is read in any case. */
function after(text: string, prefix: string): string | undefined {
  return text.slice(0, prefix.length).toLowerCase() === prefix ? trim(text.slice(prefix.length)) : undefined;
}

/** A name without one leading `@`, trimmed. */
function plainName(text: string): string {
  return trim(text.startsWith("@") ? text.slice(1) : text);
}

/**
 * Reads a target as `send` and `request` of a node do: `account:<id>`, `acct_…`, `username:<name>`, `@name`, or a plain name.
 *
 * @throws {@link TargetError} for an empty target, an empty username and `capability:`.
 */
export function parseNodeTarget(text: string, verb: "send" | "request"): Target {
  const target = trim(text);
  const id = after(target, "account:");
  if (id) return account(id);
  if (target.startsWith("acct_")) return account(target);
  let name = "";
  if (after(target, "capability:") === undefined) {
    const behind = after(target, "username:");
    name = behind === undefined ? plainName(target) : trimCharactersStart(behind, "@");
  }
  if (name !== "") return username(name);
  const call = verb === "send" ? "send_to_capability" : "request_capability";
  throw new TargetError(
    "Routing target must be account:<account_id>, acct_..., username:<name>, or @name. " +
      `Use ${call}() for capability routing.`,
  );
}

/**
 * Reads a target as the high-level SDK does: as {@link parseNodeTarget}, with `capability:<name>` and without `username:`.
 *
 * @throws {@link TargetError} where it is empty, or nothing is behind its prefix.
 */
export function parseSdkTarget(text: string): Target {
  const target = trim(text);
  if (target === "") throw new TargetError("target is required");
  for (const kind of ["account", "capability"] as const) {
    const value = after(target, `${kind}:`);
    if (value === "") throw new TargetError(`${kind} target cannot be empty`);
    if (value !== undefined) return { kind, value };
  }
  if (target.startsWith("acct_")) return account(target);
  const name = plainName(target);
  if (name === "") throw new TargetError("username target cannot be empty");
  return username(name);
}

/**
 * Reads a target in all its forms: as {@link parseSdkTarget}, and `username:<name>`.
 *
 * @throws {@link TargetError} where it is empty, or nothing is behind its prefix.
 */
export function parseTarget(text: string): Target {
  const target = parseSdkTarget(text);
  if (target.kind !== "username") return target;
  const name = after(target.value, "username:");
  if (name === undefined) return target;
  const plain = trimCharactersStart(name, "@");
  if (plain === "") throw new TargetError("username target cannot be empty");
  return username(plain);
}

/**
 * Reads a target as the TypeScript client of the original does: names in lower case without one leading `@`, no capabilities.
 *
 * @throws {@link TargetError} where it is empty, or nothing is behind its prefix.
 */
export function parseCompatTarget(text: string): Target {
  const target = text.trim();
  if (target === "") throw new TargetError("routing target is required");
  const id = after(target, "account:");
  if (id === "") throw new TargetError("account target is empty");
  if (id !== undefined) return account(id);
  if (target.startsWith("acct_")) return account(target);
  const behind = after(target, "username:");
  const name = (behind ?? target).trim().toLowerCase().replace(/^@/, "");
  if (name === "") throw new TargetError("username target is empty");
  return username(name);
}
