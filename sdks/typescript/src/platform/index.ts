/**
 * The platform of Node.js, Deno and Bun. The browser build takes `browser.ts` in the place of this file.
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";

import { wsconnect } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";

import { files } from "./files.js";
import type { Platform } from "./platform.js";
import { keepingTransport } from "./transports.js";

const STOP_SIGNALS = ["SIGINT", "SIGTERM"] as const;

const dialTcp = keepingTransport(connect);
const dialWebSocket = keepingTransport(wsconnect);

/** The platform of this build. */
export const platform: Platform = {
  dialTcp,
  files,
  sha256: () => createHash("sha256"),
  encodeUtf8: (text) => Buffer.from(text),
  // Node.js has a WebSocket from version 22 on.
  dialWebSocket: () => (typeof globalThis.WebSocket === "function" ? dialWebSocket : undefined),
  environment: (name) => {
    try {
      return globalThis.process?.env[name];
    } catch {
      // Deno, without the permission to read it.
      return undefined;
    }
  },
  expectListeners: (signal) => {
    try {
      setMaxListeners(0, signal);
    } catch {
      // A runtime that knows it of its own emitters only does not warn of signals.
    }
  },
  onStop: (callback) => {
    const stop = (): void => {
      unwatch();
      callback();
    };
    const unwatch = (): void => {
      for (const signal of STOP_SIGNALS) process.off(signal, stop);
    };
    for (const signal of STOP_SIGNALS) process.on(signal, stop);
    return unwatch;
  },
  every: (milliseconds, callback) => {
    const timer = setInterval(callback, milliseconds);
    return () => clearInterval(timer);
  },
  onPage: () => () => undefined,
};
