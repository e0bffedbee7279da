"""Calls of the registry (PROTOCOL.md section 6).

Each function opens a connection of its own. The variants ``*_with_client`` take an open one: a client of ``nats-py``
(anything with its ``request``), or a ``RegistryConnection``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from agentnet import subjects
from agentnet._coerce import as_list, as_object, seconds
from agentnet._completion import completion
from agentnet._native import Node, Registry, connect_registry, dumps, loads
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
from agentnet.config import default_nats_url
from agentnet.errors import RegistryProtocolError, RegistryRefusedError, RegistryTimeoutError
from agentnet.schema import AgentInfo

_MAX_EMPTY_PAGES = 100
"""Pages without an item that may follow each other."""

_UNLIMITED_SECONDS = 1e9
"""The timeout, for a client of ``nats-py``, that stands for no limit."""


def _client_timeout(timeout: float | None) -> float:
    return _UNLIMITED_SECONDS if timeout is None else timeout


class _Reply(Protocol):
    @property
    def data(self) -> bytes: ...


class NatsClient(Protocol):
    """The part of a ``nats-py`` client that is used here."""

    async def request(self, subject: str, payload: bytes = ..., timeout: float = ...) -> Any:
        """Asks and waits for the reply."""
        ...


class RegistryConnection:
    """A connection for several calls; it closes when it is dropped."""

    def __init__(self, native: Registry) -> None:
        self._native = native

    @classmethod
    async def connect(cls, nats_url: str | None = None) -> RegistryConnection:
        """Opens a connection, by default to the address in the environment. Raises ``ConnectError``."""
        url = default_nats_url() if nats_url is None else nats_url
        return cls(await completion(connect_registry(url)))

    @classmethod
    def of(cls, node: Node) -> RegistryConnection:
        """The connection of a node."""
        return cls(Registry.of(node))

    async def call(self, rpc: str, request: Mapping[str, Any], timeout: float | None) -> Any:
        """Calls ``registry.<rpc>``; returns the reply as it is."""
        return await completion(self._native.call(rpc, dict(request), seconds(timeout)))


Client = NatsClient | RegistryConnection


async def _ask(client: Client, subject: str, request: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    if isinstance(client, RegistryConnection):
        answer: Any = await client.call(subject.removeprefix("registry."), request, timeout)
    else:
        try:
            answered: _Reply = await client.request(subject, dumps(request), timeout=_client_timeout(timeout))
        except asyncio.TimeoutError as error:
            raise RegistryTimeoutError(f"Registry did not respond to {subject}") from error
        answer = loads(answered.data)
    reply = as_object(answer)
    if reply is None:
        raise RegistryProtocolError(f"the registry's reply to {subject} is no object")
    if reply.get("error"):
        raise RegistryRefusedError(str(reply["error"]))
    return reply


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in map(as_object, as_list(value)) if item is not None]


class _PageWalk:
    """The cursors of one walk through a list: one that comes again, and items that stay away, are errors."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        # An earlier cursor. It is renewed after twice as many pages each time, so that a circle of any length meets it.
        self._kept: Any = None
        self._pages: int = 0
        self._renew_after: int = 1
        self._empty_pages = 0

    def next(self, cursor: Any, items: int) -> Any:
        """Where the page behind one with so many items begins; falsy behind the last one."""
        if not cursor:
            return None
        if cursor == self._kept:
            raise RegistryProtocolError(f"the pages of {self._subject} do not end: a cursor came again")
        self._empty_pages = 0 if items else self._empty_pages + 1
        if self._empty_pages >= _MAX_EMPTY_PAGES:
            raise RegistryProtocolError(f"the pages of {self._subject} do not end: {_MAX_EMPTY_PAGES} in a row had no items")
        self._pages += 1
        if self._pages == self._renew_after:
            self._kept = cursor
            self._pages = 0
            self._renew_after *= 2
        return cursor


def _name(username: str) -> str:
    return username.strip().lower().lstrip("@")


def required_username(username: str) -> str:
    """A username without ``@``, in lower case. Raises ``ValueError`` for an empty one."""
    name = _name(username)
    if not name:
        raise ValueError("username is required")
    return name


def _clamp(limit: int, maximum: int) -> int:
    return max(1, min(int(limit), maximum))


def _limits(soft: int | None, hard: int | None) -> dict[str, Any]:
    given = {"soft_limit_tokens": soft, "hard_limit_tokens": hard}
    return {name: max(1, int(value)) for name, value in given.items() if value is not None}


async def list_online_agents(nats_url: str | None = None, timeout: float | None = 2.0) -> list[AgentInfo]:
    """All agents that are online, ordered by agent id and session."""
    return await list_online_agents_with_client(await RegistryConnection.connect(nats_url), timeout=timeout)


