"""Parsers of payloads with a defined meaning (PROTOCOL.md section 9, docs/STREAMING_PROTOCOL.md).

Each takes a message, a message as a dict, or a payload; it returns None for another kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentnet._coerce import as_mapping
from agentnet.schema import AgentMessage

_STREAM_TYPES = frozenset({"stream_start", "stream_delta", "stream_end", "stream_error"})


@dataclass(slots=True)
class CompactionRequiredEvent:
    """A thread has grown too long. The registry of agentnet-realm 0.1.1 sends this; the registry of this project does not."""

    thread_id: str
    status: str
    message_count: int
    byte_count: int
    approx_tokens: int
    soft_limit_tokens: int
    hard_limit_tokens: int
    latest_checkpoint_end: int
    requested_at: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class StreamStartEvent:
    """A stream begins."""

    stream_id: str
    role: str
    content_type: str
    started_at: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class StreamDeltaEvent:
    """A piece of a stream."""

    stream_id: str
    delta: str
    seq: int
    role: str = "assistant"
    content_type: str = "text/plain"


@dataclass(slots=True)
class StreamEndEvent:
    """A stream is complete."""

    stream_id: str
    seq: int
    text: str | None = None
    role: str = "assistant"
    content_type: str = "text/plain"
    finished_at: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class StreamErrorEvent:
    """A stream failed."""

    stream_id: str
    error: str
    seq: int = 0
    finished_at: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


def _payload(source: Any) -> Mapping[str, Any] | None:
    if isinstance(source, AgentMessage):
        return as_mapping(source.payload)
    given = as_mapping(source)
    # Either a payload, or a message with one.
    inner = None if given is None else as_mapping(given.get("payload"))
    return given if inner is None else inner


def _type(payload: Mapping[str, Any] | None) -> str:
    return "" if payload is None else str(payload.get("type") or "").strip().lower()


def _of_type(source: Any, kind: str) -> Mapping[str, Any] | None:
    payload = _payload(source)
    return payload if _type(payload) == kind else None


def _text(payload: Mapping[str, Any], name: str, default: str = "") -> str:
    return str(payload.get(name) or default)


def _given(payload: Mapping[str, Any], name: str) -> str | None:
    value = payload.get(name)
    return None if value is None else str(value)


def _number(payload: Mapping[str, Any], name: str, least: int = 0) -> int:
    value: Any = payload.get(name)
    try:
        return max(least, int(value))
    except (TypeError, ValueError):
        return least


def _metadata(payload: Mapping[str, Any]) -> dict[str, Any]:
    return dict(as_mapping(payload.get("metadata")) or {})


def is_compaction_required(source: AgentMessage | Mapping[str, Any] | Any) -> bool:
    """Whether it is a ``compaction_required`` event."""
    return _of_type(source, "compaction_required") is not None


def is_stream_event(source: AgentMessage | Mapping[str, Any] | Any) -> bool:
    """Whether it is a frame of a stream."""
    return _type(_payload(source)) in _STREAM_TYPES


def parse_compaction_required(source: AgentMessage | Mapping[str, Any] | Any) -> CompactionRequiredEvent | None:
    """Reads a ``compaction_required`` event."""
    payload = _of_type(source, "compaction_required")
    if payload is None:
        return None
    thread_id = _text(payload, "thread_id").strip()
    if not thread_id:
        return None
    return CompactionRequiredEvent(
        thread_id=thread_id,
        status=_text(payload, "status", "needs_compaction"),
        message_count=_number(payload, "message_count"),
        byte_count=_number(payload, "byte_count"),
        approx_tokens=_number(payload, "approx_tokens"),
        soft_limit_tokens=_number(payload, "soft_limit_tokens", 1),
        hard_limit_tokens=_number(payload, "hard_limit_tokens", 1),
        latest_checkpoint_end=_number(payload, "latest_checkpoint_end"),
        requested_at=_given(payload, "requested_at"),
        reason=_given(payload, "reason"),
    )


def _stream(source: Any, kind: str) -> tuple[Mapping[str, Any], str] | None:
    payload = _of_type(source, kind)
    if payload is None:
        return None
    stream_id = _text(payload, "stream_id").strip()
    return (payload, stream_id) if stream_id else None


def parse_stream_start(source: AgentMessage | Mapping[str, Any] | Any) -> StreamStartEvent | None:
    """Reads the start of a stream."""
    found = _stream(source, "stream_start")
    if found is None:
        return None
    payload, stream_id = found
    return StreamStartEvent(
        stream_id=stream_id,
        role=_text(payload, "role", "assistant"),
        content_type=_text(payload, "content_type", "text/plain"),
        started_at=_given(payload, "started_at"),
        metadata=_metadata(payload),
    )


def parse_stream_delta(source: AgentMessage | Mapping[str, Any] | Any) -> StreamDeltaEvent | None:
    """Reads a piece of a stream."""
    found = _stream(source, "stream_delta")
    if found is None:
        return None
    payload, stream_id = found
    return StreamDeltaEvent(
        stream_id=stream_id,
        delta=_text(payload, "delta"),
        seq=_number(payload, "seq"),
        role=_text(payload, "role", "assistant"),
        content_type=_text(payload, "content_type", "text/plain"),
    )


def parse_stream_end(source: AgentMessage | Mapping[str, Any] | Any) -> StreamEndEvent | None:
    """Reads the end of a stream. Its text is the member ``text``, or that of the member ``result``."""
    found = _stream(source, "stream_end")
    if found is None:
        return None
    payload, stream_id = found
    text, result = _given(payload, "text"), payload.get("result")
    if text is None:
        text = result if isinstance(result, str) else _given(as_mapping(result) or {}, "text")
    return StreamEndEvent(
        stream_id=stream_id,
        seq=_number(payload, "seq"),
        text=text,
        role=_text(payload, "role", "assistant"),
        content_type=_text(payload, "content_type", "text/plain"),
        finished_at=_given(payload, "finished_at"),
        metadata=_metadata(payload),
    )


def parse_stream_error(source: AgentMessage | Mapping[str, Any] | Any) -> StreamErrorEvent | None:
    """Reads the error that ended a stream."""
    found = _stream(source, "stream_error")
    if found is None:
        return None
    payload, stream_id = found
    error = _text(payload, "error").strip()
    if not error:
        return None
    return StreamErrorEvent(
        stream_id=stream_id,
        error=error,
        seq=_number(payload, "seq"),
        finished_at=_given(payload, "finished_at"),
        metadata=_metadata(payload),
    )
