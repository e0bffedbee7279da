/** Where an agent's keys are kept (PROTOCOL.md section 13.1). */

import { KeyError, SigningKey } from "../../protocol/index.js";

/**
 * Keeps keys under names such as `alice.json`. {@link FileKeyStore} keeps them in a directory, {@link MemoryKeyStore} for the life of
 * the process; a page can keep them in IndexedDB.
 */
export interface KeyStore {
  /** The key of this name; undefined where there is none. @throws {KeyError} What is there is no key. */
  load(name: string): Promise<SigningKey | undefined>;
  /** Keeps a key under a name that is free; false, and nothing is changed, where it is taken. Must be atomic. */
  create(name: string, key: SigningKey): Promise<boolean>;
  /** Puts a key in the place of the one of this name. Must be atomic. */
  replace(name: string, key: SigningKey): Promise<void>;
  /** Removes a key; one that is not there is no error. */
  remove(name: string): Promise<void>;
  /** Where it keeps the key of this name, for error messages. */
  describe(name: string): string;
}

/** Keeps keys in memory: after the process, its accounts are lost, unless the program keeps the keys elsewhere. */
export class MemoryKeyStore implements KeyStore {
  readonly #keys = new Map<string, SigningKey>();

  async load(name: string): Promise<SigningKey | undefined> {
    return this.#keys.get(name);
  }

  async create(name: string, key: SigningKey): Promise<boolean> {
    if (this.#keys.has(name)) return false;
    this.#keys.set(name, key);
    return true;
  }

  async replace(name: string, key: SigningKey): Promise<void> {
    this.#keys.set(name, key);
  }

  async remove(name: string): Promise<void> {
    this.#keys.delete(name);
  }

  describe(name: string): string {
    return `the key ${name} in memory`;
  }
}

/** Where the next key waits while a rotation is under way. */
export function nextName(name: string): string {
  return `${name}.next`;
}

/**
 * The key of a name; made where there is none. Of two processes that make one at the same time, one wins, and both use its key.
 *
 * @throws {KeyError}
 */
export async function loadOrCreate(store: KeyStore, name: string): Promise<SigningKey> {
  // Another process may remove the key between the two steps.
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const found = await store.load(name);
    if (found !== undefined) return found;
    const key = await SigningKey.generate();
    if (await store.create(name, key)) return key;
  }
  throw new KeyError(`${store.describe(name)} comes and goes: does another program remove it?`);
}
