/**
 * ISO 8601 as CPython 3.11's `datetime.fromisoformat` reads it (PROTOCOL.md section 3).
 *
 * That reader walks a NUL-terminated buffer of UTF-8 and is lenient in unplanned places: with an offset behind it a time may end in
 * a stray separator or in digits beyond the sixth, for example. Senders of the network may rely on any of it, so the walk is the
 * same here: {@link Reader.at} gives zero behind the end.
 */

import { civilFromDays, daysFromCivil, monthLength, weekday } from "./civil.js";

const MICROS_PER_SECOND = 1_000_000;
const DASH = 0x2d;
const WEEK = 0x57;
const utf8 = new TextEncoder();

interface Clock {
  hour: number;
  minute: number;
  second: number;
  micros: number;
}

/** Microseconds since the epoch in UTC; no offset means UTC. May lie up to a day outside the years 1 to 9999. */
export function parseIso(text: string): bigint | undefined {
  if ([...text.slice(0, 14)].length < 7) return undefined;
  const bytes = utf8.encode(text);
  const reader = new Reader(bytes);
  const separator = reader.separator();
  if (separator === undefined) return undefined;
  const days = reader.date(separator);
  if (days === undefined) return undefined;
  let time: [clock: Clock, offset: number] | undefined = [{ hour: 0, minute: 0, second: 0, micros: 0 }, 0];
  if (bytes.length > separator) time = reader.time(separator + separatorLength(reader.at(separator)));
  if (time === undefined) return undefined;
  const [clock, offset] = time;
  if (clock.hour > 23 || clock.minute > 59 || clock.second > 59) return undefined;
  const seconds = days * 86_400 + secondsOf(clock);
  return BigInt(seconds) * BigInt(MICROS_PER_SECOND) + BigInt(clock.micros - offset);
}

function secondsOf(clock: Clock): number {
  return clock.hour * 3600 + clock.minute * 60 + clock.second;
}

/** How many bytes the separating character takes, by its first byte. */
function separatorLength(first: number): number {
  if (first < 0x80) return 1;
  if ((first & 0xf0) === 0xe0) return 3;
  return (first & 0xf0) === 0xf0 ? 4 : 2;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

class Reader {
  constructor(private readonly bytes: Uint8Array) {}

  at(index: number): number {
    return this.bytes[index] ?? 0;
  }

  private digits(start: number, count: number): number | undefined {
    let value = 0;
    for (let index = start; index < start + count; index++) {
      const byte = this.at(index);
      if (!isDigit(byte)) return undefined;
      value = value * 10 + byte - 0x30;
    }
    return value;
  }

  /** Where the character between date and time is; behind the end for some texts that are no date. */
  separator(): number | undefined {
    const length = this.bytes.length;
    if (length === 7) return 7;
    if (this.at(4) === DASH) {
      if (this.at(5) !== WEEK) return 10; // YYYY-MM-DD
      if (length > 8 && this.at(8) === DASH) {
        if (length === 9) return undefined;
        // YYYY-Www-HH, where the second hyphen separates, or YYYY-Www-D.
        return length > 10 && isDigit(this.at(10)) ? 8 : 10;
      }
      return 8; // YYYY-Www
    }
    if (this.at(4) !== WEEK) return 8; // YYYYMMDD
    // YYYYWww or YYYYWwwD: the parts of a time have two digits each, so the parity of the digits decides.
    let end = 7;
    while (end < length && isDigit(this.at(end))) end++;
    if (end < 9) return end;
    return end % 2 === 0 ? 7 : 8;
  }

  /** The date in days since the epoch. */
  date(end: number): number | undefined {
    const year = this.digits(0, 4);
    if (year === undefined) return undefined;
    const dashed = this.at(4) === DASH;
    const next = dashed ? 5 : 4;
    if (this.at(next) === WEEK) return this.weekDate(year, next + 1, dashed, end);
    const month = this.digits(next, 2);
    if (dashed && this.at(next + 2) !== DASH) return undefined;
    const day = this.digits(dashed ? next + 3 : next + 2, 2);
    if (month === undefined || day === undefined) return undefined;
    const real = year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= monthLength(year, month);
    return real ? daysFromCivil(year, month, day) : undefined;
  }

  private weekDate(year: number, start: number, dashed: boolean, end: number): number | undefined {
    const week = this.digits(start, 2);
    let next = start + 2;
    let day: number | undefined = 1;
    if (next < end) {
      if (dashed && this.at(next++) !== DASH) return undefined;
      day = this.digits(next, 1);
    }
    if (week === undefined || day === undefined || year < 1) return undefined;
    const newYear = daysFromCivil(year, 1, 1);
    const first = weekday(newYear);
    const long = first === 3 || (first === 2 && monthLength(year, 2) === 29);
    if (day < 1 || day > 7 || week < 1 || week > (long ? 53 : 52)) return undefined;
    // Week 1 is the one with the year's first Thursday.
    const monday = newYear - first + (first > 3 ? 7 : 0);
    const days = monday + (week - 1) * 7 + day - 1;
    const { year: real } = civilFromDays(days);
    return real >= 1 && real <= 9999 ? days : undefined;
  }

  /** The clock and the offset from UTC in microseconds. */
  time(start: number): [clock: Clock, offset: number] | undefined {
    const end = this.bytes.length;
    let zone = start;
    while (![0x2b, DASH, 0x5a].includes(this.at(zone))) {
      zone++;
      if (zone >= end) break;
    }
    const local = this.clock(start, zone);
    if (local === undefined) return undefined;
    if (zone === end) return local.rest ? undefined : [local.clock, 0];
    if (this.at(zone) === 0x5a) return this.at(zone + 1) === 0 ? [local.clock, 0] : undefined;
    const sign = this.at(zone) === DASH ? -1 : 1;
    const offset = this.clock(zone + 1, end);
    if (offset === undefined || offset.rest) return undefined;
    const seconds = secondsOf(offset.clock);
    if (seconds === 0) return [local.clock, 0]; // a fraction alone counts for nothing
    const micros = seconds * MICROS_PER_SECOND + offset.clock.micros;
    return micros < 86_400 * MICROS_PER_SECOND ? [local.clock, sign * micros] : undefined;
  }

  /** `HH[:MM[:SS[.f+]]]` between two places, and whether something follows it. */
  private clock(start: number, end: number): { clock: Clock; rest: boolean } | undefined {
    const clock: Clock = { hour: 0, minute: 0, second: 0, micros: 0 };
    let next = start;
    let colons = true;
    for (const part of ["hour", "minute", "second"] as const) {
      const value = this.digits(next, 2);
      if (value === undefined) return undefined;
      clock[part] = value;
      const mark = this.at(next + 2);
      next += 3;
      if (part === "hour") colons = mark === 0x3a;
      if (next >= end) return { clock, rest: mark !== 0 };
      if (mark === 0x3a && colons) continue;
      if (mark === 0x2e || mark === 0x2c) break;
      if (colons) return undefined;
      next--;
    }
    const places = Math.min(end - next, 6);
    const fraction = this.digits(next, places);
    if (fraction === undefined) return undefined;
    clock.micros = fraction * 10 ** (6 - places);
    next += places;
    while (isDigit(this.at(next))) next++;
    return { clock, rest: this.at(next) !== 0 };
  }
}
