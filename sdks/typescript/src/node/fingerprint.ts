/**
 * Fingerprints of texts that other clients choose: a keyed hash of 128 bits in the place of the text, so that a table of them has
 * entries of one size. A client without the key, which is random for each table, cannot search for two texts of one hash.
 */

/** Makes fingerprints for one table: SipHash-1-3 with 128 bits of output. */
export class Fingerprints {
  readonly #key: Uint32Array;
  /** The last text and its fingerprint: a table is asked about a text before it is told of it, and for a sender again and again. */
  #lastText = "";
  #last: string | undefined;

  /** @param key Four random words; drawn where it is absent. */
  constructor(key: Uint32Array = crypto.getRandomValues(new Uint32Array(4))) {
    this.#key = key;
  }

  /** The fingerprint of a text, as eight UTF-16 units. */
  of(text: string): string {
    if (this.#last === undefined || text !== this.#lastText) {
      this.#last = this.#compute(text);
      this.#lastText = text;
    }
    return this.#last;
  }

  #compute(text: string): string {
    const state = new SipState(this.#key);
    const length = text.length;
    // Each word takes four UTF-16 units; distinct texts have distinct words, for the last word holds the length.
    let at = 0;
    for (; at + 4 <= length; at += 4) {
      state.absorb(
        text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16),
        text.charCodeAt(at + 2) | (text.charCodeAt(at + 3) << 16),
      );
    }
    const rest = [0, 0, 0];
    for (let index = 0; at + index < length; index += 1) rest[index] = text.charCodeAt(at + index);
    state.absorb((rest[0] ?? 0) | ((rest[1] ?? 0) << 16), (rest[2] ?? 0) | ((length & 0xffff) << 16));
    return state.finish();
  }
}

/** The state of SipHash: four words of 64 bits, each as a low and a high half. */
class SipState {
  #v0l: number;
  #v0h: number;
  #v1l: number;
  #v1h: number;
  #v2l: number;
  #v2h: number;
  #v3l: number;
  #v3h: number;

  constructor(key: Uint32Array) {
    const [k0l = 0, k0h = 0, k1l = 0, k1h = 0] = key;
    this.#v0l = 0x70736575 ^ k0l;
    this.#v0h = 0x736f6d65 ^ k0h;
    this.#v1l = 0x6e646f6d ^ k1l ^ 0xee;
    this.#v1h = 0x646f7261 ^ k1h;
    this.#v2l = 0x6e657261 ^ k0l;
    this.#v2h = 0x6c796765 ^ k0h;
    this.#v3l = 0x79746573 ^ k1l;
    this.#v3h = 0x74656462 ^ k1h;
  }

  /** Takes in one word. */
  absorb(low: number, high: number): void {
    this.#v3l ^= low;
    this.#v3h ^= high;
    this.#round();
    this.#v0l ^= low;
    this.#v0h ^= high;
  }

  /** The 128 bits of output. */
  finish(): string {
    this.#v2l ^= 0xee;
    for (let round = 0; round < 3; round += 1) this.#round();
    const aLow = this.#v0l ^ this.#v1l ^ this.#v2l ^ this.#v3l;
    const aHigh = this.#v0h ^ this.#v1h ^ this.#v2h ^ this.#v3h;
    this.#v1l ^= 0xdd;
    for (let round = 0; round < 3; round += 1) this.#round();
    const bLow = this.#v0l ^ this.#v1l ^ this.#v2l ^ this.#v3l;
    const bHigh = this.#v0h ^ this.#v1h ^ this.#v2h ^ this.#v3h;
    return String.fromCharCode(
      aLow & 0xffff,
      aLow >>> 16,
      aHigh & 0xffff,
      aHigh >>> 16,
      bLow & 0xffff,
      bLow >>> 16,
      bHigh & 0xffff,
      bHigh >>> 16,
    );
  }

  #round(): void {
    let v0l = this.#v0l;
    let v0h = this.#v0h;
    let v1l = this.#v1l;
    let v1h = this.#v1h;
    let v2l = this.#v2l;
    let v2h = this.#v2h;
    let v3l = this.#v3l;
    let v3h = this.#v3h;
    let low: number;
    let high: number;
    // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
    low = (v0l >>> 0) + (v1l >>> 0);
    v0h = (v0h + v1h + (low > 0xffffffff ? 1 : 0)) | 0;
    v0l = low | 0;
    low = (v1l << 13) | (v1h >>> 19);
    high = (v1h << 13) | (v1l >>> 19);
    v1l = low ^ v0l;
    v1h = high ^ v0h;
    low = v0l;
    v0l = v0h;
    v0h = low;
    // v2 += v3; v3 = rotl(v3, 16) ^ v2
    low = (v2l >>> 0) + (v3l >>> 0);
    v2h = (v2h + v3h + (low > 0xffffffff ? 1 : 0)) | 0;
    v2l = low | 0;
    low = (v3l << 16) | (v3h >>> 16);
    high = (v3h << 16) | (v3l >>> 16);
    v3l = low ^ v2l;
    v3h = high ^ v2h;
    // v0 += v3; v3 = rotl(v3, 21) ^ v0
    low = (v0l >>> 0) + (v3l >>> 0);
    v0h = (v0h + v3h + (low > 0xffffffff ? 1 : 0)) | 0;
    v0l = low | 0;
    low = (v3l << 21) | (v3h >>> 11);
    high = (v3h << 21) | (v3l >>> 11);
    v3l = low ^ v0l;
    v3h = high ^ v0h;
    // v2 += v1; v1 = rotl(v1, 17) ^ v2; v2 = rotl(v2, 32)
    low = (v2l >>> 0) + (v1l >>> 0);
    v2h = (v2h + v1h + (low > 0xffffffff ? 1 : 0)) | 0;
    v2l = low | 0;
    low = (v1l << 17) | (v1h >>> 15);
    high = (v1h << 17) | (v1l >>> 15);
    v1l = low ^ v2l;
    v1h = high ^ v2h;
    low = v2l;
    v2l = v2h;
    v2h = low;
    this.#v0l = v0l;
    this.#v0h = v0h;
    this.#v1l = v1l;
    this.#v1h = v1h;
    this.#v2l = v2l;
    this.#v2h = v2h;
    this.#v3l = v3l;
    this.#v3h = v3h;
  }
}
