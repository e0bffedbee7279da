"""Blobs under the names that programs of the original import them by; their home is ``agentnet.blobs``."""

from __future__ import annotations

from agentnet.blobs import BLOB_REF_TYPE, BlobRef, LocalBlobStore, is_blob_ref, parse_blob_ref

__all__ = ["BLOB_REF_TYPE", "BlobRef", "LocalBlobStore", "is_blob_ref", "parse_blob_ref"]
