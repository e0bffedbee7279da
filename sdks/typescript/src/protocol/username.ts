/** The username rule (PROTOCOL.md section 7.1). */

import { AgentNetError } from "../errors.js";
import { trim, trimCharacters, trimCharactersEnd, trimCharactersStart, utf8Length } from "../json/index.js";
import { LIMITS } from "./limits.js";

/** The longest username, in characters. */
export const MAX_USERNAME_LENGTH = 32;
const EDGES = "._-";
/** A letter or digit outside ASCII, or a mark that makes another letter of the one before it. */
const LOST =
  /(?![\0-\x7f])[\p{Alphabetic}\p{Nd}\p{Nl}\p{No}]|[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]/u;

/**
 * The form of a name that accounts are known by: trimmed, lower case, each run of characters outside `a-z 0-9 . _ -` one `_`, no
 * `.`, `_`, `-` at the ends, at most 32 characters. Empty means that the name cannot be used.
 */
export function normaliseUsername(name: string): string {
  const clean = trim(name)
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "_");
  return trimCharactersEnd(trimCharacters(clean, EDGES).slice(0, MAX_USERNAME_LENGTH), EDGES);
}

/** A username that this package refuses: the account would be another than the name says. Code `invalid_username`. */
export class UsernameError extends AgentNetError {
  /** Why: nothing of it would remain, a letter or digit would be lost, or it has more than 256 bytes. */
  readonly outcome: "nothing" | "lossy" | "too_long";

  constructor(outcome: "nothing" | "lossy" | "too_long", message: string) {
    super(message, { code: "invalid_username" });
    this.name = "UsernameError";
    this.outcome = outcome;
  }
}

/**
 * The form that accounts are known by, of a name that keeps its letters and digits in it. White space and punctuation fold as ever;
 * a leading `@` may stand.
 *
 * @throws {@link UsernameError}
 */
export function usableUsername(name: string): string {
  const size = utf8Length(name);
  if (size > LIMITS.nameBytes) {
    throw new UsernameError(
      "too_long",
      `the username has ${size} bytes; at most ${LIMITS.nameBytes} are allowed, and ${MAX_USERNAME_LENGTH} characters are kept`,
    );
  }
  const becomes = normaliseUsername(name);
  const shown = JSON.stringify(trim(name));
  if (becomes === "") {
    throw new UsernameError(
      "nothing",
      `the username ${shown} cannot be used: nothing of it would remain, for usernames consist of a-z 0-9 . _ -`,
    );
  }
  if (LOST.test(trim(name))) {
    throw new UsernameError(
      "lossy",
      `the username ${shown} cannot be used: letters and digits outside ASCII are lost or changed, and it would become ` +
        `"${becomes}"; usernames consist of a-z 0-9 . _ -`,
    );
  }
  return becomes;
}

/** What a client sends for a username argument, and the key of its cache: trimmed, lower case, without leading `@`s. */
export function usernameLookupKey(name: string): string {
  return trimCharactersStart(trim(name).toLowerCase(), "@");
}