async def list_online_agents_with_client(nc: Client, timeout: float | None = 2.0) -> list[AgentInfo]:
    """As ``list_online_agents``. Follows the pages of a large network."""
    agents: list[AgentInfo] = []
    request: dict[str, Any] = {}
    walk = _PageWalk(subjects.REGISTRY_LIST_SUBJECT)
    while True:
        reply = await _ask(nc, subjects.REGISTRY_LIST_SUBJECT, request, timeout)
        listed = _objects(reply.get("agents"))
        infos = (AgentInfo.from_dict(entry) for entry in listed)
        agents.extend(info for info in infos if info.agent_id)
        cursor = walk.next(reply.get("next_cursor"), len(listed))
        if not cursor:
            return agents
        request = {"cursor": cursor}


async def resolve_account_by_username(nats_url: str | None, username: str, timeout: float | None = 2.0) -> tuple[str, str]:
    """Account id and username of a name. Raises ``RegistryError`` with ``not_found``."""
    nc = await RegistryConnection.connect(nats_url)
    return await resolve_account_by_username_with_client(nc, username, timeout=timeout)


async def resolve_account_by_username_with_client(nc: Client, username: str, timeout: float | None = 2.0) -> tuple[str, str]:
    """As ``resolve_account_by_username``."""
    name = required_username(username)
    reply = await _ask(nc, subjects.REGISTRY_RESOLVE_ACCOUNT_SUBJECT, {"username": name}, timeout)
    account_id = str(reply.get("account_id") or "")
    if not account_id:
        raise RegistryProtocolError("registry.resolve_account: missing account_id")
    return account_id, str(reply.get("username") or name)


async def resolve_dev_public_key_by_account(nats_url: str | None, account_id: str, timeout: float | None = 2.0) -> str:
    """The public key that is bound to an account."""
    nc = await RegistryConnection.connect(nats_url)
    return await resolve_dev_public_key_by_account_with_client(nc, account_id, timeout=timeout)


async def resolve_dev_public_key_by_account_with_client(nc: Client, account_id: str, timeout: float | None = 2.0) -> str:
    """As ``resolve_dev_public_key_by_account``."""
    account = account_id.strip()
    if not account:
        raise ValueError("account_id is required")
    reply = await _ask(nc, subjects.REGISTRY_RESOLVE_KEY_SUBJECT, {"account_id": account}, timeout)
    key = str(reply.get("public_key") or "")
    if not key:
        raise RegistryProtocolError("registry.resolve_key: missing public_key")
    return key


@expand_options(**PROFILE_DEFAULTS)
async def search_profiles(nats_url: str | None, **filters: Unpack[ProfileFilters]) -> list[dict[str, Any]]:
    """Accounts by a part of their name and by capability, online ones first."""
    return await search_profiles_with_client(await RegistryConnection.connect(nats_url), **filters)


async def search_profiles_with_client(
    nc: Client,
    *,
    query: str = "",
    capability: str | None = None,
    limit: int = 20,
    online_only: bool = False,
    timeout: float | None = 2.0,
) -> list[dict[str, Any]]:
    """As ``search_profiles``."""
    request = {
        "query": str(query or "").strip(),
        "capability": str(capability or "").strip() or None,
        "limit": _clamp(limit, 100),
        "online_only": bool(online_only),
    }
    reply = await _ask(nc, subjects.REGISTRY_SEARCH_SUBJECT, request, timeout)
    return _objects(reply.get("results"))


async def get_profile(
    nats_url: str | None, *, account_id: str | None = None, username: str | None = None, timeout: float | None = 2.0
) -> dict[str, Any]:
    """One account, by id or name. Raises ``RegistryError`` with ``not_found``."""
    nc = await RegistryConnection.connect(nats_url)
    return await get_profile_with_client(nc, account_id=account_id, username=username, timeout=timeout)


async def get_profile_with_client(
    nc: Client, *, account_id: str | None = None, username: str | None = None, timeout: float | None = 2.0
) -> dict[str, Any]:
    """As ``get_profile``."""
    request: dict[str, Any] = {}
    if account_id:
        request["account_id"] = account_id.strip()
    if username:
        request["username"] = _name(username)
    if not request:
        raise ValueError("account_id or username is required")
    reply = await _ask(nc, subjects.REGISTRY_PROFILE_SUBJECT, request, timeout)
    profile = as_object(reply.get("profile"))
    if profile is None:
        raise RegistryProtocolError("registry.profile: missing profile")
    return profile


