import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { connect } from "@nats-io/transport-node";
import type { Browser } from "playwright-core";

import { eventually } from "../support/wait.js";
import { Stage } from "./stage.js";

let stage: Stage;
let browser: Browser;

before(async () => {
  // A session that misses its hellos is gone within the time of these tests.
  stage = await Stage.start({ up: ["--agent-ttl-seconds", "4", "--heartbeat-interval-seconds", "1"] });
  browser = await stage.browser();
});
after(async () => await stage?.stop());

/** Runs in the page: from `hidePage()` on it is hidden, and its timers do not fire at all, which is worse than once a minute. */
function standStill(): void {
  let isHidden = false;
  Object.defineProperty(document, "visibilityState", { get: () => (isHidden ? "hidden" : "visible") });
  Object.assign(globalThis, {
    hidePage: () => {
      isHidden = true;
      document.dispatchEvent(new Event("visibilitychange"));
    },
  });
  for (const name of ["setTimeout", "setInterval"] as const) {
    const real = globalThis[name] as (callback: () => void, delay?: number) => number;
    const whileVisible = (callback: (...values: unknown[]) => void, delay?: number, ...values: unknown[]) =>
      real(() => {
        if (!isHidden) callback(...values);
      }, delay);
    Object.assign(globalThis, { [name]: whileVisible });
  }
}

test("a hidden page stays online although its timers stand still", async () => {
  const context = await browser.newContext();
  await context.addInitScript(standStill);
  const hidden = await stage.join(context, "hidden");
  await hidden.page.evaluate(() => (globalThis as unknown as { hidePage(): void }).hidePage());
  const { hostname, port, username } = new URL(stage.ready.url);
  const nats = await connect({ servers: `${hostname}:${port}`, token: username });
  try {
    let hellos = 0;
    nats.subscribe("registry.hello", {
      callback: (_error, message) => {
        if (message.string().includes('"username":"hidden"')) hellos += 1;
      },
    });
    // Six seconds of hellos, in a session that lives for four without them.
    await eventually("the hidden page says hello", () => hellos >= 6);
    assert.ok((await stage.online()).includes("hidden"));
  } finally {
    await nats.close();
  }
  assert.deepEqual(hidden.errors, []);
  await context.close();
});

test("a tab that crashes is offline after its time to live", async () => {
  const crashing = await stage.join(browser, "crashing");
  await stage.isOnline("crashing");
  const crashed = crashing.page.waitForEvent("crash");
  crashing.page.goto("chrome://crash").catch(() => undefined);
  await crashed;
  await stage.isOffline("crashing");
});
