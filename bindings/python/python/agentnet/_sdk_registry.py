"""The registry calls of the high-level SDK."""

from __future__ import annotations

from typing import Any

from agentnet._facade import NodeFacade
from agentnet._native import parse_target
from agentnet.schema import AgentInfo


class RegistryCalls(NodeFacade):
    """Calls of the registry. Part of ``AgentSDK``."""

    async def list_online(self, timeout: float | None = 2.0) -> list[AgentInfo]:
        """All agents that are online, ordered by agent id and session."""
        return await self._node.list_online_agents(timeout=timeout)

    async def get_profile(
        self,
        target: str | None = None,
        *,
        account_id: str | None = None,
        username: str | None = None,
        timeout: float | None = 2.0,
    ) -> dict[str, Any]:
        """One account, by a target, an id or a name. Raises ``RegistryError`` with ``not_found``."""
        if target:
            kind, value = parse_target(target)
            if kind == "account":
                account_id = value
            elif kind == "username":
                username = value
            else:
                raise ValueError("capability target is not valid for get_profile")
        return await self._node.get_profile(account_id=account_id, username=username, timeout=timeout)

    async def thread_status(
        self,
        thread_id: str,
        *,
        soft_limit_tokens: int | None = None,
        hard_limit_tokens: int | None = None,
        timeout: float | None = 2.0,
    ) -> dict[str, Any]:
        """One thread's counters. Raises ``RegistryError`` with ``not_found``."""
        return await self._node.get_thread_status(
            thread_id=thread_id,
            soft_limit_tokens=soft_limit_tokens,
            hard_limit_tokens=hard_limit_tokens,
            timeout=timeout,
        )

    async def get_thread_messages(
        self, thread_id: str, *, limit: int = 50, cursor: str | None = None, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """One page of a thread, newest message first; ``next_cursor`` is for the next page."""
        return await self._node.get_thread_messages(thread_id=thread_id, limit=limit, cursor=cursor, timeout=timeout)
