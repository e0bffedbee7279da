"""Tasks that an agent does: what its handler gets, and how it ends."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from agentnet._coerce import as_object, error_text
from agentnet._completion import completion
from agentnet._native import ClaimedContext, complete_task, extract_text, fail_task
from agentnet.errors import AgentNetError

T = TypeVar("T")

FailureState = Literal["failed", "rejected", "canceled", "input_required", "auth_required", "submitted"]

NO_GENERATOR = (
    "the handler has a `yield`, which makes it a generator, and that would never run: say how far it is with "
    "`await context.progress(percent, text)`, and return the result"
)


class TaskFailure(AgentNetError):
    """Raised by the handler of a task: how the attempt ends, other than by a result."""

    def __init__(self, state: FailureState, code: str = "", detail: str = "", *, retryable: bool = False) -> None:
        super().__init__(f"{code}: {detail}" if code and detail else detail or code or state)
        self.state: FailureState = state
        """Where the task stands then."""
        self.code = str(code)
        """Of ``failed``: why."""
        self.detail = str(detail)
        """Of ``failed`` and ``rejected``, a sentence about it; while the worker waits, what it asks for."""
        self.is_retryable = bool(retryable)
        """Whether another attempt may help."""

    def __reduce__(self) -> tuple[object, ...]:
        return _failure, (self.state, self.code, self.detail, self.is_retryable)

    @classmethod
    def failed(cls, code: str, detail: str = "") -> TaskFailure:
        """The task cannot be done; another attempt would not help."""
        return cls("failed", code, detail)

    @classmethod
    def retryable(cls, code: str, detail: str = "") -> TaskFailure:
        """The attempt failed; another one may help, if the task has one left."""
        return cls("failed", code, detail, retryable=True)

    @classmethod
    def rejected(cls, detail: str = "") -> TaskFailure:
        """The worker does not do such work."""
        return cls("rejected", "rejected", detail)

    @classmethod
    def canceled(cls) -> TaskFailure:
        """The work has stopped, because the task was cancelled."""
        return cls("canceled", "canceled")

    @classmethod
    def input_required(cls, text: str) -> TaskFailure:
        """The work needs an answer: the task waits for it. Then the handler is called again, with the answer as
        ``input``."""
        return cls("input_required", "", text)

    @classmethod
    def auth_required(cls, text: str) -> TaskFailure:
        """As ``input_required``: the work needs to be allowed something."""
        return cls("auth_required", "", text)

    @classmethod
    def released(cls) -> TaskFailure:
        """The task is given back, for another worker; the attempt does not count. For a node that is closing."""
        return cls("submitted")


def _failure(state: FailureState, code: str, detail: str, retryable: bool) -> TaskFailure:
    return TaskFailure(state, code, detail, retryable=retryable)


@dataclass(slots=True)
class TaskOutput:
    """What came of a task: a value, words, or both. A handler may return it; of any other value, the words are its text, as
    ``extract_text`` finds it."""

    result: Any = None
    """Any JSON of at most 256 KiB. Larger content goes into a blob."""
    text: str | None = None
    """Words, of which 64 KiB are kept."""


@dataclass(slots=True)
class ClaimedWork:
    """A task to do."""

    id: str
    """Its id."""
    title: str | None
    """A few words."""
    text: str
    """What is to be done."""
    payload: Any
    """What is to be done, for programs."""
    attempt: int
    """The attempt, from 1."""
    max_attempts: int
    """Attempts at most."""
    checkpoint: Any
    """What an earlier attempt kept by ``TaskContext.checkpoint``."""
    input: Any
    """The answer that the last attempt waited for."""
    metadata: dict[str, Any]
    """The dict that stays with the task."""
    thread_id: str | None
    """Its thread."""
    coordinator_account_id: str | None
    """The account that asked for it."""
    task: dict[str, Any]
    """The task as the registry describes it."""


def _work(claim: dict[str, Any]) -> ClaimedWork:
    """What the native part gives."""
    task: dict[str, Any] = claim["task"]
    return ClaimedWork(
        id=task["task_id"],
        title=task.get("title"),
        text=task.get("assigned_text") or "",
        payload=claim.get("payload"),
        attempt=claim["attempt"],
        max_attempts=task.get("max_attempts") or 1,
        checkpoint=claim.get("checkpoint"),
        input=claim.get("input"),
        metadata=as_object(task.get("metadata")) or {},
        thread_id=task.get("thread_id"),
        coordinator_account_id=task.get("coordinator_account_id"),
        task=task,
    )


class TaskContext:
    """What the handler of a task can do besides looking at it. It keeps the lease with heartbeats."""

    def __init__(self, native: ClaimedContext, task_id: str) -> None:
        self._native = native
        self._id = task_id

    @property
    def id(self) -> str:
        """The id of the task: ``node.task(to, text, parent=context)`` asks for a part of it."""
        return self._id

    async def progress(self, percent: int | None = None, text: str | None = None, *, phase: str | None = None) -> None:
        """Says how far the work is: 0 to 100 percent, a sentence, and a word such as ``"working"`` or ``"tool"``. While no
        registry answers it returns after two seconds, and the last progress is reported later.

        Raises ``TaskError`` with ``task_lease_lost`` if the task is no longer this worker's, and with another code if the
        registry does not take the progress; then the work goes on.
        """
        if percent is not None and not 0 <= percent <= 100:
            raise ValueError(f"percent is a number from 0 to 100, not {percent!r}")
        await completion(self._native.progress(None if percent is None else int(percent), text or None, phase or None))

    async def checkpoint(self, state: Any) -> None:
        """Keeps a value, any JSON of at most 64 KiB, which a further attempt gets as ``checkpoint``; returns when it is stored.

        Raises ``TaskError`` as ``progress``, and ``ValueError`` for a value that is too large. What an earlier call kept stays
        then.
        """
        await completion(self._native.checkpoint(state))

    @property
    def cancelled(self) -> bool:
        """Whether the work is to stop: the task was cancelled, or is no longer this worker's. Then raise
        ``TaskFailure.canceled()``, or return what came of it nevertheless."""
        return self._native.cancelled

    async def wait_cancelled(self) -> None:
        """Returns when the work is to stop; see ``cancelled``."""
        await completion(self._native.wait_cancelled())

    @property
    def lease_lost(self) -> bool:
        """Whether the task is no longer this worker's: the registry was silent for too long, or has given it to another one."""
        return self._native.lease_lost

    async def wait_lease_lost(self) -> None:
        """Returns when the task is no longer this worker's."""
        await completion(self._native.wait_lease_lost())

    async def wait_closing(self) -> None:
        """Returns when the node begins to close. A handler that is not ready within ``drain_timeout_seconds`` is cancelled
        then, and its task given back. One that cannot be ready may keep a checkpoint and raise ``TaskFailure.released()``."""
        await completion(self._native.wait_closing())

    async def until_cancelled(self, work: Awaitable[T]) -> T:
        """The result of some work. When the work is to stop (see ``cancelled``), it is cancelled, and ``TaskFailure.canceled()``
        is raised."""
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self.wait_cancelled())
        both: list[asyncio.Future[Any]] = [working, stopped]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise TaskFailure.canceled()
            return working.result()
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)


