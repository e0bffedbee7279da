/** What differs by runtime. */

import type { ConnectionOptions, NatsConnection } from "@nats-io/nats-core";

/** Opens a connection to NATS by the given options. */
export type Dial = (options: ConnectionOptions) => Promise<NatsConnection>;

/** The runtime as the rest of the package sees it. */
export interface Platform {
  /** Connects by TCP; absent where the runtime cannot. */
  readonly dialTcp?: Dial;
  /** Connects by WebSocket; absent where the runtime has none. */
  dialWebSocket(): Dial | undefined;
  /** An environment variable; undefined where it is unset, and where the runtime has no environment or gives no access. */
  environment(name: string): string | undefined;
  /**
   * Calls back once when the process is told to stop (SIGINT, SIGTERM) or the page is left (`pagehide`); the returned function
   * ends that.
   */
  onStop(callback: () => void): () => void;
}
