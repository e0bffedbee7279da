/** Identifiers as text (PROTOCOL.md section 3). Random bytes come from `globalThis.crypto`. */

import { toHex } from "./bytes.js";

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** The longest account id that an agent may ask for, in characters (PROTOCOL.md section 0.5). */
export const MAX_ACCOUNT_ID_LENGTH = 128;
/** The prefix of the thread ids that the high-level SDK makes. */
export const SDK_THREAD_PREFIX = "thread_sdk";

/** Random bytes in store: asking for few at a time costs more than making an id. */
const store = new Uint8Array(2048);
let used = store.length;

function randomBytes(count: number): Uint8Array {
  if (used + count > store.length) {
    globalThis.crypto.getRandomValues(store);
    used = 0;
  }
  const bytes = store.slice(used, used + count);
  // An id is no secret, but its bytes are given once.
  store.fill(0, used, used + count);
  used += count;
  return bytes;
}

/** A ULID in upper case: 26 characters from 48 bits of Unix time in milliseconds and 10 random bytes. */
export function ulid(unixMillis: number, random: Uint8Array): string {
  let out = "";
  let time = unixMillis % 2 ** 48;
  for (let digit = 0; digit < 10; digit++) {
    out = DIGITS.charAt(time % 32) + out;
    time = Math.floor(time / 32);
  }
  // Each digit is five bits, which lie in two bytes at most.
  for (let bit = 0; bit < 80; bit += 5) {
    const at = bit >> 3;
    const two = ((random[at] ?? 0) << 8) | (random[at + 1] ?? 0);
    out += DIGITS.charAt((two >> (11 - (bit & 7))) & 31);
  }
  return out;
}

/** A new ULID in upper case. */
export function newUlid(): string {
  return ulid(Date.now(), randomBytes(10));
}

/** `<prefix>_` and a new ULID in lower case: `prefixedId("thread_sdk")`. */
export function prefixedId(prefix: string): string {
  return `${prefix}_${newUlid().toLowerCase()}`;
}

/**
 * A message id: in form a version 4 UUID of 32 lower-case hexadecimal digits, the first 12 of which are the Unix time in
 * milliseconds, so that ids of one time are adjacent in a store's indexes. `random` has 16 bytes.
 */
export function messageId(unixMillis: number, random: Uint8Array): string {
  return messageIdIn(random.slice(0, 16), unixMillis);
}

/** A version 4 UUID as 32 lower-case hexadecimal digits, of 16 random bytes. */
export function uuid4Hex(random: Uint8Array): string {
  return uuid4In(random.slice(0, 16));
}

/** A new message id. */
export function newMessageId(): string {
  return messageIdIn(randomBytes(16), Date.now());
}

/** A new nonce: a version 4 UUID as 32 lower-case hexadecimal digits. */
export function newNonce(): string {
  return uuid4In(randomBytes(16));
}

/** As {@link messageId}; writes into the bytes. */
function messageIdIn(bytes: Uint8Array, unixMillis: number): string {
  let rest = unixMillis;
  for (let index = 5; index >= 0; index--) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return uuid4In(bytes);
}

/** As {@link uuid4Hex}; writes into the bytes. */
function uuid4In(bytes: Uint8Array): string {
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return toHex(bytes);
}

/** Whether an agent may ask for this account id: 1 to 128 of `A-Z a-z 0-9 _ -` (PROTOCOL.md section 0.5). */
export function isAccountId(id: string): boolean {
  return id.length <= MAX_ACCOUNT_ID_LENGTH && /^[A-Za-z0-9_-]+$/.test(id);
}

/** `thread_` and the lower-case trace or message id: the thread of a message that names none. */
export function defaultThreadId(traceOrMessageId: string): string {
  return `thread_${traceOrMessageId.toLowerCase()}`;
}
