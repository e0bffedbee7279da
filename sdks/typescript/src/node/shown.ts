/** Texts of the other side in messages for people: of bounded length, and without control characters. */

/** Characters of a text that are shown at most. */
const MAX_SHOWN = 1_024;

/** A text as an error or a log line shows it. */
export function shown(text: string): string {
  const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  // Terminals act on control characters; some marks change the direction of what follows.
  return cut.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** What an error says, as another error shows it. */
export function shownError(error: unknown): string {
  return shown(error instanceof Error ? error.message : String(error));
}
