"""The node's sends and replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentnet import _routes
from agentnet._completion import completed
from agentnet._lookups import LOOKUP_TIMEOUT, Lookups
from agentnet.blobs import BlobRef, blob_payload
from agentnet.schema import AgentMessage
from agentnet.streams import OutgoingStream


def whole(value: Any) -> int | None:
    """``int(value)``, at least 1; None for what is no number."""
    if value is None:
        return None
    try:
        return min(max(1, int(value)), 2**62)
    except (TypeError, ValueError, OverflowError):
        return None


def required(value: str, name: str) -> str:
    """A text that must say something."""
    text = str(value).strip()
    if not text:
        raise ValueError(f"{name} is required")
    return text


class Sending(Lookups):
    """What a node can send. Part of ``AgentNode``."""

    async def _send(
        self,
        way: int,
        to: str,
        payload: Any,
        kind: str,
        ttl_ms: int | None,
        trace_id: str | None,
        thread_id: str | None,
        parent_message_id: str | None,
        idempotency_key: str | None,
        require_delivery_ack: bool,
        retry_attempts: int | None,
        receipt_timeout: float | None,
    ) -> str:
        outcome = self._native.send(
            way,
            to,
            payload,
            kind,
            whole(ttl_ms),
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            None if retry_attempts is None else min(max(0, int(retry_attempts)), 2**32 - 1),
            receipt_timeout,
        )
        return await completed(outcome)

    async def send(
        self,
        to: str,
        payload: Any,
        kind: str = "direct",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> str:
        """Sends a message to ``@name``, ``name``, ``username:<name>``, ``acct_…`` or ``account:<id>``.

        It waits for the receiver's receipt and repeats the message while none comes, unless ``require_delivery_ack`` is off.

        Returns:
            The message id.

        Raises:
            ValueError: The target is none, or the message is larger than ``max_payload_bytes``.
            TypeError: The payload is no JSON.
            DeliveryError: The receiver refused it; ``code`` says why.
            DeliveryTimeoutError: No receipt came.
            RuntimeError: Anything else that went wrong on the way (all of these but the first two are ``RuntimeError``).
        """
        return await self._send(
            _routes.TEXT,
            to,
            payload,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_to_account(
        self,
        to_account_id: str,
        payload: Any,
        kind: str = "direct",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> str:
        """As ``send``, to an account."""
        return await self._send(
            _routes.ACCOUNT,
            required(to_account_id, "to_account_id"),
            payload,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_to_username(
        self,
        username: str,
        payload: Any,
        kind: str = "direct",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
        timeout: float | None = LOOKUP_TIMEOUT,
    ) -> str:
        """As ``send``, to the account of a username; ``timeout`` is for finding it."""
        way, to = await self._named(username, timeout)
        return await self._send(
            way,
            to,
            payload,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_to_capability(
        self,
        capability: str,
        payload: Any,
        kind: str = "direct",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> str:
        """As ``send``, to one of the agents with a capability."""
        return await self._send(
            _routes.CAPABILITY,
            capability,
            payload,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
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
    ) -> str:
        """Sends a reference to a blob. The receiver must reach the store that keeps it."""
        return await self.send(
            to,
            blob_payload(blob),
            thread_id=thread_id,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
            require_delivery_ack=require_delivery_ack,
            retry_attempts=retry_attempts,
            receipt_timeout=receipt_timeout,
        )

    async def reply(
        self,
        request: AgentMessage,
        payload: Any,
        kind: str = "reply",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Answers a message; it is neither acknowledged nor repeated.

        Returns:
            The id of the reply.

        Raises:
            NoReplySubjectError: The sender waits for no reply; it is a ``ValueError`` and a ``RuntimeError``.
        """
        outcome = self._native.reply(
            request,
            payload,
            kind,
            whole(ttl_ms),
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )
        return await completed(outcome)

    def reply_stream(
        self,
        request: AgentMessage,
        *,
        metadata: Any = None,
        stream_id: str | None = None,
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
    ) -> OutgoingStream:
        """Answers a message piece by piece: ``async with node.reply_stream(msg) as stream: await stream.delta("…")``.

        Leaving the block ends the stream; an exception in it ends it with an error.
        """
        return OutgoingStream.reply(
            request, metadata, stream_id, whole(ttl_ms), trace_id, thread_id, parent_message_id
        )

    def send_stream(
        self,
        to: str,
        *,
        metadata: Any = None,
        stream_id: str | None = None,
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
    ) -> OutgoingStream:
        """Sends a stream to an inbox, whose handler gets every frame as a message."""
        return OutgoingStream.send(
            self._native,
            to,
            metadata,
            stream_id,
            whole(ttl_ms),
            trace_id,
            thread_id,
            parent_message_id,
        )
