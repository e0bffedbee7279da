"""Tasks that an agent has asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from typing import Any

from agentnet import _native
from agentnet._coerce import required, stripped
from agentnet._completion import completion
from agentnet._duration import read_seconds
from agentnet._native import Node, TaskHandle
from agentnet._options import HasTaskId, TaskOptions
from agentnet._typing import Unpack

_TIMES = ("deadline", "delay", "backoff", "heartbeat")


@dataclass(slots=True)
class TaskEvent:
    """Something that happened to a task."""

    seq: int
    """Its number: counts from 1 without gaps."""
    at: str
    """When, UTC."""
    type: str
    """``created``, ``claimed``, ``progress``, ``input``, ``blocked``, ``lost``, ``retried``, ``released``,
    ``cancel_requested``, ``finished`` or ``ignored``."""
    attempt: int = 0
    """The attempt that it belongs to."""
    state: str | None = None
    """The state of the task after it."""
    text: str | None = None
    """A sentence, such as that of a progress."""
    data: Any = None
    """More of it, such as ``percent``, ``phase`` or ``code``."""
    from_account_id: str | None = None
    """Who caused it."""
    message_id: str | None = None
    """The message that caused it."""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TaskEvent:
        """Reads an event as it is on the wire."""
        known = {field.name for field in fields(cls)}
        given: dict[str, Any] = {"seq": 0, "at": "", "type": ""}
        given |= {name: value for name, value in data.items() if name in known}
        return cls(**given)


@dataclass(slots=True)
class TaskOutcome:
    """How a task has ended, or why its worker waits."""

    state: str
    """``completed``, ``failed``, ``canceled`` or ``rejected``; while its worker waits, ``input_required`` or
    ``auth_required``."""
    result: Any = None
    """What came of it."""
    text: str | None = None
    """What the worker says: the result in words, or what it waits for."""
    code: str | None = None
    """Why it failed: a code, such as ``worker_lost``, ``deadline_exceeded``, or the worker's own."""
    detail: str | None = None
    """Why it failed."""

    @property
    def completed(self) -> bool:
        """Whether the task was done."""
        return self.state == "completed"


class TaskEvents:
    """The events of a task in their order, each once: ``async for event in task.events()``. It ends after the last event of a
    task that has ended, and continues where it stopped after an outage of the registry or the connection."""

    def __init__(self, native: TaskHandle, after: int) -> None:
        self._native = native
        self._seen = after
        self._stream: _native.TaskEvents | None = None
        self._events: deque[TaskEvent] = deque()

    @property
    def last(self) -> int:
        """The number of the last event that was given: ``task.events(after=last)`` continues after it."""
        return self._seen

    def __aiter__(self) -> AsyncIterator[TaskEvent]:
        return self

    async def __anext__(self) -> TaskEvent:
        if not self._events:
            if self._stream is None:
                self._stream = self._native.events(self._seen)
            try:
                come = await completion(self._stream.next())
            except BaseException:
                # What came meanwhile is lost with the call, and is asked for again.
                self._stream = None
                raise
            if come is None:
                raise StopAsyncIteration
            self._events.extend(map(TaskEvent.from_dict, come))
        event = self._events.popleft()
        self._seen = max(self._seen, event.seq)
        return event


class Task:
    """A task that was asked for: ``await node.task(to, text)``, or ``node.open_task(task_id)``. The task does not need this
    object: dropping it changes nothing."""

    def __init__(self, native: TaskHandle) -> None:
        self._native = native

    @property
    def id(self) -> str:
        """Its id."""
        return self._native.id

    @property
    def created(self) -> bool:
        """Whether the call has made it; otherwise a task with its id or key was there before."""
        return self._native.created

    @property
    def snapshot(self) -> dict[str, Any] | None:
        """The task as it was when it was asked for, as ``status`` gives it; None for one that was opened by its id."""
        return self._native.snapshot()

    @property
    def not_told(self) -> str | None:
        """Why the account that is to do it could not be notified, if so: it has no session that claims tasks, and a message
        could not be kept for it. The task is stored in any case."""
        return self._native.not_told

    async def status(self) -> dict[str, Any]:
        """The task as it is now, as ``agentnet.tasks.get_task_status`` describes it."""
        return await completion(self._native.status())

    async def cancel(self, reason: str = "", *, cascade: bool = True) -> dict[str, Any]:
        """Cancels the task, and its parts unless ``cascade`` is False; returns the task as it is then. A task without a worker
        ends at once; otherwise the worker is asked to stop, and has 30 seconds for it. A worker that works by messages gets a
        message, if need be through its mailbox; workers of the parts get none.

        Raises ``TaskError`` with ``task_not_cancelable`` for a task that has ended, with ``task_forbidden`` for one of others.
        """
        return await completion(self._native.cancel(stripped(reason), bool(cascade)))

    async def input(self, payload: Any) -> dict[str, Any]:
        """Answers the worker, which waits (``input_required`` or ``auth_required``); returns the task as it is then.

        Any worker may continue the task, and gets the answer, any JSON, as ``input``; a worker that works by messages gets a
        message. Raises ``TaskError`` with ``task_needs_no_input`` if the worker does not wait.
        """
        return await completion(self._native.input(payload))

    async def retry(self) -> dict[str, Any]:
        """Asks for another attempt of a task that failed; returns it as it is then. A worker that works by messages gets
        another message. Raises ``TaskError`` with ``task_not_retriable`` for a task that has not failed."""
        return await completion(self._native.retry())

    def events(self, after: int = 0) -> TaskEvents:
        """All events of the task behind the one of number ``after``, and those that come, until the task ends."""
        return TaskEvents(self._native, max(0, int(after)))

    async def result(self) -> TaskOutcome:
        """Waits until the task has ended. That it failed is no error: ``state`` says so. For a task whose worker needs an
        answer it waits on; ``settled`` returns then.

        Raises ``RegistryError`` if no registry answers, or its database is away, for ten minutes, or with ``not_found``;
        within seconds with ``task_unsupported`` where the registry never had tasks.
        """
        return TaskOutcome(*await completion(self._native.result(False)))

    async def settled(self) -> TaskOutcome:
        """As ``result``, and returns also when the worker needs an answer, which ``input`` gives."""
        return TaskOutcome(*await completion(self._native.result(True)))

    def __repr__(self) -> str:
        return f"Task({self.id!r})"


def reference(task: str | HasTaskId) -> str:
    """The id of a task, or of what belongs to one."""
    return required(task if isinstance(task, str) else task.id, "the id of the task")


async def start_task(native: Node, to: str, text: str, **options: Unpack[TaskOptions]) -> Task:
    """Asks for a task."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in _TIMES:
        if name in given:
            given[name] = read_seconds(given[name], name, zero=name in ("delay", "backoff"))
    if "parent" in given:
        given["parent"] = reference(given["parent"])
    if "metadata" in given:
        given["metadata"] = dict(given["metadata"])
    if "retries" in given:
        given["retries"] = _whole(given["retries"], "retries", 0, 19)
    if "priority" in given:
        given["priority"] = _whole(given["priority"], "priority", -100, 100)
    given["text"] = str(text)
    return Task(await completion(TaskHandle.start(native, required(to, "to"), given)))


def _whole(value: Any, name: str, least: int, most: int) -> int:
    number = int(value)
    if not least <= number <= most:
        raise ValueError(f"{name} is a number from {least} to {most}, not {value!r}")
    return number
