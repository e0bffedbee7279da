"""``AgentWrapper``: a stable adapter for frameworks that embed an agent (PROTOCOL.md section 17)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from agentnet import _targets
from agentnet._completion import completed
from agentnet._facade import NodeFacade
from agentnet._native import error_of_reply
from agentnet._expand import expand_options
from agentnet._options import MailboxOptions as MailboxOptions  # named by the annotations of expanded methods
from agentnet._options import MailboxSendOptions, MessageOptions, NodeOptions, StreamOptions
from agentnet._requests import start_request
from agentnet._sends import start_send
from agentnet._typing import Self, Unpack
from agentnet.blobs import BlobRef, blob_payload
from agentnet.errors import request_error
from agentnet.mailbox import SentMessage
from agentnet.node import AgentNode
from agentnet.schema import AgentMessage


def _one_target(
    to_account_id: str | None, to_username: str | None, to_capability: str | None
) -> tuple[int, str]:
    given = [
        (kind, target)
        for kind, target in (
            (_targets.ACCOUNT, to_account_id),
            (_targets.USERNAME, to_username),
            (_targets.CAPABILITY, to_capability),
        )
        if target is not None
    ]
    if len(given) != 1:
        raise ValueError("Provide exactly one target: to_account_id, to_username, or to_capability.")
    return given[0]


class AgentWrapper(NodeFacade):
    """An agent with few calls, all by named arguments. The arguments of the constructor are those of ``AgentNode``."""

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

    @expand_options()
    async def send(
        self,
        *,
        payload: Any,
        to_account_id: str | None = None,
        to_username: str | None = None,
        to_capability: str | None = None,
        kind: str = "direct",
        **options: Unpack[MailboxSendOptions],
    ) -> SentMessage:
        """Sends a message to exactly one target; see ``AgentNode.send``."""
        target_kind, target = _one_target(to_account_id, to_username, to_capability)
        return await completed(start_send(self._native, target_kind, target, payload, kind, **options))

    @expand_options()
    async def send_blob_ref(
        self,
        *,
        blob: BlobRef | Mapping[str, Any],
        to_account_id: str | None = None,
        to_username: str | None = None,
        to_capability: str | None = None,
        kind: str = "direct",
        **options: Unpack[MailboxSendOptions],
    ) -> SentMessage:
        """Sends a reference to a blob to exactly one target. The receiver needs access to the store that has the blob."""
        return await self.send(
            payload=blob_payload(blob),
            to_account_id=to_account_id,
            to_username=to_username,
            to_capability=to_capability,
            kind=kind,
            **options,
        )

    @expand_options()
    async def request(
        self,
        *,
        payload: Any,
        to_account_id: str | None = None,
        to_username: str | None = None,
        to_capability: str | None = None,
        timeout: float | None = 5.0,
        kind: str = "request",
        **options: Unpack[MessageOptions],
    ) -> AgentMessage:
        """Sends a request to exactly one target and waits for the reply. Raises ``AgentRequestError`` where the reply reports
        an error."""
        target_kind, target = _one_target(to_account_id, to_username, to_capability)
        reply = await completed(start_request(self._native, target_kind, target, payload, timeout, kind, **options))
        reported = error_of_reply(reply)
        if reported is not None:
            raise request_error(*reported)
        return reply

    @expand_options()
    async def reply(
        self, *, request: AgentMessage, payload: Any, kind: str = "reply", **options: Unpack[StreamOptions]
    ) -> str:
        """Replies to a message; see ``AgentNode.reply``."""
        return await self._node.reply(request, payload, kind, **options)

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
