/** The identity of a member of a network in secure mode: its account, its network and its seed (PROTOCOL.md section 23.3). */

import { fromUnpaddedBase64, toBase64Url } from "./bytes.js";
import { isAccountId } from "./ids.js";
import { KeyError, SigningKey } from "./keys.js";
import { encodeUserNkey, encodeUserSeed, messageSeed, nkeySeed } from "./nkeys.js";

/** The version of the files that this version reads. */
const VERSION = 1;
const SEED_BYTES = 32;

/** The content of an identity file, as `agentnet join` writes it. */
export interface IdentityRecord {
  /** The version of the file: 1. */
  readonly version: number;
  /** The servers of the network, without credentials. */
  readonly urls: readonly string[];
  /** The certificate authority of the servers as PEM, where it is the network's own. */
  readonly ca_pem?: string | null | undefined;
  /** The account that the server proves. */
  readonly account_id: string;
  /** Its username. */
  readonly username: string;
  /** `agent`, `observer`, `operator` or `registry`. */
  readonly role: string;
  /** Its JWT, on a network in operator mode (section 23.8). */
  readonly jwt?: string | null | undefined;
  /** The seed: 32 bytes as base64url. Keep it secret. */
  readonly seed: string;
}

/** A member's account, network and keys. Shown or written as JSON, it hides its seed. */
export class MemberIdentity {
  /** The servers of the network, without credentials. */
  readonly urls: readonly string[];
  /** The certificate authority of the servers as PEM, where it is the network's own. */
  readonly caPem: string | undefined;
  /** The account that the server proves: the last token of every subject that the member publishes on. */
  readonly accountId: string;
  /** Its username. */
  readonly username: string;
  /** Its role, as the file names it. */
  readonly role: string;
  /** The JWT by which the servers let it in, on a network in operator mode. */
  readonly jwt: string | undefined;
  readonly #seed: Uint8Array;

  private constructor(record: IdentityRecord, seed: Uint8Array) {
    this.urls = [...record.urls];
    this.caPem = record.ca_pem ?? undefined;
    this.accountId = record.account_id;
    this.username = record.username;
    this.role = record.role;
    this.jwt = record.jwt ?? undefined;
    this.#seed = seed;
  }

  /** From the content of an identity file. @throws {KeyError} */
  static parse(text: string): MemberIdentity {
    let record: unknown;
    try {
      record = JSON.parse(text);
    } catch {
      // The cause may quote the seed.
      throw new KeyError("it is no identity: it is no JSON");
    }
    return MemberIdentity.of(record as IdentityRecord);
  }

  /** From the content of an identity file that was read as JSON. @throws {KeyError} */
  static of(record: IdentityRecord): MemberIdentity {
    if (typeof record !== "object" || record === null) throw new KeyError("it is no identity: it is no JSON object");
    const { version, urls, account_id, ca_pem } = record;
    if (version !== VERSION) {
      throw new KeyError(`its version is ${shown(version)}, and this program reads ${VERSION}`);
    }
    if (!Array.isArray(urls) || urls.some((url) => typeof url !== "string")) throw wrong("urls", "an array of texts");
    for (const name of ["account_id", "username", "role", "seed"] as const) {
      if (typeof record[name] !== "string") throw wrong(name, "a text");
    }
    if (!isAccountId(account_id)) throw wrong("account_id", "1 to 128 letters, digits, _ or -");
    if (ca_pem !== undefined && ca_pem !== null && typeof ca_pem !== "string") throw wrong("ca_pem", "a text");
    const { jwt } = record;
    if (jwt !== undefined && jwt !== null && !isJwt(jwt)) throw wrong("jwt", "a JWT");
    const seed = fromUnpaddedBase64(record.seed);
    // Written again, so that characters which a lenient reader skips are found.
    if (seed?.length !== SEED_BYTES || toBase64Url(seed) !== record.seed) {
      throw new KeyError("its seed is not 32 bytes as base64url");
    }
    return new MemberIdentity(record, seed);
  }

  /** The public nkey by which the NATS server knows the member: `U…`. @throws {KeyError} This runtime lacks WebCrypto or Ed25519. */
  async publicNkey(): Promise<string> {
    const { publicKey } = await SigningKey.fromSeed(await nkeySeed(this.#seed));
    return encodeUserNkey(fromUnpaddedBase64(publicKey) ?? new Uint8Array());
  }

  /** The private nkey as the NATS client takes it: `SU…`. Keep it secret. @throws {KeyError} This runtime lacks WebCrypto. */
  async encodedNkeySeed(): Promise<string> {
    return encodeUserSeed(await nkeySeed(this.#seed));
  }

  /** The key that signs the member's messages (section 13). @throws {KeyError} This runtime lacks WebCrypto or Ed25519. */
  async signingKey(): Promise<SigningKey> {
    return await SigningKey.fromSeed(await messageSeed(this.#seed));
  }

  /** For `JSON.stringify`, without the seed. */
  toJSON(): { urls: readonly string[]; account_id: string; username: string; role: string } {
    return { urls: this.urls, account_id: this.accountId, username: this.username, role: this.role };
  }
}

/** Whether it has the form of a JWT: three parts of base64url. */
function isJwt(text: unknown): boolean {
  return typeof text === "string" && /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(text);
}

function wrong(member: string, expected: string): KeyError {
  return new KeyError(`it is no identity: its member ${member} must be ${expected}`);
}

function shown(value: unknown): string {
  return value === undefined ? "missing" : String(value).slice(0, 32);
}
