"""Conversions of values that come from outside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from agentnet._options import StreamOptions

_Options = TypeVar("_Options", bound=StreamOptions)


def as_object(value: object) -> dict[str, Any] | None:
    """The value, if it is a dict."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_mapping(value: object) -> Mapping[str, Any] | None:
    """The value, if it is a mapping."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def as_list(value: object) -> list[Any]:
    """The value, if it is a list, else an empty one."""
    return list(cast("Iterable[Any]", value)) if isinstance(value, list) else []


def error_text(error: BaseException) -> str:
    """An exception's text. The ``__str__`` of an exception can raise."""
    try:
        return str(error)
    except Exception:
        return "(its text cannot be made)"


def stripped(text: object) -> str:
    """A text without surrounding whitespace; None is the empty text, a number its digits."""
    return "" if text is None else str(text).strip()


def required(value: str, name: str) -> str:
    """A text without surrounding whitespace. Raises ``ValueError`` for an empty one."""
    text = str(value).strip()
    if not text:
        raise ValueError(f"{name} is required")
    return text


def positive_int(value: Any) -> int | None:
    """``int(value)``, at least 1; None for a value that is not a number."""
    if value is None:
        return None
    try:
        return min(max(1, int(value)), 2**62)
    except (TypeError, ValueError, OverflowError):
        return None


def with_valid_ttl(options: _Options) -> _Options:
    """The same options, with a ``ttl_ms`` that the native part takes."""
    ttl_ms = options.get("ttl_ms")
    if ttl_ms is not None:
        options["ttl_ms"] = positive_int(ttl_ms)
    return options


def seconds(timeout: float | None) -> float:
    """A time limit in seconds; None means no limit."""
    return math.inf if timeout is None else float(timeout)
