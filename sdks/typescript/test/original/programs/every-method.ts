/**
 * A program for the original's client that uses each of its methods, types, functions and constants, with the one import that it
 * would have. It prints one line of JSON for each step.
 */
import assert from "node:assert/strict";
import {
  type AgentInfo,
  type AgentMessage,
  AgentNetClient,
  type AgentNetClientOptions,
  AgentNetError,
  type AgentNetErrorData,
  accountInboxSubject,
  accountReceiptsSubject,
  agentCapabilitySubject,
  type CompactionRequiredEvent,
  type DeliveryReceipt,
  isCompactionRequired,
  type ListThreadsOptions,
  parseCompactionRequired,
  REGISTRY_GOODBYE_SUBJECT,
  REGISTRY_HELLO_SUBJECT,
  REGISTRY_LIST_SUBJECT,
  REGISTRY_MESSAGE_SEARCH_SUBJECT,
  REGISTRY_PROFILE_SUBJECT,
  REGISTRY_REGISTER_SUBJECT,
  REGISTRY_RESOLVE_ACCOUNT_SUBJECT,
  REGISTRY_SEARCH_SUBJECT,
  REGISTRY_THREAD_LIST_SUBJECT,
  REGISTRY_THREAD_MESSAGES_SUBJECT,
  REGISTRY_THREAD_STATUS_SUBJECT,
  type RegisterResponse,
  type RequestOptions,
  type SearchMessagesOptions,
  type SearchProfilesOptions,
  type SendOptions,
  type ThreadMessagesOptions,
  type ThreadStatusOptions,
} from "agentnet-sdk";

const natsUrl = process.env.AGENTNET_NATS_URL ?? "nats://agentnet_secret_token@localhost:4222";

function step(name: string, value: unknown = null): void {
  console.log(JSON.stringify({ step: name, value }));
}

/** Waits for what the registry records behind the messages. */
async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 60_000;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`${what} does not happen`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (err) {
    if (err instanceof AgentNetError) {
      assert.equal(err.name, "AgentNetError");
      const detail: string | undefined = err.detail;
      assert.ok(detail === undefined || typeof detail === "string");
      return err.code;
    }
    throw err;
  }
  throw new Error("it did not fail");
}

async function lifeOfAClient(): Promise<AgentNetClient> {
  assert.throws(() => new AgentNetClient({ natsUrl: " " }), { message: "natsUrl is required" });
  const options: AgentNetClientOptions = {
    natsUrl,
    agentId: "every_method",
    name: "Every Method",
    username: "every_method",
    capabilities: ["mesh.agent", "plain"],
    metadata: { version: 1 },
    defaultTtlMs: 20_000,
    defaultRequestTimeoutMs: 10_000,
    defaultSchemaVersion: "1.1",
  };
  const client = new AgentNetClient(options);
  const account: string | null = client.getAccountId();
  assert.equal(account, null);
  assert.equal(client.getSessionTag(), null);
  assert.equal(await codeOf(client.listOnlineAgents()), "not_connected");
  await client.connect();
  assert.equal(await codeOf(client.send("@x", {})), "not_registered");
  const registered: RegisterResponse = await client.start();
  assert.equal(client.getAccountId(), registered.account_id);
  assert.equal(client.getSessionTag(), registered.session_tag);
  const interval: number | undefined = registered.heartbeat_interval;
  assert.ok(interval !== undefined && interval > 0 && (registered.ttl_seconds ?? 0) > 0);
  await client.register();
  await client.publishHello();
  step("started", registered.username);
  return client;
}

async function messages(client: AgentNetClient, peer: AgentNetClient): Promise<void> {
  const received: AgentMessage[] = [];
  await peer.subscribeInbox(async (message: AgentMessage, ctx) => {
    received.push(message);
    const asked = message.payload as { text?: string };
    if (asked.text === "subject") await ctx.reply({ text: ctx.raw.subject });
    else if (message.kind === "request") {
      const replyOptions: SendOptions = { kind: "reply", traceId: message.trace_id };
      const id: string = await ctx.reply({ text: `heard ${asked.text}` }, replyOptions);
      assert.ok(id.length > 0);
    }
  });
  const peerAccount = peer.getAccountId();
  assert.ok(peerAccount);
  const sendOptions: SendOptions = {};
  sendOptions.threadId = "every_thread";
  sendOptions.kind = "direct";
  sendOptions.ttlMs = 15_000;
  sendOptions.traceId = "trace_1";
  sendOptions.parentMessageId = "parent_1";
  sendOptions.requireDeliveryAck = true;
  sendOptions.retryAttempts = 1;
  sendOptions.receiptTimeoutMs = 5_000;
  const first: string = await client.send("@every_peer", { text: "one" }, { ...sendOptions, idempotencyKey: "k1" });
  await client.sendToUsername("every_peer", { text: "two" }, sendOptions);
  await client.sendToAccount(peerAccount, { text: "three" }, sendOptions);
  await client.send(`account:${peerAccount}`, { text: "four" }, { threadId: "every_thread" });
  await until("the four messages arrive", async () => (received.length === 4 ? true : undefined));
  const one = received.find((message) => message.message_id === first);
  assert.deepEqual(
    [one?.thread_id, one?.trace_id, one?.parent_message_id, one?.idempotency_key, one?.ttl_ms, one?.from_account_id],
    ["every_thread", "trace_1", "parent_1", "k1", 15_000, client.getAccountId()],
  );
  const requestOptions: RequestOptions = { threadId: "every_thread", timeoutMs: 20_000, requireDeliveryAck: false };
  const reply: AgentMessage = await client.request("@every_peer", { text: "five" }, requestOptions);
  assert.deepEqual(reply.payload, { text: "heard five" });
  const parent: string | undefined = reply.parent_message_id;
  assert.ok(parent);
  assert.equal((await client.requestUsername("every_peer", { text: "six" })).kind, "reply");
  const subject = await client.requestAccount(peerAccount, { text: "subject" }, { timeoutMs: 20_000 });
  assert.deepEqual(subject.payload, { text: accountInboxSubject(peerAccount) });
  assert.equal(await codeOf(client.send("@nobody_of_this_name", {})), "resolve_account_failed");
  step("messages", received.length);
}

