/** Timestamps: UTC with microseconds, and their text form (PROTOCOL.md section 3). */

import { trim } from "../json/index.js";
import { parseIso } from "./iso-time.js";

const MIN_MICROS = -62_135_596_800_000_000n;
const MAX_MICROS = 253_402_300_799_999_999n;
const USUAL = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{6}))?Z$/;

/** A point in time: microseconds since 1970-01-01T00:00:00Z, within the years 1 to 9999. Immutable. */
export class Timestamp {
  /** 0001-01-01T00:00:00Z, the earliest time that has a text form. */
  static readonly MIN = new Timestamp(MIN_MICROS);
  /** 9999-12-31T23:59:59.999999Z, the latest time that has a text form. */
  static readonly MAX = new Timestamp(MAX_MICROS);

  private constructor(
    /** Microseconds since the Unix epoch. */
    readonly micros: bigint,
  ) {}

  /** The present, as the clock of the system has it: in whole milliseconds. */
  static now(): Timestamp {
    return Timestamp.fromMillis(Date.now());
  }

  /** From microseconds since the Unix epoch; a time outside the range becomes its nearer end. */
  static fromMicros(micros: bigint): Timestamp {
    if (micros < MIN_MICROS) return Timestamp.MIN;
    return micros > MAX_MICROS ? Timestamp.MAX : new Timestamp(micros);
  }

  /** From milliseconds since the Unix epoch; a time outside the range becomes its nearer end. */
  static fromMillis(millis: number): Timestamp {
    return Timestamp.fromMicros(
      Number.isSafeInteger(millis) ? BigInt(millis) * 1000n : BigInt(Math.round(millis * 1000)),
    );
  }

  /**
   * Reads a timestamp as registries and signed claims do: white space around it is ignored, a missing offset means UTC, everything
   * else is as CPython 3.11 reads ISO 8601. `undefined` where the text is no time.
   */
  static parse(text: string): Timestamp | undefined {
    return Timestamp.parseExact(trim(text));
  }

  /** As {@link Timestamp.parse}, but white space around the text makes it unreadable: the rule of a receiver's TTL check. */
  static parseExact(text: string): Timestamp | undefined {
    const micros = parseUsual(text) ?? parseIso(text.endsWith("Z") ? `${text.slice(0, -1)}+00:00` : text);
    return micros === undefined || micros < MIN_MICROS || micros > MAX_MICROS ? undefined : new Timestamp(micros);
  }

  /** Milliseconds since the Unix epoch, rounded down. */
  get millis(): number {
    const whole = Number(this.micros / 1000n);
    return this.micros < 0n && this.micros % 1000n !== 0n ? whole - 1 : whole;
  }

  /** This time moved by some milliseconds; stops at the ends of the range. A fraction of a number is dropped. */
  addMillis(millis: number | bigint): Timestamp {
    if (typeof millis === "number" && !Number.isFinite(millis)) return millis > 0 ? Timestamp.MAX : Timestamp.MIN;
    const whole = typeof millis === "bigint" ? millis : BigInt(Math.trunc(millis));
    return Timestamp.fromMicros(this.micros + whole * 1000n);
  }

  /** Below zero where this time is the earlier one, above where it is the later one, else zero. */
  compare(other: Timestamp): number {
    if (this.micros === other.micros) return 0;
    return this.micros < other.micros ? -1 : 1;
  }

  /** As a `Date`, in whole milliseconds. */
  toDate(): Date {
    return new Date(this.millis);
  }

  /** `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`: six digits of fraction, or none when it is zero. */
  toString(): string {
    const { millis } = this;
    const iso = new Date(millis).toISOString();
    const micros = Number(this.micros - BigInt(millis) * 1000n);
    if (micros === 0 && iso.endsWith(".000Z")) return `${iso.slice(0, 19)}Z`;
    return `${iso.slice(0, 23)}${String(micros).padStart(3, "0")}Z`;
  }

  /** For `JSON.stringify`: the text form. */
  toJSON(): string {
    return this.toString();
  }
}

/** The form that the network writes. Others, and times that are not real, are left to the general reader. */
function parseUsual(text: string): bigint | undefined {
  const parts = USUAL.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second] = parts.map(Number);
  if (year === undefined || year < 100 || month === undefined || second === undefined) return undefined;
  const time = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const real =
    time.getUTCMonth() === month - 1 &&
    time.getUTCDate() === day &&
    (hour ?? 0) < 24 &&
    (minute ?? 0) < 60 &&
    second < 60;
  return real ? BigInt(time.getTime()) * 1000n + BigInt(parts[7] ?? 0) : undefined;
}
