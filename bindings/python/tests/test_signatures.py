"""The signatures that `inspect` shows of everything public, as `signatures.txt` has them."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import pickle
import re
import typing
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from agentnet import AgentSDK, SentMessage, TaskError, TaskFailure, _task_handle
from agentnet._native import dumps
from agentnet.errors import task_error

RECORDED = Path(__file__).parent / "signatures.txt"
MODULES = (
    "agentnet agentnet.blob agentnet.blobs agentnet.config agentnet.dev_auth agentnet.errors agentnet.events "
    "agentnet.exceptions agentnet.mailbox agentnet.node agentnet.registry agentnet.schema agentnet.sdk agentnet.streams agentnet.subjects "
    "agentnet.tasks agentnet.threads agentnet.utils agentnet.wrapper"
).split()
SPECIAL = {"__init__", "__aenter__", "__aexit__"}
# Their constructors take objects of the native part: a program gets them from a node.
MADE_BY_THE_PACKAGE = {
    *("AnswerStream", "OutgoingStream", "BlobStore", "RegistryConnection"),
    *("Task", "TaskContext", "TaskEvents"),
}


def public(module: Any) -> list[str]:
    """The names that a module exports; without a list of them, what it defines itself."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    own = {name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
    return sorted(name for name in own if not name.startswith("_"))


def is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] == "agentnet"


def callables() -> Iterator[tuple[str, Any]]:
    """Every public function and method, by the first name that it has; methods by the class that they are called on."""
    seen: set[Any] = set()
    for path in MODULES:
        module = importlib.import_module(path)
        for name in public(module):
            value = getattr(module, name)
            if not is_ours(value) or not callable(value) or value in seen:
                continue
            seen.add(value)
            if isinstance(value, type):
                yield from methods(f"{path}.{name}", value)
            else:
                yield f"{path}.{name}", value


def methods(path: str, owner: type) -> Iterator[tuple[str, Any]]:
    if getattr(owner, "__text_signature__", None):
        # A class of the native part.
        yield path, owner
    for name in dir(owner):
        if name.startswith("_") and name not in SPECIAL:
            continue
        if name == "__init__" and owner.__name__ in MADE_BY_THE_PACKAGE:
            continue
        value = inspect.getattr_static(owner, name)
        if isinstance(value, property):
            yield f"{path}.{name}", value.fget
        elif isinstance(value, (staticmethod, classmethod)):
            # Not the methods that a class has from str.
            if inspect.isfunction(value.__func__):
                yield f"{path}.{name}", value.__func__
        elif inspect.isfunction(value):
            yield f"{path}.{name}", value


def text(function: Any) -> str:
    """Parameters with annotations and defaults, in the form of a definition, the same on every version of Python."""
    signature = inspect.signature(function)
    parts: list[str] = []
    was: Any = None
    for parameter in signature.parameters.values():
        kind = parameter.kind
        if kind is parameter.KEYWORD_ONLY and was not in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL):
            parts.append("*")
        was = kind
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(kind, "")
        part = stars + parameter.name
        if parameter.annotation is not parameter.empty:
            part += f": {annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            part += f" = {parameter.default!r}"
        parts.append(part)
    returned = "" if signature.return_annotation is signature.empty else f" -> {annotation(signature.return_annotation)}"
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    return f"{prefix}({', '.join(parts)}){returned}"


def annotation(value: Any) -> str:
    return value if isinstance(value, str) else getattr(value, "__qualname__", repr(value))


def recorded() -> dict[str, str]:
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def test_every_public_signature_is_the_recorded_one() -> None:
    assert {path: text(function) for path, function in callables()} == recorded()


