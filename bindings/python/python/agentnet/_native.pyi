"""The native part: `src/` of this project. It is internal; the modules without an underscore are the API."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, final, overload

from agentnet._options import MessageOptions, SendOptions, StreamOptions
from agentnet.mailbox import SentMessage

@final
class AgentMessage:
    """One message: sender, receiver, thread and payload. Messages do not change."""

    def __new__(
        cls,
        message_id: str,
        from_agent: str,
        to_agent: str,
        payload: Any,
        sent_at: str,
        from_account_id: str | None = None,
        to_account_id: str | None = None,
        from_session_tag: str | None = None,
        ttl_ms: int | None = None,
        expires_at: str | None = None,
        trace_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        kind: str = "direct",
        schema_version: str = "1.0",
        idempotency_key: str | None = None,
        reply_to: str | None = None,
        auth: dict[str, Any] | None = None,
    ) -> AgentMessage: ...
    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AgentMessage:
        """Reads a message from a dict as it is on the wire."""
    def to_dict(self) -> dict[str, Any]:
        """The message as it is on the wire, absent members left out."""
    @property
    def message_id(self) -> str: ...
    @property
    def from_agent(self) -> str: ...
    @property
    def to_agent(self) -> str: ...
    @property
    def payload(self) -> Any:
        """The payload: any JSON, as plain Python values."""
    @property
    def text(self) -> str | None:
        """The payload's text, trimmed: a text payload, or the `text` of a dict; None if there is no text."""
    @property
    def sent_at(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def schema_version(self) -> str: ...
    @property
    def from_session_tag(self) -> str | None: ...
    @property
    def from_account_id(self) -> str | None: ...
    @property
    def to_account_id(self) -> str | None: ...
    @property
    def ttl_ms(self) -> int | None: ...
    @property
    def expires_at(self) -> str | None: ...
    @property
    def trace_id(self) -> str | None: ...
    @property
    def thread_id(self) -> str | None: ...
    @property
    def parent_message_id(self) -> str | None: ...
    @property
    def idempotency_key(self) -> str | None: ...
    @property
    def reply_to(self) -> str | None:
        """The subject for a reply; None if the sender does not wait for one."""
    @property
    def auth(self) -> dict[str, Any] | None: ...

@final
class Node:
    def __new__(cls, settings: dict[str, Any]) -> Node: ...
    def start(self, runner: Callable[[AgentMessage, int], Awaitable[None]] | None) -> asyncio.Future[None]: ...
    def close(self) -> asyncio.Future[None]: ...
    def release(self) -> None: ...
    @property
    def has_left(self) -> bool: ...
    @property
    def account_id(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def session_tag(self) -> str | None: ...
    def info(self) -> dict[str, Any]: ...
    def metrics_snapshot(self) -> dict[str, Any]: ...
    def send(
        self,
        target_kind: int,
        to: str,
        payload: Any,
        kind: str | None,
        options: SendOptions,
        /,
    ) -> tuple[SentMessage] | Awaitable[SentMessage]: ...
    def send_mailbox(
        self,
        target_kind: int,
        to: str,
        payload: Any,
        kind: str | None,
        mailbox: tuple[float | None, bool, float | None],
        options: SendOptions,
        /,
    ) -> tuple[SentMessage] | Awaitable[SentMessage]: ...
    def mailbox_action(self, action: str, message_ids: list[str], state: str | None, /) -> asyncio.Future[int]: ...
    def request(
        self,
        target_kind: int,
        to: str,
        payload: Any,
        kind: str | None,
        timeout: float,
        options: MessageOptions,
        /,
    ) -> tuple[AgentMessage] | Awaitable[AgentMessage]: ...
    def reply(
        self, request: AgentMessage, payload: Any, kind: str | None, options: MessageOptions, /
    ) -> tuple[str] | Awaitable[str]: ...
    def resolve(self, username: str) -> asyncio.Future[str]: ...

@final
class Registry:
    @staticmethod
    def of(node: Node) -> Registry: ...
    def call(self, name: str, request: dict[str, Any], timeout: float) -> asyncio.Future[Any]: ...

@final
class Blobs:
    @staticmethod
    def of(node: Node) -> Blobs: ...
    @staticmethod
    def local(directory: str) -> Blobs: ...
    @overload
    def put(
        self,
        wait: Literal[True],
        data: bytes | None,
        path: str | None,
        filename: str | None,
        mime_type: str | None,
        metadata: dict[str, Any] | None,
        /,
    ) -> dict[str, Any]: ...
    @overload
    def put(
        self,
        wait: Literal[False],
        data: bytes | None,
        path: str | None,
        filename: str | None,
        mime_type: str | None,
        metadata: dict[str, Any] | None,
        progress: Callable[[int, int | None], object] | None = None,
        /,
    ) -> asyncio.Future[dict[str, Any]]: ...
    @overload
    def get_bytes(self, wait: Literal[True], blob: str | dict[str, Any], /) -> bytes: ...
    @overload
    def get_bytes(
        self,
        wait: Literal[False],
        blob: str | dict[str, Any],
        progress: Callable[[int, int | None], object] | None = None,
        /,
    ) -> asyncio.Future[bytes]: ...
    def get_to_file(
        self,
        wait: Literal[False],
        blob: str | dict[str, Any],
        path: str,
        progress: Callable[[int, int | None], object] | None = None,
        /,
    ) -> asyncio.Future[dict[str, Any]]: ...
    @overload
    def head(self, wait: Literal[True], blob: str | dict[str, Any], /) -> dict[str, Any] | None: ...
    @overload
    def head(self, wait: Literal[False], blob: str | dict[str, Any], /) -> asyncio.Future[dict[str, Any] | None]: ...
    @overload
    def delete(self, wait: Literal[True], blob: str | dict[str, Any], /) -> bool: ...
    @overload
    def delete(self, wait: Literal[False], blob: str | dict[str, Any], /) -> asyncio.Future[bool]: ...

@final
class Answer:
    @staticmethod
    def ask(
        node: Node,
        target_kind: int,
        to: str,
        payload: Any,
        kind: str | None,
        timeout: float,
        idle_timeout: float,
        options: MessageOptions,
        /,
    ) -> asyncio.Future[Answer]: ...
    @property
    def message_id(self) -> str: ...
    @property
    def thread_id(self) -> str: ...
    @property
    def trace_id(self) -> str: ...
    def next(self) -> asyncio.Future[tuple[list[tuple[int, Any]], bool] | None]: ...
    def finish(self) -> asyncio.Future[tuple[str, Any, Any, str, AgentMessage]]: ...
    def close(self) -> asyncio.Future[None]: ...

@final
class Outgoing:
    @staticmethod
    def reply(
        request: AgentMessage, metadata: Any, stream_id: str | None, options: StreamOptions, /
    ) -> asyncio.Future[Outgoing]: ...
    @staticmethod
    def send(
        node: Node,
        account: bool,
        to: str,
        metadata: Any,
        stream_id: str | None,
        options: StreamOptions,
        /,
    ) -> asyncio.Future[Outgoing]: ...
    @property
    def stream_id(self) -> str: ...
    @property
    def cancelled(self) -> bool: ...
    def wait_cancelled(self) -> asyncio.Future[None]: ...
    def delta(self, piece: Any) -> tuple[None] | Awaitable[None]: ...
    def end(self, result: tuple[Any, ...] | None) -> asyncio.Future[None]: ...
    def fail(self, code: str, detail: str) -> asyncio.Future[None]: ...

def abandon(awaitable: Awaitable[Any]) -> None: ...
def answer_call(call: int, failure: str | None) -> None: ...
def connect_registry(url: str) -> asyncio.Future[Registry]: ...
def dumps(value: Any) -> bytes: ...
def loads(text: str | bytes) -> Any: ...
def extract_text(payload: Any) -> str | None:
    """The text of a payload, trimmed: the payload itself, or the `text` of a dict; None if there is no text."""
def text_of_reply(reply: AgentMessage) -> str | None: ...
def error_of_reply(reply: AgentMessage) -> tuple[str, str, str | None, str | None] | None: ...
def parse_target(text: str) -> tuple[str, str]: ...
def new_ulid() -> str: ...
def new_message_id() -> str: ...
def open_logs(level: int) -> bool: ...
def next_log() -> tuple[int, str, str] | None: ...
def close_logs() -> None: ...
def wait_for_leaving(seconds: float) -> None: ...
def is_on(text: str) -> bool: ...
def key_name(username: str | None, agent_id: str) -> str: ...
def load_or_create_key(path: str) -> str: ...
