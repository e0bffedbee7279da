/** Keys and signatures of signed identity: Ed25519 by WebCrypto (PROTOCOL.md section 13.1). */

import { AgentNetError } from "../errors.js";
import { JsonError, type JsonObject, JsonView, ObjectWriter, RawJson, trim, trimCharacters } from "../json/index.js";
import { fromUnpaddedBase64, toBase64Url } from "./bytes.js";
import type { Claims } from "./claims.js";
import { isSmallOrderPoint } from "./small-order.js";

/** The name of the scheme in an `auth` member. */
export const AUTH_SCHEME = "dev-ed25519-v1";
/** The directory of key files unless `DEV_AUTH_KEY_DIR` names one. */
export const DEFAULT_KEY_DIR = ".keys";

const SEED_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** PKCS#8 of an Ed25519 key, up to the seed. */
const PKCS8_PREFIX = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const MAX_CACHED_KEYS = 1024;

/** A private key or a key file that cannot be used. Code `invalid_key`. */
export class KeyError extends AgentNetError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { code: "invalid_key" }, options);
    this.name = "KeyError";
  }
}

/** WebCrypto, where it has Ed25519. */
async function ed25519<T>(use: (subtle: SubtleCrypto) => Promise<T>): Promise<T> {
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) {
    throw new KeyError(
      "signed identity needs WebCrypto, which browsers offer to pages loaded by https or from localhost only",
    );
  }
  try {
    return await use(subtle);
  } catch (cause) {
    if (!(cause instanceof Error) || cause.name !== "NotSupportedError") throw cause;
    throw new KeyError(
      "signed identity needs Ed25519 in WebCrypto: Node.js 20, Deno 2, Bun 1.2, Chromium 137, Firefox 129 or Safari 17, or newer",
      { cause },
    );
  }
}

/** A private key with its public one. Shown or written as JSON, it gives its public key only. */
export class SigningKey {
  readonly #key: CryptoKey;
  readonly #seed: Uint8Array;
  /** The public key as base64url without padding: what registries bind to an account. */
  readonly publicKey: string;

  private constructor(key: CryptoKey, seed: Uint8Array, publicKey: string) {
    this.#key = key;
    this.#seed = seed;
    this.publicKey = publicKey;
  }

  /** A new key. */
  static async generate(): Promise<SigningKey> {
    return SigningKey.fromSeed(globalThis.crypto.getRandomValues(new Uint8Array(SEED_BYTES)));
  }

  /**
   * From a private seed of 32 bytes.
   *
   * @throws {@link KeyError} for another length, and where the runtime has no Ed25519.
   */
  static async fromSeed(seed: Uint8Array): Promise<SigningKey> {
    if (seed.length !== SEED_BYTES) throw new KeyError("the private key must be 32 bytes as base64url text");
    const pkcs8 = new Uint8Array([...PKCS8_PREFIX, ...seed]);
    return ed25519(async (subtle) => {
      const exportable = await subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
      const { x } = await subtle.exportKey("jwk", exportable);
      const key = await subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
      return new SigningKey(key, seed.slice(), x ?? "");
    });
  }

  /**
   * From the base64url text of a private seed.
   *
   * @throws {@link KeyError}
   */
  static async fromText(privateKey: string): Promise<SigningKey> {
    return SigningKey.fromSeed(fromUnpaddedBase64(privateKey) ?? new Uint8Array());
  }

  /**
   * From the content of a key file: a JSON object with `private_key` and `public_key`.
   *
   * @throws {@link KeyError} where it cannot be read, or its two keys do not belong together.
   */
  static async fromKeyFile(content: string): Promise<SigningKey> {
    const object = readKeyFile(content);
    const privateKey = object?.get("private_key").asString();
    const publicKey = object?.get("public_key").asString();
    if (!privateKey || !publicKey) {
      throw new KeyError("the key file must be a JSON object with `private_key` and `public_key`");
    }
    const key = await SigningKey.fromText(privateKey);
    if (toBase64Url(fromUnpaddedBase64(publicKey) ?? new Uint8Array()) !== key.publicKey) {
      throw new KeyError("the key file's public key does not belong to its private key");
    }
    return key;
  }

