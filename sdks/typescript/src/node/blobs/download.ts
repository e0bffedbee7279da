/**
 * Reading the messages of a subject of a stream, in order, some at a time.
 *
 * The client's own reader takes in all pieces as fast as they come, however slowly they are read. This one asks for a few pieces, and for
 * the next when these are read; after a lost connection it asks again from where it was.
 */

import type { Msg } from "@nats-io/nats-core";

import { newNonce } from "../../protocol/index.js";
import type { Connection } from "../connection.js";
import { BlobError } from "../errors.js";
import { statusOf } from "../registry-client.js";
import { monotonic, pause, throwIfAborted } from "../waits.js";
import type { Bucket } from "./object-store.js";

/** Messages that are asked for at a time. */
const BATCH = 16;
/** A request without an answer is made again after this time. */
const RETRY_AFTER_MS = 5_000;
/** A replica may be behind the one that has stored a blob: how often it is asked again, and the pause in between. */
const MAX_ATTEMPTS = 10;
const RETRY_DELAY_MS = 100;
/** How often a lost connection is looked at. */
const POLL_INTERVAL_MS = 100;

interface Piece {
  readonly seq: number;
  readonly data: Uint8Array;
}

/** How a download waits. */
export interface DownloadOptions {
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** The messages of one subject. */
export class Download {
  readonly #connection: Connection;
  readonly #bucket: Bucket;
  readonly #subject: string;
  readonly #options: DownloadOptions;

  constructor(connection: Connection, bucket: Bucket, subject: string, options: DownloadOptions) {
    this.#connection = connection;
    this.#bucket = bucket;
    this.#subject = subject;
    this.#options = options;
  }

  /** @throws {BlobError} `blob_stalled`: nothing came for too long. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const { isReplicated } = this.#bucket;
    let next = 1;
    for (let attempt = 1; ; ) {
      const batch = await this.#batch(next);
      for (const piece of batch) {
        next = piece.seq + 1;
        yield piece.data;
      }
      if (batch.length > 0) {
        attempt = 1;
        continue;
      }
      if (!isReplicated || attempt >= MAX_ATTEMPTS) return;
      attempt += 1;
      await pause(RETRY_DELAY_MS, this.#options.signal);
    }
  }

  /** The next messages from a sequence number on; none where there are no more. */
  async #batch(seq: number): Promise<Piece[]> {
    const { stallTimeoutMs, signal } = this.#options;
    const deadline = monotonic() + stallTimeoutMs;
    for (;;) {
      throwIfAborted(signal);
      const left = deadline - monotonic();
      if (left <= 0) {
        throw new BlobError(`nothing more of the blob came within ${stallTimeoutMs / 1_000} s`, {
          code: "blob_stalled",
        });
      }
      if (!this.#connection.isConnected) {
        await pause(Math.min(POLL_INTERVAL_MS, left), signal);
        continue;
      }
      const waitMs = Math.min(left, RETRY_AFTER_MS);
      const batch = this.#bucket.isDirect ? await this.#direct(seq, waitMs) : await this.#single(seq);
      if (batch !== undefined) return batch;
    }
  }

  /** Of a stream without direct access. */
  async #single(seq: number): Promise<Piece[] | undefined> {
    const { jsm, stream } = this.#bucket;
    // The client's types lack the subject.
    const query = { seq, next_by_subj: this.#subject } as { seq: number };
    const found = await jsm.streams.getMessage(stream, query).catch(() => undefined);
    if (found === undefined) return undefined;
    return found === null ? [] : [{ seq: found.seq, data: found.data }];
  }

  /** One request for a batch; undefined where nothing came in time or the connection was lost before anything did. */
  #direct(seq: number, waitMs: number): Promise<Piece[] | undefined> {
    const { stream } = this.#bucket;
    const { signal } = this.#options;
    const since = this.#connection.number;
    return new Promise((resolve, reject) => {
      const pieces: Piece[] = [];
      const inbox = `${this.#connection.newInbox()}.${newNonce()}`;
      let lastArrival = monotonic();
      const finish = (): void => {
        clearInterval(timer);
        signal?.removeEventListener("abort", finish);
        if (!subscription.isClosed()) subscription.unsubscribe();
        resolve(pieces.length > 0 || isOver ? pieces : undefined);
      };
      let isOver = false;
      const arrived = (message: Msg): void => {
        lastArrival = monotonic();
        const status = statusOf(message);
        if (status !== 0) {
          // 204: the end of the batch; 404: there is no more; 503 and 408: to be tried again.
          isOver = status === 204 || status === 404;
          finish();
          return;
        }
        pieces.push({ seq: Number(message.headers?.get("Nats-Sequence") ?? 0), data: message.data });
        // A server that knows no batches sends one message without this header.
        if (message.headers?.get("Nats-Num-Pending") === "") finish();
      };
      const subscription = this.#connection.subscribe(inbox, arrived);
      const timer = setInterval(
        () => {
          const isLost = !this.#connection.isConnected || this.#connection.number !== since;
          if (isLost || monotonic() - lastArrival >= waitMs) finish();
        },
        Math.min(POLL_INTERVAL_MS, waitMs),
      );
      signal?.addEventListener("abort", finish, { once: true });
      try {
        const request = JSON.stringify({ seq, next_by_subj: this.#subject, batch: BATCH });
        this.#connection.publish(`$JS.API.DIRECT.GET.${stream}`, request, inbox);
      } catch (error) {
        clearInterval(timer);
        subscription.unsubscribe();
        // The connection was lost just now: the caller waits for it.
        if (this.#connection.isConnected) reject(error);
        else resolve(undefined);
      }
    });
  }
}
