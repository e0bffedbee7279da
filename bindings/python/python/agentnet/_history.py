"""What SDK and wrapper ask the registry alike."""

from __future__ import annotations

from typing import Any

from agentnet.node import AgentNode


class HistoryCalls:
    """Threads and messages, as the registry has them. Part of ``AgentSDK`` and ``AgentWrapper``."""

    _node: AgentNode

    async def list_threads(
        self,
        *,
        participant_account_id: str | None = None,
        participant_username: str | None = None,
        query: str = "",
        limit: int = 20,
        soft_limit_tokens: int | None = None,
        hard_limit_tokens: int | None = None,
        timeout: float | None = 2.0,
    ) -> list[dict[str, Any]]:
        """Threads, latest activity first."""
        return await self._node.list_threads(
            participant_account_id=participant_account_id,
            participant_username=participant_username,
            query=query,
            limit=limit,
            soft_limit_tokens=soft_limit_tokens,
            hard_limit_tokens=hard_limit_tokens,
            timeout=timeout,
        )

    async def search_messages(
        self,
        *,
        thread_id: str | None = None,
        from_account_id: str | None = None,
        to_account_id: str | None = None,
        kind: str | None = None,
        from_ts: str | None = None,
        to_ts: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        timeout: float | None = 2.0,
    ) -> dict[str, Any]:
        """Messages by filters, newest first; ``next_cursor`` leads to the next page."""
        return await self._node.search_messages(
            thread_id=thread_id,
            from_account_id=from_account_id,
            to_account_id=to_account_id,
            kind=kind,
            from_ts=from_ts,
            to_ts=to_ts,
            limit=limit,
            cursor=cursor,
            timeout=timeout,
        )

    async def registry_metrics(self, timeout: float | None = 2.0) -> dict[str, Any]:
        """The registry's counters."""
        return await self._node.get_registry_metrics(timeout=timeout)
