"""Plain values by their type, for what comes from outside."""

from __future__ import annotations

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
