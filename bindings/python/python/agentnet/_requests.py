"""The node's requests."""

from __future__ import annotations

from typing import Any

from agentnet import _targets
from agentnet._coerce import required, seconds, with_valid_ttl
from agentnet._completion import Outcome, completed
from agentnet._lookups import LOOKUP_TIMEOUT, Lookups
from agentnet._native import Node
from agentnet._expand import expand_options, native_call
from agentnet._options import MessageOptions
from agentnet._typing import Unpack
from agentnet.schema import AgentMessage
from agentnet.streams import AnswerStream, AskOptions


def start_request(
    native: Node,
    target_kind: int,
    to: str,
    payload: Any,
    timeout: float | None,
    kind: str,
    **options: Unpack[MessageOptions],
) -> Outcome[AgentMessage]:
    """Sends a request; the result is the reply."""
    return native.request(target_kind, to, payload, kind, seconds(timeout), with_valid_ttl(options))


def stream_options(
    timeout: float | None, idle_timeout: float | None, kind: str, **options: Unpack[MessageOptions]
) -> AskOptions:
    """The options of a request whose answer is a stream, in the order of the native part."""
    return kind, seconds(timeout), seconds(idle_timeout), with_valid_ttl(options)


class Requests(Lookups):
    """The node's requests. Part of ``AgentNode``."""

    @native_call
    def request(
        self,
        to: str,
        payload: Any,
        timeout: float | None = 5.0,
        kind: str = "request",
        *positional: Any,
        **options: Unpack[MessageOptions],
    ) -> Outcome[AgentMessage]:
        """Sends a request to a target, in any form that ``send`` takes, and waits for the reply. A reply that reports an
        error is returned as well.

        Raises:
            ValueError: The target is empty, or the message is larger than ``max_payload_bytes``.
            RequestTimeoutError: No reply came within ``timeout`` seconds; it is an ``asyncio.TimeoutError``.
            NoRespondersError: The target has no subscriber.
            RuntimeError: Any other failure.
        """
        return start_request(self._native, _targets.TEXT, to, payload, timeout, kind, **options)

    @native_call
    def request_account(
        self,
        to_account_id: str,
        payload: Any,
        timeout: float | None = 5.0,
        kind: str = "request",
        *positional: Any,
        **options: Unpack[MessageOptions],
    ) -> Outcome[AgentMessage]:
        """As ``request``, of an account."""
        account_id = required(to_account_id, "to_account_id")
        return start_request(self._native, _targets.ACCOUNT, account_id, payload, timeout, kind, **options)

    @expand_options()
    async def request_username(
        self,
        username: str,
        payload: Any,
        timeout: float | None = 5.0,
        kind: str = "request",
        *positional: Any,
        lookup_timeout: float | None = LOOKUP_TIMEOUT,
        **options: Unpack[MessageOptions],
    ) -> AgentMessage:
        """As ``request``, of the account of a username; ``lookup_timeout`` is for the lookup of the username."""
        target_kind, to = await self._username_target(username, lookup_timeout)
        return await completed(
            start_request(self._native, target_kind, to, payload, timeout, kind, **options)
        )

    @native_call
    def request_capability(
        self,
        capability: str,
        payload: Any,
        timeout: float | None = 5.0,
        kind: str = "request",
        *positional: Any,
        **options: Unpack[MessageOptions],
    ) -> Outcome[AgentMessage]:
        """As ``request``, of one of the agents with a capability."""
        return start_request(self._native, _targets.CAPABILITY, capability, payload, timeout, kind, **options)

    @expand_options()
    def request_stream(
        self,
        to: str,
        payload: Any,
        *,
        timeout: float | None = 5.0,
        idle_timeout: float | None = 30.0,
        kind: str = "request",
        **options: Unpack[MessageOptions],
    ) -> AnswerStream:
        """Sends a request to a target, in any form that ``send`` takes, and reads the answer piece by piece:
        ``async for piece in ...``.

        An agent that answers by an ordinary reply gives one piece. ``timeout`` is for the first piece, ``idle_timeout`` for
        each further one. The request is sent when the stream is read.
        """
        asked = stream_options(timeout, idle_timeout, kind, **options)
        return AnswerStream(self._native, _targets.TEXT, to, payload, asked)
