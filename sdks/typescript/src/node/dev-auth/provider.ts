/** {@link DevAuth}: signed identity for a node (`devAuth` of its options, `DEV_AUTH` in the environment). */

import type { RawJson } from "../../json/index.js";
import { platform } from "../../platform/index.js";
import {
  type AgentInfo,
  keyFileName,
  newNonce,
  type RegisterReply,
  registerClaims,
  SIGNS_ALL,
  type SigningKey,
  Timestamp,
} from "../../protocol/index.js";
import { optionsOf } from "../checks.js";
import { InvalidArgumentError, RegistryError } from "../errors.js";
import type { Identity, IdentityContext, IdentityProvider, RegistrationIdentity } from "../identity.js";
import type { Logger } from "../logger.js";
import { FileKeyStore } from "./file-key-store.js";
import { type KeyStore, loadOrCreate, MemoryKeyStore, nextName } from "./key-store.js";
import { settleKey } from "./rotate.js";
import { SessionIdentity } from "./session-identity.js";

/** How long a registration may take with all its attempts, in milliseconds, and how often it is made within that time. */
const REGISTER_TIMEOUT_MS = 5_000;
const REGISTER_ATTEMPTS = 3;

type RegisterCall = Parameters<RegistrationIdentity["register"]>[1];

/** Where a node's key comes from. At most one of them. */
export interface DevAuthOptions {
  /** The directory of the key file. Default: the environment's `DEV_AUTH_KEY_DIR`, else `.keys`. */
  readonly keyDir?: string | undefined;
  /** Another store of keys. */
  readonly keys?: KeyStore | undefined;
  /** The key itself; the program keeps it. */
  readonly key?: SigningKey | undefined;
}

/**
 * Signed identity (PROTOCOL.md section 13): the node signs what it sends, and accepts only what is signed.
 *
 * The key is made at the first start, and bound to the node's account by its first registration. Without options it is kept in a
 * file, by the name of the node's username, or of its agent id; a member of a network in secure mode has it in its identity.
 *
 * ```ts
 * const node = new AgentNode({ agentId: "agent_a", username: "alice", devAuth: new DevAuth({ keyDir: "keys" }) });
 * ```
 */
export class DevAuth implements IdentityProvider {
  readonly #store: KeyStore;
  readonly #given: SigningKey | undefined;
  /** Nothing was given: a member of a network in secure mode signs with the key of its identity. */
  readonly #isDefault: boolean;

  /** @throws {KeyError} This runtime has no files: give `keys` or `key`. @throws {InvalidArgumentError} More than one is given. */
  constructor(options: DevAuthOptions = {}) {
    const { keyDir, keys, key } = optionsOf(options);
    if ([keyDir, keys, key].filter((one) => one !== undefined).length > 1) {
      throw new InvalidArgumentError("devAuth: give one of keyDir, keys and key");
    }
    this.#given = key;
    this.#isDefault = key === undefined && keys === undefined && keyDir === undefined;
    this.#store = keys ?? (key === undefined ? new FileKeyStore(keyDir) : new MemoryKeyStore());
  }

  /** Opens the key; makes it where there is none. @throws {KeyError} */
  async open(node: {
    readonly agentId: string;
    readonly username?: string | undefined;
    readonly logger: Logger;
    readonly memberKey?: (() => Promise<SigningKey>) | undefined;
  }): Promise<RegistrationIdentity> {
    const name = keyFileName(node.username, node.agentId);
    if (this.#isDefault && node.memberKey !== undefined) {
      return new OpenedKey(new MemoryKeyStore(), name, await node.memberKey(), node.logger);
    }
    // A key that was given and rotated since is not the one that was given.
    if (this.#given !== undefined) await this.#store.create(name, this.#given);
    const key = await loadOrCreate(this.#store, name);
    return new OpenedKey(this.#store, name, key, node.logger);
  }
}

/** A key that is open. */
class OpenedKey implements RegistrationIdentity {
  readonly #store: KeyStore;
  readonly #name: string;
  readonly #logger: Logger;
  #key: SigningKey;

  constructor(store: KeyStore, name: string, key: SigningKey, logger: Logger) {
    this.#store = store;
    this.#name = name;
    this.#key = key;
    this.#logger = logger;
  }

  /** Registers; where the account is bound to the key that an interrupted rotation left, that key takes the old one's place. */
  async register(agent: AgentInfo, call: RegisterCall): Promise<RegisterReply> {
    try {
      return await registerSigned(agent, this.#key, call);
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== "auth_public_key_mismatch") throw error;
      const next = await this.#store.load(nextName(this.#name));
      if (next === undefined) throw error;
      const reply = await registerSigned(agent, next, call).catch(() => undefined);
      if (reply === undefined) throw error;
      this.#key = await settleKey(this.#store, this.#name, next);
      this.#logger.warn("a rotation that was interrupted is finished: the new key has taken its place");
      return reply;
    }
  }

  session(context: IdentityContext): Identity {
    return new SessionIdentity(context, this.#store, this.#name, this.#key);
  }
}

/** A signed registration counts once, since its nonce does: each attempt is signed anew. */
async function registerSigned(agent: AgentInfo, key: SigningKey, call: RegisterCall): Promise<RegisterReply> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call({ auth: await registerAuth(agent, key), timeoutMs: REGISTER_TIMEOUT_MS / REGISTER_ATTEMPTS });
    } catch (error) {
      const isSilence = error instanceof RegistryError && error.code === "registry_timeout";
      if (!isSilence || attempt >= REGISTER_ATTEMPTS) throw error;
    }
  }
}

async function registerAuth(agent: AgentInfo, key: SigningKey): Promise<RawJson> {
  const { agentId, name, username, accountId } = agent;
  const claims = registerClaims({
    agentId,
    name,
    username,
    accountId,
    now: Timestamp.now(),
    nonce: newNonce(),
    signs: SIGNS_ALL,
  });
  return await key.auth(claims);
}

/**
 * The identity that the environment asks for by `DEV_AUTH`; undefined where it asks for none.
 *
 * @throws {InvalidArgumentError} The variable is neither true nor false.
 */
export function devAuthFromEnvironment(): DevAuth | undefined {
  const text = platform.environment("DEV_AUTH")?.trim().toLowerCase() ?? "";
  if (["1", "true", "yes", "y", "on"].includes(text)) return new DevAuth();
  if (["", "0", "false", "no", "n", "off"].includes(text)) return undefined;
  throw new InvalidArgumentError(
    `the environment variable DEV_AUTH must be true or false, not ${JSON.stringify(text.slice(0, 64))}`,
  );
}