  /** The private seed as base64url without padding. Keep it secret. */
  get privateKey(): string {
    return toBase64Url(this.#seed);
  }

  /** The content of a key file. Keep it secret. */
  toKeyFile(): string {
    return `{\n  "private_key": "${this.privateKey}",\n  "public_key": "${this.publicKey}"\n}`;
  }

  /** The signature of some claims as base64url without padding. */
  async sign(claims: Claims): Promise<string> {
    const text = new TextEncoder().encode(claims.signedText());
    const signature = await ed25519((subtle) => subtle.sign("Ed25519", this.#key, text));
    return toBase64Url(new Uint8Array(signature));
  }

  /** The `auth` member that carries claims with their signature. */
  async auth(claims: Claims): Promise<RawJson> {
    const out = this.signedBy().raw("claims", claims.json);
    return RawJson.trusted(out.text("signature", await this.sign(claims)).finish());
  }

  /** The `auth` member of a record whose claims do not travel (section 13.6). */
  async detached(claims: Claims): Promise<RawJson> {
    return RawJson.trusted(
      this.signedBy()
        .text("signature", await this.sign(claims))
        .finish(),
    );
  }

  private signedBy(): ObjectWriter {
    return new ObjectWriter().text("scheme", AUTH_SCHEME).text("public_key", this.publicKey);
  }

  /** For `JSON.stringify`, without the private key. */
  toJSON(): { publicKey: string } {
    return { publicKey: this.publicKey };
  }
}

function readKeyFile(content: string): JsonObject | undefined {
  try {
    return JsonView.parse(content).asObject();
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}

/** Imported public keys, by their text: importing costs as much as a signature check. */
const imported = new Map<string, Promise<CryptoKey | undefined>>();

function importPublicKey(publicKey: string): Promise<CryptoKey | undefined> {
  let key = imported.get(publicKey);
  if (key === undefined) {
    key = readPublicKey(publicKey);
    imported.set(publicKey, key);
    const oldest = imported.keys().next();
    if (imported.size > MAX_CACHED_KEYS && oldest.done !== true) imported.delete(oldest.value);
  }
  return key;
}

async function readPublicKey(publicKey: string): Promise<CryptoKey | undefined> {
  const bytes = fromUnpaddedBase64(publicKey);
  if (bytes?.length !== SEED_BYTES || isSmallOrderPoint(bytes)) return undefined;
  return ed25519(async (subtle) => {
    try {
      return await subtle.importKey("raw", new Uint8Array(bytes), "Ed25519", true, ["verify"]);
    } catch (error) {
      // Some runtimes refuse bytes that are no point of the curve here, others at the check.
      if (error instanceof Error && error.name === "NotSupportedError") throw error;
      return undefined;
    }
  });
}

/** Whether a signature over claims was made with this public key; false also for keys and signatures that cannot be read. */
export async function verifySignature(publicKey: string, signature: string, claims: Claims): Promise<boolean> {
  const bytes = fromUnpaddedBase64(signature);
  if (bytes?.length !== SIGNATURE_BYTES || isSmallOrderPoint(bytes.subarray(0, SEED_BYTES))) return false;
  const key = await importPublicKey(publicKey);
  if (key === undefined) return false;
  const text = new TextEncoder().encode(claims.signedText());
  return ed25519((subtle) => subtle.verify("Ed25519", key, new Uint8Array(bytes), text));
}

/**
 * The name of an agent's key file in the key directory: its username, or its agent id without one, with everything but letters,
 * digits, `_`, `-` and `.` replaced by `_`. Never a path.
 */
export function keyFileName(username: string | undefined, agentId: string): string {
  const safe = (name: string) => name.replace(/[^\p{Alphabetic}\p{Nd}\p{Nl}\p{No}_.-]/gu, "_");
  const stem = trimCharacters(safe(trim(username ?? "") || agentId), "._-");
  return `${stem || safe(agentId)}.json`;
}
