"""The high-level calls: text in and text out, threads, typed errors (PROTOCOL.md section 17)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from agentnet import _routes, _stream_sends
from agentnet._native import error_of_reply, new_ulid, parse_target, text_of_reply
from agentnet._options import NodeOptions
from agentnet._plain import seconds as limit
from agentnet._plain import stripped
from agentnet._sdk_registry import RegistryCalls
from agentnet._stream_sends import CONTENT_TYPE, ROLE
from agentnet._typing import Self, Unpack
from agentnet.blobs import BlobMethods, BlobRef, BlobStore, blob_payload
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
from agentnet.node import AgentNode, H
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


class AgentSDK(RegistryCalls, BlobMethods):
    """An agent with the high-level calls.

    Targets are ``@name``, ``name``, ``username:<name>``, ``acct_…``, ``account:<id>`` or ``capability:<name>``.

    >>> async with AgentSDK(agent_id="agent_a", name="Agent A") as sdk:  # doctest: +SKIP
    ...     result = await sdk.ask_text("mesh_agent_1", "Analyze spread and total", thread_id="ops_1")
    ...     print(result.text)

    Args:
        default_request_timeout: Seconds that an ask waits unless told otherwise; at least 0.1.
        blob_store_dir: The directory of the local blob store, as ``blob_dir`` of ``AgentNode``.
        default_thread_prefix: What the ids of threads begin with that the SDK makes up.
        node_options: Further arguments of ``AgentNode``, as are the others.
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
        self._node = AgentNode(
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
        self._keep_blobs(self._node._native)  # pyright: ignore[reportPrivateUsage]
        self.default_request_timeout = max(0.1, float(default_request_timeout))
        self.default_thread_prefix = str(default_thread_prefix or "").strip() or "thread_sdk"

    @property
    def node(self) -> AgentNode:
        """The node that does the work."""
        return self._node

    @property
    def blobs(self) -> BlobStore:
        """The calls of blobs, to be awaited: they do not hold up the event loop."""
        return self._node.blobs

    @property
    def account_id(self) -> str | None:
        """The account, once started."""
        return self._node.account_id

    @property
    def username(self) -> str | None:
        """The username that the registry gave, once started."""
        return self._node.username

    @property
    def session_tag(self) -> str | None:
        """The session, while it runs."""
        return self._node.session_tag

    def receive(self, handler: H) -> H:
        """Sets what is done with the messages that arrive; a decorator."""
        return self._node.on_message(handler)

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
        """A fresh thread id."""
        return f"{self.default_thread_prefix}_{new_ulid().lower()}"

    def thread(self, thread_id: str | int, parent_message_id: str | None = None) -> ThreadSession:
        """A conversation in one thread, whose calls each follow the message before."""
        return ThreadSession(self, thread_id, parent_message_id)

    def _thread_id(self, thread_id: str | None) -> str:
        return stripped(thread_id) or self.new_thread_id()

    async def send_text(
        self,
        to: str,
        text: str,
        *,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Sends ``{"text": text}``. Errors are those of ``AgentNode.send``."""
        return await self.send_json(
            to,
            {"text": str(text)},
            thread_id=thread_id,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
            require_delivery_ack=require_delivery_ack,
            retry_attempts=retry_attempts,
            receipt_timeout=receipt_timeout,
        )

    async def send_json(
        self,
        to: str,
        data: Any,
        *,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Sends any JSON, data classes as dicts. Errors are those of ``AgentNode.send``."""
        return await self._send(
            to,
            data,
            "direct",
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def _send(
        self,
        to: str,
        data: Any,
        kind: str,
        thread_id: str | None,
        parent_message_id: str | None,
        idempotency_key: str | None,
        require_delivery_ack: bool,
        retry_attempts: int | None,
        receipt_timeout: float | None,
    ) -> SDKResult:
        route, target = parse_target(to)
        thread = self._thread_id(thread_id)
        message_id = await self._node._send(  # pyright: ignore[reportPrivateUsage]
            _routes.BY_KIND[route],
            target,
            data,
            kind,
            None,
            None,
            thread,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )
        return SDKResult(True, thread, message_id, parent_message_id)

    async def _send_frame(self, to: str, payload: dict[str, Any], *options: Any) -> SDKResult:
        result = await self._send(to, payload, "stream", *options)
        result.data = payload
        return result

    async def send_stream_start(
        self,
        to: str,
        stream_id: str,
        *,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        metadata: dict[str, Any] | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Begins a stream to an inbox; ``data`` of the result is the payload. No receipt is waited for, unless asked for."""
        payload = _stream_sends.start(stream_id, role, content_type, metadata)
        return await self._send_frame(
            to,
            payload,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_stream_delta(
        self,
        to: str,
        stream_id: str,
        delta: str,
        *,
        seq: int,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Sends a piece; ``seq`` is its place: the reader sorts by it."""
        payload = _stream_sends.delta(stream_id, delta, seq, role, content_type)
        return await self._send_frame(
            to,
            payload,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_stream_end(
        self,
        to: str,
        stream_id: str,
        *,
        seq: int,
        text: str | None = None,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        metadata: dict[str, Any] | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Ends a stream; ``text`` is the whole, whatever the pieces were."""
        payload = _stream_sends.end(stream_id, seq, text, role, content_type, metadata)
        return await self._send_frame(
            to,
            payload,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_stream_error(
        self,
        to: str,
        stream_id: str,
        error: str,
        *,
        seq: int = 0,
        metadata: dict[str, Any] | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Says that a stream failed, and ends it."""
        payload = _stream_sends.error(stream_id, error, seq, metadata)
        return await self._send_frame(
            to,
            payload,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def ask_text(
        self,
        to: str,
        text: str,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> SDKResult:
        """Sends ``{"text": text}`` as a request and waits for the answer; see ``ask_json``."""
        return await self.ask_json(
            to,
            {"text": str(text)},
            thread_id=thread_id,
            timeout=timeout,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
        )

    async def ask_json(
        self,
        to: str,
        data: Any,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> SDKResult:
        """Sends any JSON as a request and waits for the answer.

        Raises:
            AgentRequestError: The answer reports an error; its class says which.
            RequestTimeoutError: No answer came in time; it is an ``asyncio.TimeoutError``.
        """
        kind, target = parse_target(to)
        thread = self._thread_id(thread_id)
        seconds = self.default_request_timeout if timeout is None else timeout
        reply = await self._node._request(  # pyright: ignore[reportPrivateUsage]
            _routes.BY_KIND[kind],
            target,
            data,
            max(0.1, float(seconds)),
            "request",
            None,
            None,
            thread,
            parent_message_id,
            idempotency_key,
        )
        reported = error_of_reply(reply)
        if reported is not None:
            raise request_error(*reported)
        return SDKResult(
            ok=True,
            thread_id=reply.thread_id or thread,
            message_id=reply.message_id or None,
            parent_message_id=reply.parent_message_id or parent_message_id,
            text=text_of_reply(reply),
            data=reply.payload,
            trace_id=reply.trace_id,
        )

    def ask_stream(
        self,
        to: str,
        text: str,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = 30.0,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AnswerStream:
        """Asks ``{"text": text}`` and reads the answer piece by piece.

        >>> async for piece in sdk.ask_stream("@poet", "a poem"):  # doctest: +SKIP
        ...     print(piece, end="")
        """
        return self.ask_json_stream(
            to,
            {"text": str(text)},
            thread_id=thread_id,
            timeout=timeout,
            idle_timeout=idle_timeout,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
        )

    def ask_json_stream(
        self,
        to: str,
        data: Any,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = 30.0,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AnswerStream:
        """As ``ask_stream``, with any JSON as the question."""
        return self._ask_stream(to, data, thread_id, timeout, idle_timeout, parent_message_id, idempotency_key, None)

    def _ask_stream(
        self,
        to: str,
        data: Any,
        thread_id: str | None,
        timeout: float | None,
        idle_timeout: float | None,
        parent_message_id: str | None,
        idempotency_key: str | None,
        ended: Callable[[StreamReply], None] | None,
    ) -> AnswerStream:
        kind, target = parse_target(to)
        seconds = self.default_request_timeout if timeout is None else timeout
        options = (
            "request",
            None,
            None,
            self._thread_id(thread_id),
            parent_message_id,
            idempotency_key,
            max(0.1, float(seconds)),
            limit(idle_timeout),
        )
        native = self._node._native  # pyright: ignore[reportPrivateUsage]
        return AnswerStream(native, _routes.BY_KIND[kind], target, data, options, ended, raises=True)

    def reply_stream(self, request: AgentMessage, *, metadata: Any = None) -> OutgoingStream:
        """Answers a message piece by piece; see ``AgentNode.reply_stream``."""
        return self._node.reply_stream(request, metadata=metadata)

    async def reply(self, request: AgentMessage, payload: Any) -> str:
        """Answers a message; see ``AgentNode.reply``."""
        return await self._node.reply(request, payload)

    async def search_profiles(
        self,
        *,
        query: str = "",
        capability: str | None = None,
        limit: int = 20,
        online_only: bool = False,
        timeout: float | None = 2.0,
    ) -> list[dict[str, Any]]:
        """Accounts by a part of their name and by capability, online ones first."""
        return await self._node.search_profiles(
            query=query, capability=capability, limit=limit, online_only=online_only, timeout=timeout
        )

    async def send_blob_ref(
        self,
        to: str,
        blob: BlobRef | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Sends a reference to a blob. The receiver must reach the store that keeps it."""
        return await self.send_json(
            to,
            blob_payload(blob),
            thread_id=thread_id,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
            require_delivery_ack=require_delivery_ack,
            retry_attempts=retry_attempts,
            receipt_timeout=receipt_timeout,
        )
