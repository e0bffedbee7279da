"""AgentNet: join a network of software agents, find others, exchange messages that are kept.

>>> from agentnet import AgentNode
>>> async with AgentNode(agent_id="agent_a", name="Agent A") as node:  # doctest: +SKIP
...     await node.send("@agent_b", {"text": "hello"})

``AgentNode`` is one agent; ``AgentSDK`` adds text in and out, threads and typed errors; ``AgentWrapper`` is the adapter for
frameworks. The guide is docs/PYTHON.md.
"""

from agentnet._native import extract_text
from agentnet.blobs import BlobRef, BlobStore
from agentnet.config import DEFAULT_NATS_URL
from agentnet.errors import (
    AgentBusyError,
    AgentDuplicateError,
    AgentExpiredError,
    AgentHandlerError,
    AgentNetError,
    AgentRateLimitedError,
    AgentRequestError,
    AgentSDKError,
    AgentServiceDegradedError,
    AgentTimeoutError,
    BlobError,
    BlobNotFoundError,
    ConnectError,
    DeliveryError,
    DeliveryTimeoutError,
    MailboxError,
    NoRegistryError,
    NoReplySubjectError,
    NoRespondersError,
    RegistryError,
    RequestTimeoutError,
    StreamCancelledError,
    StreamError,
)
from agentnet.events import (
    CompactionRequiredEvent,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamErrorEvent,
    StreamStartEvent,
    is_compaction_required,
    is_stream_event,
    parse_compaction_required,
    parse_stream_delta,
    parse_stream_end,
    parse_stream_error,
    parse_stream_start,
)
from agentnet.mailbox import MailboxOptions, SentMessage, get_mailbox_status, list_mailbox
from agentnet.node import AgentNode
from agentnet.registry import (
    get_profile,
    get_registry_metrics,
    get_thread_messages,
    get_thread_status,
    list_online_agents,
    list_threads,
    resolve_account_by_username,
    resolve_dev_public_key_by_account,
    search_messages,
    search_profiles,
)
from agentnet.schema import AgentInfo, AgentMessage, DeliveryReceipt
from agentnet.sdk import AgentSDK, AgentWrapper, SDKResult, ThreadSession
from agentnet.streams import AnswerStream, OutgoingStream, StreamDelta, StreamReply

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_NATS_URL",
    "AgentBusyError",
    "AgentDuplicateError",
    "AgentExpiredError",
    "AgentHandlerError",
    "AgentInfo",
    "AgentMessage",
    "AgentNetError",
    "AgentNode",
    "AgentRateLimitedError",
    "AgentRequestError",
    "AgentSDK",
    "AgentSDKError",
    "AgentServiceDegradedError",
    "AgentTimeoutError",
    "AgentWrapper",
    "AnswerStream",
    "BlobError",
    "BlobNotFoundError",
    "BlobRef",
    "BlobStore",
    "CompactionRequiredEvent",
    "ConnectError",
    "DeliveryError",
    "DeliveryReceipt",
    "DeliveryTimeoutError",
    "MailboxError",
    "MailboxOptions",
    "NoRegistryError",
    "NoReplySubjectError",
    "NoRespondersError",
    "OutgoingStream",
    "RegistryError",
    "RequestTimeoutError",
    "SDKResult",
    "SentMessage",
    "StreamCancelledError",
    "StreamDelta",
    "StreamDeltaEvent",
    "StreamEndEvent",
    "StreamError",
    "StreamErrorEvent",
    "StreamReply",
    "StreamStartEvent",
    "ThreadSession",
    "extract_text",
    "get_mailbox_status",
    "get_profile",
    "get_registry_metrics",
    "get_thread_messages",
    "get_thread_status",
    "is_compaction_required",
    "is_stream_event",
    "list_mailbox",
    "list_online_agents",
    "list_threads",
    "parse_compaction_required",
    "parse_stream_delta",
    "parse_stream_end",
    "parse_stream_error",
    "parse_stream_start",
    "resolve_account_by_username",
    "resolve_dev_public_key_by_account",
    "search_messages",
    "search_profiles",
]
