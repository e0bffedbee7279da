"""Defaults."""

from __future__ import annotations

import os

DEFAULT_NATS_URL: str = "nats://agentnet_secret_token@localhost:4222"
"""The default address of NATS: token, host and port."""


def default_nats_url() -> str:
    """The address of NATS if none is given: ``AGENTNET_NATS_URL``, else ``NATS_URL``, else ``DEFAULT_NATS_URL``. A
    variable that is empty counts as unset."""
    for name in ("AGENTNET_NATS_URL", "NATS_URL"):
        value = os.environ.get(name, "").strip()
        if value:
            return value
    return DEFAULT_NATS_URL
