"""The kinds of targets, by the numbers that the native part takes."""

from __future__ import annotations

TEXT = 0
"""Any form that ``AgentNode.send`` takes; the native part reads it."""
ACCOUNT = 1
USERNAME = 2
CAPABILITY = 3

BY_NAME: dict[str, int] = {"account": ACCOUNT, "username": USERNAME, "capability": CAPABILITY}
"""By the names that ``parse_target`` of the native part gives."""
