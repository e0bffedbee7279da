/** Lists of the registry: one page, or all items page by page (PROTOCOL.md section 6.1). */

import { PageWalk } from "../node/page-walk.js";

/** How the pages of one list are asked for and read. */
export interface PageSource<Page, Item> {
  /** The name of the call, for errors. */
  readonly rpc: string;
  /** Asks for the page that begins at a cursor; undefined: the first. */
  fetch(cursor: string | undefined): Promise<Page>;
  /** The items of a page. */
  items(page: Page): readonly Item[];
  /** Where the next page begins; undefined on the last one. */
  next(page: Page): string | undefined;
}

/**
 * A list that the registry gives in pages. Await it for one page; iterate it for all items from there on.
 *
 * ```ts
 * const page = await sdk.threadMessages("ops_1", { limit: 20 });
 * for await (const message of sdk.threadMessages("ops_1")) console.log(message.sentAt, message.payloadText);
 * ```
 *
 * Nothing is asked before that. A failed call rejects with a `RegistryError`; `cursor_invalid` among its codes.
 */
export class Paged<Page, Item> implements PromiseLike<Page>, AsyncIterable<Item> {
  readonly #source: PageSource<Page, Item>;
  readonly #cursor: string | undefined;
  #first: Promise<Page> | undefined;

  /** @internal */
  constructor(source: PageSource<Page, Item>, cursor: string | undefined) {
    this.#source = source;
    this.#cursor = cursor === undefined || cursor === "" ? undefined : cursor;
  }

  /** One page: `await` calls this. */
  // biome-ignore lint/suspicious/noThenProperty: awaiting the list is its purpose.
  then<Result1 = Page, Result2 = never>(
    onFulfilled?: ((page: Page) => Result1 | PromiseLike<Result1>) | null,
    onRejected?: ((reason: unknown) => Result2 | PromiseLike<Result2>) | null,
  ): Promise<Result1 | Result2> {
    this.#first ??= this.#source.fetch(this.#cursor);
    return this.#first.then(onFulfilled, onRejected);
  }

  /** The pages, one after another, each asked for when it is needed. */
  async *pages(): AsyncGenerator<Page, void, undefined> {
    const walk = new PageWalk(this.#source.rpc, this.#cursor);
    let cursor = this.#cursor;
    do {
      const page = await this.#source.fetch(cursor);
      yield page;
      cursor = walk.next(this.#source.next(page), this.#source.items(page).length);
    } while (cursor !== undefined);
  }

  /** All items, page by page. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    for await (const page of this.pages()) yield* this.#source.items(page);
  }

  /** The items as an array, at most `max` (default: all). */
  async toArray(max = Infinity): Promise<Item[]> {
    const items: Item[] = [];
    if (max <= 0) return items;
    for await (const item of this) {
      items.push(item);
      if (items.length >= max) break;
    }
    return items;
  }
}
