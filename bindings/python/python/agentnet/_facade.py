"""The common part of ``AgentSDK`` and ``AgentWrapper``: the node, its identity, and calls of the registry."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from collections.abc import Mapping as Mapping  # named by the annotations of expanded methods, as are the next two
from datetime import timedelta as timedelta
from typing import Any

from agentnet._lookups import native_node
from agentnet._expand import expand_options
from agentnet._options import HasTaskId as HasTaskId
from agentnet._options import (
    MESSAGE_DEFAULTS,
    PROFILE_DEFAULTS,
    TASK_DEFAULTS,
    TASK_LIST_DEFAULTS,
    THREAD_DEFAULTS,
    MessageFilters,
    ProfileFilters,
    TaskFilters,
    TaskListFilters,
    TaskOptions,
    ThreadFilters,
)
from agentnet._task_handle import Task
from agentnet._task_work import TH
from agentnet._typing import Unpack
from agentnet.blobs import BlobMethods, BlobStore
from agentnet.node import AgentNode, H


class NodeFacade(BlobMethods):
    """A node with other calls. Part of ``AgentSDK`` and ``AgentWrapper``."""

    def _set_node(self, node: AgentNode) -> None:
        self._node = node
        self._native = native_node(node)
        self._keep_blobs(self._native)

    @property
    def node(self) -> AgentNode:
        """The node that does the work."""
        return self._node

    @property
    def blobs(self) -> BlobStore:
        """The calls for blobs that are awaited and do not block the event loop."""
        return self._node.blobs

    @property
    def account_id(self) -> str | None:
        """The account, after the start."""
        return self._node.account_id

    @property
    def username(self) -> str | None:
        """The username that the registry gave, after the start."""
        return self._node.username

    @property
    def session_tag(self) -> str | None:
        """The session, while the node runs."""
        return self._node.session_tag

    def receive(self, handler: H) -> H:
        """Sets the handler of messages; a decorator."""
        return self._node.on_message(handler)

    @expand_options(**PROFILE_DEFAULTS)
    async def search_profiles(self, **filters: Unpack[ProfileFilters]) -> list[dict[str, Any]]:
        """Accounts by a part of their name and by capability, online ones first."""
        return await self._node.search_profiles(**filters)

    @expand_options(**THREAD_DEFAULTS)
    async def list_threads(self, **filters: Unpack[ThreadFilters]) -> list[dict[str, Any]]:
        """Threads, latest activity first."""
        return await self._node.list_threads(**filters)

    @expand_options(**MESSAGE_DEFAULTS)
    async def search_messages(self, **filters: Unpack[MessageFilters]) -> dict[str, Any]:
        """Messages by filters, newest first; ``next_cursor`` is for the next page."""
        return await self._node.search_messages(**filters)

    async def registry_metrics(self, timeout: float | None = 2.0) -> dict[str, Any]:
        """The registry's counters."""
        return await self._node.get_registry_metrics(timeout=timeout)

    async def get_mailbox_status(
        self, *, account_id: str | None = None, username: str | None = None, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """How full a mailbox is, or all; see ``AgentNode.get_mailbox_status``."""
        return await self._node.get_mailbox_status(account_id=account_id, username=username, timeout=timeout)

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
        """One page of an account's mailbox, oldest message first; see ``AgentNode.list_mailbox``."""
        return await self._node.list_mailbox(
            account_id=account_id, username=username, state=state, limit=limit, cursor=cursor, timeout=timeout
        )

    async def requeue_mailbox(self, message_ids: Iterable[str] | None = None) -> int:
        """Has dead messages of the own mailbox delivered again; see ``AgentNode.requeue_mailbox``."""
        return await self._node.requeue_mailbox(message_ids)

    async def drop_mailbox(self, message_ids: Iterable[str] | None = None, *, state: str | None = None) -> int:
        """Deletes messages of the own mailbox; see ``AgentNode.drop_mailbox``."""
        return await self._node.drop_mailbox(message_ids, state=state)

    @expand_options()
    def task(self, to: str, text: str = "", **options: Unpack[TaskOptions]) -> Coroutine[Any, Any, Task]:
        """Asks for work that may take long, or begin later; see ``AgentNode.task``."""
        return self._node.task(to, text, **options)

    def open_task(self, task_id: str | HasTaskId) -> Task:
        """A task that exists, by its id; see ``AgentNode.open_task``."""
        return self._node.open_task(task_id)

    def on_task(self, handler: TH) -> TH:
        """Sets the handler of tasks; a decorator. See ``AgentNode.on_task``."""
        return self._node.on_task(handler)

    @expand_options(**TASK_LIST_DEFAULTS)
    async def list_tasks(self, **filters: Unpack[TaskListFilters]) -> list[dict[str, Any]]:
        """Tasks of all accounts by filters, the last changed first, at most ``limit``."""
        return await self._node.list_tasks(**filters)

    @expand_options(**TASK_DEFAULTS)
    async def search_tasks(self, **filters: Unpack[TaskFilters]) -> dict[str, Any]:
        """One page of tasks by filters, the last changed first; ``next_cursor`` is for the next page."""
        return await self._node.search_tasks(**filters)

    async def task_status(self, task_id: str | HasTaskId, *, timeout: float | None = 2.0) -> dict[str, Any]:
        """One task; see ``agentnet.tasks.get_task_status``. Raises ``RegistryError`` with ``not_found``."""
        return await self._node.get_task_status(task_id, timeout=timeout)

    async def task_events(
        self, task_id: str | HasTaskId, *, after: int = 0, limit: int = 100, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """One page of a task's events, in order; ``Task.events`` waits for those that come."""
        return await self._node.get_task_events(task_id, after=after, limit=limit, timeout=timeout)
