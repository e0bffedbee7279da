"""The option ``mailbox`` of a send."""

from __future__ import annotations

from typing import Any, NamedTuple

from agentnet._coerce import as_mapping
from agentnet._duration import FORMS, read_seconds
from agentnet._options import MailboxOptions


def is_asked_for(mailbox: object) -> bool:
    """Whether a value of the option asks for the mailbox."""
    return mailbox is not None and mailbox is not False


class Mailbox(NamedTuple):
    """The option as the native part takes it."""

    lifetime: float | None
    """How long the message is kept, in seconds; None for the default."""
    processed: bool
    """Whether the message counts as delivered only when it is processed."""
    timeout: float | None
    """How long to wait until it is processed, in seconds; None for the default."""


def mailbox_option(value: Any, ttl_ms: int | None) -> Mailbox:
    """Reads a value that asks for the mailbox. ``ttl_ms`` is that option of the send."""
    given = as_mapping(value)
    if given is None:
        given = {"lifetime": value}
    unknown = sorted(str(name) for name in given if name not in MailboxOptions.__annotations__)
    if unknown:
        raise ValueError(f"mailbox takes {', '.join(MailboxOptions.__annotations__)}, not {', '.join(unknown)}")
    ack, timeout = given.get("ack", "accepted"), given.get("timeout")
    if ack not in ("accepted", "processed"):
        raise ValueError(f"the ack of a message in a mailbox is 'accepted' or 'processed', not {ack!r}")
    if timeout is not None and ack != "processed":
        raise ValueError("the timeout of a send with mailbox is for the ack 'processed'; receipt_timeout is for the receipt")
    return Mailbox(_lifetime(given.get("lifetime", True), ttl_ms), ack == "processed", _timeout(timeout))


def _timeout(timeout: Any) -> float | None:
    return None if timeout is None else float(timeout)


def _lifetime(lifetime: object, ttl_ms: int | None) -> float | None:
    """The lifetime in seconds; None for the default."""
    if lifetime is True or lifetime is None:
        return None if ttl_ms is None else ttl_ms / 1000
    # Not infinite: every message in a mailbox expires.
    seconds = read_seconds(lifetime, "mailbox", f"True, {FORMS}")
    if ttl_ms is not None:
        raise ValueError("how long the message lives is given twice, by mailbox and by ttl_ms: leave one of them out")
    return seconds
