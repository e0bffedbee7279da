import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import type { Browser } from "playwright-core";

import { eventually, Gate, within } from "../support/wait.js";
import { type OpenPage, Stage, servePage } from "./stage.js";

// A session that only its goodbye ends within the time of these tests.
let stage: Stage;
let browser: Browser;
let visitor: OpenPage;

before(async () => {
  stage = await Stage.start({ up: ["--agent-ttl-seconds", "600"] });
  browser = await stage.browser();
  visitor = await stage.join(browser, "visitor");
});
after(async () => await stage?.stop());

test("the page is listed like any agent", () => {
  const { agents } = JSON.parse(stage.agentnet("list", "--json"));
  assert.deepEqual(
    agents.map(({ username, metadata }: Record<string, unknown>) => ({ username, metadata })),
    [{ username: "visitor", metadata: { runtime: "browser" } }],
  );
});

test("an answer is shown while it comes", async () => {
  const goOn = new Gate();
  const poet = stage.node("poet").onMessage(async (message) => {
    const stream = await poet.replyStream(message);
    await stream.delta(`You asked: ${message.text}\n`);
    await goOn.promise;
    await stream.delta("Roses are red.");
    await stream.end();
  });
  await poet.start();
  await visitor.ask("poet", "a poem");
  await visitor.shows("You asked: a poem\n", false);
  goOn.open();
  await visitor.shows("You asked: a poem\nRoses are red.", true);
  await poet.close();
});

test("an agent that does not stream is answered in one piece", async () => {
  const parrot = stage
    .node("parrot")
    .onMessage((message, context) => context.reply({ text: `You said ${message.text}` }));
  await parrot.start();
  await visitor.ask("parrot", "hello");
  await visitor.shows("You said hello", true);
  await parrot.close();
});

test("Stop ends the stream at its sender", async () => {
  const cancelled = new Gate();
  const talker = stage.node("talker").onMessage(async (message) => {
    const stream = await talker.replyStream(message);
    stream.cancelled.addEventListener("abort", () => cancelled.open());
    await stream.delta("On and on");
    await cancelled.promise;
  });
  await talker.start();
  await visitor.ask("talker", "talk");
  await visitor.shows("On and on", false);
  await visitor.page.getByRole("button", { name: "Stop" }).click();
  await within("the sender hears of it", cancelled.promise);
  await visitor.shows("On and on", true);
  assert.match((await visitor.page.locator(".entry").last().textContent()) ?? "", /Stopped\./);
  await talker.close();
});

test("others ask the page, and what they send is text, not markup", async () => {
  const markup = '<img src="x" onerror="document.title = 1"><b>bold</b>';
  const reply = JSON.parse(
    stage.agentnet("request", "--json", "--to-username", "visitor", JSON.stringify({ text: markup })),
  );
  assert.match(reply.payload.text, /^@visitor is a page/);
  await visitor.shows(markup, true);
  assert.equal(await visitor.page.locator("#log img, #log b").count(), 0);
});

test("the page survives a restart of the broker", async () => {
  const parrot = stage
    .node("parrot")
    .onMessage((message, context) => context.reply({ text: `You said ${message.text}` }));
  await parrot.start();
  await stage.restartServer(() => visitor.says("Connection lost"));
  await visitor.says("Online as @visitor");
  await stage.isOnline("visitor");
  await stage.isOnline("parrot");
  await visitor.ask("parrot", "still there?");
  await visitor.shows("You said still there?", true);
  await parrot.close();
});

test("nothing was reported but the lost connection", () => {
  const others = visitor.errors.filter((error) => !/WebSocket connection to .* failed/.test(error));
  assert.deepEqual(others, []);
});

test("a page of another origin is refused, and says what may be wrong", async () => {
  const other = servePage();
  const [, origin = ""] = await other.printed(/The page is at (\S+)/);
  const stranger = await stage.open(browser, origin);
  await stranger.join(stage.ready.websocket_url, "stranger");
  const alert = stranger.page.getByRole("alert");
  await alert.waitFor();
  assert.match((await alert.textContent()) ?? "", new RegExp(`agentnet up --websocket --websocket-origin ${origin}`));
  assert.equal((await stage.online()).includes("stranger"), false);
  await other.stop();
});

test("a wrong token is refused with its reason", async () => {
  const guest = await stage.open(browser);
  await guest.join(stage.ready.websocket_url.replace(/\/\/[^@]*@/, "//guess@"), "guest");
  const alert = guest.page.getByRole("alert");
  await alert.waitFor();
  assert.match((await alert.textContent()) ?? "", /token/);
});

test("a page that leaves is offline, and joins again", async () => {
  const guest = await stage.join(browser, "guest");
  await guest.page.getByRole("button", { name: "Leave" }).click();
  await stage.isOffline("guest");
  await guest.page.getByRole("button", { name: "Join" }).click();
  await guest.says("Online as @guest");
  await guest.page.close();
  await stage.isOffline("guest");
});

test("a closed tab is offline at once", async () => {
  await stage.isOnline("visitor");
  await visitor.page.close();
  await stage.isOffline("visitor");
});

test("a reload leaves one session", async () => {
  const guest = await stage.join(browser, "reloader");
  await guest.page.reload();
  await stage.isOffline("reloader");
  await guest.join(stage.ready.websocket_url, "reloader");
  await guest.says("Online as @reloader");
  const sessions = (await stage.online()).filter((username) => username === "reloader");
  assert.equal(sessions.length, 1);
  await guest.page.close();
  await eventually("the reloaded page is offline", async () => !(await stage.online()).includes("reloader"));
});
