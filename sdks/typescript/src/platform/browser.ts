/** The platform of browsers: WebSocket only, no environment. */

import { wsconnect } from "@nats-io/nats-core";

import type { Platform } from "./platform.js";

/** The platform of this build. */
export const platform: Platform = {
  dialWebSocket: () => (typeof globalThis.WebSocket === "function" ? wsconnect : undefined),
  environment: () => undefined,
  onStop: (callback) => {
    // Absent in workers.
    const page = globalThis as { addEventListener?: typeof globalThis.addEventListener };
    if (typeof page.addEventListener !== "function") return () => undefined;
    const stop = (): void => callback();
    globalThis.addEventListener("pagehide", stop, { once: true });
    return () => globalThis.removeEventListener("pagehide", stop);
  },
};
