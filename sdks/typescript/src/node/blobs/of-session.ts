/** The blob store of a node. */

import type { Session } from "../session.js";
import type { BlobOptions } from "./settings.js";
import { BlobStore } from "./store.js";

const bySession = new WeakMap<Session, BlobStore>();

/** The store of a session, which is one for all calls; of a node that does not run, one without a connection. */
export function blobStoreOf(session: Session | undefined, settings: BlobOptions): BlobStore {
  if (session === undefined) return new BlobStore(settings);
  let store = bySession.get(session);
  if (store === undefined) {
    const { connection, registry, logger, ended, closers } = session;
    store = new BlobStore(settings, {
      connection,
      registry,
      logger,
      ended,
      onClose: (giveUp) => {
        closers.add(giveUp);
        return () => closers.delete(giveUp);
      },
    });
    bySession.set(session, store);
  }
  return store;
}
