"""Conversations in one thread, and what the high-level calls give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

    def __init__(self, sdk: AgentSDK, thread_id: str, parent_message_id: str | None = None) -> None:
        self._sdk = sdk
        self.thread_id = str(thread_id or "").strip()
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
        self, to: str, text: str, *, parent_message_id: str | None = None, idempotency_key: str | None = None
    ) -> SDKResult:
        """Sends ``{"text": text}``."""
        return await self.send_json(
            to, {"text": str(text)}, parent_message_id=parent_message_id, idempotency_key=idempotency_key
        )

    async def send_json(
        self, to: str, data: Any, *, parent_message_id: str | None = None, idempotency_key: str | None = None
    ) -> SDKResult:
        """Sends any JSON."""
        return self._follow(
            await self._sdk.send_json(
                to,
                data,
                thread_id=self.thread_id,
                parent_message_id=self._parent(parent_message_id),
                idempotency_key=idempotency_key,
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
        idle_timeout: float = 30.0,
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
