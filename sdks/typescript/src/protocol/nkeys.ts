/** Keys of a member of a network in secure mode, derived from the seed of its identity (PROTOCOL.md section 23.3). */

import { KeyError } from "./keys.js";

/** Prefix bytes of the text form of nkeys: a seed, and a user. */
const SEED_PREFIX = 18 << 3;
const USER_PREFIX = 20 << 3;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SEED_BYTES = 32;

/** The seed of an identity's nkey, by which it logs in to the NATS server. */
export async function nkeySeed(identitySeed: Uint8Array): Promise<Uint8Array> {
  return await derive(identitySeed, "nats nkey v1");
}

/** The seed of the key that signs an identity's messages. */
export async function messageSeed(identitySeed: Uint8Array): Promise<Uint8Array> {
  return await derive(identitySeed, "message key v1");
}

/** HKDF-SHA256. */
async function derive(seed: Uint8Array, info: string): Promise<Uint8Array> {
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) {
    throw new KeyError(
      "an identity needs WebCrypto, which browsers offer to pages loaded by https or from localhost only",
    );
  }
  const utf8 = new TextEncoder();
  const key = await subtle.importKey("raw", new Uint8Array(seed), "HKDF", false, ["deriveBits"]);
  const algorithm = { name: "HKDF", hash: "SHA-256", salt: utf8.encode("agentnet"), info: utf8.encode(info) };
  return new Uint8Array(await subtle.deriveBits(algorithm, key, 8 * SEED_BYTES));
}

/** The text of a user's public key, `U…`, of its 32 bytes. */
export function encodeUserNkey(publicKey: Uint8Array): string {
  return encode([USER_PREFIX], publicKey);
}

/** The text of a user's private seed, `SU…`, of its 32 bytes. Keep it secret. */
export function encodeUserSeed(seed: Uint8Array): string {
  return encode([SEED_PREFIX | (USER_PREFIX >> 5), (USER_PREFIX & 31) << 3], seed);
}

/**
 * Whether a text has the form of a nonce of a NATS server: 10 to 64 of `A-Z a-z 0-9 _ -`. Nothing else is signed, since a false
 * server chooses the text.
 */
export function isNonce(text: string): boolean {
  return /^[A-Za-z0-9_-]{10,64}$/.test(text);
}

function encode(prefix: readonly number[], key: Uint8Array): string {
  const bytes = [...prefix, ...key];
  const checksum = crc16(bytes);
  return base32([...bytes, checksum & 0xff, checksum >> 8]);
}

/** CRC-16/XMODEM. */
function crc16(bytes: readonly number[]): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc;
}

/** Base32 without padding. */
function base32(bytes: readonly number[]): string {
  let text = "";
  let bits = 0;
  let count = 0;
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xfff;
    count += 8;
    while (count >= 5) {
      count -= 5;
      text += BASE32.charAt((bits >> count) & 31);
    }
  }
  return count === 0 ? text : text + BASE32.charAt((bits << (5 - count)) & 31);
}