def test_an_argument_that_does_not_exist_is_named_at_the_call() -> None:
    for path, function in callables():
        parameters = inspect.signature(function).parameters.values()
        if not inspect.isfunction(function) or any(one.kind is one.VAR_KEYWORD for one in parameters):
            continue
        required = {one.name: None for one in parameters if one.default is one.empty and one.kind is not one.VAR_POSITIONAL}
        # Not by the coroutine, which is not awaited here.
        text = rf"^{re.escape(function.__qualname__)}\(\) got an unexpected keyword argument 'no_such_argument'"
        with pytest.raises(TypeError, match=text):
            function(**required, no_such_argument=1)
            raise AssertionError(path)


def test_annotations_can_be_evaluated() -> None:
    for path, function in callables():
        if inspect.isfunction(function):
            annotated = {one.name for one in inspect.signature(function).parameters.values() if one.annotation is not one.empty}
            assert annotated <= set(typing.get_type_hints(function)), path


class Recorder:
    """Stands for the native part of a node: keeps what it is called with, and is complete at once."""

    has_left, session_tag, account_id, username = False, "session", "acct_1", "name"

    def send(self, *arguments: Any) -> tuple[SentMessage]:
        self.call, self.arguments = "send", arguments
        return (SentMessage("id"),)

    def send_mailbox(self, *arguments: Any) -> tuple[SentMessage]:
        self.call, self.arguments = "send_mailbox", arguments
        return (SentMessage("id"),)


def test_options_reach_the_native_part_by_name_and_by_position() -> None:
    sdk, native = with_recorder()
    node = sdk.node
    given = {
        "ttl_ms": 7,
        "trace_id": "trace",
        "thread_id": "thread",
        "parent_message_id": "parent",
        "idempotency_key": "key",
        "require_delivery_ack": False,
        "retry_attempts": 3,
        "receipt_timeout": 0.5,
    }

    async def main() -> None:
        assert await node.send("@b", 1, "direct", **given) == "id"
        by_name = native.arguments
        assert by_name[2:] == (1, "direct", given)
        await node.send("@b", 1, "direct", *given.values())
        assert native.arguments == by_name
        await node.send_to_username("b", 1, "direct", *given.values(), 2.0)
        assert native.arguments[2:] == by_name[2:]
        for named in given:
            await node.send("@b", 1, **{named: given[named]})
            assert native.arguments[4] == {named: given[named]}
        await node.send("@b", 1)
        assert native.arguments[4] == {}
        await node.send("@b", 1, ttl_ms="-7", retry_attempts=-7)  # type: ignore[arg-type]
        assert native.arguments[4] == {"ttl_ms": 1, "retry_attempts": 0}
        # A default of its own, and the other value.
        await sdk.send_stream_start("b", "s")
        assert native.arguments[4]["require_delivery_ack"] is False
        await sdk.thread("t").send_stream_start("b", "s", require_delivery_ack=True)
        assert native.arguments[4].get("require_delivery_ack", True) is True
        for wrong in (lambda: node.send("@b", 1, "direct", *given.values(), None), lambda: node.send("@b", 1, "x", kind="x")):
            with pytest.raises(TypeError, match=r"send\(\)"):
                wrong()

    asyncio.run(main())


def with_recorder() -> tuple[AgentSDK, Recorder]:
    native = Recorder()
    sdk = AgentSDK(agent_id="a", name="A")
    sdk.node._native = sdk._native = native  # type: ignore[assignment]
    return sdk, native


