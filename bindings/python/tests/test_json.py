"""Python values and wire text: what `json` does, exactly."""

from __future__ import annotations

import enum
import json
import math
import random
import sys
from collections import OrderedDict
from typing import Any

import pytest

from agentnet._native import dumps, loads


def reference(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    pass


class Ratio(float):
    def __repr__(self) -> str:
        return "not a number"


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    10**400,
    -(10**4299),
    0.0,
    -0.0,
    1.5,
    1e16,
    1e-5,
    5e-324,
    math.inf,
    -math.inf,
    "",
    "plain",
    'quotes " and \\ and / and \x00\x1f\x7f\n\r\t\f\b',
    "é 日本語 😀",
    "lone \ud800 and \udc00\ud800",
    "\ud83d\ude00",
    [],
    {},
    [[], {}, [[1]]],
    (1, (2, 3)),
    {"b": 1, "a": 2, "": {"é": [None]}},
    {1: "a", 2.5: "b", True: "c", None: "d", Level.HIGH: "e"},
    OrderedDict([("z", 1), ("y", 2)]),
    Level.HIGH,
    Name("named"),
    Ratio(2.5),
    {Name("key"): Name("value")},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_it_writes_and_reads_what_json_does(value: Any) -> None:
    text = dumps(value)
    assert text == reference(value)
    back, expected = loads(text), json.loads(text)
    assert back == expected and repr(back) == repr(expected)


def test_reading_takes_what_json_takes() -> None:
    for text in [
        ' { "a" : [ 1 , 2.0 , -3e2 , 1E+3 ] , "a" : "\\u0041\\/\\ud83d\\ude00\\ud800x" } ',
        "-0",
        "1e400",
        "[NaN,Infinity,-Infinity]",
        '"\\ud800\\u0041"',
        "123456789012345678901234567890",
        "[" * 900 + "]" * 900,
    ]:
        assert repr(loads(text)) == repr(json.loads(text)), text[:40]
    for text in ["", "[", "[1,]", "{'a':1}", "01", "+1", "nul", '"\n"', "[1] x", "1" * 4301, "[" * 1100 + "]" * 1100]:
        with pytest.raises(ValueError):
            loads(text)
    with pytest.raises(ValueError):
        loads(b"\xff")


def test_what_is_no_json_is_refused() -> None:
    for value in [object(), {1, 2}, b"bytes", {"x": 1j}, {(1, 2): 3}, range(3)]:
        with pytest.raises(TypeError) as ours:
            dumps(value)
        with pytest.raises(TypeError) as theirs:
            json.dumps(value)
        assert str(ours.value) == str(theirs.value).splitlines()[0]
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="Circular reference"):
        dumps(loop)
    if hasattr(sys, "get_int_max_str_digits"):
        with pytest.raises(ValueError):
            dumps(10**5000)


def test_random_values() -> None:
    chance = random.Random(7)

    def value(depth: int) -> Any:
        kind = chance.randrange(8 if depth < 4 else 6)
        if kind == 0:
            return chance.choice([None, True, False])
        if kind in (1, 2):
            return chance.getrandbits(chance.choice([3, 31, 64, 200])) * chance.choice([1, -1])
        if kind == 3:
            return chance.uniform(-1, 1) * 10 ** chance.randrange(-300, 300)
        if kind in (4, 5):
            return "".join(chr(chance.choice([65, 34, 92, 10, 233, 0x20AC, 0x1F600, 0xD801])) for _ in range(9))
        if kind == 6:
            return [value(depth + 1) for _ in range(chance.randrange(5))]
        return {str(value(9)): value(depth + 1) for _ in range(chance.randrange(5))}

    for _ in range(2000):
        sample = value(0)
        text = dumps(sample)
        assert text == reference(sample)
        assert repr(loads(text)) == repr(json.loads(text))


def test_equal_keys_share_their_object() -> None:
    first, second = loads('{"name":1}'), loads('{"name":2}')
    assert next(iter(first)) is next(iter(second))
