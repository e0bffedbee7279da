/** How much an agent takes on, and how long it waits (PROTOCOL.md section 17). Times are in milliseconds. */

import { optionsOf } from "./checks.js";
import { InvalidArgumentError } from "./errors.js";

/** The limits of a node. A value below its minimum counts as the minimum. */
export interface Limits {
  /** Handlers that run at the same time. Default 4, minimum 1. */
  readonly maxConcurrency: number;
  /** Accepted messages that may wait for a handler. Default 100, minimum 1. */
  readonly maxPending: number;
  /** Largest message that is sent or taken, in bytes of wire text. Default 256,000, minimum 1. */
  readonly maxPayloadBytes: number;
  /** How long a handler may take. Default 30,000, minimum 100. */
  readonly workTimeoutMs: number;
  /** How long `close()` waits for accepted work. Default 20,000, minimum 100. */
  readonly drainTimeoutMs: number;
  /** Time to live of messages that name none. Default 30,000, minimum 1. */
  readonly defaultTtlMs: number;
  /** How long message ids and idempotency keys are remembered. Default 600,000, minimum 1,000. */
  readonly dedupeTtlMs: number;
  /** Messages that one sender may send on average, per second. Default 5, minimum 0.1. */
  readonly rateLimitPerSenderPerSec: number;
  /** Messages that one sender may send at once. Default 10, minimum 1. */
  readonly rateLimitBurst: number;
  /** Handler failures in a row that open the circuit breaker. Default 5, minimum 1. */
  readonly circuitBreakerFailures: number;
  /** How long the circuit stays open. Default 15,000, minimum 1,000. */
  readonly circuitBreakerResetMs: number;
  /** How often a send without a receipt is repeated. Default 2, minimum 0. */
  readonly sendRetryAttempts: number;
  /** How long a send waits for each receipt. Default 1,500, minimum 200. */
  readonly receiptTimeoutMs: number;
  /** How long a send with `until: "processed"` waits after the acceptance. Default 60,000. */
  readonly processingTimeoutMs: number;
  /** How far a sender's clock may be behind in the check of a message's life (0.7). Default 2,000; 0 is exact. */
  readonly clockSkewMs: number;
  /** How long a resolved username is remembered. Default 60,000, or `ACCOUNT_RESOLVE_CACHE_TTL_SECONDS`; 0: not at all. */
  readonly resolveCacheTtlMs: number;
  /** How long the key of another account is remembered, under signed identity. Default 300,000, minimum 5,000. */
  readonly keyCacheTtlMs: number;
  /** Samples that latency percentiles are taken over. Default 1024, or `AGENT_METRICS_WINDOW_SIZE`, minimum 32. */
  readonly metricsWindow: number;
}

interface Bound {
  readonly default: number;
  readonly minimum: number;
  readonly whole: boolean;
}

const whole = (value: number, minimum: number): Bound => ({ default: value, minimum, whole: true });
const real = (value: number, minimum: number): Bound => ({ default: value, minimum, whole: false });

const BOUNDS: Readonly<Record<keyof Limits, Bound>> = {
  maxConcurrency: whole(4, 1),
  maxPending: whole(100, 1),
  maxPayloadBytes: whole(256_000, 1),
  workTimeoutMs: real(30_000, 100),
  drainTimeoutMs: real(20_000, 100),
  defaultTtlMs: whole(30_000, 1),
  dedupeTtlMs: real(600_000, 1_000),
  rateLimitPerSenderPerSec: real(5, 0.1),
  rateLimitBurst: whole(10, 1),
  circuitBreakerFailures: whole(5, 1),
  circuitBreakerResetMs: real(15_000, 1_000),
  sendRetryAttempts: whole(2, 0),
  receiptTimeoutMs: real(1_500, 200),
  processingTimeoutMs: real(60_000, 0),
  clockSkewMs: whole(2_000, 0),
  resolveCacheTtlMs: real(60_000, 0),
  keyCacheTtlMs: real(300_000, 5_000),
  metricsWindow: whole(1_024, 32),
};

/** The default limits. */
export const DEFAULT_LIMITS: Limits = Object.freeze(
  Object.fromEntries(Object.entries(BOUNDS).map(([name, bound]) => [name, bound.default])) as unknown as Limits,
);

/** The shortest wait for a receipt, in milliseconds. */
export const MIN_RECEIPT_TIMEOUT_MS = BOUNDS.receiptTimeoutMs.minimum;

/**
 * The limits of a node: what is given, else the environment, else the defaults, each at least its minimum.
 *
 * @throws {InvalidArgumentError} `invalid_option` for a name that is no limit, and for a value or a variable that is no number.
 */
export function resolveLimits(
  options: Partial<Limits> = {},
  environment: (name: string) => string | undefined = () => undefined,
): Limits {
  const given = optionsOf(options, "limits");
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(BOUNDS, name))
      throw new InvalidArgumentError(`limits: there is no limit ${JSON.stringify(name)}`);
  }
  const limits: Record<string, number> = {};
  for (const [name, bound] of Object.entries(BOUNDS) as [keyof Limits, Bound][]) {
    const value = given[name] ?? fromEnvironment(name, environment) ?? bound.default;
    if (typeof value !== "number" || Number.isNaN(value)) {
      throw new InvalidArgumentError(
        `limits.${name} must be a number, not ${typeof value === "number" ? "NaN" : typeof value}`,
      );
    }
    const raised = Math.min(Math.max(value, bound.minimum), Number.MAX_SAFE_INTEGER);
    limits[name] = bound.whole ? Math.floor(raised) : raised;
  }
  return Object.freeze(limits) as unknown as Limits;
}

/** The settings of PROTOCOL.md section 15 that concern a node: name, and how many of the limit's unit one is. */
const VARIABLES: Partial<Record<keyof Limits, readonly [name: string, factor: number]>> = {
  resolveCacheTtlMs: ["ACCOUNT_RESOLVE_CACHE_TTL_SECONDS", 1_000],
  metricsWindow: ["AGENT_METRICS_WINDOW_SIZE", 1],
};

function fromEnvironment(limit: keyof Limits, environment: (name: string) => string | undefined): number | undefined {
  const variable = VARIABLES[limit];
  if (variable === undefined) return undefined;
  const [name, factor] = variable;
  const text = environment(name)?.trim();
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) {
    throw new InvalidArgumentError(
      `the environment variable ${name} must be a number, not ${JSON.stringify(text.slice(0, 64))}`,
    );
  }
  return value * factor;
}