async function registry(client: AgentNetClient): Promise<void> {
  const online: AgentInfo[] = await client.listOnlineAgents(5_000);
  const peer = online.find((agent) => agent.username === "every_peer");
  assert.ok(peer?.account_id && peer.session_tag && peer.last_seen);
  assert.deepEqual([peer.agent_id, peer.name, peer.capabilities, peer.metadata], ["every_peer", "Every Peer", [], {}]);
  const resolved: { accountId: string; username: string } = await client.resolveAccountByUsername("@every_peer", 5_000);
  assert.deepEqual(resolved, { accountId: peer.account_id, username: "every_peer" });
  const search: SearchProfilesOptions = { query: "every_", capability: "plain", limit: 5, onlineOnly: true };
  const profiles: Record<string, unknown>[] = await client.searchProfiles({ ...search, timeoutMs: 5_000 });
  assert.deepEqual(
    profiles.map((profile) => profile.username),
    ["every_method"],
  );
  const byName: Record<string, unknown> = await client.getProfile({ username: "every_peer" }, 5_000);
  const byId = await client.getProfile({ accountId: peer.account_id });
  assert.equal(byName.account_id, byId.account_id);
  assert.equal(await codeOf(client.getProfile({ username: "nobody_of_this_name" })), "profile_failed");

  const limits: ThreadStatusOptions = { softLimitTokens: 100, hardLimitTokens: 200, timeoutMs: 5_000 };
  await until("the thread is recorded", async () => {
    const status: Record<string, unknown> = await client.threadStatus("every_thread", limits);
    return status.message_count === 6 ? status : undefined;
  });
  const list: ListThreadsOptions = { query: "every_", participantUsername: "every_peer", limit: 5, timeoutMs: 5_000 };
  list.participantAccountId = peer.account_id;
  list.softLimitTokens = 100;
  list.hardLimitTokens = 200;
  const threads: Record<string, unknown>[] = await client.listThreads(list);
  assert.equal(threads[0]?.thread_id, "every_thread");
  const page: ThreadMessagesOptions = { limit: 4, timeoutMs: 5_000 };
  const newest: Record<string, unknown> = await client.getThreadMessages("every_thread", page);
  assert.equal((newest.messages as unknown[]).length, 4);
  page.cursor = String(newest.next_cursor);
  const oldest = await client.getThreadMessages("every_thread", page);
  assert.equal((oldest.messages as unknown[]).length, 2);
  const filters: SearchMessagesOptions = { threadId: "every_thread", kind: "request", limit: 10, timeoutMs: 5_000 };
  filters.fromAccountId = client.getAccountId() ?? "";
  filters.toAccountId = peer.account_id;
  filters.fromTs = "2020-01-01T00:00:00Z";
  filters.toTs = "2120-01-01T00:00:00Z";
  const found: Record<string, unknown> = await client.searchMessages(filters);
  assert.equal((found.messages as unknown[]).length, 1);
  step("registry", threads.length);
}

function functionsAndConstants(): void {
  const payload = { type: "compaction_required", thread_id: "t", message_count: 30, reason: "too long" };
  assert.equal(isCompactionRequired({ payload }), true);
  assert.equal(isCompactionRequired({ text: "no" }), false);
  const event: CompactionRequiredEvent | null = parseCompactionRequired(payload);
  assert.deepEqual([event?.thread_id, event?.message_count, event?.keep_tail_messages], ["t", 30, 0]);
  assert.equal(parseCompactionRequired("no"), null);
  const data: AgentNetErrorData = { code: "c", detail: "d" };
  const error = new AgentNetError("m", data);
  assert.deepEqual([error.message, error.code, error.detail, error.name], ["m", "c", "d", "AgentNetError"]);
  const receipt: DeliveryReceipt = { message_id: "m", status: "accepted", event_at: "now" };
  assert.equal(receipt.code, undefined);
  assert.equal(accountReceiptsSubject("a"), "account.a.receipts");
  assert.equal(agentCapabilitySubject("c"), "agent.capability.c");
  step("constants", [
    REGISTRY_REGISTER_SUBJECT,
    REGISTRY_HELLO_SUBJECT,
    REGISTRY_GOODBYE_SUBJECT,
    REGISTRY_LIST_SUBJECT,
    REGISTRY_RESOLVE_ACCOUNT_SUBJECT,
    REGISTRY_SEARCH_SUBJECT,
    REGISTRY_PROFILE_SUBJECT,
    REGISTRY_THREAD_STATUS_SUBJECT,
    REGISTRY_THREAD_LIST_SUBJECT,
    REGISTRY_THREAD_MESSAGES_SUBJECT,
    REGISTRY_MESSAGE_SEARCH_SUBJECT,
  ]);
}

const peer = new AgentNetClient({ natsUrl, agentId: "every_peer", name: "Every Peer", username: "every_peer" });
await peer.start();
const client = await lifeOfAClient();
await messages(client, peer);
await registry(client);
functionsAndConstants();
await client.publishGoodbye();
await client.close();
await peer.close();
assert.equal(client.getAccountId(), null);
step("closed");