@pytest.mark.parametrize(
    ("mailbox", "ttl_ms", "expected"),
    [
        (True, None, (None, False, None)),
        (True, 5_000, (5.0, False, None)),
        ({}, None, (None, False, None)),
        (3600, None, (3600.0, False, None)),
        (0.5, None, (0.5, False, None)),
        ("7d", None, (604_800.0, False, None)),
        (" 1.5 H ", None, (5400.0, False, None)),
        ("250ms", None, (0.25, False, None)),
        ("2w", None, (1_209_600.0, False, None)),
        ({"lifetime": "45s", "ack": "processed"}, None, (45.0, True, None)),
        ({"ack": "processed", "timeout": 3}, 7, (0.007, True, 3.0)),
        ({"lifetime": True, "ack": "accepted"}, None, (None, False, None)),
    ],
)
def test_forms_of_the_mailbox_option(mailbox: Any, ttl_ms: int | None, expected: tuple[Any, ...]) -> None:
    sdk, native = with_recorder()

    async def main() -> None:
        await sdk.node.send("@b", 1, ttl_ms=ttl_ms, thread_id="t", retry_attempts=3, receipt_timeout=0.5, mailbox=mailbox)
        assert native.call == "send_mailbox"
        assert native.arguments == (0, "@b", 1, "direct", expected, {"thread_id": "t", "receipt_timeout": 0.5})
        if ttl_ms is None:
            result = await sdk.send_json("@b", 1, thread_id="t", mailbox=mailbox)
            assert native.call == "send_mailbox" and native.arguments[4:] == (expected, {"thread_id": "t"})
            assert result.data == {"delivery": "delivered"}

    asyncio.run(main())


def test_a_send_that_does_not_ask_for_the_mailbox_is_as_before() -> None:
    sdk, native = with_recorder()

    async def main() -> None:
        for none in (None, False):
            sent = await sdk.node.send("@b", 1, mailbox=none)
            assert native.call == "send" and native.arguments == (0, "@b", 1, "direct", {})
            assert sent == "id" and not sent.queued and sent.detail is None
            assert (await sdk.send_text("@b", "x", mailbox=none)).data is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        *(({"mailbox": wrong}, ValueError, "a number of seconds, or a text") for wrong in (0, -1, "7", "x", "", "0d", "١d")),
        *(({"mailbox": float(wrong)}, ValueError, "a number of seconds, or a text") for wrong in ("nan", "inf")),
        ({"mailbox": 10**400}, ValueError, "a number of seconds, or a text"),
        ({"mailbox": [7]}, TypeError, r"a number of seconds, or a text .*, not \[7\]"),
        ({"mailbox": {"life": 1}}, ValueError, "mailbox takes lifetime, ack, timeout, not life"),
        ({"mailbox": {"lifetime": False}}, TypeError, "not False"),
        ({"mailbox": {"timeout": 3}}, ValueError, "for the ack 'processed'"),
        ({"mailbox": {"ack": "read"}}, ValueError, "'accepted' or 'processed', not 'read'"),
        ({"mailbox": "7d", "ttl_ms": 5}, ValueError, "given twice"),
        ({"mailbox": True, "require_delivery_ack": False}, ValueError, "leave require_delivery_ack on"),
    ],
)
def test_a_wrong_mailbox_option_is_named(options: dict[str, Any], error: type[Exception], text: str) -> None:
    sdk, _ = with_recorder()

    async def main() -> None:
        with pytest.raises(error, match=text):
            await sdk.node.send("@b", 1, **options)

    asyncio.run(main())


