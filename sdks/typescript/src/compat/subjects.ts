/** The subjects under the names of the original's TypeScript client. */

import { capabilitySubject, inboxSubject, REGISTRY_SUBJECTS, receiptsSubject } from "../protocol/index.js";

/** `registry.register`. */
export const REGISTRY_REGISTER_SUBJECT = REGISTRY_SUBJECTS.register;
/** `registry.hello`. */
export const REGISTRY_HELLO_SUBJECT = REGISTRY_SUBJECTS.hello;
/** `registry.goodbye`. */
export const REGISTRY_GOODBYE_SUBJECT = REGISTRY_SUBJECTS.goodbye;
/** `registry.list`. */
export const REGISTRY_LIST_SUBJECT = REGISTRY_SUBJECTS.list;
/** `registry.resolve_account`. */
export const REGISTRY_RESOLVE_ACCOUNT_SUBJECT = REGISTRY_SUBJECTS.resolveAccount;
/** `registry.search`. */
export const REGISTRY_SEARCH_SUBJECT = REGISTRY_SUBJECTS.search;
/** `registry.profile`. */
export const REGISTRY_PROFILE_SUBJECT = REGISTRY_SUBJECTS.profile;
/** `registry.thread_status`. */
export const REGISTRY_THREAD_STATUS_SUBJECT = REGISTRY_SUBJECTS.threadStatus;
/** `registry.thread_list`. */
export const REGISTRY_THREAD_LIST_SUBJECT = REGISTRY_SUBJECTS.threadList;
/** `registry.thread_messages`. */
export const REGISTRY_THREAD_MESSAGES_SUBJECT = REGISTRY_SUBJECTS.threadMessages;
/** `registry.message_search`. */
export const REGISTRY_MESSAGE_SEARCH_SUBJECT = REGISTRY_SUBJECTS.messageSearch;

/** `account.<account_id>.inbox`. */
export const accountInboxSubject = (accountId: string): string => inboxSubject(accountId);
/** `account.<account_id>.receipts`. */
export const accountReceiptsSubject = (accountId: string): string => receiptsSubject(accountId);
/** `agent.capability.<capability>`. */
export const agentCapabilitySubject = (capability: string): string => capabilitySubject(capability);
