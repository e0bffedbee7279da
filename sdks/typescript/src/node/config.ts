/** Everything about a node that does not change while it runs. */

import type { NatsConnection } from "@nats-io/nats-core";

import { RawJson } from "../json/index.js";
import { platform } from "../platform/index.js";
import { checkAgent, type MemberIdentity, usableUsername } from "../protocol/index.js";
import { type BlobOptions, resolveBlobSettings } from "./blobs/settings.js";
import { described, optionsOf } from "./checks.js";
import { DevAuth, devAuthFromEnvironment } from "./dev-auth/index.js";
import { InvalidArgumentError } from "./errors.js";
import { type IdentityProvider, UNSIGNED } from "./identity.js";
import { type Limits, resolveLimits } from "./limits.js";
import { CONSOLE_LOGGER, guarded, type Logger } from "./logger.js";
import { checkAddress, identityFileOf, memberOf } from "./member-login.js";
import { natsUrlFromEnvironment } from "./nats-url.js";
import type { NodeOptions } from "./options.js";

/** The most tasks that a node may do at the same time. */
const MAX_TASK_CONCURRENCY = 10_000;

/** The options of a node, checked and with their defaults. */
export interface NodeConfig {
  readonly agentId: string;
  readonly name: string;
  readonly username: string | undefined;
  readonly accountId: string | undefined;
  readonly capabilities: readonly string[];
  readonly metadata: RawJson;
  readonly keepProfile: boolean;
  /** Addresses, or a connection of the caller's. */
  readonly target: string | readonly string[] | NatsConnection;
  /** The member that the node is, in secure mode, where no file is named by the address. */
  readonly member: MemberIdentity | undefined;
  readonly limits: Limits;
  readonly identity: IdentityProvider;
  readonly schemaVersion: string | undefined;
  readonly blobs: BlobOptions;
  /** Whether the node takes the messages of its account's mailbox itself. */
  readonly pullsMailbox: boolean;
  /** How many tasks the node does at the same time. */
  readonly taskConcurrency: number;
  readonly logger: Logger;
}

/**
 * Checks the options of a node.
 *
 * @throws {InvalidArgumentError} `invalid_option`. @throws {ConnectError} reason `url`. @throws {UsernameError} @throws {TooLarge}
 * @throws {JsonError} The metadata cannot be written as JSON. @throws {KeyError} The identity is none.
 */
export function checkOptions(given: NodeOptions): NodeConfig {
  const options = optionsOf(given);
  const agentId = required("agentId", options.agentId);
  const metadata = options.metadata ?? {};
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw new InvalidArgumentError("metadata must be an object");
  }
  const username = optional("username", options.username);
  if (username !== undefined) usableUsername(username);
  const member = options.identity === undefined || options.identity === null ? undefined : memberOf(options.identity);
  const config: NodeConfig = {
    agentId,
    name: optional("name", options.name) ?? agentId,
    username,
    accountId: optional("accountId", options.accountId),
    capabilities: capabilitiesOf(options.capabilities),
    metadata: RawJson.from(metadata),
    keepProfile: options.keepProfile === true,
    target: targetOf(options, member),
    member,
    limits: resolveLimits(options.limits, platform.environment),
    identity: identityOf(options.devAuth),
    schemaVersion: optional("schemaVersion", options.schemaVersion),
    blobs: options.blobs ?? {},
    pullsMailbox: options.pullMailbox !== false,
    taskConcurrency: concurrencyOf(options.taskConcurrency),
    logger: guarded(options.logger ?? CONSOLE_LOGGER),
  };
  resolveBlobSettings(config.blobs);
  checkAgent({
    agentId,
    name: config.name,
    capabilities: [...config.capabilities],
    metadata: config.metadata,
    ...(username === undefined ? {} : { username }),
    ...(config.accountId === undefined ? {} : { accountId: config.accountId }),
  });
  return config;
}

function concurrencyOf(tasks: unknown): number {
  if (tasks === undefined || tasks === null) return 1;
  if (typeof tasks === "number" && Number.isInteger(tasks) && tasks >= 1 && tasks <= MAX_TASK_CONCURRENCY) return tasks;
  throw new InvalidArgumentError(
    `taskConcurrency must be a whole number from 1 to ${MAX_TASK_CONCURRENCY}, not ${described(tasks)}`,
  );
}

function identityOf(devAuth: NodeOptions["devAuth"]): IdentityProvider {
  if (devAuth === undefined) return devAuthFromEnvironment() ?? UNSIGNED;
  if (typeof devAuth === "boolean") return devAuth ? new DevAuth() : UNSIGNED;
  if (typeof devAuth !== "object" || devAuth === null || typeof devAuth.open !== "function") {
    throw new InvalidArgumentError("devAuth must be true, false or a DevAuth");
  }
  return devAuth;
}

function targetOf(
  options: NodeOptions,
  member: MemberIdentity | undefined,
): string | readonly string[] | NatsConnection {
  const { connection, servers, natsUrl } = options;
  const given = [connection, servers, natsUrl].filter((one) => one !== undefined);
  if (given.length > 1) throw new InvalidArgumentError("give one of natsUrl, servers and connection");
  if (connection !== undefined) {
    if (typeof connection.publish !== "function" || typeof connection.subscribe !== "function") {
      throw new InvalidArgumentError("connection must be a NatsConnection of @nats-io/nats-core");
    }
    return connection;
  }
  const named = servers ?? optional("natsUrl", natsUrl) ?? member?.urls;
  const address = named ?? natsUrlFromEnvironment(platform.environment);
  if (member !== undefined && identityFileOf(address) !== undefined) {
    throw new InvalidArgumentError("give one of identity and an address identity:FILE");
  }
  // Here, so that a wrong address is an error of the constructor.
  checkAddress(address);
  return address;
}

function capabilitiesOf(capabilities: readonly string[] | undefined): readonly string[] {
  if (capabilities === undefined) return [];
  if (!Array.isArray(capabilities) || capabilities.some((capability) => typeof capability !== "string")) {
    throw new InvalidArgumentError("capabilities must be an array of strings");
  }
  return [...capabilities];
}

function required(name: string, value: unknown): string {
  const text = optional(name, value);
  if (text === undefined || text.trim() === "") throw new InvalidArgumentError(`${name} is required`);
  return text;
}

function optional(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new InvalidArgumentError(`${name} must be a string, not ${typeof value}`);
  return value === "" ? undefined : value;
}
