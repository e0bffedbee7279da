/** One session on the network: from register to goodbye (PROTOCOL.md section 14). */

import { platform } from "../platform/index.js";
import {
  type AgentInfo,
  encodeGoodbye,
  encodeHello,
  type Goodbye,
  REGISTRY_SUBJECTS,
  type RegisterReply,
  RPC,
  Timestamp,
} from "../protocol/index.js";
import { Circuit } from "./circuit.js";
import { Composer } from "./composer.js";
import type { NodeConfig } from "./config.js";
import { type Connection, ROUND_TRIP_TIMEOUT_MS } from "./connection.js";
import { Deadlines } from "./deadlines.js";
import { Delivery } from "./delivery.js";
import { RegistryError } from "./errors.js";
import type { Identity, RegistrationIdentity } from "./identity.js";
import type { Logger } from "./logger.js";
import { Outbox } from "./mailbox/outbox.js";
import type { MailboxPull } from "./mailbox/pull.js";
import type { Metrics, SessionGauges } from "./metrics.js";
import type { Receiver } from "./receiver.js";
import { RegistryClient } from "./registry-client.js";
import { ReplyMux } from "./reply-mux.js";
import { shown } from "./shown.js";
import type { TaskWorker } from "./tasks/worker.js";
import { UsernameCache } from "./username-cache.js";
import { TIMED_OUT, withDeadline } from "./waits.js";

/** The interval of heartbeats where the registry names none that is usable, and the longest one. */
const DEFAULT_HEARTBEAT_SECONDS = 12;
const MAX_HEARTBEAT_SECONDS = 86_400;
/** How long a registration may take, in milliseconds. */
const REGISTER_TIMEOUT_MS = 5_000;

/** Everything that exists between start and close. */
export class Session {
  readonly config: NodeConfig;
  readonly connection: Connection;
  readonly registry: RegistryClient;
  readonly identity: Identity;
  readonly composer: Composer;
  readonly delivery: Delivery;
  readonly replies: ReplyMux;
  readonly usernames: UsernameCache;
  readonly circuit: Circuit;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** The account, as the registry gave it. */
  readonly accountId: string;
  /** The username, as the registry gave it. */
  readonly username: string;
  readonly sessionTag: string;
  /** What the registry answered to the registration. */
  readonly registration: RegisterReply;
  /** What receives messages; absent without a handler. */
  receiver: Receiver | undefined;
  /** What takes the messages of the account's mailbox; absent without a handler, or where the registry sends them. */
  mailbox: MailboxPull | undefined;
  /** What claims tasks and does them; absent without a handler for tasks. */
  tasks: TaskWorker | undefined;
  /** Whether the session claims tasks, as it has said when it was registered. */
  readonly claimsTasks: boolean;
  /** When it was registered, by the clock of this host. */
  readonly startedAt = Timestamp.now();
  /** The accounts whose mailboxes hold messages of this session. */
  readonly outbox = new Outbox();
  /** The times of its requests and handlers. */
  readonly deadlines = new Deadlines();
  /** What has to happen when the node closes, before the goodbye: streams end, uploads stop. */
  readonly closers = new Set<() => Promise<void> | void>();
  readonly #ended = new AbortController();
  readonly #heartbeatMs: number;
  readonly #cleanups: (() => void)[] = [];
  /** Whether the goodbye was published: a hello after it would bring the session back. */
  #hasParted = false;

  private constructor(
    config: NodeConfig,
    connection: Connection,
    registry: RegistryClient,
    opened: RegistrationIdentity,
    registration: RegisterReply,
    metrics: Metrics,
    claimsTasks: boolean,
  ) {
    const { limits, logger } = config;
    const { accountId, sessionTag } = registration;
    this.config = config;
    this.connection = connection;
    this.registry = registry;
    this.metrics = metrics;
    this.logger = logger;
    this.accountId = accountId;
    this.username = registration.username;
    this.sessionTag = sessionTag;
    this.registration = registration;
    this.claimsTasks = claimsTasks;
    const ended = this.#ended.signal;
    // Everything that waits in a session ends with it.
    platform.expectListeners(ended);
    const { agentId, capabilities } = config;
    this.identity = opened.session({
      agentId,
      accountId,
      sessionTag,
      capabilities,
      registry,
      limits,
      metrics,
      logger,
      ended,
    });
    this.composer = new Composer({ agentId, accountId, sessionTag }, this.identity, { ...config, ...limits });
    this.replies = new ReplyMux(registration.replyPrefix, accountId, connection.issuer, logger);
    this.delivery = new Delivery(connection, this.identity, metrics, logger, this.replies.unusedSubject);
    this.usernames = new UsernameCache(limits.resolveCacheTtlMs, registry, metrics);
    this.circuit = new Circuit(limits.circuitBreakerFailures, limits.circuitBreakerResetMs);
    const { heartbeatInterval } = registration;
    const seconds = Number.isFinite(heartbeatInterval) ? heartbeatInterval : DEFAULT_HEARTBEAT_SECONDS;
    this.#heartbeatMs = Math.min(Math.max(seconds, 1), MAX_HEARTBEAT_SECONDS) * 1_000;
  }

