"""Blobs under the module name of the Python implementation (agentnet-realm 0.1.1).

They are defined in ``agentnet.blobs``.
"""

from __future__ import annotations

from agentnet.blobs import BLOB_REF_TYPE, BlobRef, LocalBlobStore, is_blob_ref, parse_blob_ref

__all__ = ["BLOB_REF_TYPE", "BlobRef", "LocalBlobStore", "is_blob_ref", "parse_blob_ref"]
