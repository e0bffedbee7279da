"""Tasks: work that outlives a call (PROTOCOL.md section 22).

``await node.task(to, text)`` asks for work and gives a ``Task``; ``node.on_task`` sets the handler that does work. The functions
of this module look at tasks without an agent. As in ``agentnet.registry``, each opens a connection of its own, and the variants
``*_with_client`` take an open one.
"""

from __future__ import annotations

from typing import Any

from agentnet import subjects
from agentnet._coerce import as_list, as_object, stripped
from agentnet._expand import expand_options
from agentnet._options import (
    TASK_DEFAULTS,
    TASK_LIST_DEFAULTS,
    HasTaskId,
    TaskFilters,
    TaskListFilters,
    TaskOptions,
)
from agentnet._task_handle import Task, TaskEvent, TaskEvents, TaskOutcome
from agentnet._task_work import ClaimedWork, TaskContext, TaskFailure, TaskHandler, TaskOutput
from agentnet._typing import Unpack
from agentnet.errors import RegistryProtocolError, RegistryRefusedError, task_error
from agentnet.registry import (
    Client,
    RegistryConnection,
    _ask,  # pyright: ignore[reportPrivateUsage]
)

__all__ = [
    "ClaimedWork",
    "HasTaskId",
    "Task",
    "TaskContext",
    "TaskEvent",
    "TaskEvents",
    "TaskFailure",
    "TaskFilters",
    "TaskHandler",
    "TaskListFilters",
    "TaskOptions",
    "TaskOutcome",
    "TaskOutput",
    "get_task_events",
    "get_task_events_with_client",
    "get_task_status",
    "get_task_status_with_client",
    "list_tasks",
    "list_tasks_with_client",
    "search_tasks",
    "search_tasks_with_client",
]

_MAX_LISTED = 100
_MAX_EVENTS = 200


async def _ask_about_tasks(client: Client, subject: str, request: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """Asks the registry. An error is of the class that its code has."""
    try:
        return await _ask(client, subject, request, timeout)
    except RegistryRefusedError as error:
        raise task_error(str(error)) from None


def _required_id(task_id: str | HasTaskId) -> str:
    text = stripped(task_id if isinstance(task_id, str) else task_id.id)
    if not text:
        raise ValueError("task_id is required")
    return text


async def get_task_status(nats_url: str | None, task_id: str, *, timeout: float | None = 2.0) -> dict[str, Any]:
    """One task, as the registry describes it: ``state``, ``status`` (the same in the five words of the Python implementation),
    ``title``, ``latest_progress_text``, ``percent``, ``result``, ``attempt``, ``stalled`` and more.

    Raises ``RegistryError`` with ``not_found``.
    """
    nc = await RegistryConnection.connect(nats_url)
    return await get_task_status_with_client(nc, task_id, timeout=timeout)


async def get_task_status_with_client(
    nc: Client, task_id: str | HasTaskId, *, timeout: float | None = 2.0
) -> dict[str, Any]:
    """As ``get_task_status``."""
    request = {"task_id": _required_id(task_id)}
    reply = await _ask_about_tasks(nc, subjects.REGISTRY_TASK_STATUS_SUBJECT, request, timeout)
    task = as_object(reply.get("task"))
    if task is None:
        raise RegistryProtocolError("registry.task_status: missing task")
    return task


@expand_options(**TASK_DEFAULTS)
async def search_tasks(nats_url: str | None, **filters: Unpack[TaskFilters]) -> dict[str, Any]:
    """One page of tasks by filters, the last changed first; ``next_cursor`` is for the next page, ``tasks`` has the tasks.

    ``state`` is one of ``submitted``, ``working``, ``input_required``, ``auth_required``, ``completed``, ``failed``,
    ``canceled`` and ``rejected``; ``status`` is a word of the Python implementation: ``assigned``, ``working``, ``blocked``,
    ``completed`` or ``failed``. ``since`` is a time, UTC, since which they changed.
    """
    return await search_tasks_with_client(await RegistryConnection.connect(nats_url), **filters)


@expand_options(**TASK_DEFAULTS)
async def search_tasks_with_client(nc: Client, **filters: Unpack[TaskFilters]) -> dict[str, Any]:
    """As ``search_tasks``."""
    timeout = filters.pop("timeout", None)
    request: dict[str, Any] = {"limit": max(1, min(int(filters.pop("limit", 20)), _MAX_LISTED))}
    request |= {name: text for name, value in filters.items() if (text := stripped(value))}
    return await _ask_about_tasks(nc, subjects.REGISTRY_TASK_LIST_SUBJECT, request, timeout)


@expand_options(**TASK_LIST_DEFAULTS)
async def list_tasks(nats_url: str | None, **filters: Unpack[TaskListFilters]) -> list[dict[str, Any]]:
    """Tasks, the last changed first, at most ``limit`` (100 at most). ``search_tasks`` has pages and more filters."""
    return await list_tasks_with_client(await RegistryConnection.connect(nats_url), **filters)


@expand_options(**TASK_LIST_DEFAULTS)
async def list_tasks_with_client(nc: Client, **filters: Unpack[TaskListFilters]) -> list[dict[str, Any]]:
    """As ``list_tasks``."""
    page = await search_tasks_with_client(nc, **filters)
    return [task for task in map(as_object, as_list(page.get("tasks"))) if task is not None]


async def get_task_events(
    nats_url: str | None, task_id: str, *, after: int = 0, limit: int = 100, timeout: float | None = 2.0
) -> dict[str, Any]:
    """One page of a task's events (``events``), in order, behind the one of number ``after``. ``last`` is the number of the
    last event that there is, ``terminal`` says whether the task has ended. ``Task.events`` waits for those that come.

    Raises ``RegistryError`` with ``not_found``.
    """
    nc = await RegistryConnection.connect(nats_url)
    return await get_task_events_with_client(nc, task_id, after=after, limit=limit, timeout=timeout)


async def get_task_events_with_client(
    nc: Client, task_id: str | HasTaskId, *, after: int = 0, limit: int = 100, timeout: float | None = 2.0
) -> dict[str, Any]:
    """As ``get_task_events``."""
    request = {
        "task_id": _required_id(task_id),
        "after": max(0, int(after)),
        "limit": max(1, min(int(limit), _MAX_EVENTS)),
    }
    return await _ask_about_tasks(nc, subjects.REGISTRY_TASK_EVENTS_SUBJECT, request, timeout)