TaskHandler = Callable[[ClaimedWork, TaskContext], object]
"""A handler of tasks: usually a coroutine function of a task and its context. What it returns is what comes of the task: any
JSON, or ``TaskOutput``."""

TH = TypeVar("TH", bound=TaskHandler)


def check_handler(handler: object) -> None:
    """Raises ``TypeError`` for what cannot be the handler of tasks."""
    if not callable(handler):
        raise TypeError(f"the handler must be a function of a task and its context, not {type(handler).__name__}")
    if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
        raise TypeError(NO_GENERATOR)


async def _outcome(handling: Awaitable[T]) -> T:
    """The result of a handler, which runs as an asyncio task of its own: so ``CancelledError`` is raised only if the caller is
    cancelled, not if something is that the handler waits for."""
    running = asyncio.ensure_future(handling)
    try:
        await asyncio.wait([running])
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait([running])
        if running.cancelled():
            raise
    if running.cancelled():
        raise AgentNetError("the handler waited for something that was cancelled")
    return running.result()


class TaskHandling:
    """The handler of tasks of a node. It has no reference to the node, which can so be garbage-collected."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.handler: TaskHandler | None = None
        self.before_start: Callable[[], None] | None = None
        """Called before each task that comes before the node's start has returned."""

    async def run(self, claimed: tuple[dict[str, Any], ClaimedContext], call: int) -> None:
        """Does one task and reports the result, before it writes to the log."""
        assert self.handler is not None
        if self.before_start is not None:
            self.before_start()
        claim, native = claimed
        task_id = str(claim["task"]["task_id"])
        try:
            returned: object = self.handler(_work(claim), TaskContext(native, task_id))
            if inspect.isawaitable(returned):
                returned = await _outcome(cast("Awaitable[object]", returned))
            if inspect.isasyncgen(returned) or inspect.isgenerator(returned):
                raise TypeError(NO_GENERATOR)
        except TaskFailure as failure:
            fail_task(call, failure.state, failure.code, failure.detail, failure.is_retryable)
            self.logger.debug("task %s: %s", task_id, failure)
        except Exception as error:
            self._fail(call, native, f"{type(error).__name__}: {error_text(error)}")
            self.logger.exception("handler failed for task %s", task_id)
        except asyncio.CancelledError:
            # Its loop ends, or the node leaves: another worker may do it. It is no failure of the task.
            fail_task(call, "canceled" if native.cancelled else "submitted", "", "", False)
            raise
        except BaseException as error:
            self._fail(call, native, type(error).__name__)
            raise
        else:
            self._succeed(call, task_id, returned)

    def _fail(self, call: int, native: ClaimedContext, detail: str) -> None:
        """The handler ended with an exception: as canceled, if it was told to stop, otherwise as failed."""
        if native.cancelled:
            fail_task(call, "canceled", "", "", False)
        else:
            fail_task(call, "failed", "handler_error", detail, True)

    def _succeed(self, call: int, task_id: str, returned: object) -> None:
        try:
            output = returned if isinstance(returned, TaskOutput) else TaskOutput(returned, extract_text(returned))
            complete_task(call, output.result, None if output.text is None else str(output.text))
        except Exception as error:
            # Another attempt would give the same.
            fail_task(call, "failed", "result_invalid", error_text(error), False)
            self.logger.exception("the result of task %s cannot be sent", task_id)
