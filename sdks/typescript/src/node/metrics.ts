/** What a node counts (PROTOCOL.md section 17, `metrics_snapshot`). */

import type { AgentCounters, Reject } from "../protocol/index.js";

/** The last samples of one duration, in milliseconds. */
export class LatencyWindow {
  readonly #size: number;
  readonly #samples: number[] = [];
  #next = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Adds a sample; the oldest goes when the window is full. */
  record(milliseconds: number): void {
    this.#samples[this.#next] = milliseconds;
    this.#next = (this.#next + 1) % this.#size;
  }

  /** Percentiles of the samples. */
  snapshot(): LatencySnapshot {
    const sorted = [...this.#samples].sort((a, b) => a - b);
    const at = (percent: number): number => round2(sorted[roundHalfEven((percent / 100) * (sorted.length - 1))] ?? 0);
    return { count: sorted.length, p50: at(50), p95: at(95), p99: at(99) };
  }
}

/** Percentiles of the last samples of one duration, in milliseconds. */
export interface LatencySnapshot {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** A node's counters at one moment, by the names of PROTOCOL.md section 17. */
export interface MetricsSnapshot {
  /** The node's account; null before the first start. */
  readonly account_id: string | null;
  /** The account's username; null before the first start. */
  readonly username: string | null;
  /** The role label. */
  readonly agent_id: string;
  /** The session; null while the node does not run. */
  readonly session_tag: string | null;
  /** Handlers that run. */
  readonly inflight_count: number;
  /** Accepted messages that wait for a handler. */
  readonly pending_count: number;
  /** Messages handled without failure. */
  readonly processed_count: number;
  /** Messages refused, for whatever reason. */
  readonly dropped_count: number;
  /** Handlers that took too long. */
  readonly timeout_count: number;
  /** Handlers that failed. */
  readonly error_count: number;
  /** Refused for the sender's rate. */
  readonly rate_limited_count: number;
  /** Refused for a missing or past end of life. */
  readonly expired_count: number;
  /** Refused for size, form, schema version or signature. */
  readonly payload_rejected_count: number;
  /** Refused as seen before. */
  readonly duplicate_count: number;
  /** Refused for a full backlog. */
  readonly busy_count: number;
  /** Sends that were repeated. */
  readonly retry_count: number;
  /** Receipts that did not come in time. */
  readonly receipt_timeout_count: number;
  /** Receipts that were not accepted, since their sender has not signed them. */
  readonly refused_receipt_count: number;
  /** Replies that were not accepted, since the account that was asked has not signed them. */
  readonly refused_reply_count: number;
  /** Mean time in a handler, in milliseconds. */
  readonly avg_handle_ms: number;
  /** Whether the circuit breaker is open. */
  readonly circuit_open: boolean;
  /** Durations of calls. */
  readonly latency_ms: {
    readonly send_account: LatencySnapshot;
    readonly request_account: LatencySnapshot;
    readonly resolve_username: LatencySnapshot;
  };
  /** The cache of resolved usernames. */
  readonly username_cache: {
    readonly ttl_seconds: number;
    readonly size: number;
    readonly hits: number;
    readonly misses: number;
  };
}

/** What a snapshot takes from the running session. */
export interface SessionGauges {
  readonly sessionTag: string;
  readonly inflight: number;
  readonly pending: number;
  readonly circuitOpen: boolean;
  readonly cachedUsernames: number;
}

/** All counters of a node; they outlive its sessions. */
export class Metrics {
  processed = 0;
  dropped = 0;
  timeouts = 0;
  errors = 0;
  rateLimited = 0;
  expired = 0;
  payloadRejected = 0;
  duplicates = 0;
  busy = 0;
  retries = 0;
  receiptTimeouts = 0;
  refusedReceipts = 0;
  refusedReplies = 0;
  cacheHits = 0;
  cacheMisses = 0;
  readonly sendAccount: LatencyWindow;
  readonly requestAccount: LatencyWindow;
  readonly resolveUsername: LatencyWindow;
  #handled = 0;
  #handledMs = 0;

  constructor(window: number) {
    this.sendAccount = new LatencyWindow(window);
    this.requestAccount = new LatencyWindow(window);
    this.resolveUsername = new LatencyWindow(window);
  }

  /** Counts a refusal: every one is dropped work, most have a counter of their own. */
  refused(reject: Reject): void {
    switch (reject.code) {
      case "timeout":
        this.timeouts += 1;
        return;
      case "handler_error":
        this.errors += 1;
        return;
      case "rate_limited":
        this.rateLimited += 1;
        break;
      case "expired":
      case "missing_ttl":
        this.expired += 1;
        break;
      case "duplicate":
        this.duplicates += 1;
        break;
      case "busy":
        this.busy += 1;
        break;
      case "shutting_down":
      case "service_degraded":
        break;
      default:
        this.payloadRejected += 1;
    }
    this.dropped += 1;
  }

  /** Counts a handler that has ended, and the time that it took. */
  handled(milliseconds: number): void {
    this.#handled += 1;
    this.#handledMs += milliseconds;
  }

  /** The counters of a hello. */
  counters(inflight: number, pending: number, circuitOpen: boolean): AgentCounters {
    return {
      inflight,
      pending,
      processed: this.processed,
      errors: this.errors + this.timeouts,
      rejected: this.dropped,
      retries: this.retries,
      circuitOpen,
      avgHandleMs: this.#averageHandleMs(),
    };
  }

  /** The counters at this moment. */
  snapshot(
    agentId: string,
    last: { readonly accountId: string; readonly username: string } | undefined,
    session: SessionGauges | undefined,
    resolveCacheTtlMs: number,
  ): MetricsSnapshot {
    return {
      account_id: last?.accountId ?? null,
      username: last?.username ?? null,
      agent_id: agentId,
      session_tag: session?.sessionTag ?? null,
      inflight_count: session?.inflight ?? 0,
      pending_count: session?.pending ?? 0,
      processed_count: this.processed,
      dropped_count: this.dropped,
      timeout_count: this.timeouts,
      error_count: this.errors,
      rate_limited_count: this.rateLimited,
      expired_count: this.expired,
      payload_rejected_count: this.payloadRejected,
      duplicate_count: this.duplicates,
      busy_count: this.busy,
      retry_count: this.retries,
      receipt_timeout_count: this.receiptTimeouts,
      refused_receipt_count: this.refusedReceipts,
      refused_reply_count: this.refusedReplies,
      avg_handle_ms: this.#averageHandleMs(),
      circuit_open: session?.circuitOpen ?? false,
      latency_ms: {
        send_account: this.sendAccount.snapshot(),
        request_account: this.requestAccount.snapshot(),
        resolve_username: this.resolveUsername.snapshot(),
      },
      username_cache: {
        ttl_seconds: resolveCacheTtlMs / 1_000,
        size: session?.cachedUsernames ?? 0,
        hits: this.cacheHits,
        misses: this.cacheMisses,
      },
    };
  }

  #averageHandleMs(): number {
    return this.#handled === 0 ? 0 : round2(this.#handledMs / this.#handled);
  }
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/** To the nearest integer; a half goes to the even one. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
