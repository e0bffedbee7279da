/**
 * TCP and WebSocket in one process.
 *
 * The NATS client keeps its transport in one variable for the whole process: the last `connect` or `wsconnect` decides what every
 * connection uses when it reconnects. Here each connection selects its own again before it dials.
 */

import type { NatsConnection } from "@nats-io/nats-core";

import type { Dial } from "./platform.js";

/** The connections of one kind that are being made, at most one kind at a time. */
let dialing: { readonly dial: Dial; count: number; readonly done: Promise<void>; readonly end: () => void } | undefined;

/** The same, such that its connections keep their transport. */
export function keepingTransport(dial: Dial): Dial {
  return async (options) => {
    while (dialing !== undefined && dialing.dial !== dial) await dialing.done;
    const mine = dialing ?? begin(dial);
    mine.count += 1;
    try {
      const nats = await dial(options);
      selectBeforeDialing(nats, dial);
      return nats;
    } finally {
      mine.count -= 1;
      if (mine.count === 0) {
        dialing = undefined;
        mine.end();
      }
    }
  };
}

function begin(dial: Dial): NonNullable<typeof dialing> {
  let end!: () => void;
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  dialing = { dial, count: 0, done, end };
  return dialing;
}

/** `prepare` is what the client calls, at the start of each attempt, to make a transport. */
function selectBeforeDialing(nats: NatsConnection, dial: Dial): void {
  const { protocol } = nats as { protocol?: { prepare?: () => unknown } };
  const prepare = protocol?.prepare;
  if (protocol === undefined || typeof prepare !== "function") return;
  protocol.prepare = () => {
    select(dial);
    return prepare.call(protocol);
  };
}

/** Makes this the transport of the process. A call with options that exclude each other does that, and connects to nothing. */
function select(dial: Dial): void {
  dial({ servers: ["127.0.0.1:4222"], port: 4222 }).then(
    (nats) => nats.close(),
    () => undefined,
  );
}
