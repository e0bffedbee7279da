"""How a target is given to the native part."""

from __future__ import annotations

TEXT = 0
ACCOUNT = 1
USERNAME = 2
CAPABILITY = 3

BY_KIND: dict[str, int] = {"account": ACCOUNT, "username": USERNAME, "capability": CAPABILITY}
