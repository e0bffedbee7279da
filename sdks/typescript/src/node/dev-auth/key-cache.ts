/**
 * The keys of other accounts, as the registry gives them.
 *
 * Keys are remembered for `limits.keyCacheTtlMs`; that there is none, or that the registry did not answer, for a second. Look-ups of
 * one key at the same time are one. An entry holds a fingerprint of the account id and the registry's answer, so that its size
 * does not depend on what a forger writes into messages.
 */

import { trim } from "../../json/index.js";
import { RPC, type SigningScope } from "../../protocol/index.js";
import { RegistryError } from "../errors.js";
import { Fingerprints } from "../fingerprint.js";
import type { Logger } from "../logger.js";
import type { RegistryClient } from "../registry-client.js";
import { monotonic, pause } from "../waits.js";

/** How long a failed look-up is remembered, and the shortest time between two look-ups of one account's key. */
const MIN_LOOKUP_INTERVAL_MS = 1_000;
/** Look-ups at the same time. */
const LOOKUP_CONCURRENCY = 32;
/** Accounts whose key is remembered at most. */
const MAX_ACCOUNTS = 10_000;

/** The outcome of a look-up. */
export type KeyLookup =
  | {
      readonly kind: "key";
      readonly publicKey: string;
      readonly signs: SigningScope;
      /** Whether it had a live session when the registry was asked; looked up only where it signs no receipts. */
      readonly isLive: boolean;
    }
  /** No such account, or no key is bound to it; whether it has a live session all the same. */
  | { readonly kind: "none"; readonly isLive: boolean }
  /** The registry did not answer. */
  | { readonly kind: "failed" };

interface Entry {
  lookup: KeyLookup;
  askedAt: number;
  until: number;
}

/** The keys of other accounts. */
export class KeyCache {
  readonly #registry: RegistryClient;
  readonly #ttlMs: number;
  readonly #ended: AbortSignal;
  readonly #logger: Logger;
  readonly #fingerprints = new Fingerprints();
  /** Those that were used last are last. */
  readonly #known = new Map<string, Entry>();
  readonly #asking = new Map<string, Promise<KeyLookup>>();
  #running = 0;
  readonly #turns: (() => void)[] = [];

  constructor(registry: RegistryClient, ttlMs: number, ended: AbortSignal, logger: Logger) {
    this.#registry = registry;
    this.#ttlMs = ttlMs;
    this.#ended = ended;
    this.#logger = logger;
  }

  /** The remembered look-up of an account's key; undefined if there is none. */
  cached(accountId: string): KeyLookup | undefined {
    const fingerprint = this.#fingerprints.of(accountId);
    const entry = this.#known.get(fingerprint);
    if (entry === undefined || entry.until <= monotonic()) return undefined;
    this.#known.delete(fingerprint);
    this.#known.set(fingerprint, entry);
    return entry.lookup;
  }

  /** Whether the registry was asked about an account within the last second: presence changes faster than keys do. */
  wasAskedLately(accountId: string): boolean {
    return this.#delay(this.#fingerprints.of(accountId)) > 0;
  }

  /** Time until an account's key may be looked up again. */
  #delay(fingerprint: string): number {
    const entry = this.#known.get(fingerprint);
    return entry === undefined ? 0 : Math.max(0, entry.askedAt + MIN_LOOKUP_INTERVAL_MS - monotonic());
  }

  /** Asks the registry; soon after a look-up of the same account only after a pause, so that forgeries cause few look-ups. */
  ask(accountId: string): Promise<KeyLookup> {
    const fingerprint = this.#fingerprints.of(accountId);
    const running = this.#asking.get(fingerprint);
    if (running !== undefined) return running;
    const lookup = this.#lookUp(accountId, fingerprint).finally(() => this.#asking.delete(fingerprint));
    this.#asking.set(fingerprint, lookup);
    return lookup;
  }

  async #lookUp(accountId: string, fingerprint: string): Promise<KeyLookup> {
    await pause(this.#delay(fingerprint), this.#ended);
    if (this.#running >= LOOKUP_CONCURRENCY) await new Promise<void>((resolve) => this.#turns.push(resolve));
    this.#running += 1;
    try {
      return this.#note(fingerprint, await this.#resolve(accountId));
    } finally {
      this.#running -= 1;
      this.#turns.shift()?.();
    }
  }

  async #resolve(accountId: string): Promise<KeyLookup> {
    try {
      const reply = await this.#registry.call(RPC.resolveKey, { accountId }, { signal: this.#ended });
      if (reply.accountId !== trim(accountId) || reply.publicKey === "") return { kind: "failed" };
      const { publicKey, signs } = reply;
      return { kind: "key", publicKey, signs, isLive: !signs.receipts && (await this.#isLive(accountId)) };
    } catch (error) {
      if (error instanceof RegistryError && error.isNotFound) {
        return { kind: "none", isLive: await this.#isLive(accountId) };
      }
      if (!this.#ended.aborted) this.#logger.warn("an account's key could not be looked up", { accountId, error });
      return { kind: "failed" };
    }
  }

  /** Whether an account has a live session, according to the registry. */
  async #isLive(accountId: string): Promise<boolean> {
    try {
      const profile = await this.#registry.call(RPC.profile, { accountId }, { signal: this.#ended });
      return profile.online;
    } catch {
      return false;
    }
  }

  /** Remembers the outcome; a failure does not replace a key. */
  #note(fingerprint: string, lookup: KeyLookup): KeyLookup {
    const now = monotonic();
    const entry = this.#known.get(fingerprint);
    if (lookup.kind === "failed" && entry?.lookup.kind === "key" && entry.until > now) {
      entry.askedAt = now;
      return entry.lookup;
    }
    const until = now + (lookup.kind === "key" ? this.#ttlMs : MIN_LOOKUP_INTERVAL_MS);
    this.#known.delete(fingerprint);
    this.#known.set(fingerprint, { lookup, askedAt: now, until });
    if (this.#known.size > MAX_ACCOUNTS) {
      const oldest = this.#known.keys().next();
      if (oldest.done !== true) this.#known.delete(oldest.value);
    }
    return lookup;
  }
}
