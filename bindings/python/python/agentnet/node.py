"""``AgentNode``: one agent on the network."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from types import CoroutineType, TracebackType
from typing import Any, TypeVar, cast

from agentnet._coerce import error_text
from agentnet._completion import completion
from agentnet._logging import open_logging
from agentnet._native import Node, answer_call
from agentnet._requests import Requests
from agentnet._sends import Sends
from agentnet._signals import watch_signals
from agentnet._task_calls import TaskCalls
from agentnet._task_work import TaskHandling
from agentnet._typing import Self
from agentnet.blobs import BlobStore
from agentnet.config import default_nats_url
from agentnet.errors import StreamCancelledError
from agentnet.registry import RegistryConnection
from agentnet.schema import AgentInfo, AgentMessage

MessageHandler = Callable[[AgentMessage], Awaitable[None] | None]
"""A handler: usually a coroutine function of one message."""

H = TypeVar("H", bound=MessageHandler)


_NO_GENERATOR = (
    "the handler has a `yield`, which makes it a generator, and that would never run: answer piece by piece with "
    "`async with node.reply_stream(message) as stream: await stream.delta(piece)`"
)


class _Handling:
    """The handler of a node. It has no reference to the node, which can so be garbage-collected."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.handler: MessageHandler | None = None
        self.warned = False
        self.before_start: Callable[[], None] | None = None
        """Called before each message that comes before the node's start has returned."""

    async def run(self, message: AgentMessage, call: int) -> None:
        """Handles one message and reports the result, before it writes to the log."""
        assert self.handler is not None
        if self.before_start is not None:
            self.before_start()
        try:
            returned: object = self.handler(message)
            # The usual case first.
            if type(returned) is CoroutineType or inspect.isawaitable(returned):
                returned = cast(object, await returned)
            if returned is not None:
                self._returned(returned)
        except StreamCancelledError:
            # The reader of the stream has cancelled it; the handler has not failed.
            answer_call(call, None)
            self.logger.debug("message %s: its stream was read no more", message.message_id)
        except Exception as error:
            answer_call(call, f"{type(error).__name__}: {error_text(error)}")
            self.logger.exception("handler failed for message %s", message.message_id)
        except BaseException as error:
            answer_call(call, type(error).__name__)
            raise
        else:
            answer_call(call, None)

    def _returned(self, value: object) -> None:
        """Warns that a value that a handler returns is not sent: a handler replies by a call."""
        if inspect.isasyncgen(value) or inspect.isgenerator(value):
            raise TypeError(_NO_GENERATOR)
        if not self.warned:
            self.warned = True
            self.logger.warning(
                "the handler returned %s, which is not sent: answer with `await node.reply(message, payload)`",
                type(value).__name__,
            )


