// A page that is an agent: it joins the network over WebSocket, asks other agents, and shows their answers as they come.
import { AgentNode } from "./agentnet-sdk.js";

const REFRESH_MS = 2_000;
/** What a page keeps of a conversation; older entries are removed. */
const MAX_ENTRIES = 200;

const element = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));
/** The node while the page is on the network. */
let node;
/** The agents that were listed last, by account. */
let agents = new Map();
/** The conversation with each agent is a thread of its own. */
const threads = new Map();
/** The answer that is being received. */
let asking;
let refreshTimer;

element.origin.textContent = location.origin;
element.username.value = `visitor_${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
element.join.addEventListener("submit", (event) => {
  event.preventDefault();
  void join();
});
element.leave.addEventListener("click", leave);
element.ask.addEventListener("submit", (event) => {
  event.preventDefault();
  void ask();
});
element.stop.addEventListener("click", () => asking?.abort());
element.question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!element.send.disabled) element.ask.requestSubmit();
});
// The SDK has said goodbye when the page was left. A page that the browser kept and shows again joins anew.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

async function join() {
  showError();
  element["join-button"].disabled = true;
  showStatus("waiting", "Joining…");
  const username = element.username.value.trim();
  const joining = new AgentNode({
    agentId: "browser_page",
    name: username,
    username,
    natsUrl: element.url.value.trim(),
    metadata: { runtime: "browser" },
  }).onMessage(receive);
  try {
    await joining.start();
  } catch (error) {
    showStatus("offline", "Not on the network");
    showError(explain(error));
    return;
  } finally {
    element["join-button"].disabled = false;
  }
  node = joining;
  element.join.hidden = true;
  element.network.hidden = false;
  element.leave.hidden = false;
  await refresh();
  element.question.focus();
}

async function leave() {
  clearTimeout(refreshTimer);
  asking?.abort();
  const leaving = node;
  node = undefined;
  element.network.hidden = true;
  element.leave.hidden = true;
  element.join.hidden = false;
  showStatus("offline", "Not on the network");
  element.username.focus();
  await leaving?.close();
}

/** Lists the agents online, now and again. */
async function refresh() {
  clearTimeout(refreshTimer);
  const current = node;
  try {
    const online = await current.listOnline();
    if (node !== current) return;
    showStatus("online", `Online as @${current.username}`);
    showAgents(online.filter((agent) => agent.accountId !== current.accountId));
  } catch {
    if (node !== current) return;
    showStatus("waiting", "Connection lost, trying again…");
  }
  refreshTimer = setTimeout(refresh, REFRESH_MS);
}

/** Shows each account once, however many processes it has. Rows that stay are kept, and with them focus and choice. */
function showAgents(online) {
  agents = new Map(online.map((agent) => [agent.accountId, agent]));
  for (const row of [...element.agents.children]) {
    if (!agents.has(row.dataset.account)) row.remove();
  }
  const shown = new Set([...element.agents.children].map((row) => row.dataset.account));
  for (const [account, agent] of agents) {
    if (!shown.has(account)) element.agents.append(agentRow(account, agent));
  }
  element.nobody.hidden = agents.size > 0;
  chosenChanged();
}

function agentRow(account, agent) {
  const row = document.createElement("label");
  row.className = "agent";
  row.dataset.account = account;
  const choice = Object.assign(document.createElement("input"), { type: "radio", name: "agent", value: account });
  choice.addEventListener("change", chosenChanged);
  const text = document.createElement("span");
  const name = Object.assign(document.createElement("b"), { textContent: `@${agent.username}` });
  const does = Object.assign(document.createElement("small"), {
    textContent: agent.capabilities.join(", ") || agent.name,
  });
  text.append(name, does);
  row.append(choice, text);
  return row;
}

function chosenAgent() {
  return agents.get(element.agents.querySelector(":checked")?.value);
}

function chosenChanged() {
  const agent = chosenAgent();
  element["question-label"].textContent = agent === undefined ? "Your question" : `Your question to @${agent.username}`;
  element.send.disabled = agent === undefined || asking !== undefined;
}

async function ask() {
  const agent = chosenAgent();
  const text = element.question.value.trim();
  if (agent === undefined || text === "" || asking !== undefined) return;
  element.question.value = "";
  showEntry({ who: `You to @${agent.username}`, text, isMine: true });
  const answer = showEntry({ who: `@${agent.username}`, isBusy: true });
  asking = new AbortController();
  element.stop.hidden = false;
  chosenChanged();
  try {
    const stream = node.requestStream(
      agent.accountId,
      { text },
      { threadId: threadWith(agent), signal: asking.signal },
    );
    for await (const delta of stream) answer.add(delta.text ?? JSON.stringify(delta.value));
    answer.end();
  } catch (error) {
    if (asking.signal.aborted) answer.end("Stopped.");
    else answer.fail(explain(error));
  } finally {
    asking = undefined;
    element.stop.hidden = true;
    chosenChanged();
  }
}

function threadWith(agent) {
  if (!threads.has(agent.accountId)) threads.set(agent.accountId, `page_${crypto.randomUUID()}`);
  return threads.get(agent.accountId);
}

/** Handles what other agents send to this page. */
async function receive(message, context) {
  const sender = agents.get(message.fromAccountId);
  const who = sender === undefined ? message.fromAgent : `@${sender.username}`;
  showEntry({ who: `${who} to you`, text: message.text ?? message.payloadText });
  if (message.wantsReply)
    await context.reply({ text: `@${node.username} is a page. A person has your message on the screen.` });
}

/** Adds an entry to the conversation. All text from the network is text, never markup. */
function showEntry({ who, text = "", isMine = false, isBusy = false }) {
  element.empty.hidden = true;
  const entry = Object.assign(document.createElement("div"), { className: isMine ? "entry mine" : "entry" });
  const name = Object.assign(document.createElement("span"), { className: "who", textContent: who });
  const body = Object.assign(document.createElement("span"), { className: "text", textContent: text });
  entry.append(name, body);
  // Assistive technology reads an answer once it is complete.
  if (isBusy) entry.setAttribute("aria-busy", "true");
  element.log.append(entry);
  while (element.log.querySelectorAll(".entry").length > MAX_ENTRIES) element.log.querySelector(".entry").remove();
  scrollDown(true);
  const end = (note) => {
    const isAtEnd = isScrolledDown();
    entry.removeAttribute("aria-busy");
    if (note !== undefined) {
      entry.append(Object.assign(document.createElement("span"), { className: "note", textContent: note }));
    }
    scrollDown(isAtEnd);
  };
  return {
    add(more) {
      const isAtEnd = isScrolledDown();
      body.append(more);
      scrollDown(isAtEnd);
    },
    end,
    fail(problem) {
      entry.classList.add("failed");
      end(problem);
    },
  };
}

function isScrolledDown() {
  const { scrollTop, scrollHeight, clientHeight } = element.log;
  return scrollHeight - scrollTop - clientHeight < 40;
}

function scrollDown(isWanted) {
  if (isWanted) element.log.scrollTop = element.log.scrollHeight;
}

function showStatus(state, text) {
  element.status.dataset.state = state;
  if (element.status.textContent !== text) element.status.textContent = text;
}

function showError(text) {
  element.error.hidden = text === undefined;
  element.error.textContent = text ?? "";
}

/** An error for people. A browser does not tell a page why a WebSocket failed, so the common causes are listed. */
function explain(error) {
  if (error.code !== "connect_failed" || error.reason !== "unreachable") return error.message;
  return `${error.message}\nIs the network up, and does it let this page in? agentnet up --websocket --websocket-origin ${location.origin}`;
}
