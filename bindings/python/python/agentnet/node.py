"""``AgentNode``: one agent on the network."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeVar

from agentnet import _routes, registry
from agentnet._completion import completed, completion
from agentnet._logging import open_logging
from agentnet._native import Node, answer_call
from agentnet.blobs import BlobRef, BlobStore
from agentnet.config import DEFAULT_NATS_URL
from agentnet.registry import RegistryConnection
from agentnet.schema import AgentInfo, AgentMessage
from agentnet.streams import AnswerStream, OutgoingStream

MessageHandler = Callable[[AgentMessage], Awaitable[None] | None]
"""What a handler is: usually a coroutine function of one message."""

H = TypeVar("H", bound=MessageHandler)

_LOOKUP_TIMEOUT = 2.0


def _whole(value: Any) -> int | None:
    """``int(value)``, at least 1; None for what is no number."""
    if value is None:
        return None
    try:
        return min(max(1, int(value)), 2**62)
    except (TypeError, ValueError, OverflowError):
        return None


def _required(value: str, name: str) -> str:
    text = value.strip()
    if not text:
        raise ValueError(f"{name} is required")
    return text


class AgentNode:
    """One agent: it registers, keeps its presence, sends, and hands what arrives to its handler.

    Handlers run on the event loop where ``start`` was called, up to ``max_concurrency`` at a time, each for at most
    ``work_timeout_seconds``. Calls may be made from any loop. ``async with`` starts and closes it.

    Args:
        agent_id: The logical role label.
        name: Display name.
        account_id: The account to register as. Default: the username's.
        username: The name to register with. Default: derived from the agent id by the registry.
        capabilities: What the agent can do; with a handler, messages to ``capability:<name>`` reach it.
        nats_url: The broker, ``nats://TOKEN@host:port``.
        metadata: A dict that others see.
        heartbeat_interval: Kept for compatibility; the registry says how often.
        logger: Where handlers' failures are logged. Default: ``agentnet.<agent_id>``.
        max_concurrency: Handlers that run at the same time.
        max_pending: Accepted messages that may wait for a handler.
        max_payload_bytes: Largest message that is sent or taken, in bytes of wire text.
        work_timeout_seconds: How long a handler may take.
        drain_timeout_seconds: How long ``close`` waits for accepted work.
        default_ttl_ms: Time to live of messages that name none.
        dedupe_ttl_seconds: How long message ids and idempotency keys are remembered.
        rate_limit_per_sender_per_sec: Messages that one sender may send on average.
        rate_limit_burst: Messages that one sender may send at once.
        circuit_breaker_failures: Failures in a row that open the circuit breaker.
        circuit_breaker_reset_seconds: How long it stays open.
        default_send_retry_attempts: How often an unacknowledged send is repeated.
        default_receipt_timeout_seconds: How long a send waits for each receipt.
        default_schema_version: The schema version of messages sent.
        supported_schema_major: The major schema version that is taken.
        dev_auth_enabled: Whether the agent signs and takes only what is signed. Default: the environment's ``DEV_AUTH``.
        dev_auth_key_dir: The directory of its key file. Default: ``DEV_AUTH_KEY_DIR``, else ``.keys``.
        dev_auth_key_cache_seconds: How long others' keys are remembered.
        blob_dir: The directory of the local blob store. Default: ``AGENTNET_BLOB_DIR``, else ``.agentnet_blobs``.
        blob_storage: Where new blobs go, ``local`` or ``nats_object``. Default: ``AGENTNET_BLOB_STORAGE``, else ``local``.

    Raises:
        ValueError: What it was told is impossible.
    """

    def __init__(
        self,
        agent_id: str,
        name: str,
        account_id: str | None = None,
        username: str | None = None,
        capabilities: list[str] | None = None,
        nats_url: str = DEFAULT_NATS_URL,
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
        dev_auth_key_dir: str | None = None,
        dev_auth_key_cache_seconds: float = 300.0,
        *,
        blob_dir: str | os.PathLike[str] | None = None,
        blob_storage: str | None = None,
    ) -> None:
        self.agent_id = agent_id
        self.name = name
        self.account_id = account_id
        self.username = username
        self.session_tag: str | None = None
        self.capabilities: list[str] = list(capabilities or [])
        self.nats_url = nats_url
        self.metadata: dict[str, Any] = metadata or {}
        self.heartbeat_interval = max(1.0, heartbeat_interval)
        self.logger = logger or logging.getLogger(f"agentnet.{agent_id}")
        self.max_concurrency = max(1, max_concurrency)
        self.max_pending = max(1, max_pending)
        self.max_payload_bytes = max(1, max_payload_bytes)
        self.work_timeout_seconds = max(0.1, work_timeout_seconds)
        self.drain_timeout_seconds = max(0.1, drain_timeout_seconds)
        self.default_ttl_ms = max(1, default_ttl_ms)
        self._handler: MessageHandler | None = None
        self._running = False
        self._native = Node(
            {
                "agent_id": agent_id,
                "name": name,
                "account_id": account_id,
                "username": username,
                "capabilities": self.capabilities,
                "nats_url": nats_url,
                "metadata": self.metadata,
                "max_concurrency": self.max_concurrency,
                "max_pending": self.max_pending,
                "max_payload_bytes": self.max_payload_bytes,
                "work_timeout": self.work_timeout_seconds,
                "drain_timeout": self.drain_timeout_seconds,
                "default_ttl_ms": self.default_ttl_ms,
                "dedupe_ttl": dedupe_ttl_seconds,
                "rate_limit_per_sender_per_sec": float(rate_limit_per_sender_per_sec),
                "rate_limit_burst": min(max(1, rate_limit_burst), 2**32 - 1),
                "circuit_breaker_failures": min(max(1, circuit_breaker_failures), 2**32 - 1),
                "circuit_breaker_reset": circuit_breaker_reset_seconds,
                "send_retry_attempts": max(0, default_send_retry_attempts),
                "receipt_timeout": default_receipt_timeout_seconds,
                "schema_version": default_schema_version,
                "supported_schema_major": supported_schema_major,
                "dev_auth": dev_auth_enabled,
                "key_dir": dev_auth_key_dir,
                "key_cache_ttl": dev_auth_key_cache_seconds,
                "blob_dir": None if blob_dir is None else os.fspath(blob_dir),
                "blob_storage": blob_storage,
            }
        )
        self._registry = RegistryConnection.of(self._native)
        self.blobs = BlobStore(self._native)

    # --- life -------------------------------------------------------------------------------------------------------

    def on_message(self, handler: H) -> H:
        """Sets what is done with the messages that arrive; a decorator. Takes effect at the next start.

        An exception of the handler is logged with its traceback, and the sender is told ``handler_error``.
        """
        self._handler = handler
        return handler

    async def start(self) -> None:
        """Joins the network: connects, registers, subscribes. Does nothing if the node runs.

        Raises:
            ConnectError: NATS cannot be reached.
            RegistryError: The registry refused the registration or did not answer.
        """
        if self._running:
            return
        open_logging()
        runner = None if self._handler is None else self._runner(self._handler)
        self._running = True
        try:
            await completion(self._native.start(runner))
        except BaseException:
            self._running = False
            self._native.release()
            raise
        self.account_id = self._native.account_id
        self.username = self._native.username
        self.session_tag = self._native.session_tag

    def _runner(self, handler: MessageHandler) -> Callable[[AgentMessage, int], Awaitable[None]]:
        logger = self.logger

        async def run(message: AgentMessage, call: int) -> None:
            try:
                handling = handler(message)
                if handling is not None and inspect.isawaitable(handling):
                    await handling
            except Exception as error:
                logger.exception("handler failed for message %s", message.message_id)
                answer_call(call, f"{type(error).__name__}: {error}")
            except BaseException as error:
                answer_call(call, type(error).__name__)
                raise
            else:
                answer_call(call, None)

        return run

    async def start_forever(self) -> None:
        """Starts, runs until the task is cancelled (Ctrl-C under ``asyncio.run``) or the process is told to terminate, and
        closes."""
        await self.start()
        stopped = asyncio.Event()
        unwatch = _watch_termination(stopped)
        try:
            await stopped.wait()
        finally:
            unwatch()
            await self.close()

    async def close(self) -> None:
        """Leaves the network: accepted work is finished within ``drain_timeout_seconds``, the rest is refused with
        ``shutting_down``. Does nothing if the node does not run."""
        try:
            await completion(self._native.close())
        finally:
            self._running = False
            self._native.release()
            self.session_tag = None

    async def __aenter__(self) -> AgentNode:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def info(self) -> AgentInfo:
        """What the node says of itself."""
        return AgentInfo.from_dict(self._native.info())

    def metrics_snapshot(self) -> dict[str, Any]:
        """The node's counters at this moment."""
        return self._native.metrics_snapshot()

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _send(
        self,
        way: int,
        to: str,
        payload: Any,
        kind: str,
        ttl_ms: int | None,
        trace_id: str | None,
        thread_id: str | None,
        parent_message_id: str | None,
        idempotency_key: str | None,
        require_delivery_ack: bool,
        retry_attempts: int | None,
        receipt_timeout: float | None,
    ) -> str:
        outcome = self._native.send(
            way,
            to,
            payload,
            kind,
            _whole(ttl_ms),
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            None if retry_attempts is None else max(0, int(retry_attempts)),
            receipt_timeout,
        )
        return await completed(outcome)

    async def send(
        self,
        to: str,
        payload: Any,
        kind: str = "direct",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> str:
        """Sends a message to ``@name``, ``name``, ``username:<name>``, ``acct_…`` or ``account:<id>``.

        It waits for the receiver's receipt and repeats the message while none comes, unless ``require_delivery_ack`` is off.

        Returns:
            The message id.

        Raises:
            ValueError: The target is none, or the message is larger than ``max_payload_bytes``.
            TypeError: The payload is no JSON.
            DeliveryError: The receiver refused it; ``code`` says why.
            DeliveryTimeoutError: No receipt came.
            RuntimeError: Anything else that went wrong on the way (all of these but the first two are ``RuntimeError``).
        """
        return await self._send(
            _routes.TEXT,
            to,
            payload,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_to_account(
        self,
        to_account_id: str,
        payload: Any,
        kind: str = "direct",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> str:
        """As ``send``, to an account."""
        return await self._send(
            _routes.ACCOUNT,
            _required(to_account_id, "to_account_id"),
            payload,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_to_username(
        self,
        username: str,
        payload: Any,
        kind: str = "direct",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
        timeout: float = _LOOKUP_TIMEOUT,
    ) -> str:
        """As ``send``, to the account of a username; ``timeout`` is for finding it."""
        way, to = await self._named(username, timeout)
        return await self._send(
            way,
            to,
            payload,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_to_capability(
        self,
        capability: str,
        payload: Any,
        kind: str = "direct",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = True,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> str:
        """As ``send``, to one of the agents with a capability."""
        return await self._send(
            _routes.CAPABILITY,
            capability,
            payload,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
        )

    async def send_blob_ref(
        self,
        to: str,
        blob: BlobRef,
        *,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Sends a reference to a blob. The receiver must reach the store that keeps it."""
        return await self.send(
            to,
            blob.to_payload(),
            thread_id=thread_id,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
        )

    async def _named(self, username: str, timeout: float) -> tuple[int, str]:
        """Where a name leads: looked up on the way, or before with a time of the caller's."""
        if timeout == _LOOKUP_TIMEOUT:
            return _routes.USERNAME, username
        return _routes.ACCOUNT, await self.resolve_account_id_by_username(username, timeout=timeout)

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _request(
        self,
        way: int,
        to: str,
        payload: Any,
        timeout: float,
        kind: str,
        ttl_ms: int | None,
        trace_id: str | None,
        thread_id: str | None,
        parent_message_id: str | None,
        idempotency_key: str | None,
    ) -> AgentMessage:
        waiter = self._native.request(
            way,
            to,
            payload,
            kind,
            _whole(ttl_ms),
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            timeout,
        )
        return await completion(waiter)

    async def request(
        self,
        to: str,
        payload: Any,
        timeout: float = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AgentMessage:
        """Asks a target as those of ``send``, and waits for the reply. A reply that reports an error is returned as well.

        Raises:
            ValueError: The target is none, or the message is larger than ``max_payload_bytes``.
            RequestTimeoutError: No reply came within ``timeout`` seconds; it is an ``asyncio.TimeoutError``.
            NoRespondersError: Nobody listens there.
            RuntimeError: Anything else that went wrong on the way.
        """
        return await self._request(
            _routes.TEXT,
            to,
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )

    async def request_account(
        self,
        to_account_id: str,
        payload: Any,
        timeout: float = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AgentMessage:
        """As ``request``, of an account."""
        return await self._request(
            _routes.ACCOUNT,
            _required(to_account_id, "to_account_id"),
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )

    async def request_username(
        self,
        username: str,
        payload: Any,
        timeout: float = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        lookup_timeout: float = _LOOKUP_TIMEOUT,
    ) -> AgentMessage:
        """As ``request``, of the account of a username; ``lookup_timeout`` is for finding it."""
        way, to = await self._named(username, lookup_timeout)
        return await self._request(
            way,
            to,
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )

    async def request_capability(
        self,
        capability: str,
        payload: Any,
        timeout: float = 5.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AgentMessage:
        """As ``request``, of one of the agents with a capability."""
        return await self._request(
            _routes.CAPABILITY,
            capability,
            payload,
            timeout,
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )

    async def reply(
        self,
        request: AgentMessage,
        payload: Any,
        kind: str = "reply",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Answers a message; it is neither acknowledged nor repeated.

        Returns:
            The id of the reply.

        Raises:
            NoReplySubjectError: The sender waits for no reply; it is a ``ValueError`` and a ``RuntimeError``.
        """
        outcome = self._native.reply(
            request,
            payload,
            kind,
            _whole(ttl_ms),
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        )
        return await completed(outcome)

    # --- streams ----------------------------------------------------------------------------------------------------

    def request_stream(
        self,
        to: str,
        payload: Any,
        *,
        timeout: float = 5.0,
        idle_timeout: float = 30.0,
        kind: str = "request",
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AnswerStream:
        """Asks a target as those of ``send``, and reads the answer piece by piece: ``async for piece in ...``.

        An agent that answers by an ordinary reply gives one piece. ``timeout`` is for the first piece, ``idle_timeout`` for
        each further one. Nothing is asked before the stream is read.
        """
        return AnswerStream(
            self._native,
            _routes.TEXT,
            to,
            payload,
            (kind, _whole(ttl_ms), trace_id, thread_id, parent_message_id, idempotency_key, timeout, idle_timeout),
        )

    def reply_stream(
        self,
        request: AgentMessage,
        *,
        metadata: Any = None,
        stream_id: str | None = None,
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
    ) -> OutgoingStream:
        """Answers a message piece by piece: ``async with node.reply_stream(msg) as stream: await stream.delta("…")``.

        Leaving the block ends the stream; an exception in it ends it with an error.
        """
        return OutgoingStream.reply(
            request, metadata, stream_id, _whole(ttl_ms), trace_id, thread_id, parent_message_id
        )

    def send_stream(
        self,
        to: str,
        *,
        metadata: Any = None,
        stream_id: str | None = None,
        ttl_ms: int | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
    ) -> OutgoingStream:
        """Sends a stream to an inbox, whose handler gets every frame as a message."""
        return OutgoingStream.send(
            self._native,
            to,
            metadata,
            stream_id,
            _whole(ttl_ms),
            trace_id,
            thread_id,
            parent_message_id,
        )

    # --- the registry -----------------------------------------------------------------------------------------------

    async def resolve_account_id_by_username(self, username: str, timeout: float = _LOOKUP_TIMEOUT) -> str:
        """The account of a username, from the cache or the registry. Raises ``RegistryError`` if nobody has the name."""
        try:
            return await asyncio.wait_for(completion(self._native.resolve(username)), max(0.0, timeout))
        except asyncio.TimeoutError:
            raise registry.RegistryError("Registry did not respond to registry.resolve_account") from None

    async def list_online_agents(self, timeout: float = 2.0) -> list[AgentInfo]:
        """Everybody online, by agent id and session."""
        return await registry.list_online_agents_with_client(self._registry, timeout=timeout)

    async def search_profiles(
        self,
        *,
        query: str = "",
        capability: str | None = None,
        limit: int = 20,
        online_only: bool = False,
        timeout: float = 2.0,
    ) -> list[dict[str, Any]]:
        """Accounts by a part of their name and by capability, online ones first."""
        return await registry.search_profiles_with_client(
            self._registry,
            query=query,
            capability=capability,
            limit=limit,
            online_only=online_only,
            timeout=timeout,
        )

    async def get_profile(
        self, *, account_id: str | None = None, username: str | None = None, timeout: float = 2.0
    ) -> dict[str, Any]:
        """One account, by id or name. Raises ``RegistryError`` with ``not_found``."""
        return await registry.get_profile_with_client(
            self._registry, account_id=account_id, username=username, timeout=timeout
        )

    async def get_thread_status(
        self,
        *,
        thread_id: str,
        soft_limit_tokens: int | None = None,
        hard_limit_tokens: int | None = None,
        timeout: float = 2.0,
    ) -> dict[str, Any]:
        """One thread's counters. Raises ``RegistryError`` with ``not_found``."""
        return await registry.get_thread_status_with_client(
            self._registry,
            thread_id=thread_id,
            soft_limit_tokens=soft_limit_tokens,
            hard_limit_tokens=hard_limit_tokens,
            timeout=timeout,
        )

    async def list_threads(
        self,
        *,
        participant_account_id: str | None = None,
        participant_username: str | None = None,
        query: str = "",
        limit: int = 20,
        soft_limit_tokens: int | None = None,
        hard_limit_tokens: int | None = None,
        timeout: float = 2.0,
    ) -> list[dict[str, Any]]:
        """Threads, latest activity first."""
        return await registry.list_threads_with_client(
            self._registry,
            participant_account_id=participant_account_id,
            participant_username=participant_username,
            query=query,
            limit=limit,
            soft_limit_tokens=soft_limit_tokens,
            hard_limit_tokens=hard_limit_tokens,
            timeout=timeout,
        )

    async def get_thread_messages(
        self, *, thread_id: str, limit: int = 50, cursor: str | None = None, timeout: float = 2.0
    ) -> dict[str, Any]:
        """One page of a thread, newest message first; ``next_cursor`` leads to the next."""
        return await registry.get_thread_messages_with_client(
            self._registry, thread_id=thread_id, limit=limit, cursor=cursor, timeout=timeout
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
        timeout: float = 2.0,
    ) -> dict[str, Any]:
        """Messages by filters, newest first; ``next_cursor`` leads to the next page."""
        return await registry.search_messages_with_client(
            self._registry,
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

    async def get_registry_metrics(self, timeout: float = 2.0) -> dict[str, Any]:
        """The registry's counters."""
        return await registry.get_registry_metrics_with_client(self._registry, timeout=timeout)


def _watch_termination(stopped: asyncio.Event) -> Callable[[], None]:
    """Sets the event at SIGTERM, where nobody else has a use for the signal; gives what undoes it."""
    event_loop = asyncio.get_running_loop()
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return lambda: None
    try:
        event_loop.add_signal_handler(signal.SIGTERM, stopped.set)
    except (NotImplementedError, RuntimeError):
        return lambda: None
    return lambda: (event_loop.remove_signal_handler(signal.SIGTERM), None)[1]