class AgentNode(Sends, Requests, TaskCalls):
    """One agent: it registers, keeps its presence, sends, and hands what arrives to its handler.

    Handlers run on the event loop where ``start`` was called, up to ``max_concurrency`` at a time, each for at most
    ``work_timeout_seconds``. Calls may be made from any loop. ``async with`` starts and closes it.

    Args:
        agent_id: The logical role label.
        name: Display name.
        account_id: The account to register as. Default: the username's.
        username: The name to register with. Default: derived from the agent id by the registry.
        capabilities: What the agent can do; with a handler, messages to ``capability:<name>`` reach it.
        nats_url: The broker, ``nats://TOKEN@host:port``. Default: ``AGENTNET_NATS_URL``, else ``NATS_URL``, else
            ``DEFAULT_NATS_URL``.
        metadata: A dict that others see.
        heartbeat_interval: Kept for compatibility; the registry sets the interval.
        logger: The logger for failures of handlers. Default: ``agentnet.<agent_id>``.
        max_concurrency: Handlers that run at the same time.
        max_pending: Accepted messages that may wait for a handler.
        max_payload_bytes: Largest message that is sent or accepted, in bytes of wire text.
        work_timeout_seconds: How long a handler may take.
        drain_timeout_seconds: How long ``close`` waits for accepted work.
        default_ttl_ms: Default time to live of messages.
        dedupe_ttl_seconds: How long message ids and idempotency keys are remembered.
        rate_limit_per_sender_per_sec: Messages per second that one sender may send on average.
        rate_limit_burst: Messages that one sender may send at once.
        circuit_breaker_failures: Failures in a row that open the circuit breaker.
        circuit_breaker_reset_seconds: How long it stays open.
        default_send_retry_attempts: How often an unacknowledged send is repeated.
        default_receipt_timeout_seconds: How long a send waits for each receipt.
        default_schema_version: The schema version of messages sent.
        supported_schema_major: The major schema version that is accepted.
        dev_auth_enabled: Whether the agent signs its messages and accepts only signed ones. Default: ``DEV_AUTH`` of the
            environment.
        dev_auth_key_dir: The directory of its key file. Default: ``DEV_AUTH_KEY_DIR``, else ``.keys``.
        dev_auth_key_cache_seconds: How long others' keys are remembered.
        blob_dir: The directory of the local blob store. Default: ``AGENTNET_BLOB_DIR``, else ``.agentnet_blobs``.
        blob_storage: Where new blobs go, ``local`` or ``nats_object``. Default: ``AGENTNET_BLOB_STORAGE``, else ``local``.
        pull_mailbox: Whether the node takes the messages of its account's mailbox itself, at its own pace and in order. If
            False, the registry sends them to its inbox one by one, as for agents of agentnet-realm.
        task_concurrency: Tasks that it does at the same time, if it has a handler of tasks.

    Raises:
        ValueError: An argument is invalid.
    """

    def __init__(
        self,
        agent_id: str,
        name: str,
        account_id: str | None = None,
        username: str | None = None,
        capabilities: list[str] | None = None,
        nats_url: str | None = None,
        metadata: dict[str, Any] | None = None,
        heartbeat_interval: float = 12.0,
        logger: logging.Logger | None = None,
        max_concurrency: int = 4,
        max_pending: int = 100,
        max_payload_bytes: int = 256_000,
        work_timeout_seconds: float = 30.0,
        drain_timeout_seconds: float = 20.0,
        default_ttl_ms: int = 30_000,
        dedupe_ttl_seconds: float = 600.0,
        rate_limit_per_sender_per_sec: float = 5.0,
        rate_limit_burst: int = 10,
        circuit_breaker_failures: int = 5,
        circuit_breaker_reset_seconds: float = 15.0,
        default_send_retry_attempts: int = 2,
        default_receipt_timeout_seconds: float = 1.5,
        default_schema_version: str = "1.1",
        supported_schema_major: int = 1,
        dev_auth_enabled: bool | None = None,
        dev_auth_key_dir: str | os.PathLike[str] | None = None,
        dev_auth_key_cache_seconds: float = 300.0,
        *,
        blob_dir: str | os.PathLike[str] | None = None,
        blob_storage: str | None = None,
        pull_mailbox: bool = True,
        task_concurrency: int = 1,
    ) -> None:
        self.agent_id = agent_id
        self.name = name
        self.account_id = account_id
        self.username = username
        self.capabilities: list[str] = list(capabilities or [])
        self.nats_url = default_nats_url() if nats_url is None else nats_url
        self.metadata: dict[str, Any] = metadata or {}
        self.heartbeat_interval = max(1.0, heartbeat_interval)
        self.logger = logger or logging.getLogger(f"agentnet.{agent_id}")
        self.max_concurrency = max(1, max_concurrency)
        self.max_pending = max(1, max_pending)
        self.max_payload_bytes = max(1, max_payload_bytes)
        self.work_timeout_seconds = max(0.1, work_timeout_seconds)
        self.drain_timeout_seconds = max(0.1, drain_timeout_seconds)
        self.default_ttl_ms = max(1, default_ttl_ms)
        self.dedupe_ttl_seconds = max(1.0, dedupe_ttl_seconds)
        self.rate_limit_per_sender_per_sec = max(0.1, float(rate_limit_per_sender_per_sec))
        self.rate_limit_burst = max(1, rate_limit_burst)
        self.circuit_breaker_failures = max(1, circuit_breaker_failures)
        self.circuit_breaker_reset_seconds = max(1.0, circuit_breaker_reset_seconds)
        self.default_send_retry_attempts = max(0, default_send_retry_attempts)
        self.default_receipt_timeout_seconds = max(0.2, default_receipt_timeout_seconds)
        self.default_schema_version = default_schema_version
        self.supported_schema_major = max(1, supported_schema_major)
        self.dev_auth_enabled = dev_auth_enabled
        self.dev_auth_key_dir = dev_auth_key_dir
        self.dev_auth_key_cache_seconds = max(5.0, dev_auth_key_cache_seconds)
        self.pull_mailbox = bool(pull_mailbox)
        self.task_concurrency = max(1, task_concurrency)
        self._handling = _Handling(self.logger)
        self._task_handling = TaskHandling(self.logger)
        self._running = False
        self._starting: concurrent.futures.Future[None] | None = None
        self._native = Node(self._native_settings(blob_dir, blob_storage))
        self._registry = RegistryConnection.of(self._native)
        self.blobs = BlobStore(self._native)

    def _native_settings(
        self, blob_dir: str | os.PathLike[str] | None, blob_storage: str | None
    ) -> dict[str, Any]:
        """The settings by the names of the native part."""
        return {
            "agent_id": self.agent_id,
            "name": self.name,
            "account_id": self.account_id,
            "username": self.username,
            "capabilities": self.capabilities,
            "nats_url": self.nats_url,
            "metadata": self.metadata,
            "max_concurrency": self.max_concurrency,
            "max_pending": self.max_pending,
            "max_payload_bytes": self.max_payload_bytes,
            "work_timeout": self.work_timeout_seconds,
            "drain_timeout": self.drain_timeout_seconds,
            "default_ttl_ms": self.default_ttl_ms,
            "dedupe_ttl": self.dedupe_ttl_seconds,
            "rate_limit_per_sender_per_sec": self.rate_limit_per_sender_per_sec,
            "rate_limit_burst": min(self.rate_limit_burst, 2**32 - 1),
            "circuit_breaker_failures": min(self.circuit_breaker_failures, 2**32 - 1),
            "circuit_breaker_reset": self.circuit_breaker_reset_seconds,
            "send_retry_attempts": self.default_send_retry_attempts,
            "receipt_timeout": self.default_receipt_timeout_seconds,
            "schema_version": self.default_schema_version,
            "supported_schema_major": self.supported_schema_major,
            "dev_auth": self.dev_auth_enabled,
            "key_dir": None if self.dev_auth_key_dir is None else os.fspath(self.dev_auth_key_dir),
            "key_cache_ttl": self.dev_auth_key_cache_seconds,
            "blob_dir": None if blob_dir is None else os.fspath(blob_dir),
            "blob_storage": blob_storage,
            "pull_mailbox": self.pull_mailbox,
            "task_concurrency": self.task_concurrency,
        }

    def on_message(self, handler: H) -> H:
        """Sets the handler of messages; a decorator.

        Of a node that runs with a handler it replaces that one at once. A node that was started without takes no messages
        before its next start. An exception of the handler is logged with its traceback, and the sender gets
        ``handler_error``.
        """
        if not callable(handler):
            raise TypeError(f"the handler must be a function of one message, not {type(handler).__name__}")
        if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
            raise TypeError(_NO_GENERATOR)
        self._handling.handler = handler
        self._handling.warned = False
        return handler

    async def start(self) -> None:
        """Joins the network: connects, registers, subscribes. Does nothing if the node runs; waits if it is being started.

        From here on the node lives until it is closed, also if the program does not keep it, or until its event loop ends:
        then it leaves the network and logs a warning.

        Raises:
            ConnectError: NATS cannot be reached.
            RegistryError: The registry refused the registration or did not answer.
        """
        while self._starting is not None:
            # It may run on the loop of another thread.
            await asyncio.shield(asyncio.wrap_future(self._starting))
        if self._running and not self._native.has_left:
            return
        open_logging()
        runner = None if self._handling.handler is None else self._handling.run
        task_runner = None if self._task_handling.handler is None else self._task_handling.run
        self._running = True
        # Messages that waited in the mailbox, and tasks, can come before this coroutine goes on.
        self._handling.before_start = self._task_handling.before_start = self._take_identity
        starting = self._starting = concurrent.futures.Future()
        try:
            try:
                await completion(self._native.start(runner, task_runner))
            except asyncio.CancelledError:
                # It may have started nevertheless.
                await completion(self._native.close())
                raise
        except BaseException:
            self._running = False
            self._native.release()
            raise
        finally:
            self._handling.before_start = self._task_handling.before_start = None
            self._starting = None
            starting.set_result(None)
        self._take_identity()

    def _take_identity(self) -> None:
        """The account and the username that the registry gave."""
        self.account_id = self._native.account_id
        self.username = self._native.username

    async def start_forever(self) -> None:
        """Starts, runs until the process gets a signal to stop (Ctrl-C, SIGTERM) or the task is cancelled, and closes."""
        stopped = asyncio.Event()
        # Before the start, because connecting may take seconds.
        unwatch = watch_signals(stopped)
        starting = asyncio.create_task(self.start())
        stopping = asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                await stopping
        finally:
            # A second Ctrl-C ends the process at once.
            unwatch()
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await self.close()

    async def close(self) -> None:
        """Leaves the network: accepted work is finished within ``drain_timeout_seconds``, the rest is refused with
        ``shutting_down``. Does nothing if the node does not run."""
        try:
            await completion(self._native.close())
        finally:
            self._running = False
            self._native.release()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def info(self) -> AgentInfo:
        """The record of the node that others see."""
        return AgentInfo.from_dict(self._native.info())

    def metrics_snapshot(self) -> dict[str, Any]:
        """The node's counters at this moment."""
        return self._native.metrics_snapshot()
