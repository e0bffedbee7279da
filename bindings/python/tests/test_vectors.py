"""What was recorded from the original, as far as Python sees it (spec/vectors)."""

from __future__ import annotations

import builtins
import dataclasses
import json
import math
import struct
from typing import Any

import pytest
from conftest import VECTORS

from agentnet import (
    AgentInfo,
    AgentMessage,
    AgentNode,
    DeliveryReceipt,
    TaskEvent,
    is_compaction_required,
    parse_compaction_required,
)
from agentnet._native import dumps, extract_text, loads, parse_target


def cases(name: str) -> list[dict[str, Any]]:
    read: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    assert read["cases"]
    return list(read["cases"])


@pytest.mark.parametrize("case", cases("targets"), ids=lambda case: repr(case["input"]))
def test_targets(case: dict[str, Any]) -> None:
    expected = case["sdk"]
    if expected.get("kind") == "username" and expected["value"].lower().startswith("username:"):
        # Here `username:<name>` means what it means everywhere else (docs/PYTHON.md).
        expected = case["node"]
    if "value" in expected:
        assert parse_target(case["input"]) == (expected["kind"], expected["value"])
    else:
        with pytest.raises(ValueError):
            parse_target(case["input"])


@pytest.mark.parametrize("case", cases("usable_usernames"), ids=lambda case: ascii(case["input"])[:40])
def test_usable_usernames(case: dict[str, Any]) -> None:
    def node() -> AgentNode:
        return AgentNode(agent_id="vectors", name="Vectors", username=case["input"])

    # An empty one is none, and the registry derives a name from the agent id.
    if case["outcome"] == "usable" or not case["input"]:
        node()
        return
    expected = {"nothing": "nothing of it would remain", "lossy": f'would become "{case["normalized"]}"', "too_long": "at most 256"}
    with pytest.raises(ValueError, match=expected[case["outcome"]]):
        node()


def test_extract_text() -> None:
    for case in cases("sdk_extract_text"):
        assert extract_text(loads(case["payload_json"])) == case["text"], case


def test_envelopes() -> None:
    decoded = 0
    for case in cases("envelope_decode"):
        if "fields" not in case:
            continue
        source = loads(case["wire"])
        if case["error"] is not None:
            with pytest.raises(getattr(builtins, case["error"])):
                AgentMessage.from_dict(source)
            continue
        message = AgentMessage.from_dict(source)
        for name, value in case["fields"].items():
            if name == "reply_to" and not isinstance(value, str):
                continue
            if name == "ttl_ms_text":
                assert str(message.ttl_ms) == value, case
                continue
            assert getattr(message, name) == value, (name, case)
        assert dumps(message.payload).decode() == dumps(loads(case["payload_json"])).decode()
        assert dumps(message.to_dict()).decode() == case["reencoded"], case
        decoded += 1
    assert decoded > 20


def test_agent_info() -> None:
    for case in cases("agent_info"):
        if case["error"] is None:
            assert dumps(AgentInfo.from_dict(loads(case["wire"])).to_dict()).decode() == case["reencoded"], case
        else:
            with pytest.raises(TypeError):
                AgentInfo.from_dict(loads(case["wire"]))


def test_receipts() -> None:
    for case in cases("receipts"):
        receipt = DeliveryReceipt.from_dict(loads(case["wire"]))
        assert dataclasses.asdict(receipt) == case["fields"], case
        assert dumps(receipt.to_dict()).decode() == case["reencoded"], case


def test_receipts_of_the_mailbox() -> None:
    for case in cases("mailbox_receipts"):
        receipt = DeliveryReceipt.from_dict(loads(case["wire"]))
        assert dataclasses.asdict(receipt) == case["fields"], case
        # A receipt in Python has no signature.
        written = {name: value for name, value in loads(case["reencoded"]).items() if name != "auth"}
        assert receipt.to_dict() == written, case


def test_messages_that_ask_for_the_mailbox() -> None:
    asking = 0
    for case in cases("mailbox_member"):
        message = AgentMessage.from_dict(loads(case["wire"]))
        assert dumps(message.to_dict()).decode() == case["reencoded"], case
        asking += "mailbox" in message.to_dict()
    assert asking > 1


def test_events_of_tasks() -> None:
    for case in cases("task_events"):
        # As the native part gives them.
        written = loads(case["reencoded"])
        event = dataclasses.asdict(TaskEvent.from_dict(written))
        assert {name: value for name, value in event.items() if value is not None} == {
            name: value for name, value in written.items() if name != "task_id" and value is not None
        }, case


def test_compaction_events() -> None:
    for case in cases("compaction_events"):
        source = loads(case["source_json"])
        assert is_compaction_required(source) is case["is_compaction"], case
        event = parse_compaction_required(source)
        assert (None if event is None else dataclasses.asdict(event)) == case["event"], case


def test_int_coercion() -> None:
    for case in cases("int_coercion"):
        value = loads(case["value_json"])
        expected = case["python_int"]
        if isinstance(expected, str):
            with pytest.raises((TypeError, ValueError, OverflowError)):
                int(value)
            continue
        assert AgentMessage.from_dict({"ttl_ms": value}).ttl_ms == (None if value is None else expected), case


def test_floats() -> None:
    for case in cases("float_format"):
        value = struct.unpack(">d", bytes.fromhex(case["bits_hex"]))[0]
        assert dumps(value).decode() == case["json"]
        back = loads(case["json"])
        assert back == value or (math.isnan(back) and math.isnan(value))


def test_wire_text() -> None:
    for case in cases("canonical_json"):
        assert dumps(loads(case["input_json"])).decode() == case["wire_encoding"], case
    for case in cases("payload_byte_count"):
        assert loads(case["payload_json"]) == json.loads(case["payload_json"])
