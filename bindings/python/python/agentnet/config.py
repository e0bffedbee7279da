"""Defaults."""

from __future__ import annotations

import os

DEFAULT_NATS_URL: str = "nats://agentnet_secret_token@localhost:4222"
"""Where the broker is unless told otherwise: the token, the host and the port."""


def default_nats_url() -> str:
    """Where the broker is when no address is given: ``AGENTNET_NATS_URL``, else ``NATS_URL``, else ``DEFAULT_NATS_URL``. A
    variable that is empty counts as unset."""
    for name in ("AGENTNET_NATS_URL", "NATS_URL"):
        value = os.environ.get(name, "").strip()
        if value:
            return value
    return DEFAULT_NATS_URL
