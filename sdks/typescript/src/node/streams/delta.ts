/** What the reader of a stream gets: pieces, and the whole. */

import type { JsonValue, RawJson } from "../../json/index.js";
import { pieceText } from "../../protocol/index.js";
import type { Message } from "../message.js";

/** One piece of a stream. */
export class Delta {
  /** Its number in the stream: rising, without repetitions. The stream's start, if it has one, is number 0. */
  readonly seq: number;
  readonly #json: RawJson;

  /** @internal */
  constructor(seq: number, json: RawJson) {
    this.seq = seq;
    this.#json = json;
  }

  /** The piece's text: the piece itself where it is text, or the `text` member of an object; not trimmed. */
  get text(): string | undefined {
    return pieceText(this.#json);
  }

  /** The piece as ordinary JavaScript values; most often a text. Never null. */
  get value(): unknown {
    return this.#json.value();
  }

  /** The piece's exact JSON text. */
  get valueText(): string {
    return this.#json.text;
  }

  /** The piece without loss: integers beyond 2^53 as bigint, floats that would change as `JsonNumber`. */
  valueLossless(): JsonValue {
    return this.#json.lossless();
  }
}

/** A stream that came to its end. */
export class StreamReply {
  /**
   * The whole text: as its end gives it, else the texts of all pieces, joined; where no piece had any, the text of the result.
   */
  readonly text: string;
  /** Pieces in all. */
  readonly deltas: number;
  /** The stream's id; of an ordinary reply, its message id. */
  readonly streamId: string;
  /** The message that ended the stream, or the ordinary reply. */
  readonly message: Message;
  readonly #result: RawJson | undefined;
  readonly #metadata: RawJson | undefined;

  /** @internal */
  constructor(reply: {
    readonly text: string;
    readonly deltas: number;
    readonly streamId: string;
    readonly message: Message;
    readonly result: RawJson | undefined;
    readonly metadata: RawJson | undefined;
  }) {
    this.text = reply.text;
    this.deltas = reply.deltas;
    this.streamId = reply.streamId;
    this.message = reply.message;
    this.#result = reply.result;
    this.#metadata = reply.metadata;
  }

  /** The result in the end, or the payload of an ordinary reply; undefined where there is none. */
  get result(): unknown {
    return this.#result?.value();
  }

  /** The exact JSON text of the result. */
  get resultText(): string | undefined {
    return this.#result?.text;
  }

  /** The metadata of the stream's start; undefined where it has none. */
  get metadata(): unknown {
    return this.#metadata?.value();
  }
}
