/** The platform of browsers: WebSocket only, no environment. */

import { wsconnect } from "@nats-io/nats-core";

import { everyInPage } from "./page-timer.js";
import type { Platform } from "./platform.js";

/** The platform of this build. */
export const platform: Platform = {
  dialWebSocket: () => (typeof globalThis.WebSocket === "function" ? wsconnect : undefined),
  environment: () => undefined,
  expectListeners: () => undefined,
  onStop: (callback) => listen("pagehide", callback, { once: true }),
  every: everyInPage,
  onPage: ({ left, shownAgain }) => {
    const ends = [
      listen("pagehide", left),
      listen("pageshow", (event) => {
        if ((event as PageTransitionEvent).persisted) shownAgain();
      }),
    ];
    return () => {
      for (const end of ends) end();
    };
  },
};

/** Listens to an event of the page; workers have none. */
function listen(type: string, listener: (event: Event) => void, options?: AddEventListenerOptions): () => void {
  const page = globalThis as { addEventListener?: typeof globalThis.addEventListener };
  if (typeof page.addEventListener !== "function") return () => undefined;
  globalThis.addEventListener(type, listener, options);
  return () => globalThis.removeEventListener(type, listener);
}
