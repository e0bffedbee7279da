"""Plain values by their type, for what comes from outside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast


def as_object(value: object) -> dict[str, Any] | None:
    """The value, if it is a dict."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_mapping(value: object) -> Mapping[str, Any] | None:
    """The value, if it is a mapping."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def as_list(value: object) -> list[Any]:
    """The value, if it is a list, else an empty one."""
    return list(cast("Iterable[Any]", value)) if isinstance(value, list) else []


def said(error: BaseException) -> str:
    """An exception's text. There are exceptions whose text cannot be made."""
    try:
        return str(error)
    except Exception:
        return "(its text cannot be made)"


def stripped(text: object) -> str:
    """A text without the space around it; of None, none. A number is its text."""
    return "" if text is None else str(text).strip()


def seconds(timeout: float | None) -> float:
    """A time limit; None is none."""
    return math.inf if timeout is None else float(timeout)
