"""The options of calls, each declared once.

A method takes its options as ``**options: Unpack[SendOptions]`` and passes them on as one dict; ``_expand`` gives the method
the parameters that the TypedDict names.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, Protocol, TypedDict


class NodeOptions(TypedDict, total=False):
    """The further arguments of ``AgentNode``, as ``AgentSDK`` and ``AgentWrapper`` pass them on; see ``AgentNode``."""

    logger: logging.Logger | None
    max_concurrency: int
    max_pending: int
    max_payload_bytes: int
    work_timeout_seconds: float
    drain_timeout_seconds: float
    default_ttl_ms: int
    dedupe_ttl_seconds: float
    rate_limit_per_sender_per_sec: float
    rate_limit_burst: int
    circuit_breaker_failures: int
    circuit_breaker_reset_seconds: float
    default_send_retry_attempts: int
    default_receipt_timeout_seconds: float
    default_schema_version: str
    supported_schema_major: int
    dev_auth_enabled: bool | None
    dev_auth_key_dir: str | os.PathLike[str] | None
    dev_auth_key_cache_seconds: float
    blob_dir: str | os.PathLike[str] | None
    blob_storage: str | None
    pull_mailbox: bool
    task_concurrency: int


class StreamOptions(TypedDict, total=False):
    """Options of a stream that is sent, and of the wrapper's reply."""

    ttl_ms: int | None
    trace_id: str | None
    thread_id: str | None
    parent_message_id: str | None


class MessageOptions(StreamOptions, total=False):
    """Options of a request and of a reply."""

    idempotency_key: str | None


class ReceiptOptions(TypedDict, total=False):
    """Whether and how a send waits for the receiver's receipt. ``require_delivery_ack`` is True unless a call says
    otherwise."""

    require_delivery_ack: bool
    retry_attempts: int | None
    receipt_timeout: float | None


class SendOptions(MessageOptions, ReceiptOptions, total=False):
    """Options of a send."""


class MailboxOptions(TypedDict, total=False):
    """The long form of the option ``mailbox`` of a send."""

    lifetime: float | str
    """How long the message is kept: seconds, or a text such as ``"7d"``. Default: ``ttl_ms`` of the send, else seven days."""
    ack: Literal["accepted", "processed"]
    """When the message counts as delivered: when the receiver has accepted it (the default), or when the receiver's handler
    has finished. With ``processed``, the message is delivered again if the handler fails."""
    timeout: float
    """With ``processed``: how many seconds the send waits for that, before it says that the message is queued. Default: 60."""


class MailboxOption(TypedDict, total=False):
    """Whether the registry keeps the message for a receiver that is offline: True, for how long (seconds, or a text such as
    ``"7d"``), or ``MailboxOptions``."""

    mailbox: bool | float | str | MailboxOptions | None


class MailboxSendOptions(SendOptions, MailboxOption, total=False):
    """Options of a send to an inbox."""


class ParentOptions(TypedDict, total=False):
    """Options of an ask in a thread that is known."""

    parent_message_id: str | None
    idempotency_key: str | None


class ThreadOption(TypedDict, total=False):
    """The thread of a message."""

    thread_id: str | None


class ThreadSendOptions(ParentOptions, ReceiptOptions, total=False):
    """Options of a send in a thread that is known."""


class TextSendOptions(ThreadOption, ThreadSendOptions, total=False):
    """Options of the high-level sends."""


class ThreadMailboxOptions(ThreadSendOptions, MailboxOption, total=False):
    """Options of a send to an inbox in a thread that is known."""


class TextMailboxOptions(TextSendOptions, MailboxOption, total=False):
    """Options of the high-level sends to an inbox."""


class HasTaskId(Protocol):
    """A task: its handle, or the task or the context of its handler."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


class TaskOptions(TypedDict, total=False):
    """Options of a task. Times are seconds, texts such as ``"30m"``, or ``timedelta``."""

    title: str | None
    """A few words, at most 1,024 bytes."""
    payload: Any
    """What is to be done, for programs: any JSON of at most 256 KiB."""
    parent: str | HasTaskId | None
    """The task that it is a part of: cancelling that cancels it."""
    thread_id: str | None
    """Its thread. Default: one of its own."""
    key: str | None
    """The account's own name for the work: a second task under the same key is not made, and the first one is given."""
    task_id: str | None
    """Its id. Default: a new one."""
    deadline: float | str | timedelta | None
    """When it is given up, counted from now, all attempts together. Default: never."""
    delay: float | str | timedelta | None
    """How long no worker may begin with it. Default: not at all."""
    retries: int | None
    """How often it is tried again where a worker is lost, or says that another attempt may help: at most 19. Default: 0."""
    backoff: float | str | timedelta | None
    """The delay before the second attempt, which doubles with each further one. Default: one second."""
    heartbeat: float | str | timedelta | None
    """How long its worker may be silent before it counts as lost: one second to an hour. Default: 30 seconds."""
    priority: int | None
    """Of several tasks that wait, those with the highest priority come first: -100 to 100. Default: 0."""
    metadata: Mapping[str, Any] | None
    """A dict that stays with it."""
    coordinator: str | None
    """The name that the account calls itself in it. Default: its username."""


class TaskFilters(TypedDict, total=False):
    """Filters of ``search_tasks``."""

    assignee_account_id: str | None
    coordinator_account_id: str | None
    status: str | None
    state: str | None
    parent_task_id: str | None
    capability: str | None
    since: str | None
    limit: int
    cursor: str | None
    timeout: float | None


class TaskListFilters(TypedDict, total=False):
    """Filters of ``list_tasks``: those of the Python implementation."""

    assignee_account_id: str | None
    coordinator_account_id: str | None
    status: str | None
    parent_task_id: str | None
    limit: int
    timeout: float | None


class ProfileFilters(TypedDict, total=False):
    """Filters of ``search_profiles``."""

    query: str
    capability: str | None
    limit: int
    online_only: bool
    timeout: float | None


class ThreadFilters(TypedDict, total=False):
    """Filters of ``list_threads``."""

    participant_account_id: str | None
    participant_username: str | None
    query: str
    limit: int
    soft_limit_tokens: int | None
    hard_limit_tokens: int | None
    timeout: float | None


class MessageFilters(TypedDict, total=False):
    """Filters of ``search_messages``."""

    thread_id: str | None
    from_account_id: str | None
    to_account_id: str | None
    kind: str | None
    from_ts: str | None
    to_ts: str | None
    limit: int
    cursor: str | None
    timeout: float | None


# Defaults of `search_profiles`, `list_threads` and `search_messages` that are not None.
PROFILE_DEFAULTS: ProfileFilters = {"query": "", "limit": 20, "online_only": False, "timeout": 2.0}
THREAD_DEFAULTS: ThreadFilters = {"query": "", "limit": 20, "timeout": 2.0}
MESSAGE_DEFAULTS: MessageFilters = {"limit": 50, "timeout": 2.0}
# Those of `search_tasks` and `list_tasks`.
TASK_DEFAULTS: TaskFilters = {"limit": 20, "timeout": 2.0}
TASK_LIST_DEFAULTS: TaskListFilters = {"limit": 20, "timeout": 2.0}

IF_LEFT_OUT: dict[str, Any] = {"require_delivery_ack": True}
"""The meaning of an option that is left out, where it is not None."""

KEYWORD_ONLY = frozenset({"mailbox"})
"""Options that cannot be given by position, also where others can: the Python implementation does not have them."""
