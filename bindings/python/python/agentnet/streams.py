"""Answers that come piece by piece (docs/STREAMING_PROTOCOL.md)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from agentnet._coerce import as_object, error_text
from agentnet._completion import completed, completion
from agentnet._native import Answer, Node, Outgoing, error_of_reply
from agentnet._options import MessageOptions
from agentnet._typing import Self
from agentnet.errors import AgentNetError, StreamCancelledError, StreamError, request_error
from agentnet.schema import AgentMessage

AskOptions = tuple[str, float, float, MessageOptions]
"""The kind, the two timeouts and the options of a request whose answer is a stream, in the order of the native part."""


@dataclass(slots=True)
class StreamDelta:
    """One piece of a stream. ``str(piece)`` is its text."""

    seq: int
    """Its number in the stream: rising, without repetitions."""
    value: Any
    """Any JSON; most often a text."""

    @property
    def text(self) -> str | None:
        """The piece itself where it is text, or the ``text`` of a dict; not trimmed."""
        members = as_object(self.value)
        text = self.value if members is None else members.get("text")
        return text if isinstance(text, str) else None

    def __str__(self) -> str:
        return self.text or ""


@dataclass(slots=True)
class StreamReply:
    """A stream that came to its end."""

    text: str
    """The texts of all pieces, concatenated; if no piece has a text, the text of the result."""
    result: Any
    """The result in the last frame, or the payload of an ordinary reply."""
    metadata: Any
    """The metadata of the first frame."""
    stream_id: str
    """The stream's id; of an ordinary reply, its message id."""
    message: AgentMessage
    """The message that ended the stream, or the ordinary reply."""


class AnswerStream:
    """The pieces of an answer, in order and each once.

    ``async for piece in stream`` reads it; ``await stream.text()`` and ``await stream.finish()`` read to the end and return
    the whole, including the pieces that were read before. Leaving it early (``break`` in an ``async with`` block, or ``aclose``)
    cancels the stream, and the other side stops. For ``AgentSDK``, an ordinary reply that reports an error raises, as for
    ``ask_text``; for ``AgentNode`` it is the only piece. Errors are those of ``AgentNode.request``, ``AgentRequestError`` for an
    error that the other side reports, and ``StreamError``.
    """

    def __init__(
        self,
        node: Node,
        way: int,
        to: str,
        payload: Any,
        options: AskOptions,
        on_end: Callable[[StreamReply], None] | None = None,
        *,
        raises: bool = False,
    ) -> None:
        self._raises = raises
        self._asked = (node, way, to, payload, *options)
        self._on_end = on_end
        self._answer: Answer | None = None
        self._opening = asyncio.Lock()
        self._pieces: deque[StreamDelta] = deque()
        self._reply: StreamReply | None = None
        self._closed = False

    async def _open(self) -> Answer:
        async with self._opening:
            if self._answer is None:
                if self._closed:
                    raise StreamError("the stream is closed")
                self._answer = await completion(Answer.ask(*self._asked))
            return self._answer

    def __aiter__(self) -> AsyncIterator[StreamDelta]:
        return self

    async def __anext__(self) -> StreamDelta:
        if self._pieces:
            return self._pieces.popleft()
        if self._reply is not None or self._closed:
            raise StopAsyncIteration
        answer = await self._open()
        come = await completion(answer.next())
        if come is None:
            # Keeps the result, or raises the error.
            await self.finish()
            raise StopAsyncIteration
        pieces, ended = come
        if ended and self._raises and len(pieces) == 1 and (as_object(pieces[0][1]) or {}).get("error"):
            # It may be an ordinary reply that reports an error, and no piece.
            await self.finish()
        self._pieces.extend(StreamDelta(seq, value) for seq, value in pieces)
        return self._pieces.popleft()

    async def finish(self) -> StreamReply:
        """Reads to the end and returns the whole."""
        if self._reply is None:
            answer = await self._open()
            text, result, metadata, stream_id, message = await completion(answer.finish())
            refused = error_of_reply(message) if self._raises and message.kind != "stream" else None
            if refused is not None:
                raise request_error(*refused)
            self._reply = StreamReply(text, result, metadata, stream_id, message)
            if self._on_end is not None:
                self._on_end(self._reply)
        return self._reply

    async def text(self) -> str:
        """Reads to the end and returns the whole text."""
        return (await self.finish()).text

    async def aclose(self) -> None:
        """Stops reading."""
        self._closed = True
        self._pieces.clear()
        if self._answer is not None and self._reply is None:
            await completion(self._answer.close())

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class OutgoingStream:
    """A stream that is sent: ``async with`` opens it, ``delta`` sends pieces, leaving the block ends it.

    An exception in the block ends it with the code ``handler_error`` and is raised on; where the reader has cancelled, nothing
    more is sent. Without ``async with``: ``open``, ``delta``, and ``end`` or ``fail``.
    """

    def __init__(self, opening: Callable[[], asyncio.Future[Outgoing]]) -> None:
        self._opening = opening
        self._native: Outgoing | None = None
        self._over = False

    @classmethod
    def reply(cls, request: AgentMessage, *options: Any) -> OutgoingStream:
        """One that answers a message; see ``AgentNode.reply_stream``."""
        return cls(lambda: Outgoing.reply(request, *options))

    @classmethod
    def send(cls, node: Node, to: str, *options: Any, account: bool = False) -> OutgoingStream:
        """One to an inbox; see ``AgentNode.send_stream``."""
        return cls(lambda: Outgoing.send(node, account, to, *options))

    async def open(self) -> Self:
        """Sends the first frame. Raises ``NoReplySubjectError`` if the sender of the message does not wait for a reply."""
        if self._native is None:
            self._native = await completion(self._opening())
        return self

    def _opened(self) -> Outgoing:
        if self._native is None:
            raise AgentNetError("the stream is not open: use `async with`, or await its `open`")
        return self._native

    @property
    def stream_id(self) -> str:
        """The stream's id."""
        return self._opened().stream_id

    @property
    def cancelled(self) -> bool:
        """Whether the reader has cancelled the stream."""
        return self._opened().cancelled

    async def wait_cancelled(self) -> None:
        """Returns when the reader cancels the stream."""
        await completion(self._opened().wait_cancelled())

    async def delta(self, piece: Any) -> None:
        """Sends a piece: a text, or any JSON but None. Raises ``StreamCancelledError`` after the reader has cancelled, and
        ``StreamError`` after the end of the stream."""
        if piece is None:
            raise TypeError("None is no piece of a stream: leave it out")
        await completed(self._opened().delta(piece))

    async def end(self, *result: Any) -> None:
        """Ends the stream, with a result if one is given: any JSON, one argument."""
        if len(result) > 1:
            raise TypeError("end takes at most one result")
        ending = self._opened().end(result or None)
        self._over = True
        await completion(ending)

    async def fail(self, code: str, detail: str = "") -> None:
        """Ends the stream with an error: a code, and a sentence for people."""
        failing = self._opened().fail(str(code), str(detail))
        self._over = True
        await completion(failing)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._over:
            return
        try:
            if exc is None:
                await self.end()
            elif not self.cancelled:
                await self.fail("handler_error", error_text(exc) or type(exc).__name__)
        except StreamCancelledError:
            # The reader has cancelled it.
            pass
