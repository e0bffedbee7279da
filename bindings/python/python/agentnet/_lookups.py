"""The node's calls of the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from agentnet import _targets, mailbox, registry
from agentnet._coerce import stripped
from agentnet._completion import completion
from agentnet._native import Node, abandon
from agentnet._expand import expand_options
from agentnet._options import (
    MESSAGE_DEFAULTS,
    PROFILE_DEFAULTS,
    THREAD_DEFAULTS,
    MessageFilters,
    ProfileFilters,
    ThreadFilters,
)
from agentnet._typing import Unpack
from agentnet.errors import RegistryError
from agentnet.registry import RegistryConnection
from agentnet.schema import AgentInfo

LOOKUP_TIMEOUT = 2.0


class Lookups:
    """The node's calls of the registry. Part of ``AgentNode``."""

    nats_url: str
    _native: Node
    _registry: RegistryConnection

    @property
    def session_tag(self) -> str | None:
        """The session, while the node runs."""
        return None if self._native.has_left else self._native.session_tag

    async def _client(self) -> RegistryConnection:
        """The node's connection; one for the call while the node does not run."""
        if self.session_tag is None:
            return await RegistryConnection.connect(self.nats_url)
        return self._registry

    async def _username_target(self, username: str, timeout: float | None) -> tuple[int, str]:
        """The target of a username: the username itself, which the native part resolves within its own timeout, or with
        another timeout the account, which is looked up here."""
        if timeout == LOOKUP_TIMEOUT:
            return _targets.USERNAME, registry.required_username(username)
        return _targets.ACCOUNT, await self.resolve_account_id_by_username(username, timeout=timeout)

    async def resolve_account_id_by_username(self, username: str, timeout: float | None = LOOKUP_TIMEOUT) -> str:
        """The account of a username, from the cache or the registry. Raises ``RegistryError`` for an unknown
        username."""
        name = registry.required_username(username)
        if self.session_tag is None:
            account_id, _ = await registry.resolve_account_by_username(self.nats_url, name, timeout=timeout)
            return account_id
        answer = self._native.resolve(name)
        try:
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the answer.
            done, _ = await asyncio.wait([answer], timeout=None if timeout is None else max(0.0, timeout))
        finally:
            if not answer.done():
                abandon(answer)
                answer.cancel()
        if not done:
            raise RegistryError("Registry did not respond to registry.resolve_account")
        return answer.result()

    async def list_online_agents(self, timeout: float | None = 2.0) -> list[AgentInfo]:
        """All agents that are online, ordered by agent id and session."""
        return await registry.list_online_agents_with_client(await self._client(), timeout=timeout)

    @expand_options(**PROFILE_DEFAULTS)
    async def search_profiles(self, **filters: Unpack[ProfileFilters]) -> list[dict[str, Any]]:
        """Accounts by a part of their name and by capability, online ones first."""
        return await registry.search_profiles_with_client(await self._client(), **filters)

    async def get_profile(
        self, *, account_id: str | None = None, username: str | None = None, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """One account, by id or name. Raises ``RegistryError`` with ``not_found``."""
        return await registry.get_profile_with_client(
            await self._client(), account_id=account_id, username=username, timeout=timeout
        )

    async def get_thread_status(
        self,
        *,
        thread_id: str,
        soft_limit_tokens: int | None = None,
        hard_limit_tokens: int | None = None,
        timeout: float | None = 2.0,
    ) -> dict[str, Any]:
        """One thread's counters. Raises ``RegistryError`` with ``not_found``."""
        return await registry.get_thread_status_with_client(
            await self._client(),
            thread_id=thread_id,
            soft_limit_tokens=soft_limit_tokens,
            hard_limit_tokens=hard_limit_tokens,
            timeout=timeout,
        )

    @expand_options(**THREAD_DEFAULTS)
    async def list_threads(self, **filters: Unpack[ThreadFilters]) -> list[dict[str, Any]]:
        """Threads, latest activity first."""
        return await registry.list_threads_with_client(await self._client(), **filters)

    async def get_thread_messages(
        self, *, thread_id: str, limit: int = 50, cursor: str | None = None, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """One page of a thread, newest message first; ``next_cursor`` is for the next page."""
        return await registry.get_thread_messages_with_client(
            await self._client(), thread_id=thread_id, limit=limit, cursor=cursor, timeout=timeout
        )

    @expand_options(**MESSAGE_DEFAULTS)
    async def search_messages(self, **filters: Unpack[MessageFilters]) -> dict[str, Any]:
        """Messages by filters, newest first; ``next_cursor`` is for the next page."""
        return await registry.search_messages_with_client(await self._client(), **filters)

    async def get_registry_metrics(self, timeout: float | None = 2.0) -> dict[str, Any]:
        """The registry's counters."""
        return await registry.get_registry_metrics_with_client(await self._client(), timeout=timeout)

    async def get_mailbox_status(
        self, *, account_id: str | None = None, username: str | None = None, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """How full the mailbox of an account is, by id or name; without either, the mailboxes of all accounts together. See
        ``agentnet.mailbox.get_mailbox_status``."""
        return await mailbox.get_mailbox_status_with_client(
            await self._client(), account_id=account_id, username=username, timeout=timeout
        )

    async def list_mailbox(
        self,
        *,
        account_id: str | None = None,
        username: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        timeout: float | None = 2.0,
    ) -> dict[str, Any]:
        """One page of an account's mailbox, oldest message first. See ``agentnet.mailbox.list_mailbox``."""
        return await mailbox.list_mailbox_with_client(
            await self._client(),
            account_id=account_id,
            username=username,
            state=state,
            limit=limit,
            cursor=cursor,
            timeout=timeout,
        )

    async def requeue_mailbox(self, message_ids: Iterable[str] | None = None) -> int:
        """Has dead messages of the own mailbox delivered again: those named, at most 100, or all. Returns their number."""
        return await self._change_mailbox("requeue", message_ids, "dead")

    async def drop_mailbox(self, message_ids: Iterable[str] | None = None, *, state: str | None = None) -> int:
        """Deletes messages of the own mailbox: those named, at most 100, or all in a ``state`` such as ``dead``. Their senders
        are told. Returns their number."""
        if message_ids is None and not stripped(state):
            raise ValueError("message_ids or state is required")
        return await self._change_mailbox("drop", message_ids, state)

    async def _change_mailbox(self, action: str, message_ids: Iterable[str] | None, state: str | None) -> int:
        if isinstance(message_ids, str):
            message_ids = [message_ids]
        ids = [] if message_ids is None else [str(message_id) for message_id in message_ids]
        if message_ids is not None and not ids:
            return 0
        return await completion(self._native.mailbox_action(action, ids, None if ids else state))


def native_node(node: Lookups) -> Node:
    """The native part of a node."""
    return node._native  # pyright: ignore[reportPrivateUsage]
