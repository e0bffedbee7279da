"""Signed identity: whether it is on, and the key file of an agent (docs/SECURITY.md)."""

from __future__ import annotations

import os
from pathlib import Path

from agentnet import _native

__all__ = ["dev_auth_enabled", "key_file", "load_or_create_key"]


def dev_auth_enabled() -> bool:
    """Whether ``DEV_AUTH`` is set to true: ``1``, ``true``, ``yes`` or ``on``."""
    return _native.is_on(os.environ.get("DEV_AUTH", ""))


def key_file(agent_id: str, username: str | None = None, key_dir: str | os.PathLike[str] | None = None) -> Path:
    """The file that keeps an agent's key. ``key_dir``: by default ``DEV_AUTH_KEY_DIR``, else ``.keys``."""
    directory = os.environ.get("DEV_AUTH_KEY_DIR", "").strip() or ".keys" if key_dir is None else key_dir
    return Path(directory) / _native.key_name(username, agent_id)


def load_or_create_key(path: str | os.PathLike[str]) -> str:
    """The public key of a key file, in base64. A missing file is created, readable by its owner only.

    Raises:
        AgentNetError: The file cannot be used; the text has the reason. It is not changed.
    """
    return _native.load_or_create_key(os.fspath(path))
