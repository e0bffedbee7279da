/** The requests and replies of the registry's RPCs (PROTOCOL.md section 6). Times are texts of section 3. */

import type { RawJson } from "../json/index.js";
import type { AgentInfo } from "./agent-info.js";
import type { SigningScope } from "./auth.js";
import type { AccountHit, HistoryMessage, ThreadSummary } from "./rpc-records.js";

/** `registry.register`. */
export interface RegisterRequest {
  /** What the agent says of itself, and the account and username that it asks for. */
  agent: AgentInfo;
  /** The signature, under signed identity (section 13.2). */
  auth?: RawJson | undefined;
  /** An existing account keeps its name, capabilities and metadata. */
  keepProfile?: boolean | undefined;
  /** The session takes the messages of its account's mailbox itself (section 21.4). */
  pullsMailbox?: boolean | undefined;
  /** The session claims tasks (section 22.4). */
  claimsTasks?: boolean | undefined;
}

/** What a registration gives. */
export interface RegisterReply {
  accountId: string;
  username: string;
  sessionTag: string;
  /** Seconds between two hellos. */
  heartbeatInterval: number;
  /** Seconds of silence that end a session. */
  ttlSeconds: number;
  registeredAt: string;
  /** The base of reply subjects, where the registry offers one. */
  replyPrefix?: string;
}

/** `registry.list`; without a limit all that fit into the reply. */
export interface ListRequest {
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** A page of the agents that are online. */
export interface ListReply {
  generatedAt: string;
  agents: AgentInfo[];
  /** The next page; absent on the last one. */
  nextCursor?: string;
}

/** The account of a username. */
export interface ResolveAccountReply {
  accountId: string;
  username: string;
  resolvedAt: string;
}

/** The key of an account. */
export interface ResolveKeyReply {
  accountId: string;
  publicKey: string;
  resolvedAt: string;
  /** What all live sessions of the account sign. */
  signs: SigningScope;
}

/** The new key of an account. */
export interface RotateKeyReply {
  accountId: string;
  publicKey: string;
  rotatedAt: string;
}

/** `registry.search`. */
export interface SearchRequest {
  /** A part of a username or display name. */
  query?: string | undefined;
  capability?: string | undefined;
  /** 1 to 100; default 20. */
  limit?: number | undefined;
  onlineOnly?: boolean | undefined;
  cursor?: string | undefined;
}

/** A page of accounts. */
export interface SearchReply {
  query: string;
  capability?: string;
  limit: number;
  onlineOnly: boolean;
  results: AccountHit[];
  generatedAt: string;
  /** The next page; absent on the last one. */
  nextCursor?: string;
}

/** `registry.profile`: an account by its id, or by a username. */
export interface ProfileRequest {
  accountId?: string | undefined;
  username?: string | undefined;
}

/** The limits that a status is asked for with; absent: the registry's. */
export interface ThreadLimits {
  softLimitTokens?: number | undefined;
  hardLimitTokens?: number | undefined;
}

/** `registry.thread_status`. */
export interface ThreadStatusRequest extends ThreadLimits {
  threadId: string;
}

/** A thread with the limits that its status was asked for with. */
export interface ThreadStatusReply extends ThreadSummary {
  softLimitTokens: number;
  hardLimitTokens: number;
  threadKeepTailMessages: number;
  tokenEstimateCharsPerToken: number;
  generatedAt: string;
  /** Whether no new participants are recorded, since there are 256. */
  participantsFull: boolean;
}

/** `registry.thread_list`. */
export interface ThreadListRequest extends ThreadLimits {
  /** A part of the thread id. */
  query?: string | undefined;
  /** 1 to 100; default 20. */
  limit?: number | undefined;
  participantAccountId?: string | undefined;
  participantUsername?: string | undefined;
  cursor?: string | undefined;
}

/** A page of threads, the one with the latest activity first. */
export interface ThreadListReply {
  query: string;
  limit: number;
  participantAccountId?: string;
  participantUsername?: string;
  /** The limits in force; absent where the participant is unknown. */
  softLimitTokens?: number;
  hardLimitTokens?: number;
  tokenEstimateCharsPerToken?: number;
  results: ThreadSummary[];
  generatedAt: string;
  /** The next page; absent on the last one. */
  nextCursor?: string;
}

/** `registry.thread_messages`. */
export interface ThreadMessagesRequest {
  threadId: string;
  /** 1 to 200; default 50. */
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** `registry.message_search`: messages that match all members given. */
export interface MessageSearchRequest {
  messageId?: string | undefined;
  threadId?: string | undefined;
  fromAccountId?: string | undefined;
  toAccountId?: string | undefined;
  kind?: string | undefined;
  /** Earliest time of sending, inclusive (section 3). */
  fromTs?: string | undefined;
  /** Latest time of sending, inclusive (section 3). */
  toTs?: string | undefined;
  /** 1 to 200; default 50. */
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** A page of messages, newest first. */
export interface HistoryPage {
  /** The thread, of `thread_messages`. */
  threadId?: string;
  limit: number;
  cursor?: string;
  /** The next page; absent on the last one. */
  nextCursor?: string;
  messages: HistoryMessage[];
  generatedAt: string;
}
