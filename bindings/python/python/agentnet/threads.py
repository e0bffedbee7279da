"""Conversations in one thread, and the results of the high-level calls."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from agentnet import _stream_frames
from agentnet._coerce import stripped
from agentnet._expand import expand_options
from agentnet._options import MailboxOptions as MailboxOptions  # named by the annotations of expanded methods
from agentnet._options import ParentOptions, TextMailboxOptions, TextSendOptions, ThreadMailboxOptions, ThreadSendOptions
from agentnet._stream_frames import CONTENT_TYPE, ROLE
from agentnet._typing import Unpack
from agentnet.blobs import BlobRef, blob_payload
from agentnet.streams import AnswerStream, StreamReply


@dataclass(slots=True)
class SDKResult:
    """The result of a send or an ask that succeeded: failures raise."""

    ok: bool
    thread_id: str | None
    """The thread of the answer, or of the message that was sent."""
    message_id: str | None
    """The id of the answer, or of the message that was sent."""
    parent_message_id: str | None
    text: str | None = None
    """The text of the answer, if it has one."""
    data: Any = None
    """The payload of the answer. Of a send with ``mailbox``: a dict whose ``delivery`` is ``"delivered"`` or ``"queued"``,
    and whose ``detail`` says until when a queued message is kept."""
    error: str | None = None
    """Always None; kept for compatibility."""
    trace_id: str | None = None


class _SdkCalls(Protocol):
    """The calls of ``AgentSDK`` that a thread uses."""

    def send_json(self, to: str, data: Any, **options: Unpack[TextMailboxOptions]) -> Coroutine[Any, Any, SDKResult]: ...

    def _send_frame(
        self, to: str, payload: dict[str, Any], **options: Unpack[TextSendOptions]
    ) -> Coroutine[Any, Any, SDKResult]: ...

    def ask_json(
        self,
        to: str,
        data: Any,
        *,
        thread_id: str | None = None,
        timeout: float | None = None,
        **options: Unpack[ParentOptions],
    ) -> Coroutine[Any, Any, SDKResult]: ...

    def _ask_stream(
        self,
        to: str,
        data: Any,
        thread_id: str | None,
        timeout: float | None,
        idle_timeout: float | None,
        on_end: Callable[[StreamReply], None] | None,
        **options: Unpack[ParentOptions],
    ) -> AnswerStream: ...


_Options = TypeVar("_Options", bound=ParentOptions)


class ThreadSession:
    """A conversation in one thread: each call has as its parent the message that was sent last, or the answer that came
    last."""

    def __init__(self, sdk: _SdkCalls, thread_id: str | int, parent_message_id: str | None = None) -> None:
        self._sdk = sdk
        self.thread_id = stripped(thread_id)
        if not self.thread_id:
            raise ValueError("thread_id is required")
        self.parent_message_id = parent_message_id

    def set_parent(self, parent_message_id: str | None) -> None:
        """Sets the parent of the next message; None for no parent."""
        self.parent_message_id = parent_message_id

    def _with_parent(self, options: _Options) -> _Options:
        if options.get("parent_message_id") is None:
            options["parent_message_id"] = self.parent_message_id
        return options

    def _follow(self, result: SDKResult) -> SDKResult:
        self.parent_message_id = result.message_id or self.parent_message_id
        return result

    @expand_options()
    def send_text(self, to: str, text: str, **options: Unpack[ThreadMailboxOptions]) -> Coroutine[Any, Any, SDKResult]:
        """Sends ``{"text": text}``."""
        return self.send_json(to, {"text": str(text)}, **options)

    @expand_options()
    async def send_json(self, to: str, data: Any, **options: Unpack[ThreadMailboxOptions]) -> SDKResult:
        """Sends any JSON, data classes as dicts."""
        options = self._with_parent(options)
        return self._follow(await self._sdk.send_json(to, data, thread_id=self.thread_id, **options))

    @expand_options()
    def send_blob_ref(
        self, to: str, blob: BlobRef | Mapping[str, Any], **options: Unpack[ThreadMailboxOptions]
    ) -> Coroutine[Any, Any, SDKResult]:
        """Sends a reference to a blob. The receiver needs access to the store that has the blob."""
        return self.send_json(to, blob_payload(blob), **options)

    async def _send_frame(
        self, to: str, payload: dict[str, Any], **options: Unpack[ThreadSendOptions]
    ) -> SDKResult:
        options = self._with_parent(options)
        send = self._sdk._send_frame  # pyright: ignore[reportPrivateUsage]
        return self._follow(await send(to, payload, thread_id=self.thread_id, **options))

    @expand_options(require_delivery_ack=False)
    def send_stream_start(
        self,
        to: str,
        stream_id: str,
        *,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        metadata: dict[str, Any] | None = None,
        **options: Unpack[ThreadSendOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Starts a stream to an inbox; ``data`` of the result is the payload. It waits for no receipt by default."""
        payload = _stream_frames.start(stream_id, role, content_type, metadata)
        return self._send_frame(to, payload, **options)

    @expand_options(require_delivery_ack=False)
    def send_stream_delta(
        self,
        to: str,
        stream_id: str,
        delta: str,
        *,
        seq: int,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        **options: Unpack[ThreadSendOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Sends a piece; ``seq`` is its position, by which the reader sorts."""
        payload = _stream_frames.delta(stream_id, delta, seq, role, content_type)
        return self._send_frame(to, payload, **options)

    @expand_options(require_delivery_ack=False)
    def send_stream_end(
        self,
        to: str,
        stream_id: str,
        *,
        seq: int,
        text: str | None = None,
        role: str = ROLE,
        content_type: str = CONTENT_TYPE,
        metadata: dict[str, Any] | None = None,
        **options: Unpack[ThreadSendOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Ends a stream; ``text`` is the whole text and replaces the pieces."""
        payload = _stream_frames.end(stream_id, seq, text, role, content_type, metadata)
        return self._send_frame(to, payload, **options)

    @expand_options(require_delivery_ack=False)
    def send_stream_error(
        self,
        to: str,
        stream_id: str,
        error: str,
        *,
        seq: int = 0,
        metadata: dict[str, Any] | None = None,
        **options: Unpack[ThreadSendOptions],
    ) -> Coroutine[Any, Any, SDKResult]:
        """Ends a stream with an error."""
        payload = _stream_frames.error(stream_id, error, seq, metadata)
        return self._send_frame(to, payload, **options)

    @expand_options()
    def ask_text(
        self, to: str, text: str, *, timeout: float | None = None, **options: Unpack[ParentOptions]
    ) -> Coroutine[Any, Any, SDKResult]:
        """Sends ``{"text": text}`` as a request and waits for the answer."""
        return self.ask_json(to, {"text": str(text)}, timeout=timeout, **options)

    @expand_options()
    async def ask_json(
        self, to: str, data: Any, *, timeout: float | None = None, **options: Unpack[ParentOptions]
    ) -> SDKResult:
        """Sends any JSON as a request and waits for the answer."""
        options = self._with_parent(options)
        asked = self._sdk.ask_json(to, data, thread_id=self.thread_id, timeout=timeout, **options)
        return self._follow(await asked)

    @expand_options()
    def ask_stream(
        self,
        to: str,
        text: str,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = 30.0,
        **options: Unpack[ParentOptions],
    ) -> AnswerStream:
        """Sends ``{"text": text}`` as a request and reads the answer piece by piece. Once it is read to its end, the answer is
        the parent of the next message."""

        def on_end(reply: StreamReply) -> None:
            self.parent_message_id = reply.message.message_id or self.parent_message_id

        options = self._with_parent(options)
        data = {"text": str(text)}
        ask = self._sdk._ask_stream  # pyright: ignore[reportPrivateUsage]
        return ask(to, data, self.thread_id, timeout, idle_timeout, on_end, **options)
