/** A kind of question to both implementations. */

import type { Answer } from "./oracle.js";
import type { Random } from "./random.js";

/** How questions of a kind are made, and how this implementation answers them. */
export interface Kind {
  /** How often it is asked, compared with others. */
  weight: number;
  /** The arguments of one. */
  make(random: Random): (string | Uint8Array)[];
  /** What this implementation answers. */
  answer(...args: never[]): Answer;
}

/** An answer, or the text of the error in its second part. */
export function attempt(answer: () => Answer): Answer {
  try {
    return answer();
  } catch (error) {
    if (error instanceof Error && "code" in error) return [undefined, error.message];
    throw error;
  }
}