async def get_thread_status(
    nats_url: str | None,
    *,
    thread_id: str,
    soft_limit_tokens: int | None = None,
    hard_limit_tokens: int | None = None,
    timeout: float | None = 2.0,
) -> dict[str, Any]:
    """One thread's counters. Raises ``RegistryError`` with ``not_found``."""
    nc = await RegistryConnection.connect(nats_url)
    return await get_thread_status_with_client(
        nc,
        thread_id=thread_id,
        soft_limit_tokens=soft_limit_tokens,
        hard_limit_tokens=hard_limit_tokens,
        timeout=timeout,
    )


async def get_thread_status_with_client(
    nc: Client,
    *,
    thread_id: str,
    soft_limit_tokens: int | None = None,
    hard_limit_tokens: int | None = None,
    timeout: float | None = 2.0,
) -> dict[str, Any]:
    """As ``get_thread_status``."""
    request = {"thread_id": _thread(thread_id), **_limits(soft_limit_tokens, hard_limit_tokens)}
    return await _ask(nc, subjects.REGISTRY_THREAD_STATUS_SUBJECT, request, timeout)


def _thread(thread_id: str) -> str:
    thread = str(thread_id or "").strip()
    if not thread:
        raise ValueError("thread_id is required")
    return thread


@expand_options(**THREAD_DEFAULTS)
async def list_threads(nats_url: str | None, **filters: Unpack[ThreadFilters]) -> list[dict[str, Any]]:
    """Threads, latest activity first."""
    return await list_threads_with_client(await RegistryConnection.connect(nats_url), **filters)


async def list_threads_with_client(
    nc: Client,
    *,
    participant_account_id: str | None = None,
    participant_username: str | None = None,
    query: str = "",
    limit: int = 20,
    soft_limit_tokens: int | None = None,
    hard_limit_tokens: int | None = None,
    timeout: float | None = 2.0,
) -> list[dict[str, Any]]:
    """As ``list_threads``."""
    request: dict[str, Any] = {"query": str(query or "").strip(), "limit": _clamp(limit, 100)}
    if participant_account_id:
        request["participant_account_id"] = participant_account_id.strip()
    if participant_username:
        request["participant_username"] = _name(participant_username)
    request |= _limits(soft_limit_tokens, hard_limit_tokens)
    reply = await _ask(nc, subjects.REGISTRY_THREAD_LIST_SUBJECT, request, timeout)
    return _objects(reply.get("results"))


async def get_thread_messages(
    nats_url: str | None, *, thread_id: str, limit: int = 50, cursor: str | None = None, timeout: float | None = 2.0
) -> dict[str, Any]:
    """One page of a thread, newest message first; ``next_cursor`` is for the next page."""
    nc = await RegistryConnection.connect(nats_url)
    return await get_thread_messages_with_client(nc, thread_id=thread_id, limit=limit, cursor=cursor, timeout=timeout)


async def get_thread_messages_with_client(
    nc: Client, *, thread_id: str, limit: int = 50, cursor: str | None = None, timeout: float | None = 2.0
) -> dict[str, Any]:
    """As ``get_thread_messages``."""
    request: dict[str, Any] = {"thread_id": _thread(thread_id), "limit": _clamp(limit, 200)}
    if cursor and cursor.strip():
        request["cursor"] = cursor.strip()
    return await _ask(nc, subjects.REGISTRY_THREAD_MESSAGES_SUBJECT, request, timeout)


@expand_options(**MESSAGE_DEFAULTS)
async def search_messages(nats_url: str | None, **filters: Unpack[MessageFilters]) -> dict[str, Any]:
    """Messages by filters, newest first; ``next_cursor`` is for the next page."""
    return await search_messages_with_client(await RegistryConnection.connect(nats_url), **filters)


async def search_messages_with_client(
    nc: Client,
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
    """As ``search_messages``."""
    request: dict[str, Any] = {"limit": _clamp(limit, 200)}
    filters = {
        "thread_id": thread_id,
        "from_account_id": from_account_id,
        "to_account_id": to_account_id,
        "kind": kind,
        "from_ts": from_ts,
        "to_ts": to_ts,
        "cursor": cursor,
    }
    request |= {name: value.strip() for name, value in filters.items() if value and value.strip()}
    return await _ask(nc, subjects.REGISTRY_MESSAGE_SEARCH_SUBJECT, request, timeout)


async def get_registry_metrics(nats_url: str | None = None, timeout: float | None = 2.0) -> dict[str, Any]:
    """The registry's counters."""
    return await get_registry_metrics_with_client(await RegistryConnection.connect(nats_url), timeout=timeout)


async def get_registry_metrics_with_client(nc: Client, timeout: float | None = 2.0) -> dict[str, Any]:
    """As ``get_registry_metrics``."""
    return await _ask(nc, subjects.REGISTRY_METRICS_SUBJECT, {}, timeout)
