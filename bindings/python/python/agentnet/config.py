"""Defaults."""

from __future__ import annotations

DEFAULT_NATS_URL: str = "nats://agentnet_secret_token@localhost:4222"
"""Where the broker is unless told otherwise: the token, the host and the port."""
