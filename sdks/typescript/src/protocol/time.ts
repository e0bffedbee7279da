/** Timestamps: UTC with microseconds, and their text form (PROTOCOL.md section 3). */

import { trim } from "../json/index.js";
import { daysFromCivil, monthLength } from "./civil.js";
import { parseIso } from "./iso-time.js";

/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z, in milliseconds. */
const MIN_MILLIS = -62_135_596_800_000;
const MAX_MILLIS = 253_402_300_799_999;

/**
 * A point in time: microseconds since 1970-01-01T00:00:00Z, within the years 1 to 9999. Immutable.
 *
 * The microseconds of that range do not fit into a number of JavaScript. They are kept as two numbers, since bigints are slow, and
 * several times are read and written for each message.
 */
export class Timestamp {
  /** 0001-01-01T00:00:00Z, the earliest time that has a text form. */
  static readonly MIN = new Timestamp(MIN_MILLIS, 0);
  /** 9999-12-31T23:59:59.999999Z, the latest time that has a text form. */
  static readonly MAX = new Timestamp(MAX_MILLIS, 999);

  private constructor(
    /** Milliseconds since the Unix epoch, rounded down. */
    readonly millis: number,
    /** The microseconds behind the milliseconds: 0 to 999. */
    private readonly rest: number,
  ) {}

  /** The present, as the clock of the system has it: in whole milliseconds. */
  static now(): Timestamp {
    return Timestamp.fromMillis(Date.now());
  }

  /** From microseconds since the Unix epoch; a time outside the range becomes its nearer end. */
  static fromMicros(micros: bigint): Timestamp {
    const rest = Number(((micros % 1000n) + 1000n) % 1000n);
    return Timestamp.within(Number((micros - BigInt(rest)) / 1000n), rest);
  }

  /** From milliseconds since the Unix epoch; a time outside the range becomes its nearer end. */
  static fromMillis(millis: number): Timestamp {
    // Zero has no sign here.
    if (Number.isSafeInteger(millis)) return Timestamp.within(millis || 0, 0);
    return Timestamp.fromMicros(BigInt(Math.round(millis * 1000)));
  }

  /** The time, or the nearer end of the range; the earliest one where the milliseconds are no number. */
  private static within(millis: number, rest: number): Timestamp {
    if (!(millis >= MIN_MILLIS)) return Timestamp.MIN;
    return millis > MAX_MILLIS ? Timestamp.MAX : new Timestamp(millis, rest);
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
    const usual = readUsual(text);
    if (usual !== undefined) return new Timestamp(usual.millis, usual.rest);
    const micros = parseIso(text.endsWith("Z") ? `${text.slice(0, -1)}+00:00` : text);
    if (micros === undefined) return undefined;
    const time = Timestamp.fromMicros(micros);
    return time.micros === micros ? time : undefined;
  }

  /** Microseconds since the Unix epoch. */
  get micros(): bigint {
    return BigInt(this.millis) * 1000n + BigInt(this.rest);
  }

  /** This time moved by some milliseconds; stops at the ends of the range. A fraction of a number is dropped. */
  addMillis(millis: number | bigint): Timestamp {
    // A bigint that no number holds exactly leads beyond the range, and so does the number that it is rounded to.
    return Timestamp.within(this.millis + Math.trunc(Number(millis)), this.rest);
  }

  /** Below zero where this time is the earlier one, above where it is the later one, else zero. */
  compare(other: Timestamp): number {
    if (this.millis === other.millis) return Math.sign(this.rest - other.rest);
    return this.millis < other.millis ? -1 : 1;
  }

  /** As a `Date`, in whole milliseconds. */
  toDate(): Date {
    return new Date(this.millis);
  }

  /** `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`: six digits of fraction, or none when it is zero. */
  toString(): string {
    const second = Math.floor(this.millis / 1000);
    const micros = (this.millis - second * 1000) * 1000 + this.rest;
    return micros === 0 ? `${secondText(second)}Z` : `${secondText(second)}.${String(micros).padStart(6, "0")}Z`;
  }

  /** For `JSON.stringify`: the text form. */
  toJSON(): string {
    return this.toString();
  }
}

/** The seconds that were written last, and their texts: messages of one second share theirs, and so do the ends of their lives. */
const WRITTEN = Array.from({ length: 64 }, () => ({ second: Number.NaN, text: "" }));

/** `YYYY-MM-DDTHH:MM:SS` of a second since the Unix epoch. */
function secondText(second: number): string {
  const written = WRITTEN[Math.abs(second % WRITTEN.length)];
  if (written !== undefined && written.second === second) return written.text;
  const text = new Date(second * 1000).toISOString().slice(0, 19);
  if (written !== undefined) Object.assign(written, { second, text });
  return text;
}

/** The length of `YYYY-MM-DDTHH:MM:SSZ`, and of the same with six digits of fraction. */
const WHOLE_SECONDS_LENGTH = 20;
const MICROS_LENGTH = 27;

/** The form that the network writes. Others, and times that are not real, are left to the general reader. */
function readUsual(text: string): { millis: number; rest: number } | undefined {
  if (text.length !== WHOLE_SECONDS_LENGTH && text.length !== MICROS_LENGTH) return undefined;
  if (text.charAt(4) !== "-" || text.charAt(7) !== "-" || text.charAt(10) !== "T") return undefined;
  if (text.charAt(13) !== ":" || text.charAt(16) !== ":" || !text.endsWith("Z")) return undefined;
  const year = digits(text, 0, 4);
  const month = digits(text, 5, 7);
  const day = digits(text, 8, 10);
  // What holds no digits is NaN, and no comparison with it is true.
  if (!(year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= 31)) return undefined;
  if (day > 28 && day > monthLength(year, month)) return undefined;
  const hour = digits(text, 11, 13);
  const minute = digits(text, 14, 16);
  const second = digits(text, 17, 19);
  if (!(hour <= 23 && minute <= 59 && second <= 59)) return undefined;
  let micros = 0;
  if (text.length === MICROS_LENGTH) {
    micros = text.charAt(19) === "." ? digits(text, 20, 26) : Number.NaN;
    if (Number.isNaN(micros)) return undefined;
  }
  const seconds = daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
  return { millis: seconds * 1000 + Math.floor(micros / 1000), rest: micros % 1000 };
}

/** The number that the digits between two places make; NaN where one of them is no digit of ASCII. */
function digits(text: string, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}
