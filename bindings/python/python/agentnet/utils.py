"""Ids, times and wire text, under the module name of the Python implementation (agentnet-realm 0.1.1)."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from agentnet._native import dumps, extract_text, loads, new_message_id, new_ulid

__all__ = [
    "decode_json",
    "encode_json",
    "extract_text",
    "new_message_id",
    "new_ulid",
    "parse_iso_utc",
    "utc_now",
    "utc_now_iso",
]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(timezone.utc)


def utc_now_iso() -> str:
    """The time as the wire writes it: ``2026-02-21T08:00:00.123456Z``."""
    return utc_now().isoformat().replace("+00:00", "Z")


def parse_iso_utc(text: str) -> datetime:
    """A time of the wire, in UTC; one without an offset is UTC. Raises ``ValueError``."""
    text = text.strip()
    time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)


def encode_json(value: Any) -> bytes:
    """A value as wire text: compact, ASCII, data classes as dicts. Raises ``TypeError`` for a value that is not JSON."""
    return dumps(value)


def decode_json(data: bytes | str) -> Any:
    """The value of wire text; of no text an empty dict. Raises ``ValueError``."""
    return loads(data) if data else {}
