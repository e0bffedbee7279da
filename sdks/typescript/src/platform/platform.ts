/** What differs by runtime. */

import type * as fs from "node:fs/promises";
import type * as path from "node:path";
import type { ConnectionOptions, NatsConnection } from "@nats-io/nats-core";

/** Opens a connection to NATS by the given options. */
export type Dial = (options: ConnectionOptions) => Promise<NatsConnection>;

/** The runtime as the rest of the package sees it. */
export interface Platform {
  /** Connects by TCP; absent where the runtime cannot. */
  readonly dialTcp?: Dial;
  /** Connects by WebSocket; absent where the runtime has none. */
  dialWebSocket(): Dial | undefined;
  /** An incremental SHA-256 that is faster than one in JavaScript; absent where the runtime has none that is synchronous. */
  readonly sha256?: () => { update(bytes: Uint8Array): unknown; digest(): Uint8Array };
  /** UTF-8 into memory that is shared by many small texts: a buffer for each costs more than its bytes. Absent where there is none. */
  readonly encodeUtf8?: (text: string) => Uint8Array;
  /** Files; absent in browsers. */
  readonly files?: Files;
  /** An environment variable; undefined where it is unset, and where the runtime has no environment or gives no access. */
  environment(name: string): string | undefined;
  /** Takes any number of listeners of a signal for no leak, of which some runtimes warn. */
  expectListeners(signal: AbortSignal): void;
  /**
   * Calls back once when the process gets SIGINT or SIGTERM or the page is left (`pagehide`); the returned function
   * ends that.
   */
  onStop(callback: () => void): () => void;
  /**
   * Calls back at an interval, about; in a page that is hidden too, where browsers slow timers down to one a minute. The
   * returned function ends that.
   */
  every(milliseconds: number, callback: () => void): () => void;
  /** Calls back when a page is left, and when the browser shows it again. Other runtimes have no pages. */
  onPage(callbacks: PageCallbacks): () => void;
}

/** The files of a runtime that has some. */
export interface Files {
  readonly fs: typeof fs;
  readonly path: typeof path;
  /** Whether files have no owner-only mode, and directories cannot be synchronised. */
  readonly isWindows: boolean;
  /** Flags to open a file for reading without following a link. */
  readonly readNoFollow: number;
  /** Puts the names in a directory on disk. */
  syncDirectory(directory: string): Promise<void>;
}

/** See {@link Platform.onPage}. */
export interface PageCallbacks {
  /** The page is left. Only what is sent before the next task still goes out. */
  left(): void;
  /** The browser had kept the page as it was, and shows it again. */
  shownAgain(): void;
}
