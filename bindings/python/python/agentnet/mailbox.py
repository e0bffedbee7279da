"""Messages that the registry keeps for receivers that are offline (PROTOCOL.md section 21).

A send with ``mailbox=`` leaves its message there; the functions of this module show what waits. As in ``agentnet.registry``,
each function opens a connection of its own, and the variants ``*_with_client`` take an open one. An agent changes the mailbox
of its own account with ``AgentNode.requeue_mailbox`` and ``AgentNode.drop_mailbox``.
"""

from __future__ import annotations

from typing import Any

from agentnet import subjects
from agentnet._options import MailboxOptions
from agentnet.registry import (
    Client,
    RegistryConnection,
    _ask,  # pyright: ignore[reportPrivateUsage]
    required_username,
)

__all__ = [
    "MailboxOptions",
    "SentMessage",
    "get_mailbox_status",
    "get_mailbox_status_with_client",
    "list_mailbox",
    "list_mailbox_with_client",
]

_MAX_LISTED = 200


class SentMessage(str):
    """What a send returns: the message's id, which says what has become of the message."""

    queued: bool = False
    """Whether the registry keeps the message, because its receiver is offline or has no time. Otherwise the receiver has
    accepted it, if the send waited for that. Only a send with ``mailbox=`` can be queued."""
    detail: str | None = None
    """A sentence about a message that is kept: since when its receiver is offline, and until when the message is kept."""


def _account(account_id: str | None, username: str | None) -> dict[str, Any]:
    """The account of a request; the id takes precedence."""
    if account_id is not None and account_id.strip():
        return {"account_id": account_id.strip()}
    return {} if username is None else {"username": required_username(username)}


async def get_mailbox_status(
    nats_url: str | None, *, account_id: str | None = None, username: str | None = None, timeout: float | None = 2.0
) -> dict[str, Any]:
    """How full the mailbox of an account is, by id or name; without either, the mailboxes of all accounts together.

    The members are ``queued``, ``leased`` and ``dead`` (numbers of messages), ``bytes``, ``oldest_queued_at``,
    ``limit_messages`` and ``limit_bytes``. Raises ``RegistryError``, whose text begins with a code such as
    ``mailbox_disabled`` or ``mailbox_unknown_account``.
    """
    nc = await RegistryConnection.connect(nats_url)
    return await get_mailbox_status_with_client(nc, account_id=account_id, username=username, timeout=timeout)


async def get_mailbox_status_with_client(
    nc: Client, *, account_id: str | None = None, username: str | None = None, timeout: float | None = 2.0
) -> dict[str, Any]:
    """As ``get_mailbox_status``."""
    request = _account(account_id, username)
    return await _ask(nc, subjects.REGISTRY_MAILBOX_STATUS_SUBJECT, request, timeout)


async def list_mailbox(
    nats_url: str | None,
    *,
    account_id: str | None = None,
    username: str | None = None,
    state: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
    timeout: float | None = 2.0,
) -> dict[str, Any]:
    """One page of an account's mailbox, by id or name, oldest message first; ``next_cursor`` is for the next page.

    ``state`` is ``queued``, ``leased``, ``dead`` or ``done``; without it the page has messages in every state. Each of
    ``messages`` has its ids, ``state``, ``attempts``, ``queued_at``, ``expires_at``, the beginning of its text
    (``preview``), and ``last_code`` and ``last_detail`` if an attempt to deliver it failed.
    """
    nc = await RegistryConnection.connect(nats_url)
    return await list_mailbox_with_client(
        nc, account_id=account_id, username=username, state=state, limit=limit, cursor=cursor, timeout=timeout
    )


async def list_mailbox_with_client(
    nc: Client,
    *,
    account_id: str | None = None,
    username: str | None = None,
    state: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
    timeout: float | None = 2.0,
) -> dict[str, Any]:
    """As ``list_mailbox``."""
    request = _account(account_id, username)
    if not request:
        raise ValueError("account_id or username is required")
    request["limit"] = max(1, min(int(limit), _MAX_LISTED))
    request |= {name: value.strip() for name, value in (("state", state), ("cursor", cursor)) if value and value.strip()}
    return await _ask(nc, subjects.REGISTRY_MAILBOX_LIST_SUBJECT, request, timeout)
