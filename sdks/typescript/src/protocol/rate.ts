/**
 * The rate limit per sender: a token bucket (PROTOCOL.md section 12, check 8). The order of the arithmetic is the Python
 * implementation's, so that both decide alike to the last bit.
 */

/** How many messages a sender may send. */
export class RateLimit {
  /** Messages a second in the long run; at least 0.1. */
  readonly perSecond: number;
  /** Messages at once; at least 1. */
  readonly burst: number;

  /** 5 a second and 10 at once, unless stated otherwise. */
  constructor(perSecond = 5, burst = 10) {
    this.perSecond = Math.max(perSecond, 0.1);
    this.burst = Math.max(Math.trunc(burst), 1);
  }
}

/** What one sender has left. Times are seconds of any steady clock. */
export class TokenBucket {
  private left: number;
  private seen: number;

  /** The bucket of a sender not seen before: full. */
  constructor(limit: RateLimit, nowSeconds: number) {
    this.left = limit.burst;
    this.seen = nowSeconds;
  }

  /** Takes one message out; false where none is left. A refusal counts as activity and keeps what has accrued. */
  take(limit: RateLimit, nowSeconds: number): boolean {
    const tokens = Math.min(limit.burst, this.left + (nowSeconds - this.seen) * limit.perSecond);
    this.seen = nowSeconds;
    const allowed = tokens >= 1;
    this.left = allowed ? tokens - 1 : tokens;
    return allowed;
  }

  /** How much is left. */
  get tokens(): number {
    return this.left;
  }

  /** When the sender was last seen: an idle bucket can be dropped. */
  get last(): number {
    return this.seen;
  }
}
