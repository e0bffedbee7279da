"""The subjects of the wire (PROTOCOL.md section 2)."""

from __future__ import annotations

REGISTRY_REGISTER_SUBJECT = "registry.register"
REGISTRY_HELLO_SUBJECT = "registry.hello"
REGISTRY_GOODBYE_SUBJECT = "registry.goodbye"
REGISTRY_LIST_SUBJECT = "registry.list"
REGISTRY_RESOLVE_ACCOUNT_SUBJECT = "registry.resolve_account"
REGISTRY_RESOLVE_KEY_SUBJECT = "registry.resolve_key"
REGISTRY_SEARCH_SUBJECT = "registry.search"
REGISTRY_PROFILE_SUBJECT = "registry.profile"
REGISTRY_THREAD_STATUS_SUBJECT = "registry.thread_status"
REGISTRY_THREAD_LIST_SUBJECT = "registry.thread_list"
REGISTRY_THREAD_MESSAGES_SUBJECT = "registry.thread_messages"
REGISTRY_MESSAGE_SEARCH_SUBJECT = "registry.message_search"
REGISTRY_METRICS_SUBJECT = "registry.metrics"
REGISTRY_MAILBOX_STATUS_SUBJECT = "registry.mailbox_status"
REGISTRY_MAILBOX_LIST_SUBJECT = "registry.mailbox_list"
REGISTRY_TASK_STATUS_SUBJECT = "registry.task_status"
REGISTRY_TASK_LIST_SUBJECT = "registry.task_list"
REGISTRY_TASK_EVENTS_SUBJECT = "registry.task_events"


def account_inbox_subject(account_id: str) -> str:
    """The subject of an account's inbox."""
    return f"account.{account_id}.inbox"


def account_receipts_subject(account_id: str) -> str:
    """The subject of receipts for an account's messages."""
    return f"account.{account_id}.receipts"


def agent_capability_subject(capability: str) -> str:
    """The subject of messages to a capability."""
    return f"agent.capability.{capability}"


def mailbox_events_subject(account_id: str) -> str:
    """The subject of events about messages that an account left in a mailbox, or that wait in the account's own mailbox."""
    return f"agentnet.events.{account_id}.mailbox"


def task_events_subject(account_id: str) -> str:
    """The subject of events about tasks that an account has asked for or does."""
    return f"agentnet.events.{account_id}.task"
