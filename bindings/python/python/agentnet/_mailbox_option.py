"""The option ``mailbox`` of a send."""

from __future__ import annotations

import math
import re
from typing import Any

from agentnet._coerce import as_mapping

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LIFETIME = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(ms|s|m|h|d|w)", re.ASCII)
_LIFETIME_FORMS = "True, a number of seconds, or a text such as '7d', '12h', '30m' or '45s'"


def is_asked_for(mailbox: object) -> bool:
    """Whether a value of the option asks for the mailbox."""
    return mailbox is not None and mailbox is not False


def mailbox_option(value: Any, ttl_ms: int | None) -> tuple[float | None, bool]:
    """The lifetime of the message in seconds, None for the default, and whether it counts as delivered only when it is
    processed. ``ttl_ms`` is that option of the send."""
    given = as_mapping(value)
    if given is None:
        lifetime, ack = value, "accepted"
    else:
        unknown = sorted(str(name) for name in given if name not in ("lifetime", "ack"))
        if unknown:
            raise ValueError(f"mailbox takes lifetime and ack, not {', '.join(unknown)}")
        lifetime, ack = given.get("lifetime", True), given.get("ack", "accepted")
        if lifetime is False:
            raise ValueError(f"the lifetime of a message in a mailbox is {_LIFETIME_FORMS}, not False")
    if ack not in ("accepted", "processed"):
        raise ValueError(f"the ack of a message in a mailbox is 'accepted' or 'processed', not {ack!r}")
    processed = ack == "processed"
    if lifetime is True or lifetime is None:
        return None if ttl_ms is None else ttl_ms / 1000, processed
    if ttl_ms is not None:
        raise ValueError("how long the message lives is given twice, by mailbox and by ttl_ms: leave one of them out")
    return _seconds(lifetime), processed


def _seconds(lifetime: object) -> float:
    """A positive number of seconds."""
    if isinstance(lifetime, str):
        found = _LIFETIME.fullmatch(lifetime.strip().lower())
        seconds = float(found[1]) * _UNITS[found[2]] if found else math.nan
    elif isinstance(lifetime, (int, float)):
        try:
            seconds = float(lifetime)
        except OverflowError:
            seconds = math.inf
    else:
        raise TypeError(f"mailbox is {_LIFETIME_FORMS}, not {type(lifetime).__name__}")
    # Not infinite either: every message in a mailbox expires.
    if not 0 < seconds < math.inf:
        raise ValueError(f"mailbox is {_LIFETIME_FORMS}, not {lifetime!r}")
    return seconds
