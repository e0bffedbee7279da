"""The node's requests."""

from __future__ import annotations

from typing import Any

from agentnet import _routes
from agentnet._completion import completed
from agentnet._lookups import LOOKUP_TIMEOUT, Lookups
from agentnet._plain import seconds
from agentnet._sending import required, whole
from agentnet.schema import AgentMessage
from agentnet.streams import AnswerStream


class Asking(Lookups):
    """What a node can ask others. Part of ``AgentNode``."""

    async def _request(
        self,
        way: int,
        to: str,
        payload: Any,
        timeout: float | None,
        kind: str,
        ttl_ms: int | None,
        trace_id: str | None,
        thread_id: str | None,
        parent_message_id: str | None,
        idempotency_key: str | None,
    ) -> AgentMessage:
        outcome = self._native.request(
            way,
            to,
            payload,
            kind,
            whole(ttl_ms),
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            seconds(timeout),
        )
        return await completed(outcome)

    async def request(
        self,
        to: str,
        payload: Any,
        timeout: float | None = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AgentMessage:
        """Asks a target as those of ``send``, and waits for the reply. A reply that reports an error is returned as well.

        Raises:
            ValueError: The target is none, or the message is larger than ``max_payload_bytes``.
            RequestTimeoutError: No reply came within ``timeout`` seconds; it is an ``asyncio.TimeoutError``.
            NoRespondersError: Nobody listens there.
            RuntimeError: Anything else that went wrong on the way.
        """
        return await self._request(
            _routes.TEXT,
            to,
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )

    async def request_account(
        self,
        to_account_id: str,
        payload: Any,
        timeout: float | None = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AgentMessage:
        """As ``request``, of an account."""
        return await self._request(
            _routes.ACCOUNT,
            required(to_account_id, "to_account_id"),
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )

    async def request_username(
        self,
        username: str,
        payload: Any,
        timeout: float | None = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        lookup_timeout: float | None = LOOKUP_TIMEOUT,
    ) -> AgentMessage:
        """As ``request``, of the account of a username; ``lookup_timeout`` is for finding it."""
        way, to = await self._named(username, lookup_timeout)
        return await self._request(
            way,
            to,
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )

    async def request_capability(
        self,
        capability: str,
        payload: Any,
        timeout: float | None = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AgentMessage:
        """As ``request``, of one of the agents with a capability."""
        return await self._request(
            _routes.CAPABILITY,
            capability,
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )

    def request_stream(
        self,
        to: str,
        payload: Any,
        *,
        timeout: float | None = 5.0,
        idle_timeout: float | None = 30.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AnswerStream:
        """Asks a target as those of ``send``, and reads the answer piece by piece: ``async for piece in ...``.

        An agent that answers by an ordinary reply gives one piece. ``timeout`` is for the first piece, ``idle_timeout`` for
        each further one. Nothing is asked before the stream is read.
        """
        return AnswerStream(
            self._native,
            _routes.TEXT,
            to,
            payload,
            (kind, whole(ttl_ms), trace_id, thread_id, parent_message_id, idempotency_key, seconds(timeout), seconds(idle_timeout)),
        )
