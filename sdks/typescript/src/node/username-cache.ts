/** From username to account (PROTOCOL.md section 11.3 with section 0.8). */

import { isRoutable, RPC, usableUsername, usernameLookupKey } from "../protocol/index.js";
import { RegistryError } from "./errors.js";
import type { Metrics } from "./metrics.js";
import { PageWalk } from "./page-walk.js";
import type { RegistryClient } from "./registry-client.js";
import { monotonic } from "./waits.js";

/** Usernames that are cached at most; the oldest goes first. */
const MAX_ENTRIES = 10_000;

interface CachedAccount {
  readonly accountId: string;
  readonly expires: number;
}

/** Resolves usernames, and caches their accounts. */
export class UsernameCache {
  readonly #ttlMs: number;
  readonly #registry: RegistryClient;
  readonly #metrics: Metrics;
  readonly #accounts = new Map<string, CachedAccount>();

  constructor(ttlMs: number, registry: RegistryClient, metrics: Metrics) {
    this.#ttlMs = ttlMs;
    this.#registry = registry;
    this.#metrics = metrics;
  }

  /** The number of cached names. */
  get size(): number {
    return this.#accounts.size;
  }

  /** Removes a name whose account could not be reached. */
  forget(username: string): void {
    this.#accounts.delete(usernameLookupKey(username));
  }

  /** The account of a username, if it is cached. */
  cached(username: string): string | undefined {
    // Another name may have the same key as one that is refused.
    if (!isUsable(username)) return undefined;
    const key = usernameLookupKey(username);
    const cached = this.#accounts.get(key);
    if (cached === undefined) return undefined;
    if (cached.expires <= monotonic()) {
      this.#accounts.delete(key);
      return undefined;
    }
    this.#metrics.cacheHits += 1;
    return cached.accountId;
  }

  /**
   * The account of a username, from the cache or the registry.
   *
   * @throws {RegistryError} `not_found`: no account has the name; else the registry could not be asked.
   * @throws {UsernameError} It cannot be a username.
   */
  async resolve(username: string, signal?: AbortSignal): Promise<string> {
    const cached = this.cached(username);
    if (cached !== undefined) return cached;
    const key = usernameLookupKey(username);
    if (key !== "") usableUsername(username);
    this.#metrics.cacheMisses += 1;
    const started = monotonic();
    const accountId = await this.#ask(key, signal);
    this.#metrics.resolveUsername.record(monotonic() - started);
    // To an account that no subject can name nothing can be sent: the next call asks again.
    if (isRoutable(accountId)) this.#insert(key, accountId);
    return accountId;
  }

  #insert(key: string, accountId: string): void {
    if (this.#ttlMs <= 0) return;
    if (!this.#accounts.has(key) && this.#accounts.size >= MAX_ENTRIES) {
      const oldest = this.#accounts.keys().next();
      if (oldest.done !== true) this.#accounts.delete(oldest.value);
    }
    this.#accounts.set(key, { accountId, expires: monotonic() + this.#ttlMs });
  }

  async #ask(username: string, signal: AbortSignal | undefined): Promise<string> {
    try {
      return (await this.#registry.call(RPC.resolveAccount, { username }, { signal })).accountId;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      // The registry refuses the name itself: the list cannot have it.
      if (error.isNotFound || error.message === "username is required") throw notFound(username, error);
      // Without a connection, and without the permission, the list cannot be asked either.
      if (error.code === "not_connected") throw error;
      return await this.#fromList(username, signal);
    }
  }

  /** For a registry that does not answer or does not know the call: looks for the name among the agents online. */
  async #fromList(username: string, signal: AbortSignal | undefined): Promise<string> {
    const walk = new PageWalk(RPC.list.name);
    let cursor: string | undefined;
    do {
      const page = await this.#registry.call(RPC.list, cursor === undefined ? {} : { cursor }, { signal });
      for (const agent of page.agents) {
        if (agent.accountId !== undefined && agent.username?.toLowerCase() === username) return agent.accountId;
      }
      cursor = walk.next(page.nextCursor, page.agents.length);
    } while (cursor !== undefined);
    throw notFound(username);
  }
}

function isUsable(username: string): boolean {
  try {
    usableUsername(username);
    return true;
  } catch {
    return false;
  }
}

function notFound(username: string, cause?: unknown): RegistryError {
  const text = `No account found for username '${username.slice(0, 256)}'`;
  return new RegistryError(text, { code: "not_found", rpc: "resolve_account", detail: "not_found", cause });
}
