"""The node's calls about tasks."""

from __future__ import annotations

from collections.abc import Coroutine
from collections.abc import Mapping as Mapping  # named by the annotations of expanded methods, as are the next two
from datetime import timedelta as timedelta
from typing import Any

from agentnet import tasks
from agentnet._expand import expand_options
from agentnet._lookups import Lookups
from agentnet._native import TaskHandle
from agentnet._options import HasTaskId as HasTaskId
from agentnet._options import TASK_DEFAULTS, TASK_LIST_DEFAULTS, TaskFilters, TaskListFilters, TaskOptions
from agentnet._task_handle import Task, reference, start_task
from agentnet._task_work import TH, TaskHandling, check_handler
from agentnet._typing import Unpack


class TaskCalls(Lookups):
    """The node's calls about tasks. Part of ``AgentNode``."""

    _task_handling: TaskHandling

    @expand_options()
    def task(self, to: str, text: str = "", **options: Unpack[TaskOptions]) -> Coroutine[Any, Any, Task]:
        """Asks for work that may take long, or begin later (PROTOCOL.md section 22): an account
        (``@name``, ``name``, ``acct_…`` or ``account:<id>``), or any agent with a capability (``capability:<name>``).

        When it returns, the task is stored safely. Repeating it with the same ``key`` or ``task_id`` gives the same task.

        Args:
            to: Who is to do it.
            text: What is to be done, at most 64 KiB.
            title: A few words, at most 1,024 bytes.
            payload: What is to be done, for programs: any JSON of at most 256 KiB.
            parent: The task that it is a part of (a ``Task``, a ``TaskContext`` or an id): cancelling that cancels it.
            thread_id: Its thread. Default: one of its own.
            key: The account's own name for the work: a second task under the same key is not made.
            task_id: Its id. Default: a new one.
            deadline: When it is given up, counted from now: seconds, or a text such as ``"2h"``. Default: never.
            delay: How long no worker may begin with it. Default: not at all.
            retries: How often it is tried again where a worker is lost, or says that another attempt may help. Default: 0.
            backoff: The delay before the second attempt, which doubles with each further one. Default: one second.
            heartbeat: How long its worker may be silent before it counts as lost. Default: 30 seconds.
            priority: -100 to 100: of several tasks that wait, those with the highest come first. Default: 0.
            metadata: A dict that stays with it.
            coordinator: The name that the account calls itself in it. Default: its username.

        Raises:
            ValueError: The target is empty, or a value cannot be used.
            TypeError: The payload is not JSON.
            TaskError: The registry does not make it; ``code`` is the reason: ``task_conflict`` for another task under the same
                key or id. It is a ``RegistryError``.
            RegistryError: The username is unknown, or the registry did not answer.
        """
        return start_task(self._native, to, text, **options)

    def open_task(self, task_id: str | HasTaskId) -> Task:
        """A task that exists, by its id; the node must run. The registry is not asked."""
        return Task(TaskHandle.of(self._native, reference(task_id)))

    def on_task(self, handler: TH) -> TH:
        """Sets the handler of tasks; a decorator. With it, a node takes tasks for its account and its capabilities, up to
        ``task_concurrency`` at a time.

        The handler is a function of a ``ClaimedWork`` and a ``TaskContext``. What it returns is what comes of the task. Other
        ends are a ``TaskFailure`` that it raises; any other exception is logged with its traceback, and the task is tried again
        while it has attempts left. A handler has no time limit but the deadline of its task.

        Of a node that runs with a handler of tasks it replaces that one at once. A node that was started without takes no
        tasks before its next start.
        """
        check_handler(handler)
        self._task_handling.handler = handler
        return handler

    async def get_task_status(self, task_id: str | HasTaskId, *, timeout: float | None = 2.0) -> dict[str, Any]:
        """One task, of any account. Raises ``RegistryError`` with ``not_found``. See ``agentnet.tasks.get_task_status``."""
        return await tasks.get_task_status_with_client(await self._client(), task_id, timeout=timeout)

    @expand_options(**TASK_LIST_DEFAULTS)
    async def list_tasks(self, **filters: Unpack[TaskListFilters]) -> list[dict[str, Any]]:
        """Tasks of all accounts by filters, the last changed first, at most ``limit``."""
        return await tasks.list_tasks_with_client(await self._client(), **filters)

    @expand_options(**TASK_DEFAULTS)
    async def search_tasks(self, **filters: Unpack[TaskFilters]) -> dict[str, Any]:
        """One page of tasks by filters, the last changed first; ``next_cursor`` is for the next page. See
        ``agentnet.tasks.search_tasks``."""
        return await tasks.search_tasks_with_client(await self._client(), **filters)

    async def get_task_events(
        self, task_id: str | HasTaskId, *, after: int = 0, limit: int = 100, timeout: float | None = 2.0
    ) -> dict[str, Any]:
        """One page of a task's events, in order; ``Task.events`` waits for those that come. See
        ``agentnet.tasks.get_task_events``."""
        return await tasks.get_task_events_with_client(
            await self._client(), task_id, after=after, limit=limit, timeout=timeout
        )
