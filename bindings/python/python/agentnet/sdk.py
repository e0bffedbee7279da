"""The high-level calls: send and receive text, threads, typed errors (PROTOCOL.md section 17)."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any

from agentnet import _stream_frames, _targets
from agentnet._coerce import stripped
from agentnet._completion import completion
from agentnet._delegation import Delegation
from agentnet._mailbox_option import is_asked_for
from agentnet._native import error_of_reply, new_ulid, parse_target, text_of_reply
from agentnet._expand import expand_options
from agentnet._options import MailboxOptions as MailboxOptions  # named by the annotations of expanded methods
from agentnet._options import NodeOptions, ParentOptions, TextMailboxOptions, TextSendOptions
from agentnet._requests import start_request, stream_options
from agentnet._sends import start_send
from agentnet._stream_frames import CONTENT_TYPE, ROLE
from agentnet._typing import Self, Unpack
from agentnet.blobs import BlobRef, blob_payload
from agentnet.errors import (
    AgentBusyError,
    AgentDuplicateError,
    AgentExpiredError,
    AgentHandlerError,
    AgentRateLimitedError,
    AgentRequestError,
    AgentSDKError,
    AgentServiceDegradedError,
    AgentTimeoutError,
    request_error,
)
from agentnet.node import AgentNode
from agentnet.schema import AgentMessage
from agentnet.streams import AnswerStream, OutgoingStream, StreamReply
from agentnet.threads import SDKResult, ThreadSession
from agentnet.wrapper import AgentWrapper

__all__ = [
    "AgentBusyError",
    "AgentDuplicateError",
    "AgentExpiredError",
    "AgentHandlerError",
    "AgentRateLimitedError",
    "AgentRequestError",
    "AgentSDK",
    "AgentSDKError",
    "AgentServiceDegradedError",
    "AgentTimeoutError",
    "AgentWrapper",
    "SDKResult",
    "ThreadSession",
]


class AgentSDK(Delegation):
    """An agent with the high-level calls.

    Targets are ``@name``, ``name``, ``username:<name>``, ``acct_…``, ``account:<id>`` or ``capability:<name>``.

    >>> async with AgentSDK(agent_id="agent_a", name="Agent A") as sdk:  # doctest: +SKIP
    ...     result = await sdk.ask_text("mesh_agent_1", "Analyze spread and total", thread_id="ops_1")
    ...     print(result.text)

    Args:
        default_request_timeout: Seconds that an ask waits by default; at least 0.1.
        blob_store_dir: The directory of the local blob store, as ``blob_dir`` of ``AgentNode``.
        default_thread_prefix: The prefix of the thread ids that the SDK generates.
        node_options: Further arguments of ``AgentNode``.
    """

    def __init__(
        self,
        *,
        agent_id: str,
        name: str,
        username: str | None = None,
        account_id: str | None = None,
        capabilities: list[str] | None = None,
        nats_url: str | None = None,
        metadata: dict[str, Any] | None = None,
        heartbeat_interval: float = 12.0,
        default_request_timeout: float = 60.0,
        default_thread_prefix: str = "thread_sdk",
        blob_store_dir: str | os.PathLike[str] | None = None,
        **node_options: Unpack[NodeOptions],
    ) -> None:
        if blob_store_dir is not None:
            node_options.setdefault("blob_dir", blob_store_dir)
        node = AgentNode(
            agent_id=agent_id,
            name=name,
            username=username,
            account_id=account_id,
            capabilities=capabilities,
            nats_url=nats_url,
            metadata=metadata,
            heartbeat_interval=heartbeat_interval,
            **node_options,
        )
        self._set_node(node)
        self.default_request_timeout = max(0.1, float(default_request_timeout))
        self.default_thread_prefix = str(default_thread_prefix or "").strip() or "thread_sdk"

    async def start(self) -> None:
        """Joins the network; see ``AgentNode.start``."""
        await self._node.start()

    async def stop(self) -> None:
        """Leaves the network; see ``AgentNode.close``."""
        await self._node.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def new_thread_id(self) -> str:
        """A new thread id."""
        return f"{self.default_thread_prefix}_{new_ulid().lower()}"

    def thread(self, thread_id: str | int, parent_message_id: str | None = None) -> ThreadSession:
        """A conversation in one thread, in which each message has the previous one as its parent."""
        return ThreadSession(self, thread_id, parent_message_id)

    def _thread_id(self, thread_id: str | None) -> str:
        return stripped(thread_id) or self.new_thread_id()

    async def _send(self, to: str, data: Any, kind: str, **options: Unpack[TextMailboxOptions]) -> SDKResult:
        target_kind, target = parse_target(to)
        options["thread_id"] = thread_id = self._thread_id(options.get("thread_id"))
        outcome = start_send(self._native, _targets.BY_NAME[target_kind], target, data, kind, **options)
        sent = outcome[0] if isinstance(outcome, tuple) else await completion(outcome)
        result = SDKResult(True, thread_id, sent, options.get("parent_message_id"))
        if is_asked_for(options.get("mailbox")):
            result.data = {"delivery": "queued", "detail": sent.detail} if sent.queued else {"delivery": "delivered"}
        return result

    async def _send_frame(self, to: str, payload: dict[str, Any], **options: Unpack[TextSendOptions]) -> SDKResult:
        result = await self._send(to, payload, "stream", **options)
        result.data = payload
        return result

    @expand_options()
    def send_text(self, to: str, text: str, **options: Unpack[TextMailboxOptions]) -> Coroutine[Any, Any, SDKResult]:
        """Sends ``{"text": text}``; options and errors are those of ``AgentNode.send``. With ``mailbox``,
        ``result.data["delivery"]`` is ``"delivered"`` or ``"queued"``."""
        return self.send_json(to, {"text": str(text)}, **options)

    @expand_options()
    def send_json(self, to: str, data: Any, **options: Unpack[TextMailboxOptions]) -> Coroutine[Any, Any, SDKResult]:
        """Sends any JSON, data classes as dicts; options, errors and result are those of ``send_text``."""
        return self._send(to, data, "direct", **options)

    @expand_options()
    def send_blob_ref(
        self, to: str, blob: BlobRef | Mapping[str, Any], **options: Unpack[TextMailboxOptions]
    ) -> Coroutine[Any, Any, SDKResult]:
        """Sends a reference to a blob. The receiver needs access to the store that has the blob."""
        return self.send_json(to, blob_payload(blob), **options)

    @expand_options(require_delivery_ack=False)
    def send_stream_start(
        self,
        to: str,
        stream_id: str,
        *,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        metadata: dict[str, Any] | None = None,
        **options: Unpack[TextSendOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Starts a stream to an inbox; ``data`` of the result is the payload. It waits for no receipt by default."""
        payload = _stream_frames.start(stream_id, role, content_type, metadata)
        return self._send_frame(to, payload, **options)

    @expand_options(require_delivery_ack=False)
    def send_stream_delta(
        self,
        to: str,
        stream_id: str,
        delta: str,
        *,
        seq: int,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        **options: Unpack[TextSendOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Sends a piece; ``seq`` is its position, by which the reader sorts."""
        payload = _stream_frames.delta(stream_id, delta, seq, role, content_type)
        return self._send_frame(to, payload, **options)

    @expand_options(require_delivery_ack=False)
    def send_stream_end(
        self,
        to: str,
        stream_id: str,
        *,
        seq: int,
        text: str | None = None,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        metadata: dict[str, Any] | None = None,
        **options: Unpack[TextSendOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Ends a stream; ``text`` is the whole text and replaces the pieces."""
        payload = _stream_frames.end(stream_id, seq, text, role, content_type, metadata)
        return self._send_frame(to, payload, **options)

    @expand_options(require_delivery_ack=False)
    def send_stream_error(
        self,
        to: str,
        stream_id: str,
        error: str,
        *,
        seq: int = 0,
        metadata: dict[str, Any] | None = None,
        **options: Unpack[TextSendOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Ends a stream with an error."""
        payload = _stream_frames.error(stream_id, error, seq, metadata)
        return self._send_frame(to, payload, **options)

    @expand_options()
    def ask_text(
        self,
        to: str,
        text: str,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        **options: Unpack[ParentOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Sends ``{"text": text}`` as a request and waits for the answer; see ``ask_json``."""
        return self.ask_json(to, {"text": str(text)}, thread_id=thread_id, timeout=timeout, **options)

    def _request_timeout(self, timeout: float | None) -> float:
        return max(0.1, float(self.default_request_timeout if timeout is None else timeout))

    @expand_options()
    async def ask_json(
        self,
        to: str,
        data: Any,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        **options: Unpack[ParentOptions],
    ) -> SDKResult:
        """Sends any JSON as a request and waits for the answer.

        Raises:
            AgentRequestError: The answer reports an error; there is a class for each code.
            RequestTimeoutError: No answer came in time; it is an ``asyncio.TimeoutError``.
        """
        target_kind, target = parse_target(to)
        thread = self._thread_id(thread_id)
        seconds = self._request_timeout(timeout)
        outcome = start_request(
            self._native, _targets.BY_NAME[target_kind], target, data, seconds, "request", thread_id=thread, **options
        )
        reply = outcome[0] if isinstance(outcome, tuple) else await completion(outcome)
        reported = error_of_reply(reply)
        if reported is not None:
            raise request_error(*reported)
        return SDKResult(
            ok=True,
            thread_id=reply.thread_id or thread,
            message_id=reply.message_id or None,
            parent_message_id=reply.parent_message_id or options.get("parent_message_id"),
            text=text_of_reply(reply),
            data=reply.payload,
            trace_id=reply.trace_id,
        )

    @expand_options()
    def ask_stream(
        self,
        to: str,
        text: str,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = 30.0,
        **options: Unpack[ParentOptions],
    ) -> AnswerStream:
        """Sends ``{"text": text}`` as a request and reads the answer piece by piece.

        >>> async for piece in sdk.ask_stream("@poet", "a poem"):  # doctest: +SKIP
        ...     print(piece, end="")
        """
        data = {"text": str(text)}
        return self.ask_json_stream(
            to, data, thread_id=thread_id, timeout=timeout, idle_timeout=idle_timeout, **options
        )

    @expand_options()
    def ask_json_stream(
        self,
        to: str,
        data: Any,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = 30.0,
        **options: Unpack[ParentOptions],
    ) -> AnswerStream:
        """As ``ask_stream``, with any JSON as the question."""
        return self._ask_stream(to, data, thread_id, timeout, idle_timeout, None, **options)

    def _ask_stream(
        self,
        to: str,
        data: Any,
        thread_id: str | None,
        timeout: float | None,
        idle_timeout: float | None,
        on_end: Callable[[StreamReply], None] | None,
        **options: Unpack[ParentOptions],
    ) -> AnswerStream:
        target_kind, target = parse_target(to)
        thread_id = self._thread_id(thread_id)
        seconds = self._request_timeout(timeout)
        asked = stream_options(seconds, idle_timeout, "request", thread_id=thread_id, **options)
        return AnswerStream(self._native, _targets.BY_NAME[target_kind], target, data, asked, on_end, raises=True)

    def reply_stream(self, request: AgentMessage, *, metadata: Any = None) -> OutgoingStream:
        """Replies to a message piece by piece; see ``AgentNode.reply_stream``."""
        return self._node.reply_stream(request, metadata=metadata)

    async def reply(self, request: AgentMessage, payload: Any) -> str:
        """Replies to a message; see ``AgentNode.reply``."""
        return await self._node.reply(request, payload)
