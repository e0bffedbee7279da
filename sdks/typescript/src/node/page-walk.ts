/** Following a list of the registry from page to page (PROTOCOL.md section 6.1). */

import { RegistryError } from "./errors.js";

/** Pages without an item that may follow each other. */
const MAX_EMPTY_PAGES = 100;

/**
 * The cursors of one walk through a list. Without it, a registry that gives cursors for ever would be asked for ever: it is an
 * error when a cursor comes again, and when the items stay away.
 */
export class PageWalk {
  readonly #rpc: string;
  /** An earlier cursor. It is renewed after twice as many pages each time, so that a circle of any length meets it. */
  #kept: string | undefined;
  #pages = 0;
  #renewAfter = 1;
  #emptyPages = 0;

  /** @param start The cursor of the first page; undefined where the list begins. */
  constructor(rpc: string, start?: string) {
    this.#rpc = rpc;
    this.#kept = start;
  }

  /**
   * Where the page behind one with so many items begins; undefined behind the last one.
   *
   * @throws {RegistryError} `invalid_response`: the list would never end.
   */
  next(cursor: string | undefined, items: number): string | undefined {
    if (cursor === undefined || cursor === "") return undefined;
    if (cursor === this.#kept) throw this.#endless("a cursor came again");
    this.#emptyPages = items > 0 ? 0 : this.#emptyPages + 1;
    if (this.#emptyPages >= MAX_EMPTY_PAGES) throw this.#endless(`${MAX_EMPTY_PAGES} pages in a row had no items`);
    this.#pages += 1;
    if (this.#pages === this.#renewAfter) {
      this.#kept = cursor;
      this.#pages = 0;
      this.#renewAfter *= 2;
    }
    return cursor;
  }

  #endless(why: string): RegistryError {
    const rpc = this.#rpc;
    return new RegistryError(`the pages of registry.${rpc} do not end: ${why}`, { code: "invalid_response", rpc });
  }
}
