/** Checks of the options of calls, so that a wrong one is named, also for programs without types. */

import { InvalidArgumentError } from "./errors.js";

/**
 * The options of a call. Null and undefined are none, both as the whole and as a member: null is how programs without types, and
 * values that were read from JSON, leave something out.
 *
 * @throws {InvalidArgumentError} They are no object.
 */
export function optionsOf<Options extends object>(options: Options | null | undefined, name = "options"): Options {
  // Every member of options may be absent; required ones are checked where they are used.
  if (options === undefined || options === null) return {} as Options;
  if (typeof options !== "object" || Array.isArray(options)) {
    throw new InvalidArgumentError(`${name} must be an object, not ${described(options)}`);
  }
  return Object.values(options).includes(null) ? withoutNull(options) : options;
}

function withoutNull<Options extends object>(options: Options): Options {
  const given = { ...options };
  for (const [name, value] of Object.entries(options)) if (value === null) Object.assign(given, { [name]: undefined });
  return given;
}

/**
 * A time in milliseconds; infinity waits for ever.
 *
 * @throws {InvalidArgumentError} It is no number, or negative.
 */
export function checkedMs(name: string, value: unknown): number {
  if (typeof value === "number" && value >= 0) return value;
  throw new InvalidArgumentError(`${name} must be a number of milliseconds, 0 or more, not ${described(value)}`);
}

/**
 * A text that may be absent: undefined and null are none.
 *
 * @throws {InvalidArgumentError} It is something else.
 */
export function optionalText(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  throw new InvalidArgumentError(`${name} must be a string, not ${described(value)}`);
}

/** A value as an error names it. */
export function described(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 64));
  if (value === null || typeof value === "number" || typeof value === "undefined") return String(value);
  return Array.isArray(value) ? "an array" : `a value of type ${typeof value}`;
}