def test_a_sent_message_is_its_id() -> None:
    sent = SentMessage("id")
    sent.queued, sent.detail = True, "why"
    again = pickle.loads(pickle.dumps(sent))
    assert again == "id" and type(again) is SentMessage and (again.queued, again.detail) == (True, "why")
    assert json.dumps({sent: sent}) == '{"id": "id"}' and dumps({sent: sent}) == b'{"id":"id"}'
    assert not SentMessage("id").queued


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"title": None, "payload": None, "parent": None, "retries": None, "metadata": None}, {}),
        ({"deadline": "2h", "delay": 0, "backoff": 0.5, "heartbeat": timedelta(minutes=1)},
         {"deadline": 7200.0, "delay": 0.0, "backoff": 0.5, "heartbeat": 60.0}),
        ({"parent": " task_1 ", "key": "k", "task_id": "t", "thread_id": "th", "title": "T", "coordinator": "me"},
         {"parent": "task_1", "key": "k", "task_id": "t", "thread_id": "th", "title": "T", "coordinator": "me"}),
        ({"retries": 2, "priority": -100, "payload": [1], "metadata": MappingProxyType({"a": 1})},
         {"retries": 2, "priority": -100, "payload": [1], "metadata": {"a": 1}}),
        ({"payload": False, "priority": 0}, {"payload": False, "priority": 0}),
    ],
)
def test_forms_of_the_options_of_a_task(options: dict[str, Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    class Handle:
        """Stands for the native part of a task."""

        id = "task_1"

        @staticmethod
        def start(*arguments: Any) -> asyncio.Future[Any]:
            calls.append(arguments)
            made: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            made.set_result(Handle())
            return made

    monkeypatch.setattr(_task_handle, "TaskHandle", Handle)

    async def main() -> None:
        sdk, native = with_recorder()
        sdk.node._native = native  # type: ignore[assignment]
        for ask in (sdk.task, sdk.node.task):
            task = await ask(" @b ", "do it", **options)
            assert calls.pop() == (native, "@b", {**expected, "text": "do it"})
            # A part of it.
            await ask("@b", parent=task)
            assert calls.pop() == (native, "@b", {"parent": "task_1", "text": ""})

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        *(({"deadline": wrong}, ValueError, "deadline is a number of seconds, or a text") for wrong in (0, -1, "soon", "7", float("nan"))),
        ({"heartbeat": 0}, ValueError, "heartbeat is a number of seconds"),
        ({"delay": -1}, ValueError, "delay is a number of seconds"),
        ({"backoff": True}, TypeError, "backoff is a number of seconds, .*, not True"),
        ({"retries": 20}, ValueError, "retries is a number from 0 to 19, not 20"),
        ({"priority": 101}, ValueError, "priority is a number from -100 to 100, not 101"),
        ({"parent": ""}, ValueError, "the id of the task is required"),
        ({"ttl_ms": 1}, TypeError, "unexpected keyword argument 'ttl_ms'"),
    ],
)
def test_a_wrong_option_of_a_task_is_named(options: dict[str, Any], error: type[Exception], text: str) -> None:
    sdk, _ = with_recorder()

    async def main() -> None:
        with pytest.raises(error, match=text):
            await sdk.task("@b", "x", **options)

    asyncio.run(main())


def test_failures_of_tasks_keep_what_they_say() -> None:
    for failure, state, retryable, text in (
        (TaskFailure.failed("code", "why"), "failed", False, "code: why"),
        (TaskFailure.retryable("code"), "failed", True, "code"),
        (TaskFailure.rejected("not here"), "rejected", False, "rejected: not here"),
        (TaskFailure.canceled(), "canceled", False, "canceled"),
        (TaskFailure.input_required("which?"), "input_required", False, "which?"),
        (TaskFailure.auth_required("may I?"), "auth_required", False, "may I?"),
        (TaskFailure.released(), "submitted", False, "submitted"),
    ):
        for one in (failure, pickle.loads(pickle.dumps(failure))):
            assert (one.state, one.is_retryable, str(one)) == (state, retryable, text)
    for text, code in (("task_conflict: another", "task_conflict"), ("task_disabled", "task_disabled")):
        error = task_error(text)
        assert isinstance(error, TaskError) and error.code == code and str(error) == text
    for text in ("not_found", "task_id is required", "Task_conflict: x"):
        assert not isinstance(task_error(text), TaskError) and str(task_error(text)) == text


def test_the_native_part_takes_the_options_as_one_dict() -> None:
    native: Any = AgentSDK(agent_id="a", name="A").node._native
    for options, error, text in (
        ({"ttl": 1}, RuntimeError, "no option ttl"),
        ({"thread_id": b"t"}, TypeError, "expected a text, not bytes"),
        ({"require_delivery_ack": None}, TypeError, "bool"),
        ({"retry_attempts": -1}, OverflowError, "out of range"),
    ):
        with pytest.raises(error, match=text):
            native.send(0, "@b", 1, "direct", options)
        with pytest.raises(error, match=text):
            native.request(0, "@b", 1, "request", 1.0, options)
        with pytest.raises(error, match=text):
            native.send_mailbox(0, "@b", 1, "direct", (None, False, None), options)
