"""Lengths of time as callers write them."""

from __future__ import annotations

import math
import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TEXT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(ms|s|m|h|d|w)", re.ASCII)

FORMS = "a number of seconds, or a text such as '7d', '12h', '30m' or '45s'"


def read_seconds(value: object, name: str, forms: str = FORMS, *, zero: bool = False) -> float:
    """A length of time in seconds, positive and finite; also 0 if ``zero`` is True. ``name`` and ``forms`` are for the error."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        found = _TEXT.fullmatch(value.strip().lower())
        seconds = float(found[1]) * _UNITS[found[2]] if found else math.nan
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
    else:
        raise TypeError(f"{name} is {forms}, not {value!r}")
    if not (0 < seconds < math.inf or (zero and seconds == 0)):
        raise ValueError(f"{name} is {forms}, not {value!r}")
    return seconds
