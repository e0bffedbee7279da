"""The further arguments of ``AgentNode``, as ``AgentSDK`` and ``AgentWrapper`` pass them on."""

from __future__ import annotations

import logging
import os
from typing import TypedDict


class NodeOptions(TypedDict, total=False):
    """See ``AgentNode`` for what they mean."""

    logger: logging.Logger | None
    max_concurrency: int
    max_pending: int
    max_payload_bytes: int
    work_timeout_seconds: float
    drain_timeout_seconds: float
    default_ttl_ms: int
    dedupe_ttl_seconds: float
    rate_limit_per_sender_per_sec: float
    rate_limit_burst: int
    circuit_breaker_failures: int
    circuit_breaker_reset_seconds: float
    default_send_retry_attempts: int
    default_receipt_timeout_seconds: float
    default_schema_version: str
    supported_schema_major: int
    dev_auth_enabled: bool | None
    dev_auth_key_dir: str | os.PathLike[str] | None
    dev_auth_key_cache_seconds: float
    blob_dir: str | os.PathLike[str] | None
    blob_storage: str | None
