"""Conversations in one thread, and what the high-level calls give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentnet._plain import stripped
from agentnet._stream_sends import CONTENT_TYPE, ROLE
from agentnet.blobs import BlobRef, blob_payload
from agentnet.streams import AnswerStream, StreamReply

if TYPE_CHECKING:
    from agentnet.sdk import AgentSDK


@dataclass(slots=True)
class SDKResult:
    """The result of a send or an ask. That there is one means that it went well: failures raise."""

    ok: bool
    thread_id: str | None
    """Of the answer, or of the message that was sent."""
    message_id: str | None
    """Of the answer, or of the message that was sent."""
    parent_message_id: str | None
    text: str | None = None
    """The text of the answer, if it has one."""
    data: Any = None
    """The payload of the answer."""
    error: str | None = None
    """Always None; kept for compatibility."""
    trace_id: str | None = None


class ThreadSession:
    """A conversation in one thread: each call follows the message that was sent last, or the answer that came last."""

    def __init__(self, sdk: AgentSDK, thread_id: str | int, parent_message_id: str | None = None) -> None:
        self._sdk = sdk
        self.thread_id = stripped(thread_id)
        if not self.thread_id:
            raise ValueError("thread_id is required")
        self.parent_message_id = parent_message_id

    def set_parent(self, parent_message_id: str | None) -> None:
        """Says what the next message follows; None for nothing."""
        self.parent_message_id = parent_message_id

    def _parent(self, given: str | None) -> str | None:
        return self.parent_message_id if given is None else given

    def _follow(self, result: SDKResult) -> SDKResult:
        self.parent_message_id = result.message_id or self.parent_message_id
        return result

    async def send_text(
        self,
        to: str,
        text: str,
        *,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Sends ``{"text": text}``."""
        return await self.send_json(
            to,
            {"text": str(text)},
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
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Sends any JSON, data classes as dicts."""
        return self._follow(
            await self._sdk.send_json(
                to,
                data,
                thread_id=self.thread_id,
                parent_message_id=self._parent(parent_message_id),
                idempotency_key=idempotency_key,
                require_delivery_ack=require_delivery_ack,
                retry_attempts=retry_attempts,
                receipt_timeout=receipt_timeout,
            )
        )

    async def send_blob_ref(
        self,
        to: str,
        blob: BlobRef | Mapping[str, Any],
        *,
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
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
            require_delivery_ack=require_delivery_ack,
            retry_attempts=retry_attempts,
            receipt_timeout=receipt_timeout,
        )

    async def send_stream_start(
        self,
        to: str,
        stream_id: str,
        *,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        metadata: dict[str, Any] | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Begins a stream to an inbox; ``data`` of the result is the payload. No receipt is waited for, unless asked for."""
        return self._follow(
            await self._sdk.send_stream_start(
                to,
                stream_id,
                role=role,
                content_type=content_type,
                metadata=metadata,
                thread_id=self.thread_id,
                parent_message_id=self._parent(parent_message_id),
                idempotency_key=idempotency_key,
                require_delivery_ack=require_delivery_ack,
                retry_attempts=retry_attempts,
                receipt_timeout=receipt_timeout,
            )
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
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Sends a piece; ``seq`` is its place: the reader sorts by it."""
        return self._follow(
            await self._sdk.send_stream_delta(
                to,
                stream_id,
                delta,
                seq=seq,
                role=role,
                content_type=content_type,
                thread_id=self.thread_id,
                parent_message_id=self._parent(parent_message_id),
                idempotency_key=idempotency_key,
                require_delivery_ack=require_delivery_ack,
                retry_attempts=retry_attempts,
                receipt_timeout=receipt_timeout,
            )
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
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Ends a stream; ``text`` is the whole, whatever the pieces were."""
        return self._follow(
            await self._sdk.send_stream_end(
                to,
                stream_id,
                seq=seq,
                text=text,
                role=role,
                content_type=content_type,
                metadata=metadata,
                thread_id=self.thread_id,
                parent_message_id=self._parent(parent_message_id),
                idempotency_key=idempotency_key,
                require_delivery_ack=require_delivery_ack,
                retry_attempts=retry_attempts,
                receipt_timeout=receipt_timeout,
            )
        )

    async def send_stream_error(
        self,
        to: str,
        stream_id: str,
        error: str,
        *,
        seq: int = 0,
        metadata: dict[str, Any] | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Says that a stream failed, and ends it."""
        return self._follow(
            await self._sdk.send_stream_error(
                to,
                stream_id,
                error,
                seq=seq,
                metadata=metadata,
                thread_id=self.thread_id,
                parent_message_id=self._parent(parent_message_id),
                idempotency_key=idempotency_key,
                require_delivery_ack=require_delivery_ack,
                retry_attempts=retry_attempts,
                receipt_timeout=receipt_timeout,
            )
        )

    async def ask_text(
        self,
        to: str,
        text: str,
        *,
        timeout: float | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> SDKResult:
        """Sends ``{"text": text}`` as a request and waits for the answer."""
        return await self.ask_json(
            to,
            {"text": str(text)},
            timeout=timeout,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
        )

    async def ask_json(
        self,
        to: str,
        data: Any,
        *,
        timeout: float | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> SDKResult:
        """Sends any JSON as a request and waits for the answer."""
        return self._follow(
            await self._sdk.ask_json(
                to,
                data,
                thread_id=self.thread_id,
                timeout=timeout,
                parent_message_id=self._parent(parent_message_id),
                idempotency_key=idempotency_key,
            )
        )

    def ask_stream(
        self,
        to: str,
        text: str,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = 30.0,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AnswerStream:
        """Asks ``{"text": text}`` and reads the answer piece by piece; read to its end, the next message follows it."""

        def ended(reply: StreamReply) -> None:
            self.parent_message_id = reply.message.message_id or self.parent_message_id

        return self._sdk._ask_stream(  # pyright: ignore[reportPrivateUsage]
            to,
            {"text": str(text)},
            self.thread_id,
            timeout,
            idle_timeout,
            self._parent(parent_message_id),
            idempotency_key,
            ended,
        )