  /**
   * Registers on a connection.
   *
   * @param claimsTasks Whether the session is going to claim tasks.
   * @throws {RegistryError} Its message begins with `Registry register failed: `.
   */
  static async open(
    config: NodeConfig,
    connection: Connection,
    metrics: Metrics,
    signal: AbortSignal,
    claimsTasks = false,
  ): Promise<Session> {
    const { agentId, username, logger } = config;
    const { member } = connection;
    const memberKey = member === undefined ? undefined : () => member.signingKey();
    const opened = await config.identity.open({ agentId, username, logger, memberKey });
    const registry = new RegistryClient(connection, logger);
    const registration = await opened.register(requestedInfo(config), ({ auth, timeoutMs }) =>
      registry.call(
        RPC.register,
        {
          agent: requestedInfo(config),
          keepProfile: config.keepProfile,
          pullsMailbox: config.pullsMailbox,
          claimsTasks,
          ...(auth === undefined ? {} : { auth }),
        },
        { timeoutMs: timeoutMs ?? REGISTER_TIMEOUT_MS, signal },
      ),
    );
    checkAccount(connection, registration);
    return new Session(config, connection, registry, opened, registration, metrics, claimsTasks);
  }

  /** Is aborted when the session ends. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** The agent's description of itself. */
  info(): AgentInfo {
    return {
      ...requestedInfo(this.config),
      accountId: this.accountId,
      username: this.username,
      sessionTag: this.sessionTag,
    };
  }

  /** What a snapshot of the metrics shows of the session. */
  gauges(): SessionGauges {
    return {
      sessionTag: this.sessionTag,
      inflight: this.receiver?.inflight ?? 0,
      pending: this.receiver?.pending ?? 0,
      circuitOpen: this.circuit.isOpen(),
      cachedUsernames: this.usernames.size,
    };
  }

  /**
   * Says hello at every interval, and at once when the connection is back, so that a restarted registry knows the session. In a
   * page, says goodbye when the page is left.
   */
  keepAlive(): void {
    this.#cleanups.push(
      this.connection.onReconnect(() => this.#beat()),
      platform.every(this.#heartbeatMs, () => this.#beat()),
      platform.onPage({
        left: () => {
          this.#goodbye().catch((error: unknown) => this.logger.warn("goodbye not sent", { error }));
        },
        shownAgain: () => {
          this.#hasParted = false;
          this.#beat();
        },
      }),
    );
  }

  #beat(): void {
    if (this.ended.aborted) return;
    this.hello().catch((error: unknown) => this.logger.warn("heartbeat not sent", { error }));
  }

  /** Publishes a hello with the agent's counters (7.4). */
  async hello(): Promise<void> {
    if (this.#hasParted || !this.connection.isConnected) return;
    const info = this.info();
    const auth = await this.identity.signHello(info);
    if (this.#hasParted) return;
    const { inflight, pending, circuitOpen } = this.gauges();
    const counters = this.metrics.counters(inflight, pending, circuitOpen);
    const body = encodeHello(info, counters, auth, this.config.pullsMailbox, this.claimsTasks);
    this.connection.publish(REGISTRY_SUBJECTS.hello, body);
  }

  /** Publishes a hello also after a goodbye: the session is back. */
  async helloAgain(): Promise<void> {
    this.#hasParted = false;
    await this.hello();
  }

  /** Publishes the goodbye, and waits until the server has confirmed it, for at most a second. */
  async farewell(): Promise<void> {
    const confirmed = this.#goodbye().then(() => this.connection.roundTrip());
    const outcome = await withDeadline(confirmed, ROUND_TRIP_TIMEOUT_MS).catch(() => false);
    if (outcome === TIMED_OUT || outcome === false) this.logger.warn("the goodbye was not confirmed by the server");
  }

  async #goodbye(): Promise<void> {
    this.#hasParted = true;
    const goodbye: Goodbye = {
      agentId: this.config.agentId,
      sessionTag: this.sessionTag,
      seenAt: Timestamp.now().toString(),
    };
    const body = encodeGoodbye(goodbye, await this.identity.signGoodbye(goodbye));
    this.connection.publish(REGISTRY_SUBJECTS.goodbye, body);
  }

  /** Ends everything that waits, and every timer. The connection is left to the node. */
  end(): void {
    for (const cleanup of this.#cleanups) cleanup();
    this.delivery.abandon();
    this.replies.abandon();
    this.#ended.abort();
    this.deadlines.end();
    this.registry.close();
  }
}

/** In secure mode a session is of the account that the server proves. */
function checkAccount({ issuer }: Connection, { accountId }: RegisterReply): void {
  if (!issuer.isSecure || issuer.accountId === accountId) return;
  throw new RegistryError(
    `the credential is of account ${issuer.accountId}, and the registry has registered ${shown(accountId)}`,
    { code: "forbidden", rpc: RPC.register.name },
  );
}

/** The agent's description before it is registered. */
export function requestedInfo(config: NodeConfig): AgentInfo {
  const info: AgentInfo = {
    agentId: config.agentId,
    name: config.name,
    capabilities: [...config.capabilities],
    metadata: config.metadata,
    lastSeen: Timestamp.now().toString(),
  };
  if (config.accountId !== undefined) info.accountId = config.accountId;
  if (config.username !== undefined) info.username = config.username;
  return info;
}
