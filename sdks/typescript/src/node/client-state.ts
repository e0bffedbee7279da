/** What a NATS client tells of itself: whether it is connected, and when it is closed. */

import type { NatsConnection } from "@nats-io/nats-core";

/** What is called when a client is closed. */
const closings = new WeakMap<NatsConnection, Set<(cause: unknown) => void>>();

/**
 * Calls back when a client is closed, until the returned function is called: what waits for its promise could not be taken back,
 * and a client of the caller's outlives many connections.
 */
export function whenClosed(nats: NatsConnection, callback: (cause: unknown) => void): () => void {
  const callbacks = closings.get(nats) ?? new Set();
  if (!closings.has(nats)) {
    closings.set(nats, callbacks);
    const tell = (cause: unknown): void => {
      for (const told of [...callbacks]) told(cause ?? undefined);
    };
    nats.closed().then(tell, tell);
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

/** Whether a client of the caller's is connected: one that reconnects at this moment does not say so by its events. */
export function isConnectedNow(nats: NatsConnection): boolean {
  const { protocol } = nats as { protocol?: { connected?: unknown } };
  return protocol?.connected !== false;
}
