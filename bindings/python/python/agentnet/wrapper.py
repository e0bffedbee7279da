"""``AgentWrapper``: a stable adapter for frameworks that embed an agent (PROTOCOL.md section 17)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from agentnet import _routes
from agentnet._history import HistoryCalls
from agentnet._native import error_of_reply
from agentnet._options import NodeOptions
from agentnet._typing import Self, Unpack
from agentnet.blobs import BlobMethods, BlobRef, BlobStore, blob_payload
from agentnet.errors import request_error
from agentnet.node import AgentNode, H
from agentnet.schema import AgentMessage


def _one_target(
    to_account_id: str | None, to_username: str | None, to_capability: str | None
) -> tuple[int, str]:
    given = [
        (way, target)
        for way, target in (
            (_routes.ACCOUNT, to_account_id),
            (_routes.USERNAME, to_username),
            (_routes.CAPABILITY, to_capability),
        )
        if target is not None
    ]
    if len(given) != 1:
        raise ValueError("Provide exactly one target: to_account_id, to_username, or to_capability.")
    return given[0]


class AgentWrapper(HistoryCalls, BlobMethods):
    """An agent behind few calls with named arguments. The arguments are those of ``AgentNode``."""

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

    @property
    def blobs(self) -> BlobStore:
        """The calls of blobs, to be awaited: they do not hold up the event loop."""
        return self._node.blobs

    @property
    def node(self) -> AgentNode:
        """The node that does the work."""
        return self._node

    @property
    def account_id(self) -> str | None:
        """The account, once connected."""
        return self._node.account_id

    @property
    def username(self) -> str | None:
        """The username that the registry gave, once connected."""
        return self._node.username

    @property
    def session_tag(self) -> str | None:
        """The session, while connected."""
        return self._node.session_tag

    def receive(self, handler: H) -> H:
        """Sets what is done with the messages that arrive; a decorator."""
        return self._node.on_message(handler)

    async def connect(self) -> None:
        """Joins the network; see ``AgentNode.start``."""
        await self._node.start()

    async def close(self) -> None:
        """Leaves the network; see ``AgentNode.close``."""
        await self._node.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def resolve_username(self, username: str, timeout: float | None = 2.0) -> str:
        """The account of a username."""
        return await self._node.resolve_account_id_by_username(username, timeout=timeout)

    async def send(
        self,
        *,
        payload: Any,
        to_account_id: str | None = None,
        to_username: str | None = None,
        to_capability: str | None = None,
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
        """Sends a message to exactly one target; see ``AgentNode.send``."""
        way, target = _one_target(to_account_id, to_username, to_capability)
        return await self._node._send(  # pyright: ignore[reportPrivateUsage]
            way,
            target,
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
        *,
        blob: BlobRef | Mapping[str, Any],
        to_account_id: str | None = None,
        to_username: str | None = None,
        to_capability: str | None = None,
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
        """Sends a reference to a blob to exactly one target. The receiver must reach the store that keeps it."""
        return await self.send(
            payload=blob_payload(blob),
            to_account_id=to_account_id,
            to_username=to_username,
            to_capability=to_capability,
            kind=kind,
            ttl_ms=ttl_ms,
            trace_id=trace_id,
            thread_id=thread_id,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
            require_delivery_ack=require_delivery_ack,
            retry_attempts=retry_attempts,
            receipt_timeout=receipt_timeout,
        )

    async def request(
        self,
        *,
        payload: Any,
        to_account_id: str | None = None,
        to_username: str | None = None,
        to_capability: str | None = None,
        timeout: float | None = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AgentMessage:
        """Asks exactly one target and waits for the reply. Raises ``AgentRequestError`` where it reports an error."""
        way, target = _one_target(to_account_id, to_username, to_capability)
        reply = await self._node._request(  # pyright: ignore[reportPrivateUsage]
            way,
            target,
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )
        reported = error_of_reply(reply)
        if reported is not None:
            raise request_error(*reported)
        return reply

    async def reply(
        self,
        *,
        request: AgentMessage,
        payload: Any,
        kind: str = "reply",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
    ) -> str:
        """Answers a message; see ``AgentNode.reply``."""
        return await self._node.reply(
            request,
            payload,
            kind=kind,
            ttl_ms=ttl_ms,
            trace_id=trace_id,
            thread_id=thread_id,
            parent_message_id=parent_message_id,
        )

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

    async def get_profile(
        self, *, account_id: str | None = None, username: str | None = None, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """One account, by id or name."""
        return await self._node.get_profile(account_id=account_id, username=username, timeout=timeout)

    async def get_thread_messages(
        self, *, thread_id: str, limit: int = 50, cursor: str | None = None, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """One page of a thread, newest message first."""
        return await self._node.get_thread_messages(thread_id=thread_id, limit=limit, cursor=cursor, timeout=timeout)
