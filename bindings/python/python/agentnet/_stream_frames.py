"""The payloads of streams that are sent frame by frame (docs/STREAMING_PROTOCOL.md).

Each frame is a message of kind ``stream`` to an inbox. ``AgentNode.send_stream`` makes the frames itself.
"""

from __future__ import annotations

from typing import Any

from agentnet.utils import utc_now_iso

ROLE = "assistant"
CONTENT_TYPE = "text/plain"


def _stream_id(text: str) -> str:
    stream_id = str(text or "").strip()
    if not stream_id:
        raise ValueError("stream_id is required")
    return stream_id


def start(stream_id: str, role: str, content_type: str, metadata: dict[str, Any] | None) -> dict[str, Any]:
    """The payload that starts a stream."""
    return {
        "type": "stream_start",
        "stream_id": _stream_id(stream_id),
        "role": role,
        "content_type": content_type,
        "started_at": utc_now_iso(),
        "metadata": dict(metadata or {}),
    }


def delta(stream_id: str, piece: str, seq: int, role: str, content_type: str) -> dict[str, Any]:
    """The payload of a piece."""
    return {
        "type": "stream_delta",
        "stream_id": _stream_id(stream_id),
        "delta": str(piece),
        "seq": max(0, int(seq)),
        "role": role,
        "content_type": content_type,
    }


def end(
    stream_id: str, seq: int, text: str | None, role: str, content_type: str, metadata: dict[str, Any] | None
) -> dict[str, Any]:
    """The payload that ends a stream; its text is the whole text and replaces the pieces."""
    payload: dict[str, Any] = {
        "type": "stream_end",
        "stream_id": _stream_id(stream_id),
        "seq": max(0, int(seq)),
        "role": role,
        "content_type": content_type,
        "finished_at": utc_now_iso(),
        "metadata": dict(metadata or {}),
    }
    if text is not None:
        payload["text"] = str(text)
    return payload


def error(stream_id: str, reason: str, seq: int, metadata: dict[str, Any] | None) -> dict[str, Any]:
    """The payload that ends a stream with an error."""
    text = str(reason or "").strip()
    if not text:
        raise ValueError("error is required")
    return {
        "type": "stream_error",
        "stream_id": _stream_id(stream_id),
        "error": text,
        "seq": max(0, int(seq)),
        "finished_at": utc_now_iso(),
        "metadata": dict(metadata or {}),
    }
