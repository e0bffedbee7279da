/** Latency figures (PROTOCOL.md sections 6 and 17). */

/** The figures of one name, in milliseconds, rounded to two decimals. */
export interface Percentiles {
  /** How many samples. */
  count: number;
  /** The median; 0 without samples. */
  p50: number;
  /** The 95th percentile; 0 without samples. */
  p95: number;
  /** The 99th percentile; 0 without samples. */
  p99: number;
}

/** The figures of samples in any order. */
export function percentiles(samples: readonly number[]): Percentiles {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (percent: number) => round2(sorted[roundHalfEven((percent / 100) * (sorted.length - 1))] ?? 0);
  return { count: sorted.length, p50: at(50), p95: at(95), p99: at(99) };
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Two decimals, decided on the exact binary value, ties to even. */
function round2(value: number): number {
  const rounded = Number(value.toFixed(2));
  // `toFixed` takes the larger of two that are equally near: of a tie, which a double reaches in eighths only.
  const isTie = Number.isInteger(value * 8) && !Number.isInteger(value * 4);
  if (!isTie) return rounded;
  const below = Math.floor(value * 100);
  return (below % 2 === 0 ? below : below + 1) / 100;
}
